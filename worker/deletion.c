/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deleting a VDI: see deletion.h.
 */
#include "worker/deletion.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RUN_MAX 128 /* entries that are emptied at once; the daemon then removes their objects */

static const uint8_t zeros[RUN_MAX * sizeof(uint32_t)];

/* ---- the end ---- */

__attribute__((format(printf, 3, 4))) static void finish(
    struct deletion *d, int error, const char *format, ...)
{
	char sentence[SENTENCE_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof sentence, format, ap);
	va_end(ap);
	d->active = false;
	d->calls->done(d->arg, error, sentence);
}

__attribute__((format(printf, 3, 4))) static void fail(
    struct deletion *d, enum exit_word word, const char *format, ...)
{
	char why[SENTENCE_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, sizeof why, format, ap);
	va_end(ap);
	d->active = false;
	d->calls->failed(d->arg, word, why);
}

/* An answer came: may the next step be taken? */
static bool goes_on(struct deletion *d)
{
	if (!d->stopping)
		return true;
	d->active = false;
	d->calls->stopped(d->arg);
	return false;
}

static void is_deleted(struct deletion *d)
{
	finish(d, 0, "volume %s was deleted (vid %x)", d->vdi->shown, d->vdi->vid);
}

/* ---- the name ---- */

static void begin_index(struct deletion *d);

/* Of a VDI that is gone there is no inode, or one without a name, or somebody else has its vid. */
static bool is_gone(const struct deletion *d)
{
	const struct sd_inode_header *h = &d->header;

	return d->call.rsp.result == SD_RES_NO_OBJ || !h->name[0] || h->vdi_id != d->vdi->vid ||
	       h->create_time != d->vdi->create_time;
}

/* What was kept had an entry left: in a copy that we did not read, or somebody has just written. */
static void on_header(struct call *call)
{
	struct deletion *d = call->owner;
	uint32_t result = call->rsp.result;

	if (result != SD_RES_SUCCESS && result != SD_RES_NO_OBJ) {
		fail(d, EXIT_DAEMON_LOST, "whether volume %s is deleted cannot be read: %s",
		    d->vdi->shown, sheep_result_name(result));
	} else if (is_gone(d)) {
		is_deleted(d);
	} else if (!d->died) {
		d->died = true;
		begin_index(d);
	} else {
		finish(d, -EAGAIN,
		    "volume %s is marked as deleted, but the cluster has kept it (vid %x), for "
		    "somebody else writes to it; write its name to vdi/delete again",
		    d->vdi->shown, d->vdi->vid);
	}
}

/* A second one finds no such name, which is as good. */
static void on_removed(struct call *call)
{
	struct deletion *d = call->owner;
	uint32_t result = call->rsp.result;

	if (result != SD_RES_SUCCESS && result != SD_RES_NO_VDI && result != SD_RES_NO_TAG) {
		fail(d, EXIT_DAEMON_LOST, "the name of volume %s was not given up: %s",
		    d->vdi->shown, sheep_result_name(result));
		return;
	}
	vdi_call_header(&d->call, d->vdi->vid, &d->header, VDI_IDENTITY_SIZE, on_header, d);
	daemon_submit(d->daemon, &d->call);
}

/* A snapshot goes by its number: others may have its tag (P 4.3). */
static void remove_name(struct deletion *d)
{
	memcpy(d->block.name, d->vdi->block.name, sizeof d->block.name);
	call_init(&d->call, SD_OP_DEL_VDI, LANE_CONTROL, on_removed, d);
	d->call.req.flags = SD_FLAG_WRITE;
	d->call.req.vdi.snapid = d->vdi->snapshot ? d->vdi->header.snap_id : 0;
	d->call.send = &d->block;
	d->call.send_size = sizeof d->block;
	daemon_submit(d->daemon, &d->call);
}

/* ---- the index ---- */

static void take_step(struct deletion *d);

static void on_emptied(struct call *call)
{
	struct deletion *d = call->owner;

	if (call->rsp.result != SD_RES_SUCCESS) {
		fail(d, EXIT_DAEMON_LOST, "index entries of volume %s were not emptied: %s",
		    d->vdi->shown, sheep_result_name(call->rsp.result));
		return;
	}
	d->at += d->run;
	d->calls->progressed(d->arg);
	if (goes_on(d))
		take_step(d);
}

/* Entry n of the piece. */
static bool is_due(const struct deletion *d, uint32_t n)
{
	return d->index[n] || d->first + n < d->again;
}

