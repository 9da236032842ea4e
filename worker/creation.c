/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a volume: see creation.h.
 */
#include "worker/creation.h"

#include "worker/format.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The sentence is "volume NAME" and what is said here. */
__attribute__((format(printf, 3, 4))) static void tell(
    struct creation *c, int error, const char *format, ...)
{
	char shown[VDI_SHOWN_SIZE];
	va_list ap;
	int used;

	vdi_show(&c->block, 0, shown);
	used = snprintf(c->sentence, sizeof c->sentence, "volume %s ", shown);
	c->error = error;
	va_start(ap, format);
	vsnprintf(c->sentence + used, sizeof c->sentence - (size_t)used, format, ap);
	va_end(ap);
}

static void end(struct creation *c)
{
	members_free(&c->members);
	c->done(c);
}

/* A refusal says nothing about what somebody before us may have done. */
static void finish(struct creation *c)
{
	size_t used = strlen(c->sentence);

	if (c->again && c->error && c->error != -EEXIST)
		snprintf(c->sentence + used, sizeof c->sentence - used,
		    "; but whether it had been created before that is not known, look at vdi/list");
	end(c);
}

static bool is_clone(const struct creation *c)
{
	return c->source.name[0];
}

/* ---- what came of it ---- */

static void was_not_created(struct creation *c, uint32_t result)
{
	tell(c, sheep_errno(result), "was not created: %s (%s)", vdi_explain_new(result),
	    sheep_result_name(result));
	finish(c);
}

static void was_created(struct creation *c, uint32_t vid)
{
	char size[FORMAT_SIZE_MAX], object[FORMAT_SIZE_MAX], shown[VDI_SHOWN_SIZE];

	vdi_show(&c->source, c->source_snap_id, shown);
	format_size(c->like.vdi_size, size);
	format_size(UINT64_C(1) << c->like.block_size_shift, object);
	if (is_clone(c))
		tell(c, 0,
		    "was created, a clone of snapshot %s: %s in objects of %s, vid %x; write its "
		    "name to vdi/mount to attach it",
		    shown, size, object, vid);
	else
		tell(c, 0,
		    "was created: %s in objects of %s, vid %x; write its name to vdi/mount to "
		    "attach it",
		    size, object, vid);
	finish(c);
}

/* ---- is there one of that name? ---- */

/* A header is a daemon's word: its object size may be none. */
static bool has_shift(const struct sd_inode_header *h)
{
	return h->block_size_shift >= SD_SHIFT_MIN && h->block_size_shift <= SD_SHIFT_MAX;
}

/* Is it what was asked for?  Then it is ours: the name was free before NEW_VDI was sent. */
static bool is_what_was_asked(const struct creation *c)
{
	const struct sd_inode_header *h = &c->header;

	if (h->vdi_id != c->found || strncmp(h->name, c->block.name, sizeof h->name) ||
	    h->snap_ctime || h->parent_vdi_id != c->base || !has_shift(h))
		return false;
	return is_clone(c) ||
	       (h->vdi_size == c->size && (!c->shift || h->block_size_shift == c->shift) &&
		   (!c->copies || (h->nr_copies == c->copies && h->copy_policy == c->policy)));
}

static void on_found(struct call *call)
{
	struct creation *c = call->owner;

	if (call->rsp.result != SD_RES_SUCCESS) {
		tell(c, -EIO,
		    "may have been created, but vid %x cannot be read to prove it (%s); look at "
		    "vdi/list",
		    c->found, sheep_result_name(call->rsp.result));
		end(c);
	} else if (is_what_was_asked(c)) {
		c->like = c->header;
		was_created(c, c->found);
	} else {
		was_not_created(c, SD_RES_VDI_EXIST);
	}
}

static void on_name(struct call *call)
{
	struct creation *c = call->owner;
	uint32_t result = call->rsp.result;

	if (result == SD_RES_NO_VDI) {
		c->absent(c);
	} else if (result != SD_RES_SUCCESS) {
		was_not_created(c, result);
	} else if (!c->again) {
		was_not_created(c, SD_RES_VDI_EXIST);
	} else if (!call->rsp.vdi.vdi_id || call->rsp.vdi.vdi_id >= SD_NR_VDIS) {
		tell(c, -EIO,
		    "may have been created: the daemon says that it is vid %x, which none can be",
		    call->rsp.vdi.vdi_id);
		end(c);
	} else {
		c->found = call->rsp.vdi.vdi_id;
		vdi_call_header(&c->call, c->found, &c->header, VDI_IDENTITY_SIZE, on_found, c);
		daemon_submit(c->daemon, &c->call);
	}
}

