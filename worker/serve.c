/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: see serve.h.
 *
 * Every event (an answer of the daemon, a request, a confirmed write) only moves things from one
 * list to another; turn() then does, without recursion, whatever has become possible.  Nothing is
 * allocated after READY: a request has its record and each object it touches a piece.
 */
#include "worker/serve.h"

#include "ipc/log.h"
#include "worker/admission.h"
#include "worker/compare.h"
#include "worker/deletion.h"
#include "worker/format.h"
#include "worker/piece.h"
#include "worker/successor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state {
	BEGINNING,
	SERVING,
	RELEASING, /* the lock's release is in flight; refused() or drained() follows */
	OVER,
};

struct serve {
	enum state state;
	bool draining, turning;
	bool handing_over;
	bool settled, died, rewrite; /* the past */
	struct daemon *daemon;
	const struct arena *out, *in;
	const struct serve_calls *calls;
	void *arg;
	unsigned slots;
	struct vdi vdi;
	struct inode *inode;
	struct pieces *pieces;
	struct queue queue;
	struct admission admission;
	struct compare compare;
	/* a snapshot: while it is wanted or under way, writes are held */
	bool pausing;
	unsigned writes;          /* begun, and not finished */
	struct request_list held; /* writes that wait for the end of the pause */
	uint64_t snapshot_number;
	char snapshot_tag[SD_TAG_SIZE];
	struct successor successor;
	/* where that is the purpose; else NULL */
	struct deletion *deletion;
	uint64_t deletion_number;
	/* the daemon's object cache: flushed for the oldest unanswered flush, before a snapshot and
	 * before the end in peace */
	bool object_cache, flushing;
	bool dirty; /* written to since a flush was begun, or while it was */
	struct call flush;
	/* the end */
	struct call release;
	int refusal; /* -errno, told when the lock is released */
	bool elsewhere;
	char sentence[SENTENCE_MAX];
};

static void turn(struct serve *s);
static void request_begin(struct serve *s, struct request *q);

static bool alive(const struct serve *s)
{
	return s->state == BEGINNING || s->state == SERVING;
}

