/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of one request: see request.h.
 *
 * Owns the table of operations.
 */
#include "lamb/request.h"

#include "ipc/log.h"
#include "lamb/exclusion.h"
#include "lamb/fault.h"
#include "lamb/gateway.h"
#include "lamb/news.h"
#include "lamb/ops.h"
#include "lamb/pool.h"
#include "lamb/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct op ops[] = {
    /* opcode, force, payload, order, name, run */
    {SD_OP_CREATE_AND_WRITE_OBJ, 0, 1, ORDER_WRITE, "create", object_create},
    {SD_OP_READ_OBJ, 0, 0, ORDER_FREE, "read", object_read},
    {SD_OP_WRITE_OBJ, 0, 1, ORDER_WRITE, "write", object_write},
    {SD_OP_REMOVE_OBJ, 0, 0, ORDER_WRITE, "remove", object_remove},
    {SD_OP_DISCARD_OBJ, 0, 0, ORDER_WRITE, "discard", object_discard},
    {SD_OP_NEW_VDI, 0, 1, ORDER_EXCLUSIVE, "new-vdi", naming_new},
    {SD_OP_LOCK_VDI, 0, 1, ORDER_LOOKUP, "lock-vdi", naming_lock},
    {SD_OP_RELEASE_VDI, 0, 0, ORDER_LOOKUP, "release-vdi", naming_release},
    {SD_OP_GET_VDI_INFO, 0, 1, ORDER_LOOKUP, "vdi-info", naming_info},
    {SD_OP_READ_VDIS, 1, 0, ORDER_FREE, "read-vdis", naming_used},
    {SD_OP_FLUSH_VDI, 0, 0, ORDER_FREE, "flush", cluster_flush},
    {SD_OP_DEL_VDI, 0, 1, ORDER_EXCLUSIVE, "delete-vdi", deletion_delete},
    {SD_OP_GET_CLUSTER_DEFAULT, 1, 0, ORDER_FREE, "cluster-default", cluster_default},
    {SD_OP_GET_NODE_LIST, 1, 0, ORDER_FREE, "node-list", cluster_nodes},
    {SD_OP_MAKE_FS, 1, 1, ORDER_EXCLUSIVE, "format", cluster_format},
    {SD_OP_SHUTDOWN, 1, 0, ORDER_EXCLUSIVE, "shutdown", cluster_shutdown},
    {SD_OP_STAT_SHEEP, 0, 0, ORDER_FREE, "stat-sheep", cluster_space},
    {SD_OP_STAT_CLUSTER, 1, 0, ORDER_FREE, "stat-cluster", cluster_epochs},
    {SD_OP_GET_VDI_ATTR, 0, 1, ORDER_EXCLUSIVE, "vdi-attr", attr_get},
    {SD_OP_GET_STORE_LIST, 1, 0, ORDER_FREE, "store-list", cluster_stores},
    {SD_OP_STAT_RECOVERY, 0, 0, ORDER_FREE, "stat-recovery", cluster_recovery},
    {SD_OP_FLUSH_DEL_CACHE, 0, 0, ORDER_FREE, "flush-del-cache", cluster_nothing},
    {SD_OP_GET_OBJ_LIST, 0, 0, ORDER_FREE, "obj-list", object_list},
    {SD_OP_GET_VDI_COPIES, 1, 0, ORDER_FREE, "vdi-copies", naming_copies},
    {SD_OP_MD_INFO, 0, 0, ORDER_FREE, "md-info", cluster_disks},
    {SD_OP_GET_HASH, 0, 0, ORDER_FREE, "hash", object_hash},
    {SD_OP_STAT, 0, 0, ORDER_FREE, "stat", cluster_counters},
    {SD_OP_GET_LOGLEVEL, 1, 0, ORDER_FREE, "get-loglevel", cluster_get_log_level},
    {SD_OP_SET_LOGLEVEL, 1, 1, ORDER_FREE, "set-loglevel", cluster_set_log_level},
    {SD_OP_EXIST, 1, 0, ORDER_FREE, "exist", object_exist},
    {SD_OP_CLUSTER_INFO, 1, 0, ORDER_FREE, "cluster-info", cluster_info},
    {SD_OP_OIDS_EXIST, 1, 1, ORDER_FREE, "oids-exist", object_missing},
    {SD_OP_READ_DEL_VDIS, 1, 0, ORDER_FREE, "read-del-vdis", naming_deleted},
};