static void look(struct creation *c, void (*absent)(struct creation *))
{
	c->absent = absent;
	vdi_call_lookup(&c->call, &c->block, 0, on_name, c);
	daemon_submit(c->daemon, &c->call);
}

/* ---- NEW_VDI ---- */

static void exists(struct creation *c)
{
	was_not_created(c, SD_RES_VDI_EXIST);
}

static void on_new(struct call *call)
{
	struct creation *c = call->owner;
	uint32_t result = call->rsp.result;

	if (result == SD_RES_VDI_EXIST && c->again) {
		look(c, exists); /* what somebody had sent was done meanwhile */
	} else if (result == SD_RES_CLUSTER_ERROR || result == SD_RES_NETWORK_ERROR) {
		tell(c, sheep_errno(result),
		    "may have been created or not, look at vdi/list before you try again: %s (%s)",
		    vdi_explain_new(result), sheep_result_name(result));
		end(c);
	} else if (result != SD_RES_SUCCESS) {
		was_not_created(c, result);
	} else {
		was_created(c, call->rsp.vdi.vdi_id);
	}
}

void creation_change(struct creation *c)
{
	c->sent = true;
	vdi_call_new(&c->call, &c->block, &c->like, c->base, false, on_new, c);
	daemon_submit(c->daemon, &c->call);
}

static void is_free(struct creation *c)
{
	if (c->again)
		creation_change(c);
	else
		c->looked(c);
}

static void send_new(struct creation *c)
{
	look(c, is_free);
}

/* ---- a new volume ---- */

/* The index of a VDI has 2^20 entries (P 3.3). */
static bool fits_its_index(struct creation *c)
{
	char most[FORMAT_SIZE_MAX], object[FORMAT_SIZE_MAX], better[FORMAT_SIZE_MAX];
	unsigned shift = c->shift;

	while (shift < SD_SHIFT_MAX && c->size > (uint64_t)SD_INODE_NR_INDEX << shift)
		shift++;
	if (shift == c->shift)
		return true;
	format_size(UINT64_C(1) << c->shift, object);
	format_size((uint64_t)SD_INODE_NR_INDEX << c->shift, most);
	format_size(UINT64_C(1) << shift, better);
	tell(c, -EFBIG,
	    "was not created: objects of %s make %s at most; it needs objects of %s (object_size=)",
	    object, most, better);
	return false;
}

/* A daemon takes an erasure-coded VDI whose objects no cluster of this size can hold, and fails at
 * the first write: it needs a zone for each data strip; parity may be missing. */
static void on_members(struct call *call)
{
	struct creation *c = call->owner;
	unsigned data = (c->policy >> 4) * 2U, parity = c->policy & 15U, zones;

	if (call->rsp.result != SD_RES_SUCCESS || !members_take(&c->members, call)) {
		send_new(c); /* a cluster that does not run says so itself */
		return;
	}
	zones = members_zones(&c->members, data);
	if (zones >= data) {
		send_new(c);
		return;
	}
	tell(c, -EINVAL,
	    "was not created: copies=%u:%u needs %u nodes in zones of their own at least, and the "
	    "cluster has %u; node/list shows them",
	    data, parity, data, zones);
	finish(c);
}

static void send_if_it_can_be_held(struct creation *c)
{
	if (!c->policy) {
		send_new(c);
	} else if (members_call(&c->members, &c->call, on_members, c)) {
		daemon_submit(c->daemon, &c->call);
	} else {
		tell(c, -ENOMEM, "was not created: there is no memory for the list of nodes");
		finish(c);
	}
}

static void send_fresh(struct creation *c)
{
	if (c->shift < SD_SHIFT_MIN || c->shift > SD_SHIFT_MAX) {
		tell(c, -EINVAL,
		    "was not created: an object size of 2^%u bytes is not possible, from 2^%d to "
		    "2^%d is",
		    c->shift, SD_SHIFT_MIN, SD_SHIFT_MAX);
	} else if (fits_its_index(c)) {
		c->like = (struct sd_inode_header){.vdi_size = c->size,
		    .nr_copies = c->copies,
		    .copy_policy = c->policy,
		    .block_size_shift = (uint8_t)c->shift};
		send_if_it_can_be_held(c);
		return;
	}
	finish(c);
}

