/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GET_VDI_ATTR: where an attribute of a VDI is, and its setting and deletion (P 3.5).
 */
#include "lamb/lamb.h"
#include "lamb/ops.h"
#include "lamb/request.h"
#include "lamb/store.h"
#include "lamb/vdi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct attr {
	char name[256];
	char tag[256];
	uint64_t ctime;
	uint32_t snap_id;
	uint32_t value_len;
	char key[256];
	uint8_t value[65536];
};

_Static_assert(sizeof(struct attr) == SD_ATTR_SIZE, "attribute object");
_Static_assert(offsetof(struct attr, key) == 528, "attribute key");

struct attr_search {
	struct attr wanted;
	struct attr there;
	uint32_t vid, id;
	uint32_t result;
};

static uint32_t attr_hash(const struct attr *attr)
{
	uint64_t hash = sd_fnv(attr->name, sizeof attr->name, SD_FNV_BASIS);

	hash = sd_fnv(attr->tag, sizeof attr->tag, hash);
	hash = sd_fnv(&attr->snap_id, sizeof attr->snap_id, hash);
	return (uint32_t)sd_fnv(attr->key, sizeof attr->key, hash);
}

static bool attr_same(const struct attr *a, const struct attr *b)
{
	return !strncmp(a->name, b->name, sizeof a->name) &&
	       !strncmp(a->tag, b->tag, sizeof a->tag) && a->snap_id == b->snap_id &&
	       !strncmp(a->key, b->key, sizeof a->key);
}

static int put(struct store *store, uint64_t oid, const struct attr *attr)
{
	const struct store_recipe recipe = {
	    .oid = oid, .size = sizeof *attr, .data = attr, .data_size = sizeof *attr};

	return store_create(store, &recipe);
}

static void attr_work(struct request *request)
{
	struct attr_search *search = request->state;
	struct store *store = request->lamb->store;
	unsigned flags = request->req.flags;
	int error;

	for (search->id = attr_hash(&search->wanted);; search->id++) {
		uint64_t oid = SD_OID_ATTR | sd_data_oid(search->vid, search->id);

		error = store_read(store, oid, &search->there, sizeof search->there, 0);
		if (error == -ENOENT && flags & SD_FLAG_ATTR_CREAT)
			error = put(store, oid, &search->wanted);
		else if (!error && !attr_same(&search->there, &search->wanted))
			continue;
		else if (!error && flags & SD_FLAG_ATTR_EXCL)
			search->result = SD_RES_VDI_EXIST;
		else if (!error && flags & SD_FLAG_ATTR_DEL)
			error = store_write(store, oid, "", 1, 0);
		else if (!error && flags & SD_FLAG_ATTR_CREAT)
			error = put(store, oid, &search->wanted);
		break;
	}
	request->error = error;
}

static void attr_done(struct request *request)
{
	const struct attr_search *search = request->state;

	request->rsp.vdi.vdi_id = search->vid;
	request->rsp.vdi.attr_id = search->id;
	request->rsp.vdi.copies = (uint8_t)request->lamb->meta.copies;
	request_finish(request, search->result ? search->result : request_result(request->error));
}

void attr_get(struct request *request)
{
	struct attr_search *search = request_state(request, sizeof *search);
	uint32_t result = SD_RES_SUCCESS;
	struct attr *wanted;
	struct vdi *vdi;

	if (!search) {
		request_finish(request, SD_RES_NO_MEM);
		return;
	}
	wanted = &search->wanted;
	if (request->req.data_length == sizeof *wanted)
		memcpy(wanted, request->data, sizeof *wanted);
	if (request->req.data_length != sizeof *wanted || wanted->name[255] || wanted->tag[255] ||
	    wanted->key[255] || wanted->value_len > sizeof wanted->value)
		result = SD_RES_INVALID_PARMS;
	else
		result = vdi_lookup(
		    request->lamb->vdis, wanted->name, wanted->tag, request->req.vdi.snapid, &vdi);
	if (result) {
		request_finish(request, result);
		return;
	}
	wanted->ctime = vdi->create_time;
	search->vid = vdi_hash(wanted->name);
	request_defer(request, attr_work, attr_done);
}