#define NR_OPS (sizeof ops / sizeof *ops)

const struct op *request_op(uint8_t opcode)
{
	for (size_t i = 0; i < NR_OPS; i++)
		if (ops[i].opcode == opcode)
			return &ops[i];
	return NULL;
}

const struct op *request_op_named(const char *name)
{
	char *end;
	unsigned long number = strtoul(name, &end, 0);

	if (end != name && !*end && number <= UINT8_MAX)
		return request_op((uint8_t)number);
	for (size_t i = 0; i < NR_OPS; i++)
		if (!strcmp(ops[i].name, name))
			return &ops[i];
	return NULL;
}

/* P 1.4 */
static bool version_ok(const struct sd_req *req)
{
	if (req->opcode >= SD_OP_INTERNAL_FIRST)
		return req->proto_ver == SD_PROTO_INTERNAL;
	return req->proto_ver <= SD_PROTO_PUBLIC_MAX;
}

void request_run(struct request *request)
{
	news_follow(request->lamb);
	if (request->order_class == ORDER_EXCLUSIVE)
		exclusion_begin(request);
	else
		request->op->run(request);
}

static void run_in_order(struct request *request)
{
	request->order_class = request->op->order_class;
	if (order_enter(&request->lamb->order, request))
		request_run(request);
	else if (!request_keep(request)) /* it waits, and the receive buffer does not */
		fatal("out of memory for a waiting request");
}

void request_begin(struct request *request)
{
	const struct sd_req *req = &request->req;

	request->op = request_op(req->opcode);
	if (!version_ok(req))
		request_finish(request, SD_RES_VER_MISMATCH);
	else if (!request->op || (request->op->payload && !(req->flags & SD_FLAG_WRITE)))
		request_finish(request, SD_RES_INVALID_PARMS);
	else if (!fault_holds(request))
		run_in_order(request);
}

void request_release(struct request *request)
{
	request->released = true;
	if (!fault_holds(request))
		run_in_order(request);
}

void request_finish(struct request *request, uint32_t result)
{
	request->rsp.result = result;
	order_leave(&request->lamb->order, request);
	fault_answer(request);
}

uint32_t request_result(int error)
{
	switch (-error) {
	case 0:
		return SD_RES_SUCCESS;
	case ENOENT:
		return SD_RES_NO_OBJ;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return SD_RES_NO_SPACE;
	case ENOMEM:
		return SD_RES_NO_MEM;
	}
	return SD_RES_EIO;
}

void request_finish_error(struct request *request, int error)
{
	request_finish(request, request_result(error));
}

bool request_keep(struct request *request)
{
	uint8_t *copy;

	if (!request->data_lent)
		return true;
	copy = malloc(request->req.data_length);
	if (!copy)
		return false;
	memcpy(copy, request->data, request->req.data_length);
	request->data = copy;
	request->data_lent = false;
	return true;
}

void request_defer(
    struct request *request, void (*work)(struct request *), void (*done)(struct request *))
{
	if (!request_keep(request)) {
		request_finish(request, SD_RES_NO_MEM);
		return;
	}
	request->work = work;
	request->done = done;
	pool_run(request->lamb->pool, request);
}

void *request_reply(struct request *request, uint32_t size)
{
	free(request->reply);
	request->reply = calloc(1, size ? size : 1);
	request->rsp.data_length = request->reply ? size : 0;
	return request->reply;
}

void *request_state(struct request *request, size_t size)
{
	request->state = calloc(1, size);
	return request->state;
}

void request_free(struct request *request)
{
	if (!request->data_lent)
		free(request->data);
	free(request->reply);
	free(request->state);
	free(request);
}
