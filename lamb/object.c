/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Object operations.
 *
 * Owns what is checked before an object is touched (bounds, READONLY), and the reclaiming of
 * objects that an index write gives up.  Never removes an object that a snapshot or clone may
 * share: none of a VDI that ever had a child.
 */
#include "ipc/log.h"
#include "lamb/fault.h"
#include "lamb/lamb.h"
#include "lamb/ops.h"
#include "lamb/request.h"
#include "lamb/shared.h"
#include "lamb/store.h"
#include "lamb/vdi.h"

#include <errno.h>
#include <sha1.h>
#include <stdlib.h>
#include <string.h>

#define INLINE_READ_MAX (1U << 21) /* more is read in the pool, even from memory */
#define INDEX_END SD_INODE_GREF_OFFSET

/* Bytes an object of that id has, or 0 when there is no such id (P 3.1). */
static uint64_t object_size(const struct lamb *lamb, uint64_t oid)
{
	const struct vdi *vdi = vdi_find(lamb->vdis, sd_oid_vid(oid));

	if (oid & UINT64_C(7) << 56 || !sd_oid_vid(oid))
		return 0;
	switch (oid & SD_OID_TYPES) {
	case SD_OID_INODE:
		return (uint32_t)oid ? 0 : SD_INODE_SIZE;
	case SD_OID_ATTR:
		return SD_ATTR_SIZE;
	case SD_OID_BTREE:
		return SD_BTREE_NODE_SIZE;
	case SD_OID_LEDGER:
		return SD_LEDGER_SIZE;
	case SD_OID_VMSTATE:
	case 0:
		return UINT64_C(1) << (vdi ? vdi->shift : lamb->meta.shift);
	}
	return 0;
}

static bool in_bounds(const struct request *request)
{
	const struct sd_req *req = &request->req;

	return (uint64_t)req->obj.offset + req->data_length <=
	       object_size(request->lamb, req->obj.oid);
}

static bool is_data(uint64_t oid)
{
	return !(oid & SD_OID_TYPES);
}

/* A write to it must not change what a snapshot holds (P 6.1). */
static bool is_readonly(const struct request *request)
{
	uint64_t oid = request->req.obj.oid;
	const struct vdi *vdi = vdi_find(request->lamb->vdis, sd_oid_vid(oid));

	return is_data(oid) && vdi && vdi->snap_ctime;
}

/* A strict cluster of one node cannot write more than one copy (P 7, HALT). */
static bool is_halted(const struct request *request)
{
	const struct meta *meta = &request->lamb->meta;

	return meta->flags & SD_CLUSTER_STRICT && meta->copies > 1;
}

/* SD_RES_SUCCESS when the object may be written. */
static uint32_t check_write(const struct request *request)
{
	if (!in_bounds(request))
		return SD_RES_INVALID_PARMS;
	if (is_readonly(request))
		return SD_RES_READONLY;
	return is_halted(request) ? SD_RES_HALT : SD_RES_SUCCESS;
}

static void run_io(
    struct request *request, void (*work)(struct request *), void (*done)(struct request *))
{
	if (!store_in_memory(request->lamb->store)) {
		request_defer(request, work, done);
		return;
	}
	work(request);
	done(request);
}

static void finish_with_error(struct request *request)
{
	request_finish_error(request, request->error);
}

static void read_work(struct request *request)
{
	const struct sd_req *req = &request->req;

	request->error = store_read(
	    request->lamb->store, req->obj.oid, request->reply, req->data_length, req->obj.offset);
}

static void read_done(struct request *request)
{
	if (!request->error)
		request->rsp.data_length = request->req.data_length;
	request_finish_error(request, request->error);
}

void object_read(struct request *request)
{
	const struct sd_req *req = &request->req;

	request->lamb->counters[9]++;
	if (req->flags & SD_FLAG_WRITE || !in_bounds(request)) {
		request_finish(request, SD_RES_INVALID_PARMS);
		return;
	}
	request->reply = malloc(req->data_length ? req->data_length : 1);
	if (!request->reply) {
		request_finish(request, SD_RES_NO_MEM);
		return;
	}
	request->error = req->data_length > INLINE_READ_MAX
			     ? -EAGAIN
			     : store_read_nowait(request->lamb->store, req->obj.oid, request->reply,
				   req->data_length, req->obj.offset);
	if (request->error == -EAGAIN)
		request_defer(request, read_work, read_done);
	else
		read_done(request);
}

