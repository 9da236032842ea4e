/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Following a volume: see follow.h.
 */
#include "worker/follow.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINKS_MAX 256 /* snapshots that may have been taken meanwhile */

__attribute__((format(printf, 4, 5))) static void finish(
    struct follow *f, int error, bool elsewhere, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(f->why, sizeof f->why, format, ap);
	va_end(ap);
	f->error = error;
	f->elsewhere = elsewhere;
	f->done(f);
}

static void look_at(struct follow *f, uint32_t vid, void (*done)(struct call *))
{
	f->looking = vid;
	vdi_call_header(&f->call, vid, &f->header, VDI_IDENTITY_SIZE, done, f);
	daemon_submit(f->daemon, &f->call);
}

static bool has_our_name(const struct follow *f)
{
	return !strncmp(f->header.name, f->block->name, sizeof f->header.name);
}

static void is_another(struct follow *f)
{
	finish(f, -ESTALE, false,
	    "volume %s was vid %x and is vid %x now, which does not continue it (it was deleted, "
	    "rolled back or created anew by somebody else): unmount it and mount it again",
	    f->shown, f->vid, f->now_vid);
}

/* ---- the chain of snapshots, from the youngest back to ours ---- */

static void on_link(struct call *call);

/* The header of `looking` is there; it was created when its parent became a snapshot. */
static void next_link(struct follow *f)
{
	const struct sd_inode_header *h = &f->header;

	f->link_time = h->create_time;
	if (h->parent_vdi_id == f->vid && f->link_time == f->snap_ctime)
		finish(f, 0, false, "volume %s continues as vid %x", f->shown, f->now_vid);
	else if (!h->parent_vdi_id || h->parent_vdi_id == f->vid || ++f->links > LINKS_MAX)
		is_another(f);
	else
		look_at(f, h->parent_vdi_id, on_link);
}

static void on_link(struct call *call)
{
	struct follow *f = call->owner;
	const struct sd_inode_header *h = &f->header;
	bool youngest = f->looking == f->now_vid;

	if (call->rsp.result != SD_RES_SUCCESS)
		finish(f, sheep_errno(call->rsp.result), true,
		    "the header of vid %x, with which volume %s may go on, cannot be read: %s",
		    f->looking, f->shown, sheep_result_name(call->rsp.result));
	else if (h->vdi_id != f->looking || (h->name[0] && !has_our_name(f)) ||
		 (!youngest && h->snap_ctime != f->link_time))
		is_another(f);
	else if (youngest && (!h->name[0] || h->snap_ctime))
		finish(
		    f, -EAGAIN, true, "volume %s is just being changed by somebody else", f->shown);
	else
		next_link(f);
}

/* ---- the name ---- */

static void on_ours(struct call *call);

static void on_name(struct call *call)
{
	struct follow *f = call->owner;
	uint32_t result = call->rsp.result, vid = call->rsp.vdi.vdi_id;

	if (result == SD_RES_NO_VDI) {
		finish(f, -ESTALE, false, "volume %s was deleted by somebody else: unmount it",
		    f->shown);
		return;
	}
	if (result != SD_RES_SUCCESS) {
		finish(f, sheep_errno(result), true,
		    "the name of volume %s cannot be looked up: %s", f->shown,
		    sheep_result_name(result));
		return;
	}
	f->now_vid = vid;
	if (vid == f->vid && !f->snap_ctime)
		finish(f, 0, false, "volume %s is vid %x", f->shown, vid);
	else if (vid == f->vid)
		finish(f, -EAGAIN, true, "volume %s is just being made a snapshot", f->shown);
	else if (!f->snap_ctime && !f->again) {
		f->again = true; /* it may have become one between our two questions */
		look_at(f, f->vid, on_ours);
	} else if (!f->snap_ctime)
		is_another(f);
	else
		look_at(f, vid, on_link);
}

/* ---- was it deleted? ---- */

static void on_name_of_gone(struct call *call)
{
	struct follow *f = call->owner;
	uint32_t result = call->rsp.result;
	bool known = result == SD_RES_SUCCESS || result == SD_RES_NO_VDI || result == SD_RES_NO_TAG;

	f->gone = known && (result != SD_RES_SUCCESS || call->rsp.vdi.vdi_id != f->vid);
	finish(f, f->gone ? -ESTALE : -EIO, !f->gone, "volume %s (vid %x) has no header%s: %s",
	    f->shown, f->vid, f->gone ? " any more" : "", sheep_result_name(result));
}

/* A cluster that uses vids again leaves no inode of what was deleted: then the name does not lead
 * to it any more. */
static void ask_whether_gone(struct follow *f)
{
	vdi_call_lookup(&f->call, f->block, f->snap_id, on_name_of_gone, f);
	daemon_submit(f->daemon, &f->call);
}

/* ---- what it was ---- */

static void on_ours(struct call *call)
{
	struct follow *f = call->owner;
	const struct sd_inode_header *h = &f->header;

	if (call->rsp.result == SD_RES_NO_OBJ && f->deletion)
		ask_whether_gone(f);
	else if (call->rsp.result == SD_RES_NO_OBJ)
		finish(f, -ESTALE, true, "volume %s (vid %x) does not exist any more: unmount it",
		    f->shown, f->vid);
	else if (call->rsp.result != SD_RES_SUCCESS)
		finish(f, sheep_errno(call->rsp.result), true,
		    "the header of volume %s (vid %x) cannot be read: %s", f->shown, f->vid,
		    sheep_result_name(call->rsp.result));
	else if (h->vdi_id == f->vid && h->create_time != f->create_time && f->deletion) {
		f->gone = f->foreign = true;
		finish(f, -ESTALE, false, "vid %x is another volume's now", f->vid);
	} else if (h->vdi_id != f->vid || h->create_time != f->create_time ||
		   (h->name[0] && !has_our_name(f)))
		finish(f, -ESTALE, true,
		    "vid %x is not the volume %s that was attached: unmount it and mount it again",
		    f->vid, f->shown);
	else if (!h->name[0] && (f->snapshot || !h->snap_ctime)) {
		f->gone = f->nameless = true;
		finish(f, -ESTALE, false,
		    "volume %s (vid %x) was deleted or rolled back by somebody else: unmount it, "
		    "and mount it again if it still exists",
		    f->shown, f->vid);
	} else if (f->snapshot) {
		f->now_vid = f->vid;
		f->snap_number = h->snap_id;
		finish(f, 0, false, "snapshot %s is vid %x", f->shown, f->vid);
	} else {
		f->snap_ctime = h->snap_ctime;
		vdi_call_lookup(&f->call, f->block, 0, on_name, f);
		daemon_submit(f->daemon, &f->call);
	}
}

void follow_begin(struct follow *f)
{
	f->again = false;
	f->links = 0;
	look_at(f, f->vid, on_ours);
}
