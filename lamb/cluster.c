/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the cluster says of itself (P 2.5), its format and its end.
 */
#include "ipc/log.h"
#include "lamb/gateway.h"
#include "lamb/lamb.h"
#include "lamb/locks.h"
#include "lamb/members.h"
#include "lamb/news.h"
#include "lamb/ops.h"
#include "lamb/request.h"
#include "lamb/shared.h"
#include "lamb/store.h"
#include "lamb/vdi.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STORE_NAME "plain"
#define DEFAULT_COPIES 3 /* of a format that names none (P 2.4) */
#define VNODES 128
#define MD_DISKS 64

struct md_info { /* P 2.5 */
	struct {
		int32_t idx;
		uint32_t pad;
		uint64_t free;
		uint64_t used;
		char path[4096];
	} disk[MD_DISKS];
	int32_t count;
	uint32_t pad;
};

_Static_assert(sizeof(struct md_info) == 263688, "md info");

/* A reply of at least `size` bytes of which the client said it has room; else finishes it. */
static void *reply_of(struct request *request, uint32_t size)
{
	void *reply = NULL;

	if (request->req.data_length < size)
		request_finish(request, SD_RES_INVALID_PARMS);
	else if (!(reply = request_reply(request, size)))
		request_finish(request, SD_RES_NO_MEM);
	return reply;
}

/* Nothing is cached: an acknowledged write is on the disk, and a client may stop asking (P 9). */
void cluster_flush(struct request *request)
{
	request->lamb->counters[11]++;
	request_finish(request, SD_RES_INVALID_PARMS);
}

void cluster_nothing(struct request *request)
{
	request_finish(request, SD_RES_SUCCESS);
}

void cluster_default(struct request *request)
{
	const struct meta *meta = &request->lamb->meta;

	request->rsp.cluster_default.nr_copies = (uint8_t)meta->copies;
	request->rsp.cluster_default.copy_policy = (uint8_t)meta->copy_policy;
	request->rsp.cluster_default.block_size_shift = (uint8_t)meta->shift;
	request_finish(request, SD_RES_SUCCESS);
}

/*
 * The member as a node.  All of them are on this host: one that listens on all addresses is where
 * the client reaches us.
 */
static void fill_node(
    const struct request *request, const struct member *member, struct sd_node *node)
{
	static const uint8_t any[16];
	struct sd_node_id reached = {.port = 0};
	uint64_t size = 0;

	node->nid = members_node_id(member);
	if (!memcmp(node->nid.addr, any, sizeof any) && gateway_local(request, &reached))
		memcpy(node->nid.addr, reached.addr, sizeof reached.addr);
	node->nr_vnodes = VNODES;
	node->zone = member->zone;
	store_space(request->lamb->store, &size, &node->space);
}

void cluster_nodes(struct request *request)
{
	struct member list[SHARED_SLOTS];
	struct sd_node *nodes;
	uint32_t nr;

	news_look(request->lamb);
	nr = members_list(request->lamb->members, list);
	nodes = reply_of(request, nr * (uint32_t)sizeof *nodes);
	if (!nodes)
		return;
	for (uint32_t i = 0; i < nr; i++)
		fill_node(request, &list[i], &nodes[i]);
	request->rsp.node.nr_nodes = nr;
	request_finish(request, SD_RES_SUCCESS);
}

void cluster_space(struct request *request)
{
	uint64_t size, free_bytes;
	int error = store_space(request->lamb->store, &size, &free_bytes);

	if (!error) {
		memcpy(request->rsp.node.store_size, &size, sizeof size);
		memcpy(request->rsp.node.store_free, &free_bytes, sizeof free_bytes);
	}
	request_finish_error(request, error);
}

static void fill_first(const struct meta *meta, struct sd_epoch_log *log)
{
	log->ctime = meta->ctime;
	log->nr_copies = (uint8_t)meta->copies;
	log->copy_policy = (uint8_t)meta->copy_policy;
	log->flags = (uint16_t)meta->flags;
	memcpy(log->store, STORE_NAME, sizeof STORE_NAME);
}

/* The newest records first, as many as the client has room for. Frees epochs. */
static void answer_epochs(struct request *request, struct epochs *epochs)
{
	uint32_t room = request->req.cluster.nodes_nr;
	size_t size = sizeof(struct sd_epoch_log) + room * sizeof(struct sd_node);
	size_t nr = request->req.data_length / size;
	uint8_t *at;

	if (nr > epochs->nr)
		nr = epochs->nr;
	at = reply_of(request, (uint32_t)(nr * size));
	for (size_t i = 0; at && i < nr; i++, at += size) {
		const struct epoch *epoch = &epochs->list[epochs->nr - 1 - i];
		struct sd_epoch_log *log = (struct sd_epoch_log *)(void *)at;
		struct sd_node *nodes = (struct sd_node *)(void *)(at + sizeof *log);

		if (!i)
			fill_first(&request->lamb->meta, log);
		log->epoch = epoch->number;
		if (!room)
			continue;
		if (epoch->nr > room) {
			request->rsp.data_length = 0;
			request_finish(request, SD_RES_BUFFER_SMALL);
			epochs_free(epochs);
			return;
		}
		log->time = epoch->time;
		log->nr_nodes = epoch->nr;
		for (uint32_t n = 0; n < epoch->nr; n++)
			fill_node(request, &epoch->members[n], &nodes[n]);
	}
	epochs_free(epochs);
	if (at)
		request_finish(request, SD_RES_SUCCESS);
}