static void on_default(struct call *call)
{
	struct creation *c = call->owner;

	if (call->rsp.result != SD_RES_SUCCESS) {
		tell(c, sheep_errno(call->rsp.result),
		    "was not created: the daemon does not tell its object size (%s)",
		    sheep_result_name(call->rsp.result));
		finish(c);
		return;
	}
	c->shift = call->rsp.cluster_default.block_size_shift;
	if (c->shift)
		send_fresh(c);
	else /* it waits to be formatted, and says so */
		send_new(c);
}

static void begin_fresh(struct creation *c)
{
	if (!c->size) {
		tell(c, -EINVAL, "was not created: its size is 0");
	} else if (c->size % 512) {
		tell(c, -EINVAL,
		    "was not created: its size must be a multiple of 512 bytes, the next one is "
		    "%llu",
		    (unsigned long long)(c->size / 512 + 1) * 512);
	} else if (c->shift) {
		send_fresh(c);
		return;
	} else {
		call_init(&c->call, SD_OP_GET_CLUSTER_DEFAULT, LANE_CONTROL, on_default, c);
		daemon_submit(c->daemon, &c->call);
		return;
	}
	finish(c);
}

/* ---- a clone ---- */

static void on_source_header(struct call *call)
{
	struct creation *c = call->owner;
	const struct sd_inode_header *h = &c->like;
	char shown[VDI_SHOWN_SIZE];

	vdi_show(&c->source, c->source_snap_id, shown);
	if (call->rsp.result != SD_RES_SUCCESS)
		tell(c, sheep_errno(call->rsp.result),
		    "was not created: the header of snapshot %s (vid %x) cannot be read: %s", shown,
		    c->base, sheep_result_name(call->rsp.result));
	else if (h->vdi_id != c->base || strncmp(h->name, c->source.name, sizeof h->name))
		tell(c, -EIO,
		    "was not created: the daemon led from %s to vid %x, whose header is another "
		    "volume's; look at vdi/list and `dog vdi check`",
		    shown, c->base);
	else if (!h->snap_ctime)
		tell(c, -EINVAL, "was not created: %s is no snapshot; vdi/snapshot makes one",
		    shown);
	else if (!has_shift(h))
		tell(c, -EINVAL,
		    "was not created: %s has objects of 2^%u bytes; from 2^%d to 2^%d is possible",
		    shown, h->block_size_shift, SD_SHIFT_MIN, SD_SHIFT_MAX);
	else if (h->store_policy)
		tell(c, -EOPNOTSUPP,
		    "was not created: %s is a hyper volume (store policy %u), which cannot be "
		    "cloned",
		    shown, h->store_policy);
	else {
		send_new(c);
		return;
	}
	finish(c);
}

static void on_source(struct call *call)
{
	struct creation *c = call->owner;
	uint32_t result = call->rsp.result, vid = call->rsp.vdi.vdi_id;
	char shown[VDI_SHOWN_SIZE];

	vdi_show(&c->source, c->source_snap_id, shown);
	if (result == SD_RES_NO_VDI || result == SD_RES_NO_TAG) {
		tell(c, -ENOENT,
		    "was not created: there is no snapshot %s; vdi/list shows what there is",
		    shown);
	} else if (result != SD_RES_SUCCESS || !vid || vid >= SD_NR_VDIS) {
		tell(c, result ? sheep_errno(result) : -EIO,
		    "was not created: snapshot %s cannot be looked up (%s, vid %x)", shown,
		    sheep_result_name(result), vid);
	} else {
		c->base = vid;
		vdi_call_header(&c->call, vid, &c->like, sizeof c->like, on_source_header, c);
		daemon_submit(c->daemon, &c->call);
		return;
	}
	finish(c);
}

static void begin(struct creation *c)
{
	if (is_clone(c)) {
		vdi_call_lookup(&c->call, &c->source, c->source_snap_id, on_source, c);
		daemon_submit(c->daemon, &c->call);
	} else {
		begin_fresh(c);
	}
}

void creation_begin(struct creation *c)
{
	if (!c->block.name[0]) {
		c->error = -EINVAL;
		snprintf(c->sentence, sizeof c->sentence, "nothing was created: the name is empty");
		finish(c);
	} else if (c->again) {
		look(c, begin);
	} else {
		begin(c);
	}
}

void creation_lost(struct creation *c, const char *why)
{
	members_free(&c->members);
	if (c->sent || c->again)
		tell(c, -EINPROGRESS,
		    "may have been created or not, look at vdi/list before you try again: %s", why);
	else
		tell(c, -EINPROGRESS, "was not created: %s", why);
}