static void end(struct serve *s, enum exit_word word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void end(struct serve *s, enum exit_word word, const char *format, ...)
{
	char why[SENTENCE_MAX];
	va_list ap;

	if (s->state == OVER)
		return;
	s->state = OVER;
	if (s->pieces)
		piece_stop(s->pieces);
	va_start(ap, format);
	vsnprintf(why, sizeof why, format, ap);
	va_end(ap);
	s->calls->ended(s->arg, word, why);
}

/* ---- the end in peace ---- */

static void depart(struct serve *s)
{
	s->state = OVER;
	if (s->refusal)
		s->calls->refused(s->arg, s->refusal, s->elsewhere, s->sentence);
	else
		s->calls->drained(s->arg);
}

static void on_released(struct call *call)
{
	struct serve *s = call->owner;
	uint32_t result = call->rsp.result;

	if (s->state == OVER)
		return;
	s->vdi.locked = false;
	if (result == SD_RES_SUCCESS || result == SD_RES_VDI_NOT_LOCKED)
		s->calls->locked(s->arg, 0);
	else
		log_warning("the lock of volume %s (vid %x) was not released: %s", s->vdi.shown,
		    s->vdi.vid, sheep_result_name(result));
	depart(s);
}

/* Nothing is left to be done but to give the lock back, if there is one. */
static void leave(struct serve *s)
{
	if (!s->vdi.locked) {
		depart(s);
		return;
	}
	s->state = RELEASING;
	vdi_call_release(&s->release, s->vdi.vid, on_released, s);
	daemon_submit(s->daemon, &s->release);
}

/* The lock that an earlier generation took is not ours to give back: another may go on. */
static void refuse(struct serve *s, int error, bool elsewhere, const char *sentence)
{
	s->refusal = error;
	s->elsewhere = elsewhere;
	snprintf(s->sentence, sizeof s->sentence, "%s", sentence);
	if (s->vdi.was.vid)
		depart(s);
	else
		leave(s);
}

/* ---- the object cache ---- */

static void snapshot_give_up(struct serve *s, int error, const char *sentence);

/*
 * Only daemons before 1.0 have anything to flush; others answer INVALID_PARMS, once (P 9).  What
 * was answered before it was begun is flushed: that is all before a flush which is due now.
 */
static void on_flushed(struct call *call)
{
	struct serve *s = call->owner;
	uint32_t result = call->rsp.result;
	struct request *q = queue_due_flush(&s->queue);
	char sentence[SENTENCE_MAX];

	s->flushing = false;
	if (!alive(s))
		return;
	if (result == SD_RES_INVALID_PARMS) {
		s->object_cache = false;
	} else if (result != SD_RES_SUCCESS) {
		s->dirty = true;
		snprintf(sentence, sizeof sentence,
		    "the daemon's object cache of volume %s (vid %x) was not flushed: %s",
		    s->vdi.shown, s->vdi.vid, sheep_result_name(result));
		log_warning("%s", sentence);
		if (q)
			q->error = sheep_errno(result);
		snapshot_give_up(s, sheep_errno(result), sentence);
		/* who leaves has said so, and does not stay for it */
		s->object_cache = !s->draining || !queue_is_empty(&s->queue);
	}
	if (q)
		queue_finish(&s->queue, q);
	turn(s);
}

static void flush_begin(struct serve *s)
{
	s->flushing = true;
	s->dirty = s->writes > 0;
	call_init(&s->flush, SD_OP_FLUSH_VDI, LANE_DATA, on_flushed, s);
	s->flush.req.obj.oid = sd_inode_oid(s->vdi.vid);
	daemon_submit(s->daemon, &s->flush);
}

/* Is all that was answered out of the cache?  Sees to it. */
static bool is_flushed(struct serve *s)
{
	if (s->object_cache && s->dirty && !s->flushing)
		flush_begin(s);
	return !s->object_cache || (!s->dirty && !s->flushing);
}

/* ---- requests ---- */

/* One piece is done, or all have been made (which counts as one). */
static void request_done(struct serve *s, struct request *q, int error)
{
	if (error && !q->error)
		q->error = error;
	if (--q->left)
		return;
	if (q->r.op == REQUEST_WRITE)
		s->writes--;
	queue_finish(&s->queue, q);
}

/* Answers the next one. */
static bool answer_next(struct serve *s)
{
	struct request *q = queue_finished(&s->queue);
	uint64_t id;
	int error;

	if (!q) {
		q = queue_due_flush(&s->queue);
		if (q && s->object_cache && !s->flushing)
			flush_begin(s);
		if (!q || s->flushing)
			return false;
	}
	id = q->r.id;
	error = q->error;
	queue_forget(&s->queue, q);
	s->calls->answer(s->arg, id, error);
	return true;
}

static void request_cut(struct serve *s, struct request *q)
{
	bool write = q->r.op == REQUEST_WRITE;
	uint8_t *slot = arena_slot(write ? s->out : s->in, q->r.slot);
	uint64_t object_size = UINT64_C(1) << s->vdi.shift;
	uint64_t at = q->r.offset, to = at + q->r.length;
	bool holds = q->r.again == REQUEST_HOLDS;

	if (holds && (!write || s->settled)) {
		request_done(s, q, -EIO);
		return;
	}
	while (at < to) {
		uint64_t first = at & (object_size - 1);
		uint64_t size = to - at < object_size - first ? to - at : object_size - first;

		q->left += piece_add(s->pieces, q, write, q->r.again,
		    (uint32_t)(at >> s->vdi.shift), first, size, slot);
		at += size;
		slot += size;
	}
	request_done(s, q, 0);
}

/* ---- a snapshot ---- */

/* Every write that was begun is finished. */
static bool is_paused(const struct serve *s)
{
	return s->pausing && !s->writes && piece_is_sure(s->pieces);
}

/* The cache is flushed first: later flushes are the successor's (P 9). */
static void pause_turn(struct serve *s)
{
	if (!is_paused(s) || s->successor.active || !is_flushed(s))
		return;
	piece_hold(s->pieces, true);
	successor_begin(&s->successor, s->snapshot_tag);
}

static void tell_identity(struct serve *s)
{
	const struct msg_identity identity = {.cluster_ctime = s->vdi.cluster_ctime,
	    .create_time = s->vdi.create_time,
	    .vid = s->vdi.vid};

	s->calls->identified(s->arg, &identity);
}

static void on_snapshot_answer(void *arg, int error, const char *sentence)
{
	struct serve *s = arg;

	s->pausing = false;
	if (alive(s))
		s->calls->snapshotted(s->arg, s->snapshot_number, error, sentence);
}

/* The pause is over: writes go on, in their order. */
static void on_succeeded(void *arg)
{
	struct serve *s = arg;
	struct request *q;

	if (!alive(s))
		return;
	piece_hold(s->pieces, false);
	while ((q = STAILQ_FIRST(&s->held))) {
		STAILQ_REMOVE_HEAD(&s->held, next);
		request_begin(s, q);
	}
	admission_open(&s->admission, true);
	turn(s);
}

/* Of one that waits to begin. */
static void snapshot_give_up(struct serve *s, int error, const char *sentence)
{
	if (!s->pausing || s->successor.active)
		return;
	on_snapshot_answer(s, error, sentence);
	on_succeeded(s);
}

void serve_snapshot(struct serve *s, uint64_t number, const char *tag)
{
	if (s->state == OVER)
		return;
	if (s->state != SERVING || s->draining || s->pausing || s->vdi.snapshot) {
		s->calls->snapshotted(s->arg, number, s->vdi.snapshot ? -EROFS : -EBUSY,
		    s->vdi.snapshot ? "a snapshot of a snapshot is not possible; clone it"
				    : "the volume is just being attached, detached or snapshotted; "
				      "nothing was changed, try again");
		return;
	}
	s->pausing = true;
	s->snapshot_number = number;
	memcpy(s->snapshot_tag, tag, sizeof s->snapshot_tag);
	admission_open(&s->admission, false);
	turn(s);
}

/* ---- a deletion ---- */

static bool is_deleting(const struct serve *s)
{
	return s->deletion && s->deletion->active;
}

static void on_progressed(void *arg)
{
	struct serve *s = arg;

	if (s->state == SERVING)
		s->calls->progressed(s->arg);
}

static void on_deleted(void *arg, int error, const char *sentence)
{
	struct serve *s = arg;

	if (s->state != SERVING)
		return;
	s->calls->deleted(s->arg, s->deletion_number, error, sentence);
	turn(s);
}

static void on_deletion_stopped(void *arg)
{
	turn(arg);
}

static void on_failed(void *arg, enum exit_word word, const char *why);

static const struct deletion_calls deletion_calls = {
    on_progressed, on_deleted, on_deletion_stopped, on_failed};

void serve_delete(struct serve *s, uint64_t number)
{
	if (s->state != SERVING || s->draining)
		return; /* the next generation is told again, or nobody is */
	s->deletion_number = number;
	s->deletion->died = s->died;
	deletion_begin(s->deletion);
}

/* ---- the turn ---- */

/* Does all that has become possible. */
static void turn(struct serve *s)
{
	if (s->turning)
		return;
	s->turning = true;
	do {
		if (s->state != SERVING || s->deletion)
			break;
		if (!s->handing_over)
			piece_turn(s->pieces);
		inode_turn(s->inode);
		pause_turn(s);
	} while (answer_next(s));
	s->turning = false;
	if (s->state != SERVING || !s->draining)
		return;
	/* the lock stays: another one goes on, or what is not settled may still be written */
	if (s->handing_over || !s->settled) {
		if (!s->daemon->in_flight)
			depart(s);
	} else if (queue_is_empty(&s->queue) && !s->pausing && !is_deleting(s) && is_flushed(s)) {
		leave(s);
	}
}

static bool request_fits(struct serve *s, const struct record_request *r)
{
	char why[128];

	if (s->state != SERVING && !s->draining)
		end(s, EXIT_BAD_MESSAGE, "the front sent a request before the volume was ready");
	else if (queue_refuses(&s->queue, r, why, sizeof why))
		end(s, EXIT_BAD_MESSAGE, "%s", why);
	return s->state != OVER;
}

static void request_begin(struct serve *s, struct request *q)
{
	const struct record_request *r = &q->r;
	bool beyond = r->length > s->vdi.size || r->offset > s->vdi.size - r->length;

	if (r->op == REQUEST_WRITE) {
		s->writes++;
		s->dirty = true;
	}
	if (r->op == REQUEST_WRITE && s->vdi.snapshot)
		request_done(s, q, -EROFS);
	else if (beyond)
		request_done(s, q, r->op == REQUEST_READ ? -EINVAL : -ENOSPC);
	else
		request_cut(s, q);
}

void serve_request(struct serve *s, const struct record_request *r)
{
	struct request *q;

	if (s->state == OVER || !request_fits(s, r))
		return;
	if (s->handing_over)
		return; /* the next generation is given it again */
	if (s->draining) {
		s->calls->answer(s->arg, r->id, -ESHUTDOWN);
		return;
	}
	q = queue_accept(&s->queue, r);
	if (r->op == REQUEST_WRITE && s->pausing)
		STAILQ_INSERT_TAIL(&s->held, q, next);
	else if (r->op != REQUEST_FLUSH)
		request_begin(s, q);
	turn(s);
}

/* ---- begin() ---- */

void serve_connected(struct serve *s, unsigned connection)
{
	admission_add(&s->admission, connection);
}

static void on_loaded(void *arg, int error, bool elsewhere, const char *sentence)
{
	struct serve *s = arg;
	struct msg_ready ready = {.read_only = s->vdi.snapshot};
	char size[FORMAT_SIZE_MAX], object[FORMAT_SIZE_MAX];
	const char *locks = "";

	if (s->state != BEGINNING)
		return;
	if (error) {
		refuse(s, error, elsewhere, sentence);
		return;
	}
	s->state = SERVING;
	ready.size = s->vdi.size;
	ready.allocated = inode_allocated(s->inode);
	ready.vid = s->vdi.vid;
	ready.shift = s->vdi.shift;
	tell_identity(s);
	if (!s->vdi.snapshot && !s->vdi.locks_enforced)
		locks =
		    s->vdi.cluster_told
			? "; the cluster does not enforce locks: nothing keeps others from writing"
			: "; whether the cluster enforces locks is not known";
	snprintf(s->sentence, sizeof s->sentence,
	    "volume %s is attached%s: %s in objects of %s, vid %x%s", s->vdi.shown,
	    s->vdi.snapshot ? " read-only" : "", format_size(s->vdi.size, size),
	    format_size(UINT64_C(1) << s->vdi.shift, object), s->vdi.vid, locks);
	s->calls->ready(s->arg, &ready, s->sentence);
	turn(s);
}

/* Nobody has asked for its size. */
static void ready_to_delete(struct serve *s)
{
	const struct msg_ready ready = {
	    .vid = s->vdi.vid, .shift = OBJECT_SHIFT_MIN, .read_only = s->vdi.snapshot};

	s->state = SERVING;
	tell_identity(s);
	snprintf(s->sentence, sizeof s->sentence, "volume %s is vid %x", s->vdi.shown, s->vdi.vid);
	s->calls->ready(s->arg, &ready, s->sentence);
	turn(s);
}

static void on_confirmed(void *arg, struct inode_write *w)
{
	struct serve *s = arg;

	piece_confirmed(s->pieces, w);
}

static void on_moved(void *arg)
{
	turn(arg);
}

static void on_failed(void *arg, enum exit_word word, const char *why)
{
	end(arg, word, "%s", why);
}

static void on_admission_failed(void *arg, enum exit_word word, const char *why)
{
	struct serve *s = arg;

	if (alive(s))
		end(s, word, "%s", why);
}

/* ---- a daemon that ends no I/O ---- */

static void on_compare_wanted(void *arg, bool again)
{
	struct serve *s = arg;

	s->calls->stalled(s->arg, again);
}

static void on_compared(void *arg)
{
	struct serve *s = arg;

	s->calls->compared(s->arg);
}

static void on_better(void *arg)
{
	end(arg, EXIT_DAEMON_STALLED, "the daemon ends no I/O, and another one reads the volume");
}

/* Not one that leaves. */
static bool may_compare(const struct serve *s)
{
	return s->state == SERVING && !s->draining;
}

void serve_stalled(struct serve *s)
{
	if (may_compare(s))
		compare_begin(&s->compare);
}

bool serve_wants_comparison(const struct serve *s)
{
	return may_compare(s) && compare_is_wanted(&s->compare);
}

void serve_compare(struct serve *s, struct daemon *other)
{
	compare_with(&s->compare, other);
}

void serve_compare_lost(struct serve *s, const char *why)
{
	compare_lost(&s->compare, why);
}

static const struct inode_calls inode_calls = {on_loaded, on_confirmed, on_moved, on_failed};

static void on_done(void *arg, void *request, int error)
{
	request_done(arg, request, error);
}

static void on_rests(void *arg)
{
	struct serve *s = arg;

	s->calls->later(s->arg);
}

void serve_try_again(struct serve *s)
{
	if (s->state != SERVING || s->handing_over || !s->pieces)
		return;
	piece_try_again(s->pieces);
	turn(s);
}

static const struct piece_calls piece_calls = {on_done, on_moved, on_failed, on_rests};

static void on_locked(void *arg, uint32_t vid)
{
	struct serve *s = arg;

	if (s->state != OVER)
		s->calls->locked(s->arg, vid);
}

static void on_adopted(void *arg)
{
	struct serve *s = arg;

	if (s->state != OVER)
		tell_identity(s);
}

/* All memory that requests will need. */
static bool allocate(struct serve *s)
{
	s->inode = inode_open(&s->vdi, piece_writes(&s->vdi, s->slots), s->daemon, &inode_calls, s);
	s->pieces =
	    piece_open(&s->vdi, s->inode, s->slots, s->object_cache, s->daemon, &piece_calls, s);
	s->successor = (struct successor){.vdi = &s->vdi,
	    .inode = s->inode,
	    .daemon = s->daemon,
	    .answer = on_snapshot_answer,
	    .adopted = on_adopted,
	    .locked = on_locked,
	    .done = on_succeeded,
	    .failed = on_failed,
	    .arg = s};
	return s->inode && s->pieces && (!s->rewrite || piece_rewrite(s->pieces));
}

static void on_opened(void *arg, int error, bool elsewhere, const char *sentence)
{
	struct serve *s = arg;

	if (s->state != BEGINNING)
		return;
	if (s->handing_over) {
		depart(s);
	} else if (s->draining) {
		leave(s);
	} else if (error) {
		refuse(s, error, elsewhere, sentence);
	} else if (s->deletion) {
		ready_to_delete(s);
	} else if (!allocate(s)) {
		refuse(s, -ENOMEM, false, "there is no memory for the volume's requests and index");
	} else {
		if (!s->settled)
			piece_unsettled(s->pieces);
		else if (s->died)
			piece_settled(s->pieces, true);
		inode_load(s->inode);
		admission_open(&s->admission, true);
	}
}

static const struct vdi_calls vdi_calls = {on_opened, on_locked};

void serve_lock_is_lost(struct serve *s)
{
	s->vdi.was.lock = 0;
	s->calls->locked(s->arg, 0);
}

bool serve_lock_is_assumed(const struct serve *s)
{
	return s->vdi.lock_is_assumed;
}

void serve_rewrite(struct serve *s)
{
	s->rewrite = true;
}

void serve_begin(struct serve *s, bool settled, bool died)
{
	s->settled = settled;
	s->died = died;
	vdi_begin(&s->vdi);
}

void serve_settled(struct serve *s, bool died)
{
	if (s->state == OVER || s->settled)
		return;
	s->settled = true;
	s->died = died;
	if (!s->pieces)
		return;
	piece_settled(s->pieces, died);
	turn(s);
}

void serve_drain(struct serve *s)
{
	if (s->draining || s->state == OVER || s->state == RELEASING)
		return;
	s->draining = true;
	admission_open(&s->admission, false);
	if (s->deletion)
		deletion_stop(s->deletion);
	if (s->state == SERVING)
		turn(s);
	else if (!vdi_abandon(&s->vdi))
		leave(s);
}

void serve_hand_over(struct serve *s)
{
	if (s->draining || s->state == OVER || s->state == RELEASING)
		return;
	s->draining = s->handing_over = true;
	admission_open(&s->admission, false);
	if (s->deletion)
		deletion_stop(s->deletion);
	if (s->state == SERVING)
		turn(s);
	else if (!vdi_abandon(&s->vdi))
		depart(s);
}

uint64_t serve_allocated(const struct serve *s)
{
	return s->inode ? inode_allocated(s->inode) : 0;
}

struct serve *serve_open(const struct serve_volume *volume, struct daemon *daemon,
    const struct arena *out, const struct arena *in, const struct serve_calls *calls, void *arg)
{
	struct serve *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	if (!volume->slots || volume->slots > SLOTS_PER_VOLUME)
		bug("a volume with %u slots", volume->slots);
	s->daemon = daemon;
	s->out = out;
	s->in = in;
	s->calls = calls;
	s->arg = arg;
	s->slots = volume->slots;
	s->object_cache = volume->object_cache;
	STAILQ_INIT(&s->held);
	s->admission = (struct admission){
	    .vdi = &s->vdi, .daemon = daemon, .failed = on_admission_failed, .arg = s};
	s->compare = (struct compare){.vdi = &s->vdi,
	    .wanted = on_compare_wanted,
	    .compared = on_compared,
	    .better = on_better,
	    .arg = s};
	if (volume->purpose != PURPOSE_ATTACH)
		s->deletion = calloc(1, sizeof *s->deletion);
	if (!vdi_init(&s->vdi, volume->name, volume->tag, volume->snap_id, volume->was, daemon,
		&vdi_calls, s) ||
	    !queue_open(&s->queue, s->slots) ||
	    (volume->purpose != PURPOSE_ATTACH && !s->deletion)) {
		serve_close(s);
		return NULL;
	}
	s->vdi.purpose = volume->purpose;
	if (s->deletion) {
		s->deletion->vdi = &s->vdi;
		s->deletion->daemon = daemon;
		s->deletion->calls = &deletion_calls;
		s->deletion->arg = s;
	}
	return s;
}

void serve_close(struct serve *s)
{
	if (!s)
		return;
	piece_close(s->pieces);
	inode_close(s->inode);
	queue_close(&s->queue);
	vdi_end(&s->vdi);
	free(s->deletion);
	free(s);
}