void cluster_epochs(struct request *request)
{
	uint64_t nodes = request->req.cluster.nodes_nr;
	struct epochs epochs;
	int error;

	news_look(request->lamb);
	if (sizeof(struct sd_epoch_log) + nodes * sizeof(struct sd_node) >
	    request->req.data_length) { /* no record fits */
		request_finish(request, SD_RES_SUCCESS);
		return;
	}
	error = members_epochs(request->lamb->members, &epochs);
	if (error)
		request_finish_error(request, error);
	else
		answer_epochs(request, &epochs);
}

void cluster_info(struct request *request)
{
	const struct meta *meta = &request->lamb->meta;
	struct sd_cluster_info *info = reply_of(request, sizeof *info);
	struct member list[SHARED_SLOTS];
	uint32_t nr;

	if (!info)
		return;
	news_look(request->lamb);
	nr = members_list(request->lamb->members, list);
	info->proto_ver = SD_PROTO_INTERNAL;
	info->nr_nodes = (int16_t)nr;
	info->epoch = atomic_load(&store_shared(request->lamb->store)->page->epoch);
	info->ctime = meta->ctime;
	info->flags = (uint16_t)meta->flags;
	info->nr_copies = (uint8_t)meta->copies;
	info->copy_policy = (uint8_t)meta->copy_policy;
	info->status = SD_STATUS_OK;
	info->block_size_shift = (uint8_t)meta->shift;
	memcpy(info->store, STORE_NAME, sizeof STORE_NAME);
	for (uint32_t i = 0; i < nr; i++)
		fill_node(request, &list[i], &info->nodes[i]);
	request_finish(request, SD_RES_SUCCESS);
}

void cluster_stores(struct request *request)
{
	static const char list[] = STORE_NAME " ";
	char *reply = reply_of(request, sizeof list);

	if (!reply)
		return;
	memcpy(reply, list, sizeof list);
	request_finish(request, SD_RES_SUCCESS);
}

void cluster_recovery(struct request *request)
{
	if (reply_of(request, sizeof(struct sd_recovery_state)))
		request_finish(request, SD_RES_SUCCESS);
}

void cluster_disks(struct request *request)
{
	struct md_info *info;
	uint64_t size;

	if (request->req.data_length != sizeof *info) {
		request_finish(request, SD_RES_INVALID_PARMS);
		return;
	}
	info = reply_of(request, sizeof *info);
	if (!info)
		return;
	info->count = 1;
	if (!store_space(request->lamb->store, &size, &info->disk[0].free))
		info->disk[0].used = size - info->disk[0].free;
	memcpy(info->disk[0].path, "store", sizeof "store");
	request_finish(request, SD_RES_SUCCESS);
}

void cluster_counters(struct request *request)
{
	uint64_t *reply = reply_of(request, sizeof request->lamb->counters);

	if (!reply)
		return;
	memcpy(reply, request->lamb->counters, sizeof request->lamb->counters);
	request_finish(request, SD_RES_SUCCESS);
}

void cluster_get_log_level(struct request *request)
{
	int32_t *level = reply_of(request, sizeof *level);

	if (!level)
		return;
	*level = request->lamb->log_level;
	request_finish(request, SD_RES_SUCCESS);
}

void cluster_set_log_level(struct request *request)
{
	int32_t level = -1;

	if (request->req.data_length == sizeof level)
		memcpy(&level, request->data, sizeof level);
	if (level < 0 || level > 7) { /* syslog's */
		request_finish(request, SD_RES_INVALID_PARMS);
		return;
	}
	request->lamb->log_level = level;
	log_open("lamb", LOG_TO_STDERR, level == 7);
	request_finish(request, SD_RES_SUCCESS);
}

static void format_work(struct request *request)
{
	request->error = store_format(request->lamb->store, request->state);
}

static void format_done(struct request *request)
{
	struct lamb *lamb = request->lamb;

	if (!request->error) {
		lamb->meta = *(const struct meta *)request->state;
		members_format(lamb->members);
		vdi_table_clear(lamb->vdis);
		locks_clear(store_shared(lamb->store));
		shared_notice(store_shared(lamb->store), 0);
		log_info("the store was formatted anew");
	}
	request_finish_error(request, request->error);
}

void cluster_format(struct request *request)
{
	const struct sd_req *req = &request->req;
	uint32_t size = req->data_length, result = SD_RES_SUCCESS;
	struct meta *meta;

	if (!size || request->data[size - 1])
		result = SD_RES_INVALID_PARMS;
	else if (strcmp((const char *)request->data, STORE_NAME) != 0)
		result = SD_RES_NO_STORE;
	else if (req->cluster.block_size_shift && (req->cluster.block_size_shift < SD_SHIFT_MIN ||
						      req->cluster.block_size_shift > SD_SHIFT_MAX))
		result = SD_RES_INVALID_PARMS;
	else if (req->cluster.copy_policy) /* erasure code needs several nodes */
		result = SD_RES_INVALID_PARMS;
	meta = result ? NULL : request_state(request, sizeof *meta);
	if (!meta) {
		request_finish(request, result ? result : SD_RES_NO_MEM);
		return;
	}
	*meta = (struct meta){
	    .generation = request->lamb->meta.generation,
	    .epoch = 1,
	    .ctime = req->cluster.ctime,
	    .formatted = (uint64_t)time(NULL),
	    .flags = req->cluster.flags,
	    .copies = req->cluster.copies ? req->cluster.copies : DEFAULT_COPIES,
	    .shift =
		req->cluster.block_size_shift ? req->cluster.block_size_shift : SD_SHIFT_DEFAULT,
	};
	request_defer(request, format_work, format_done);
}

void cluster_shutdown(struct request *request)
{
	log_info("a client shuts the cluster down");
	atomic_store(&store_shared(request->lamb->store)->page->stopping, 1);
	request_finish(request, SD_RES_SUCCESS);
	kill(getpid(), SIGTERM);
}
