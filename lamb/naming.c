/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDI operations: names, locks, and the making of VDIs, snapshots and clones (P 2.3, 4.3, 6.3).
 *
 * A snapshot is made in an order that a death at any moment cannot spoil: the new inode
 * first, complete; then the old one is marked.  Both under one name and unmarked are what
 * vdi_table_mend() completes.
 */
#include "lamb/fault.h"
#include "lamb/lamb.h"
#include "lamb/locks.h"
#include "lamb/members.h"
#include "lamb/ops.h"
#include "lamb/order.h"
#include "lamb/request.h"
#include "lamb/shared.h"
#include "lamb/store.h"
#include "lamb/vdi.h"
#include "lamb/vdiname.h"

#include <errno.h>
#include <string.h>
#include <time.h>

struct making {
	struct sd_inode_header header;
	uint8_t root[8]; /* follows the header: the root of an empty B-tree */
	uint32_t base;   /* the index is copied from here, or 0 */
	uint32_t old;    /* becomes a snapshot, or 0 */
	uint32_t pause;  /* milliseconds, a fault knob */
	bool made;       /* the new inode is there */
};

static const uint8_t empty_tree[8] = {0x74, 0x62, 0x01}; /* magic, depth 1, no entries (P 3.4) */

static uint64_t time_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec << 32 | (uint32_t)now.tv_nsec;
}

static void make_inode_work(struct request *request)
{
	const struct making *making = request->state;
	const struct store_recipe recipe = {
	    .oid = sd_inode_oid(making->header.vdi_id),
	    .size = SD_INODE_SIZE,
	    .base = making->base ? sd_inode_oid(making->base) : 0,
	    .from = SD_INODE_INDEX_OFFSET,
	    .to = SD_INODE_GREF_OFFSET,
	    .data = &making->header,
	    .data_size = sizeof making->header + (making->header.store_policy ? 8 : 0),
	};

	request->error = store_create(request->lamb->store, &recipe);
}

static void mark_old_work(struct request *request)
{
	const struct making *making = request->state;
	struct store *store = request->lamb->store;
	const uint64_t time = making->header.create_time;

	request->error = 0;
	if (making->pause) /* as upstream does: the whole inode is written back (P 6.2) */
		request->error = store_copy(store, sd_inode_oid(making->old),
		    sd_inode_oid(making->header.vdi_id), SD_INODE_INDEX_OFFSET,
		    SD_INODE_GREF_OFFSET);
	if (!request->error)
		request->error = store_write(store, sd_inode_oid(making->old), &time, sizeof time,
		    offsetof(struct sd_inode_header, snap_ctime));
	if (request->error) {
		store_remove(store, sd_inode_oid(making->header.vdi_id));
		store_sync_names(store);
	}
}

static void finish_making(struct request *request)
{
	const struct making *making = request->state;
	struct lamb *lamb = request->lamb;
	struct vdi *old = vdi_find(lamb->vdis, making->old);

	if (!request->error)
		request->error = vdi_put(lamb->vdis, &making->header);
	shared_notice(store_shared(lamb->store), making->header.vdi_id);
	if (old)
		shared_notice(store_shared(lamb->store), making->old);
	if (request->error) {
		if (old)
			old->snap_ctime = 0;
		request_finish(request, making->made ? SD_RES_BASE_VDI_WRITE : SD_RES_VDI_WRITE);
		return;
	}
	request->rsp.vdi.vdi_id = making->header.vdi_id;
	request->rsp.vdi.copies = making->header.nr_copies;
	request->rsp.vdi.block_size_shift = making->header.block_size_shift;
	request_finish(request, SD_RES_SUCCESS);
}

static void mark_old(struct request *request)
{
	order_ajar(&request->lamb->order, false);
	request_defer(request, mark_old_work, finish_making);
}

static void inode_made(struct request *request)
{
	struct making *making = request->state;

	making->made = !request->error;
	if (request->error || !making->old) {
		finish_making(request);
	} else if (making->pause) {
		order_ajar(&request->lamb->order, true);
		fault_later(request, making->pause, mark_old);
	} else {
		mark_old(request);
	}
}

