/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DEL_VDI (P 2.3).
 *
 * A plain VDI with an index entry left is only marked deleted, while any node lives; its data
 * stays. Else the name is given up for good, and with it go the objects that nobody can reach any
 * more: those of the deleted members of its family, all that has come from the same VDI, to which
 * no index of a living one leads.  No object is written meanwhile, by any node, and none becomes
 * anybody's who had it not before: what is made from a VDI is made by a cluster operation.
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
#include <stdlib.h>
#include <string.h>

struct deletion {
	uint32_t vid;
	bool plain;
	bool gone; /* not only marked */
	struct store *store;
	uint32_t *live, *dead; /* its family, each in ascending order; the VDI itself is dead */
	unsigned nr_live, nr_dead;
};

/* ---- its family ---- */

static void forget_family(struct deletion *deletion)
{
	free(deletion->live);
	free(deletion->dead);
	deletion->live = deletion->dead = NULL;
}

static bool find_family(struct deletion *deletion, const struct vdi_table *table)
{
	uint32_t root = vdi_root(table, deletion->vid);
	unsigned count = 0;
	const struct vdi *v;

	for (v = vdi_next(table, 1); v; v = vdi_next(table, v->vid + 1))
		count += vdi_root(table, v->vid) == root;
	deletion->live = calloc(count, sizeof *deletion->live);
	deletion->dead = calloc(count, sizeof *deletion->dead);
	if (!deletion->live || !deletion->dead)
		return false;
	for (v = vdi_next(table, 1); v; v = vdi_next(table, v->vid + 1)) {
		if (vdi_root(table, v->vid) != root)
			continue;
		if (v->name[0] && v->vid != deletion->vid)
			deletion->live[deletion->nr_live++] = v->vid;
		else
			deletion->dead[deletion->nr_dead++] = v->vid;
	}
	return true;
}

static int compare_vids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* 1: the index of a living member leads to this object; 0; or -errno. */
static int is_reached(const struct deletion *deletion, uint64_t oid)
{
	uint64_t at = SD_INODE_INDEX_OFFSET + sizeof(uint32_t) * (oid & UINT32_MAX);

	for (unsigned i = 0; i < deletion->nr_live; i++) {
		uint32_t entry;
		int error = store_read(
		    deletion->store, sd_inode_oid(deletion->live[i]), &entry, sizeof entry, at);

		if (error)
			return error;
		if (entry == sd_oid_vid(oid))
			return 1;
	}
	return 0;
}

static int remove_unreached(void *argument, uint64_t oid)
{
	const struct deletion *deletion = argument;
	uint64_t type = oid & SD_OID_TYPES;
	uint32_t vid = sd_oid_vid(oid);
	int reached = 0;

	if ((type && type != SD_OID_BTREE) ||
	    !bsearch(&vid, deletion->dead, deletion->nr_dead, sizeof vid, compare_vids))
		return 0;
	if (!type && (uint32_t)oid < SD_INODE_NR_INDEX)
		reached = is_reached(deletion, oid);
	if (!reached)
		reached = store_remove(deletion->store, oid);
	return reached < 0 && reached != -ENOENT ? reached : 0;
}

/* ---- the operation ---- */

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
	/* the name goes last: should we die in here, it can be deleted once more */
	error = store_each(deletion->store, remove_unreached, deletion);
	if (!error)
		error = clear_header(deletion);
	deletion->gone = !error;
	request->error = error;
}

static void delete_done(struct request *request)
{
	struct deletion *deletion = request->state;
	struct vdi *vdi = vdi_find(request->lamb->vdis, deletion->vid);

	if (vdi && (!request->error || deletion->gone)) {
		vdi_mark_deleted(request->lamb->vdis, vdi, deletion->gone);
		if (!deletion->gone)
			locks_mark_deleted(store_shared(request->lamb->store), vdi->vid);
		shared_notice(store_shared(request->lamb->store), vdi->vid);
	}
	forget_family(deletion);
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
	deletion->store = request->lamb->store;
	if (!find_family(deletion, request->lamb->vdis)) {
		forget_family(deletion);
		request_finish(request, SD_RES_NO_MEM);
		return;
	}
	request->rsp.vdi.vdi_id = vdi->vid;
	request_defer(request, delete_work, delete_done);
}
