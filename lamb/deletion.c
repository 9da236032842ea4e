/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DEL_VDI (P 2.3).
 *
 * A plain VDI with an index entry left is only marked deleted, while any node lives; its data
 * stays. Else the name is given up for good, and the VDI's objects are removed, unless something
 * was ever made from it.
 */
#include "lamb/lamb.h"
#include "lamb/locks.h"
#include "lamb/ops.h"
#include "lamb/request.h"
#include "lamb/shared.h"
#include "lamb/store.h"
#include "lamb/vdi.h"
#include "lamb/vdiname.h"

#include <errno.h>
#include <string.h>

struct deletion {
	uint32_t vid;
	bool plain;
	bool may_free;
	bool gone; /* not only marked */
	struct store *store;
};

static int remove_of_vdi(void *argument, uint64_t oid)
{
	const struct deletion *deletion = argument;
	uint64_t type = oid & SD_OID_TYPES;
	int error = 0;

	if (sd_oid_vid(oid) == deletion->vid && (!type || type == SD_OID_BTREE))
		error = store_remove(deletion->store, oid);
	return error == -ENOENT ? 0 : error;
}

/* Name, tag and size gone; the times and the parent remain (P 6.2 tells deletions by them). */
static int clear_header(struct deletion *deletion)
{
	uint64_t oid = sd_inode_oid(deletion->vid);
	struct sd_inode_header header;
	int error = store_read(deletion->store, oid, &header, sizeof header, 0);

	if (error)
		return error;
	memset(header.name, 0, sizeof header.name);
	header.vdi_size = 0;
	return store_write(deletion->store, oid, &header, sizeof header, 0);
}

static void delete_work(struct request *request)
{
	struct deletion *deletion = request->state;
	uint64_t oid = sd_inode_oid(deletion->vid);
	int error = 0;

	if (deletion->plain) {
		int zero = store_is_zero(
		    deletion->store, oid, SD_INODE_INDEX_OFFSET, SD_INODE_GREF_OFFSET);

		if (zero <= 0) {
			request->error = zero;
			return;
		}
	}
	error = clear_header(deletion);
	deletion->gone = !error;
	if (!error && deletion->may_free)
		error = store_each(deletion->store, remove_of_vdi, deletion);
	request->error = error;
}

static void delete_done(struct request *request)
{
	const struct deletion *deletion = request->state;
	struct vdi *vdi = vdi_find(request->lamb->vdis, deletion->vid);

	if (vdi && (!request->error || deletion->gone)) {
		vdi_mark_deleted(request->lamb->vdis, vdi, deletion->gone);
		if (!deletion->gone)
			locks_mark_deleted(store_shared(request->lamb->store), vdi->vid);
		shared_notice(store_shared(request->lamb->store), vdi->vid);
	}
	request_finish_error(request, request->error);
}

void deletion_delete(struct request *request)
{
	struct deletion *deletion;
	struct vdi_name name;
	struct vdi *vdi;
	uint32_t result;

	if (!vdiname_parse(request, &name))
		result = SD_RES_INVALID_PARMS;
	else
		result = vdi_lookup(
		    request->lamb->vdis, name.name, name.tag, request->req.vdi.snapid, &vdi);
	deletion = result ? NULL : request_state(request, sizeof *deletion);
	if (!deletion) {
		request_finish(request, result ? result : SD_RES_NO_MEM);
		return;
	}
	deletion->vid = vdi->vid;
	deletion->plain = !vdi->store_policy;
	deletion->may_free = !vdi->had_child;
	deletion->store = request->lamb->store;
	request->rsp.vdi.vdi_id = vdi->vid;
	request_defer(request, delete_work, delete_done);
}