static void create_work(struct request *request)
{
	struct store *store = request->lamb->store;
	const struct sd_req *req = &request->req;
	struct store_recipe *recipe = request->state;

	recipe->data = request->data;
	if (req->flags & SD_FLAG_COW && req->data_length < recipe->size) {
		recipe->base = req->obj.cow_oid;
		recipe->to = recipe->size;
	}
	request->error = store_create(store, recipe);
}

void object_create(struct request *request)
{
	const struct sd_req *req = &request->req;
	uint32_t result = check_write(request);
	struct store_recipe *recipe;

	request->lamb->counters[10]++;
	/* NEW_VDI makes inodes; of a VDI that is not known nothing is known, not even the size. */
	if (!result && ((req->obj.oid & SD_OID_TYPES) == SD_OID_INODE ||
			   (is_data(req->obj.oid) &&
			       !vdi_find(request->lamb->vdis, sd_oid_vid(req->obj.oid)))))
		result = SD_RES_INVALID_PARMS;
	if (!result && req->flags & SD_FLAG_COW &&
	    object_size(request->lamb, req->obj.cow_oid) !=
		object_size(request->lamb, req->obj.oid))
		result = SD_RES_INVALID_PARMS;
	recipe = result ? NULL : request_state(request, sizeof *recipe);
	if (!result && !recipe)
		result = SD_RES_NO_MEM;
	if (result) {
		request_finish(request, result);
		return;
	}
	recipe->oid = req->obj.oid;
	recipe->size = object_size(request->lamb, req->obj.oid);
	recipe->data_size = req->data_length;
	recipe->offset = req->obj.offset;
	run_io(request, create_work, finish_with_error);
}

/* What an index or header write needs to know of its VDI, copied for the pool thread. */
struct inode_write {
	uint32_t vid;
	bool plain;      /* array index */
	bool may_free;   /* never had a child */
	uint32_t result; /* SD_RES_*: refused */
};

static void write_work(struct request *request)
{
	const struct sd_req *req = &request->req;

	request->error = store_write(
	    request->lamb->store, req->obj.oid, request->data, req->data_length, req->obj.offset);
}

/* Removes the objects of entries that were owned and are not any more. */
static int free_given_up(struct request *request, const uint32_t *old, uint32_t first, uint32_t nr)
{
	const struct inode_write *write = request->state;
	struct store *store = request->lamb->store;
	const struct sd_req *req = &request->req;
	uint32_t *now = malloc(nr * sizeof *now);
	int error;

	if (!now)
		return -ENOMEM;
	error = store_read(store, req->obj.oid, now, nr * sizeof *now,
	    SD_INODE_INDEX_OFFSET + 4 * (uint64_t)first);
	for (uint32_t i = 0; !error && i < nr; i++) {
		if (old[i] != write->vid || now[i] == write->vid)
			continue;
		error = store_remove(store, sd_data_oid(write->vid, first + i));
		if (error == -ENOENT)
			error = 0;
	}
	free(now);
	return error;
}

/* True: every entry that it covers is the VDI's own afterwards, so that none is given up. */
static bool only_owns(const struct request *request)
{
	const struct inode_write *write = request->state;
	uint32_t size = request->req.data_length, entry;

	if ((request->req.obj.offset - SD_INODE_INDEX_OFFSET) % 4 || size % 4)
		return false;
	for (uint32_t at = 0; at < size; at += 4) {
		memcpy(&entry, request->data + at, sizeof entry);
		if (entry != write->vid)
			return false;
	}
	return true;
}

static void index_work(struct request *request)
{
	const struct inode_write *write = request->state;
	const struct sd_req *req = &request->req;
	uint32_t from = req->obj.offset - SD_INODE_INDEX_OFFSET;
	uint32_t first = from / 4, nr = (from + req->data_length + 3) / 4 - first;
	struct store_exchange exchange = {.data = request->data,
	    .size = req->data_length,
	    .offset = req->obj.offset,
	    .read_size = nr * sizeof(uint32_t),
	    .read_offset = SD_INODE_INDEX_OFFSET + 4 * (uint64_t)first};

	if (!write->may_free || only_owns(request)) {
		write_work(request);
		return;
	}
	exchange.old = malloc(exchange.read_size);
	request->error =
	    exchange.old ? store_exchange(request->lamb->store, req->obj.oid, &exchange) : -ENOMEM;
	if (!request->error)
		request->error = free_given_up(request, exchange.old, first, nr);
	free(exchange.old);
}