/* What NEW_VDI asks, judged (P 2.3); stricter than upstream where a VDI could not be used. */
static uint32_t check_new(struct request *request, const char *name, struct making *making)
{
	const struct sd_req *req = &request->req;
	const struct lamb *lamb = request->lamb;
	struct vdi *base = vdi_find(lamb->vdis, req->vdi.base_vdi_id), *current = NULL;
	struct sd_inode_header *header = &making->header;
	uint32_t found = vdi_lookup(lamb->vdis, name, "", 0, &current);

	if (!*name)
		return SD_RES_INVALID_PARMS;
	if (req->vdi.snapid ? found : !found)
		return found ? found : SD_RES_VDI_EXIST;
	if (req->vdi.base_vdi_id && (!base || !base->name[0]))
		return SD_RES_BASE_VDI_READ;
	if (req->vdi.snapid && !base)
		return SD_RES_BASE_VDI_READ;
	header->nr_copies = (uint8_t)(req->vdi.copies ? req->vdi.copies : lamb->meta.copies);
	header->copy_policy =
	    (uint8_t)(req->vdi.copies ? req->vdi.copy_policy : lamb->meta.copy_policy);
	header->store_policy = req->vdi.store_policy;
	header->block_size_shift = req->vdi.block_size_shift;
	if (!header->block_size_shift)
		header->block_size_shift = base ? base->shift : (uint8_t)lamb->meta.shift;
	header->vdi_size = req->vdi.vdi_size;
	if (header->copy_policy) /* erasure code needs several nodes */
		return SD_RES_SYSTEM_ERROR;
	if (header->block_size_shift < SD_SHIFT_MIN || header->block_size_shift > SD_SHIFT_MAX ||
	    header->store_policy > 1 || (header->store_policy && base) ||
	    (base && (base->store_policy || base->shift != header->block_size_shift)))
		return SD_RES_INVALID_PARMS;
	if (header->vdi_size > (header->store_policy ? UINT64_C(1) << 32 : SD_INODE_NR_INDEX)
				   << (uint64_t)header->block_size_shift)
		return SD_RES_INVALID_PARMS;
	if (lamb->meta.flags & SD_CLUSTER_STRICT && header->nr_copies > 1)
		return SD_RES_VDI_WRITE;
	header->vdi_id = vdi_free_vid(lamb->vdis, name);
	if (!header->vdi_id)
		return SD_RES_FULL_VDI;
	header->snap_id = 1 + (current ? current->snap_id : vdi_highest_snap_id(lamb->vdis, name));
	making->base = base ? base->vid : 0;
	making->old = current ? current->vid : 0;
	return SD_RES_SUCCESS;
}

void naming_new(struct request *request)
{
	struct making *making = request_state(request, sizeof *making);
	struct lamb *lamb = request->lamb;
	struct sd_inode_header *header;
	struct vdi_name name;
	uint32_t result;

	if (!making) {
		request_finish(request, SD_RES_NO_MEM);
		return;
	}
	header = &making->header;
	if (request->req.data_length != SD_NAME_SIZE || !vdiname_parse(request, &name))
		result = SD_RES_INVALID_PARMS;
	else
		result = check_new(request, name.name, making);
	if (result) {
		request_finish(request, result);
		return;
	}
	memcpy(header->name, name.name, strlen(name.name));
	header->create_time = time_now();
	header->parent_vdi_id = making->base;
	if (header->store_policy)
		memcpy(making->root, empty_tree, sizeof empty_tree);
	if (making->base)
		vdi_find(lamb->vdis, making->base)->had_child = true;
	if (making->old) { /* from now on writes to its data are refused */
		vdi_find(lamb->vdis, making->old)->snap_ctime = header->create_time;
		making->pause = fault_snapshot_pause(lamb->fault);
	}
	request_defer(request, make_inode_work, inode_made);
}

/* Finds the VDI that the payload and snapid name, and puts it into the answer. */
static uint32_t look_up(struct request *request, struct vdi **vdi)
{
	struct vdi_name name;
	uint32_t result;

	if (!vdiname_parse(request, &name))
		return SD_RES_INVALID_PARMS;
	result = vdi_lookup(request->lamb->vdis, name.name, name.tag, request->req.vdi.snapid, vdi);
	if (result)
		return result;
	request->rsp.vdi.vdi_id = (*vdi)->vid;
	request->rsp.vdi.copies = (*vdi)->copies;
	request->rsp.vdi.block_size_shift = (*vdi)->shift;
	return SD_RES_SUCCESS;
}

