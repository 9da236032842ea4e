/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking a snapshot: see snapshot.h.
 */
#include "worker/snapshot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The sentence is "snapshot NAME@TAG" and what is said here. */
__attribute__((format(printf, 3, 4))) static void tell(
    struct snapshot *s, int error, const char *format, ...)
{
	char shown[VDI_SHOWN_SIZE];
	va_list ap;
	int used;

	vdi_show(&s->block, 0, shown);
	used = snprintf(s->sentence, sizeof s->sentence, "snapshot %s ", shown);
	s->error = error;
	va_start(ap, format);
	vsnprintf(s->sentence + used, sizeof s->sentence - (size_t)used, format, ap);
	va_end(ap);
}

/* ---- the last steps: what came of it ---- */

static void prove(struct snapshot *s)
{
	const struct sd_inode_header *w = &s->header, *v = &s->base;

	if (w->parent_vdi_id == s->vid && v->snap_ctime && w->create_time == v->snap_ctime &&
	    !w->snap_ctime && !strncmp(w->name, s->block.name, sizeof w->name)) {
		tell(s, 0, "was taken: it is vid %x, and the volume goes on as vid %x", s->vid,
		    s->successor);
	} else {
		s->elsewhere = true;
		tell(s, -ESTALE,
		    "may not be what it should: somebody else snapshotted, rolled back or replaced "
		    "the volume at the same moment; look at vdi/list");
	}
	s->done(s);
}

static bool header_came(struct snapshot *s, uint32_t vid)
{
	if (s->call.rsp.result == SD_RES_SUCCESS)
		return true;
	s->elsewhere = true;
	tell(s, -EIO,
	    "may have been taken, but vid %x cannot be read to prove it (%s); look at vdi/list",
	    vid, sheep_result_name(s->call.rsp.result));
	s->done(s);
	return false;
}

static void on_base_again(struct call *call)
{
	struct snapshot *s = call->owner;

	if (header_came(s, s->vid))
		prove(s);
}

static void on_successor(struct call *call)
{
	struct snapshot *s = call->owner;

	if (!header_came(s, s->successor))
		return;
	vdi_call_header(&s->call, s->vid, &s->base, VDI_IDENTITY_SIZE, on_base_again, s);
	daemon_submit(s->daemon, &s->call);
}

static void read_successor(struct snapshot *s)
{
	vdi_call_header(&s->call, s->successor, &s->header, VDI_IDENTITY_SIZE, on_successor, s);
	daemon_submit(s->daemon, &s->call);
}

/* ---- when NEW_VDI failed ---- */

static void was_not_taken(struct snapshot *s)
{
	tell(s, sheep_errno(s->result), "was not taken: %s (%s)", vdi_explain_new(s->result),
	    sheep_result_name(s->result));
	s->done(s);
}

/* Whether the tag that was written is gone again makes no difference to anybody (P 4.3). */
static void on_tag_restored(struct call *call)
{
	was_not_taken(call->owner);
}

static void tag_write(struct snapshot *s, const char *tag, void (*done)(struct call *))
{
	call_init(&s->call, SD_OP_WRITE_OBJ, LANE_CONTROL, done, s);
	s->call.req.flags = SD_FLAG_WRITE;
	s->call.req.obj.oid = sd_inode_oid(s->vid);
	s->call.req.obj.offset = offsetof(struct sd_inode_header, tag);
	s->call.send = tag;
	s->call.send_size = SD_TAG_SIZE;
	daemon_submit(s->daemon, &s->call);
}

/* Where the name leads now tells whether it was taken all the same. */
static void on_name_again(struct call *call)
{
	struct snapshot *s = call->owner;
	uint32_t vid = call->rsp.vdi.vdi_id;

	if (call->rsp.result == SD_RES_SUCCESS && vid == s->vid) {
		tag_write(s, s->base.tag, on_tag_restored);
	} else if (call->rsp.result == SD_RES_SUCCESS) {
		s->successor = vid;
		read_successor(s);
	} else {
		s->elsewhere = true;
		tell(s, -EIO,
		    "failed half-way (%s), and now the volume cannot be looked up: %s; look at "
		    "vdi/list",
		    sheep_result_name(s->result), sheep_result_name(call->rsp.result));
		s->done(s);
	}
}

/* ---- the steps ---- */

static void on_new(struct call *call)
{
	struct snapshot *s = call->owner;

	s->result = call->rsp.result;
	if (s->result == SD_RES_SUCCESS) {
		s->successor = call->rsp.vdi.vdi_id;
		read_successor(s);
		return;
	}
	vdi_call_lookup(&s->call, &s->plain, 0, on_name_again, s);
	daemon_submit(s->daemon, &s->call);
}

static void send_new(struct snapshot *s)
{
	vdi_call_new(&s->call, &s->plain, &s->base, s->vid, true, on_new, s);
	daemon_submit(s->daemon, &s->call);
}

static void on_tag_written(struct call *call)
{
	struct snapshot *s = call->owner;

	s->result = call->rsp.result;
	if (s->result != SD_RES_SUCCESS)
		was_not_taken(s);
	else
		send_new(s);
}