/* A header that would give the VDI another identity or geometry is refused. */
static void header_work(struct request *request)
{
	struct inode_write *write = request->state;
	const struct sd_req *req = &request->req;
	struct sd_inode_header old, now;
	size_t size = sizeof now - req->obj.offset;

	request->error = store_read(request->lamb->store, req->obj.oid, &old, sizeof old, 0);
	if (request->error)
		return;
	if (size > req->data_length)
		size = req->data_length;
	now = old;
	memcpy((uint8_t *)&now + req->obj.offset, request->data, size);
	if (now.vdi_id != old.vdi_id || now.parent_vdi_id != old.parent_vdi_id ||
	    now.block_size_shift != old.block_size_shift || now.store_policy != old.store_policy ||
	    now.name[SD_NAME_SIZE - 1] || now.tag[SD_TAG_SIZE - 1] ||
	    (!now.store_policy && now.vdi_size > (uint64_t)SD_INODE_NR_INDEX
						     << now.block_size_shift))
		write->result = SD_RES_INVALID_PARMS;
	else
		write_work(request);
}

static void header_done(struct request *request)
{
	const struct inode_write *write = request->state;
	struct sd_inode_header header;

	if (!request->error && !write->result)
		request->error = store_read(
		    request->lamb->store, request->req.obj.oid, &header, sizeof header, 0);
	if (!request->error && !write->result)
		request->error = vdi_put(request->lamb->vdis, &header);
	shared_notice(store_shared(request->lamb->store), write->vid);
	request_finish(request, write->result ? write->result : request_result(request->error));
}

static void write_inode(struct request *request)
{
	const struct sd_req *req = &request->req;
	const struct vdi *vdi = vdi_find(request->lamb->vdis, sd_oid_vid(req->obj.oid));
	struct inode_write *write = vdi ? request_state(request, sizeof *write) : NULL;

	if (!write) {
		request_finish(request, vdi ? SD_RES_NO_MEM : SD_RES_NO_OBJ);
		return;
	}
	write->vid = vdi->vid;
	write->plain = !vdi->store_policy;
	write->may_free = !vdi->had_child;
	if (!req->data_length)
		run_io(request, write_work, finish_with_error);
	else if (req->obj.offset < SD_INODE_HEADER_SIZE)
		run_io(request, header_work, header_done);
	else if (write->plain && req->obj.offset + req->data_length <= INDEX_END)
		run_io(request, index_work, finish_with_error);
	else
		run_io(request, write_work, finish_with_error);
}

void object_write(struct request *request)
{
	uint32_t result = check_write(request);

	request->lamb->counters[10]++;
	if (result)
		request_finish(request, result);
	else if ((request->req.obj.oid & SD_OID_TYPES) == SD_OID_INODE)
		write_inode(request);
	else
		run_io(request, write_work, finish_with_error);
}

static void remove_work(struct request *request)
{
	request->error = store_remove(request->lamb->store, request->req.obj.oid);
	if (!request->error)
		request->error = store_sync_names(request->lamb->store);
}

void object_remove(struct request *request)
{
	uint64_t oid = request->req.obj.oid;
	const struct vdi *vdi = vdi_find(request->lamb->vdis, sd_oid_vid(oid));

	request->lamb->counters[8]++;
	if (!object_size(request->lamb, oid) || (oid & SD_OID_TYPES) == SD_OID_INODE)
		request_finish(request, SD_RES_INVALID_PARMS);
	else if (is_data(oid) && vdi && (vdi->had_child || vdi->snap_ctime))
		request_finish(request, SD_RES_READONLY);
	else
		run_io(request, remove_work, finish_with_error);
}

static void discard_work(struct request *request)
{
	const struct inode_write *write = request->state;
	struct store *store = request->lamb->store;
	uint64_t oid = request->req.obj.oid;
	uint64_t at = SD_INODE_INDEX_OFFSET + 4 * (oid & UINT32_MAX);
	uint32_t entry, zero = 0;
	const struct store_exchange exchange = {.data = &zero,
	    .size = sizeof zero,
	    .offset = at,
	    .old = &entry,
	    .read_size = sizeof entry,
	    .read_offset = at};
	int error;

	error = store_read(store, sd_inode_oid(write->vid), &entry, sizeof entry, at);
	if (!error && entry) {
		error = store_exchange(store, sd_inode_oid(write->vid), &exchange);
		if (!error && entry == write->vid && write->may_free) {
			error = store_remove(store, oid);
			if (error == -ENOENT)
				error = 0;
		}
	}
	request->error = error;
}