void naming_info(struct request *request)
{
	struct vdi *vdi;

	request_finish(request, look_up(request, &vdi));
}

void naming_lock(struct request *request)
{
	struct lamb *lamb = request->lamb;
	struct vdi *vdi;
	uint32_t result =
	    request->req.vdi.type > SD_LOCK_SHARED ? SD_RES_INVALID_PARMS : look_up(request, &vdi);

	if (!result && fault_locked(lamb->fault, vdi->name))
		result = SD_RES_VDI_LOCKED;
	if (!result && lamb->meta.flags & SD_CLUSTER_USE_LOCK) {
		int error = locks_take(store_shared(lamb->store), vdi->vid, request->req.vdi.type);

		/* the vid stays in the answer (P 1.3) */
		result = error == -EBUSY ? SD_RES_VDI_LOCKED : request_result(error);
	}
	request_finish(request, result);
}

void naming_release(struct request *request)
{
	locks_release(store_shared(request->lamb->store), request->req.vdi.base_vdi_id,
	    request->req.vdi.type);
	request_finish(request, SD_RES_SUCCESS);
}

static void send_bitmap(struct request *request, const uint8_t *bitmap)
{
	if (request->req.data_length != SD_VDI_BITMAP_SIZE) {
		request_finish(request, SD_RES_INVALID_PARMS);
	} else if (!request_reply(request, SD_VDI_BITMAP_SIZE)) {
		request_finish(request, SD_RES_NO_MEM);
	} else {
		memcpy(request->reply, bitmap, SD_VDI_BITMAP_SIZE);
		request_finish(request, SD_RES_SUCCESS);
	}
}

void naming_used(struct request *request)
{
	send_bitmap(request, request->lamb->vdis->used);
}

void naming_deleted(struct request *request)
{
	send_bitmap(request, request->lamb->vdis->deleted);
}

static void fill_state(struct lamb *lamb, const struct vdi *vdi, struct sd_vdi_state *state)
{
	const struct shared *shared = store_shared(lamb->store);
	uint32_t owner = shared->slot;

	state->vid = vdi->vid;
	state->nr_copies = vdi->copies;
	state->snapshot = vdi->snap_ctime != 0;
	state->deleted = lamb->vdis->deleted[vdi->vid / 8] >> vdi->vid % 8 & 1;
	state->copy_policy = vdi->copy_policy;
	state->block_size_shift = vdi->shift;
	state->parent_vid = vdi->parent;
	state->lock_state = locks_state(store_shared(lamb->store), vdi->vid, &owner);
	if (state->lock_state == SD_LOCK_LOCKED || fault_locked(lamb->fault, vdi->name)) {
		state->lock_state = SD_LOCK_LOCKED;
		state->lock_owner = members_node_id(&shared->page->slots[owner].member);
	} else if (state->lock_state == SD_LOCK_IS_SHARED) {
		state->nr_participants = 1;
		state->participant_state[0] = 1; /* modified: nobody else is there (P 6.4) */
		state->participants[0] = members_node_id(&shared->page->slots[owner].member);
	}
}

void naming_copies(struct request *request)
{
	const struct vdi_table *vdis = request->lamb->vdis;
	uint32_t room = request->req.data_length / sizeof(struct sd_vdi_state), nr = 0;
	struct sd_vdi_state *states = request_reply(request, room * sizeof *states);

	if (!states) {
		request_finish(request, SD_RES_NO_MEM);
		return;
	}
	for (uint32_t i = 0; i < SD_VDI_BITMAP_SIZE; i++) {
		for (uint32_t vid = i * 8; vdis->used[i] && vid < i * 8 + 8; vid++) {
			if (vdis->by_vid[vid] && nr++ < room)
				fill_state(request->lamb, vdis->by_vid[vid], &states[nr - 1]);
		}
	}
	request->rsp.data_length = nr > room ? 0 : (uint32_t)(nr * sizeof *states);
	request_finish(request, nr > room ? SD_RES_BUFFER_SMALL : SD_RES_SUCCESS);
}