static void change(struct snapshot *s)
{
	s->sent = true;
	tag_write(s, s->block.tag, on_tag_written);
}

/* NEW_VDI of a volume that is another one meanwhile would turn it back (P 2.3). */
static void on_name_before(struct call *call)
{
	struct snapshot *s = call->owner;
	uint32_t result = call->rsp.result;

	if (result == SD_RES_SUCCESS && call->rsp.vdi.vdi_id == s->vid) {
		change(s);
		return;
	}
	if (result == SD_RES_SUCCESS)
		tell(s, -EAGAIN,
		    "was not taken: somebody else changed the volume at this very moment; try "
		    "again");
	else
		tell(s, sheep_errno(result), "was not taken: the volume cannot be looked up: %s",
		    sheep_result_name(result));
	s->done(s);
}

void snapshot_change(struct snapshot *s)
{
	vdi_call_lookup(&s->call, &s->plain, 0, on_name_before, s);
	daemon_submit(s->daemon, &s->call);
}

static void on_header(struct call *call)
{
	struct snapshot *s = call->owner;
	const struct sd_inode_header *h = &s->base;

	if (call->rsp.result != SD_RES_SUCCESS)
		tell(s, sheep_errno(call->rsp.result),
		    "was not taken: the volume's header (vid %x) cannot be read: %s", s->vid,
		    sheep_result_name(call->rsp.result));
	else if (h->vdi_id != s->vid || strncmp(h->name, s->block.name, sizeof h->name))
		tell(s, -EIO,
		    "was not taken: the daemon led to vid %x, whose header is another volume's; "
		    "look at vdi/list and `dog vdi check`",
		    s->vid);
	else if (s->expected && h->create_time != s->created) {
		s->elsewhere = true;
		tell(s, -ESTALE, "was not taken: vid %x is another volume now", s->vid);
	} else if (h->snap_ctime)
		tell(s, -EAGAIN,
		    "was not taken: somebody else takes one of the volume at this very moment; try "
		    "again");
	else if (h->store_policy)
		tell(s, -EOPNOTSUPP,
		    "was not taken: it is a hyper volume (store policy %u), of which no snapshot "
		    "is possible",
		    h->store_policy);
	else {
		if (s->looked)
			s->looked(s);
		else
			change(s);
		return;
	}
	s->done(s);
}

static void on_name(struct call *call)
{
	struct snapshot *s = call->owner;
	uint32_t vid = call->rsp.vdi.vdi_id;

	if (call->rsp.result != SD_RES_SUCCESS) {
		tell(s, sheep_errno(call->rsp.result),
		    "was not taken: there is no such working volume (%s); vdi/list shows what "
		    "there is",
		    sheep_result_name(call->rsp.result));
	} else if (!vid || vid >= SD_NR_VDIS) {
		tell(s, -EIO,
		    "was not taken: the daemon says that the volume is vid %x, which none "
		    "can be",
		    vid);
	} else if (s->expected && vid != s->expected) {
		s->elsewhere = true;
		tell(s, -ESTALE,
		    "was not taken: the volume was vid %x and is vid %x now, by somebody else's "
		    "doing",
		    s->expected, vid);
	} else {
		s->vid = vid;
		vdi_call_header(&s->call, vid, &s->base, sizeof s->base, on_header, s);
		daemon_submit(s->daemon, &s->call);
		return;
	}
	s->done(s);
}

static void on_tag(struct call *call)
{
	struct snapshot *s = call->owner;
	uint32_t result = call->rsp.result;

	if (result == SD_RES_NO_TAG && !s->again) {
		vdi_call_lookup(&s->call, &s->plain, 0, on_name, s);
		daemon_submit(s->daemon, &s->call);
		return;
	}
	if (result == SD_RES_NO_TAG)
		tell(s, -EIO,
		    "was not taken when it was looked for, but a daemon that hangs may still take "
		    "it: order no other before that one has ended, or goes on and vdi/list shows "
		    "this one");
	else if (result == SD_RES_SUCCESS && s->again == call->rsp.vdi.vdi_id)
		tell(s, 0, "was taken: it is vid %x", s->again);
	else if (result == SD_RES_SUCCESS)
		tell(s, -EEXIST, "was not taken: there is one of that tag; vdi/list shows it");
	else if (result == SD_RES_NO_VDI)
		tell(s, -ENOENT,
		    "was not taken: there is no such volume; vdi/list shows what there is");
	else
		tell(s, sheep_errno(result), "%s: the volume cannot be looked up: %s",
		    s->again ? "may have been taken or not, look at vdi/list before you try again"
			     : "was not taken",
		    sheep_result_name(result));
	s->done(s);
}

void snapshot_begin(struct snapshot *s)
{
	memcpy(s->plain.name, s->block.name, sizeof s->plain.name);
	vdi_call_lookup(&s->call, &s->block, 0, on_tag, s);
	daemon_submit(s->daemon, &s->call);
}

void snapshot_lost(struct snapshot *s, const char *why)
{
	if (s->sent || s->again)
		tell(s, -EINPROGRESS,
		    "may have been taken or not, look at vdi/list before you try again: %s", why);
	else
		tell(s, -EINPROGRESS, "was not taken: %s", why);
}