void object_discard(struct request *request)
{
	uint64_t oid = request->req.obj.oid;
	const struct vdi *vdi = vdi_find(request->lamb->vdis, sd_oid_vid(oid));
	struct inode_write *write;
	uint32_t result = SD_RES_SUCCESS;

	request->lamb->counters[8]++;
	if (!is_data(oid) || !object_size(request->lamb, oid) || (uint32_t)oid >= SD_INODE_NR_INDEX)
		result = SD_RES_INVALID_PARMS;
	else if (!vdi)
		result = SD_RES_NO_OBJ;
	else if (vdi->store_policy)
		result = SD_RES_NO_SUPPORT;
	if (result) {
		request_finish(request, result);
		return;
	}
	write = request_state(request, sizeof *write);
	if (!write) {
		request_finish(request, SD_RES_NO_MEM);
		return;
	}
	write->vid = vdi->vid;
	write->may_free = !vdi->had_child;
	run_io(request, discard_work, finish_with_error);
}

static void hash_work(struct request *request)
{
	uint64_t *size = request->state, oid = request->req.obj.oid;
	uint8_t *block = malloc(1 << 20);
	SHA1_CTX sha1;

	SHA1Init(&sha1);
	request->error = block ? 0 : -ENOMEM;
	for (uint64_t at = 0; !request->error && at < *size;) {
		size_t n = *size - at < 1 << 20 ? (size_t)(*size - at) : 1 << 20;

		request->error = store_read(request->lamb->store, oid, block, n, at);
		if (!request->error)
			SHA1Update(&sha1, block, n);
		at += n;
	}
	SHA1Final(request->rsp.hash.sha1, &sha1);
	free(block);
}

void object_hash(struct request *request)
{
	uint64_t size = object_size(request->lamb, request->req.obj.oid);
	uint64_t *state = size ? request_state(request, sizeof *state) : NULL;

	if (!state) {
		request_finish(request, size ? SD_RES_NO_MEM : SD_RES_INVALID_PARMS);
		return;
	}
	*state = size;
	request_defer(request, hash_work, finish_with_error);
}

void object_exist(struct request *request)
{
	request_finish_error(request, store_exists(request->lamb->store, request->req.obj.oid));
}

static void missing_work(struct request *request)
{
	uint32_t nr = request->req.data_length / 8, missing = 0;
	uint64_t oid;

	for (uint32_t i = 0; i < nr; i++) {
		memcpy(&oid, request->data + 8 * i, 8);
		if (store_exists(request->lamb->store, oid))
			memcpy(request->reply + 8 * missing++, &oid, 8);
	}
	request->error = missing ? -ENOENT : 0;
	request->rsp.data_length = 8 * missing;
}

void object_missing(struct request *request)
{
	if (request->req.data_length % 8)
		request_finish(request, SD_RES_INVALID_PARMS);
	else if (!request_reply(request, request->req.data_length))
		request_finish(request, SD_RES_NO_MEM);
	else
		request_defer(request, missing_work, finish_with_error);
}

/* Fills the reply with object ids; -EMSGSIZE when there is no room. */
static int list_one(void *argument, uint64_t oid)
{
	struct request *request = argument;

	if (request->rsp.data_length + 8 > request->req.data_length)
		return -EMSGSIZE;
	memcpy(request->reply + request->rsp.data_length, &oid, 8);
	request->rsp.data_length += 8;
	return 0;
}

static void list_work(struct request *request)
{
	request->error = store_each(request->lamb->store, list_one, request);
	if (request->error)
		request->rsp.data_length = 0;
}

static void list_done(struct request *request)
{
	if (request->error == -EMSGSIZE)
		request_finish(request, SD_RES_BUFFER_SMALL);
	else
		request_finish_error(request, request->error);
}

void object_list(struct request *request)
{
	if (!request_reply(request, request->req.data_length)) {
		request_finish(request, SD_RES_NO_MEM);
		return;
	}
	request->rsp.data_length = 0;
	request_defer(request, list_work, list_done);
}