static void empty_run(struct deletion *d)
{
	d->run = 1;
	while (d->run < RUN_MAX && d->at + d->run < DELETION_PIECE && is_due(d, d->at + d->run))
		d->run++;
	call_init(&d->call, SD_OP_WRITE_OBJ, LANE_CONTROL, on_emptied, d);
	d->call.req.flags = SD_FLAG_WRITE;
	d->call.req.obj.oid = sd_inode_oid(d->vdi->vid);
	d->call.req.obj.offset =
	    SD_INODE_INDEX_OFFSET + (d->first + d->at) * (uint32_t)sizeof *d->index;
	d->call.send = zeros;
	d->call.send_size = d->run * sizeof *d->index;
	daemon_submit(d->daemon, &d->call);
}

static void on_proved(struct vdi_proof *proof)
{
	struct deletion *d = proof->owner;

	if (proof->verdict != VDI_SAME) {
		fail(d, proof->word, "the deletion of volume %s stops: %s", d->vdi->shown,
		    proof->why);
		return;
	}
	d->proved = true;
	if (!goes_on(d))
		return;
	if (d->first < SD_INODE_NR_INDEX)
		empty_run(d);
	else
		remove_name(d);
}

/* Before a piece that has entries, and before the last step: somebody else may have taken a
 * snapshot, which makes the VDI what nobody wants to delete. */
static void prove(struct deletion *d)
{
	d->proof = (struct vdi_proof){.vdi = d->vdi,
	    .lane = LANE_CONTROL,
	    .by_name = !d->vdi->snapshot, /* others may have its tag */
	    .done = on_proved,
	    .owner = d};
	vdi_prove(&d->proof);
}

static void on_piece(struct call *call)
{
	struct deletion *d = call->owner;

	if (call->rsp.result != SD_RES_SUCCESS)
		fail(d, EXIT_DAEMON_LOST, "the index of volume %s cannot be read: %s",
		    d->vdi->shown, sheep_result_name(call->rsp.result));
	else if (goes_on(d))
		take_step(d);
}

/* Entries behind the volume's end count as well. */
static void read_piece(struct deletion *d)
{
	d->at = 0;
	call_init(&d->call, SD_OP_READ_OBJ, LANE_CONTROL, on_piece, d);
	d->call.req.obj.oid = sd_inode_oid(d->vdi->vid);
	d->call.req.obj.offset = SD_INODE_INDEX_OFFSET + d->first * (uint32_t)sizeof *d->index;
	d->call.receive = d->index;
	d->call.receive_size = sizeof d->index;
	daemon_submit(d->daemon, &d->call);
}

static void take_step(struct deletion *d)
{
	while (d->at < DELETION_PIECE && !is_due(d, d->at))
		d->at++;
	if (d->at < DELETION_PIECE && d->proved) {
		empty_run(d);
		return;
	}
	if (d->at < DELETION_PIECE) {
		prove(d);
		return;
	}
	d->proved = false;
	d->first += DELETION_PIECE;
	if (d->first < SD_INODE_NR_INDEX)
		read_piece(d);
	else
		prove(d);
}

/* ---- what was deleted already ---- */

static void on_rewritten(struct call *call)
{
	struct deletion *d = call->owner;

	if (call->rsp.result == SD_RES_SUCCESS)
		is_deleted(d);
	else
		fail(d, EXIT_DAEMON_LOST, "the header of volume %s was not written again: %s",
		    d->vdi->shown, sheep_result_name(call->rsp.result));
}

/* The daemon that gave the name up died of it, perhaps between two copies. */
static void rewrite_header(struct deletion *d)
{
	call_init(&d->call, SD_OP_WRITE_OBJ, LANE_CONTROL, on_rewritten, d);
	d->call.req.flags = SD_FLAG_WRITE;
	d->call.req.obj.oid = sd_inode_oid(d->vdi->vid);
	d->call.send = zeros;
	d->call.send_size = SD_NAME_SIZE;
	daemon_submit(d->daemon, &d->call);
}

_Static_assert(sizeof zeros >= SD_NAME_SIZE, "a name of zeros");

/* ---- the beginning ---- */

/* Such an index as a hyper volume's is the daemon's own (P 3.4). */
static void begin_index(struct deletion *d)
{
	const struct sd_inode_header *h = &d->vdi->header;
	uint64_t entries = 0;

	if (h->vdi_size && h->block_size_shift < 64)
		entries = ((h->vdi_size - 1) >> h->block_size_shift) + 1;
	d->proved = false;
	d->first = h->store_policy ? SD_INODE_NR_INDEX : 0;
	d->again = 0;
	if (d->died)
		d->again = entries < SD_INODE_NR_INDEX ? (uint32_t)entries : SD_INODE_NR_INDEX;
	if (h->store_policy)
		prove(d);
	else
		read_piece(d);
}

void deletion_begin(struct deletion *d)
{
	d->active = true;
	d->stopping = false;
	if (d->vdi->nameless && d->died)
		rewrite_header(d);
	else if (d->vdi->gone)
		is_deleted(d);
	else
		begin_index(d);
}

void deletion_stop(struct deletion *d)
{
	d->stopping = true;
}
