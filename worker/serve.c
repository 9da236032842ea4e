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
#include "worker/piece.h"
#include "worker/tables.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SIZE 512U
#define CONNECTIONS_MAX 64

enum state {
	BEGINNING,
	SERVING,
	RELEASING, /* the lock's release is in flight; refused() or drained() follows */
	OVER,
};

struct request {
	TAILQ_ENTRY(request) accepted;
	STAILQ_ENTRY(request) next; /* of the finished ones, or of the free ones */
	LIST_ENTRY(request) link;
	struct record_request r;
	unsigned left; /* pieces not done */
	int error;
};

struct serve {
	enum state state;
	bool draining, turning;
	struct daemon *daemon;
	const struct arena *out, *in;
	const struct serve_calls *calls;
	void *arg;
	unsigned slots;
	struct vdi vdi;
	struct inode *inode;
	struct pieces *pieces;
	/* requests */
	struct request *requests;
	unsigned nr_requests, untouched_requests, flushes;
	STAILQ_HEAD(, request) free_requests, finished;
	TAILQ_HEAD(, request) accepted; /* unanswered, as they came */
	LIST_HEAD(, request) ids[HASH_SIZE];
	bool slot_used[2][SLOTS_PER_VOLUME]; /* of `out` (0) and of `in` (1) */
	/* identity */
	uint64_t unproved; /* connections, a bit each */
	bool proving;
	struct vdi_proof proof;
	/* the end */
	struct call release;
	int refusal; /* -errno, told when the lock is released */
	bool elsewhere;
	char sentence[SENTENCE_MAX];
};

static void turn(struct serve *s);

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

static void refuse(struct serve *s, int error, bool elsewhere, const char *sentence)
{
	s->refusal = error;
	s->elsewhere = elsewhere;
	snprintf(s->sentence, sizeof s->sentence, "%s", sentence);
	leave(s);
}

/* ---- requests ---- */

static struct request *request_find(struct serve *s, uint64_t id)
{
	struct request *q;

	for (q = LIST_FIRST(&s->ids[id % HASH_SIZE]); q && q->r.id != id;)
		q = LIST_NEXT(q, link);
	return q;
}

/* One piece is done, or all have been made (which counts as one). */
static void request_done(struct serve *s, struct request *q, int error)
{
	if (error && !q->error)
		q->error = error;
	if (--q->left == 0)
		STAILQ_INSERT_TAIL(&s->finished, q, next);
}

/* Answers the next one.  A flush is due when nothing unanswered came before it (rule 10). */
static bool answer_next(struct serve *s)
{
	struct request *q = STAILQ_FIRST(&s->finished);
	uint64_t id;
	int error;

	if (q) {
		STAILQ_REMOVE_HEAD(&s->finished, next);
	} else {
		q = TAILQ_FIRST(&s->accepted);
		if (!q || q->r.op != REQUEST_FLUSH)
			return false;
	}
	if (q->r.op == REQUEST_FLUSH)
		s->flushes--;
	else
		s->slot_used[q->r.op == REQUEST_READ][q->r.slot] = false;
	id = q->r.id;
	error = q->error;
	TAILQ_REMOVE(&s->accepted, q, accepted);
	LIST_REMOVE(q, link);
	STAILQ_INSERT_HEAD(&s->free_requests, q, next);
	s->calls->answer(s->arg, id, error);
	return true;
}

static struct request *request_make(struct serve *s, const struct record_request *r)
{
	struct request *q = STAILQ_FIRST(&s->free_requests);

	if (q)
		STAILQ_REMOVE_HEAD(&s->free_requests, next);
	else if (s->untouched_requests < s->nr_requests)
		q = &s->requests[s->untouched_requests++];
	else
		bug("more than %u requests are unanswered", s->nr_requests);
	q->r = *r;
	q->left = 1;
	q->error = 0;
	TAILQ_INSERT_TAIL(&s->accepted, q, accepted);
	LIST_INSERT_HEAD(&s->ids[r->id % HASH_SIZE], q, link);
	return q;
}

static void request_cut(struct serve *s, struct request *q)
{
	bool write = q->r.op == REQUEST_WRITE;
	uint8_t *slot = arena_slot(write ? s->out : s->in, q->r.slot);
	uint64_t object_size = UINT64_C(1) << s->vdi.shift;
	uint64_t at = q->r.offset, to = at + q->r.length;

	while (at < to) {
		uint64_t first = at & (object_size - 1);
		uint64_t size = to - at < object_size - first ? to - at : object_size - first;

		q->left += piece_add(
		    s->pieces, q, write, (uint32_t)(at >> s->vdi.shift), first, size, slot);
		at += size;
		slot += size;
	}
	request_done(s, q, 0);
}

/* ---- the turn ---- */

/* Does all that has become possible. */
static void turn(struct serve *s)
{
	if (s->turning)
		return;
	s->turning = true;
	do {
		if (s->state != SERVING)
			break;
		piece_turn(s->pieces);
		inode_turn(s->inode);
	} while (answer_next(s));
	s->turning = false;
	if (s->state == SERVING && s->draining && TAILQ_EMPTY(&s->accepted))
		leave(s);
}

static bool request_fits(struct serve *s, const struct record_request *r)
{
	if (s->state != SERVING && !s->draining)
		end(s, EXIT_BAD_MESSAGE, "the front sent a request before the volume was ready");
	else if (request_find(s, r->id))
		end(s, EXIT_BAD_MESSAGE, "the front sent request %llu twice",
		    (unsigned long long)r->id);
	else if (r->op == REQUEST_FLUSH && s->flushes == SERVE_FLUSHES_MAX)
		end(s, EXIT_BAD_MESSAGE, "the front sent more than %d flushes at a time",
		    SERVE_FLUSHES_MAX);
	else if (r->op != REQUEST_FLUSH && r->slot >= s->slots)
		end(s, EXIT_BAD_MESSAGE, "the front named slot %u of %u", r->slot, s->slots);
	else if (r->op != REQUEST_FLUSH && s->slot_used[r->op == REQUEST_READ][r->slot])
		end(s, EXIT_BAD_MESSAGE, "the front used slot %u twice", r->slot);
	return s->state != OVER;
}

void serve_request(struct serve *s, const struct record_request *r)
{
	struct request *q;
	bool beyond = r->length > s->vdi.size || r->offset > s->vdi.size - r->length;

	if (s->state == OVER || !request_fits(s, r))
		return;
	if (s->draining) {
		s->calls->answer(s->arg, r->id, -ESHUTDOWN);
		return;
	}
	q = request_make(s, r);
	if (r->op == REQUEST_FLUSH) {
		s->flushes++;
		turn(s);
		return;
	}
	s->slot_used[r->op == REQUEST_READ][r->slot] = true;
	if (r->op == REQUEST_WRITE && s->vdi.snapshot)
		request_done(s, q, -EROFS);
	else if (beyond)
		request_done(s, q, r->op == REQUEST_READ ? -EINVAL : -ENOSPC);
	else
		request_cut(s, q);
	turn(s);
}

/* ---- begin() ---- */

static void prove_next(struct serve *s);

/* One that leads astray ends all: whoever misled one connection may have misled the others. */
static void on_proof(struct vdi_proof *proof)
{
	struct serve *s = proof->owner;

	s->proving = false;
	if (!alive(s))
		return;
	if (proof->verdict == VDI_OTHER) {
		end(s, proof->word, "%s", proof->why);
		return;
	}
	if (proof->verdict == VDI_SAME)
		daemon_admit(s->daemon, proof->connection);
	else
		log_warning("volume %s: connection %u to the daemon stays unused: %s", s->vdi.shown,
		    proof->connection, proof->why);
	prove_next(s);
}

/* Proves where the next new connection leads, once it is known where it should. */
static void prove_next(struct serve *s)
{
	if (!s->inode || s->proving || !s->unproved || !alive(s))
		return;
	s->proving = true;
	s->proof.connection = (unsigned)__builtin_ctzll(s->unproved);
	s->unproved &= s->unproved - 1;
	s->proof.vdi = &s->vdi;
	s->proof.lane = LANE_NEW;
	s->proof.by_name = false;
	s->proof.done = on_proof;
	s->proof.owner = s;
	vdi_prove(&s->proof);
}

void serve_connected(struct serve *s, unsigned connection)
{
	if (!connection || connection >= CONNECTIONS_MAX)
		bug("connection %u of %d", connection, CONNECTIONS_MAX - 1);
	s->unproved |= UINT64_C(1) << connection;
	prove_next(s);
}

static void on_loaded(void *arg, int error, bool elsewhere, const char *sentence)
{
	struct serve *s = arg;
	struct msg_ready ready = {.read_only = s->vdi.snapshot};
	char size[TABLES_SIZE_MAX], object[TABLES_SIZE_MAX];
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
	if (!s->vdi.snapshot && !s->vdi.locks_enforced)
		locks =
		    s->vdi.cluster_told
			? "; the cluster does not enforce locks: nothing keeps others from writing"
			: "; whether the cluster enforces locks is not known";
	snprintf(s->sentence, sizeof s->sentence,
	    "volume %s is attached%s: %s in objects of %s, vid %x%s", s->vdi.shown,
	    s->vdi.snapshot ? " read-only" : "", tables_size(s->vdi.size, size),
	    tables_size(UINT64_C(1) << s->vdi.shift, object), s->vdi.vid, locks);
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

static const struct inode_calls inode_calls = {on_loaded, on_confirmed, on_moved, on_failed};

static void on_done(void *arg, void *request, int error)
{
	request_done(arg, request, error);
}

static const struct piece_calls piece_calls = {on_done, on_moved, on_failed};

/* All memory that requests will need. */
static bool allocate(struct serve *s)
{
	s->nr_requests = 2 * s->slots + SERVE_FLUSHES_MAX;
	s->requests = calloc(s->nr_requests, sizeof *s->requests);
	s->inode = inode_open(&s->vdi, piece_writes(&s->vdi, s->slots), s->daemon, &inode_calls, s);
	s->pieces = piece_open(&s->vdi, s->inode, s->slots, s->daemon, &piece_calls, s);
	return s->requests && s->inode && s->pieces;
}

static void on_opened(void *arg, int error, bool elsewhere, const char *sentence)
{
	struct serve *s = arg;

	if (s->state != BEGINNING)
		return;
	if (s->draining) {
		leave(s);
	} else if (error) {
		refuse(s, error, elsewhere, sentence);
	} else if (!allocate(s)) {
		refuse(s, -ENOMEM, false, "there is no memory for the volume's requests and index");
	} else {
		inode_load(s->inode);
		prove_next(s);
	}
}

static void on_locked(void *arg, uint32_t vid)
{
	struct serve *s = arg;

	if (s->state != OVER)
		s->calls->locked(s->arg, vid);
}

static const struct vdi_calls vdi_calls = {on_opened, on_locked};

void serve_begin(struct serve *s)
{
	vdi_begin(&s->vdi);
}

void serve_drain(struct serve *s)
{
	if (s->draining || s->state == OVER || s->state == RELEASING)
		return;
	s->draining = true;
	if (s->state == SERVING)
		turn(s);
	else if (!vdi_abandon(&s->vdi))
		leave(s);
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
	STAILQ_INIT(&s->free_requests);
	STAILQ_INIT(&s->finished);
	TAILQ_INIT(&s->accepted);
	vdi_init(&s->vdi, volume->name, volume->tag, volume->snap_id, daemon, &vdi_calls, s);
	return s;
}

void serve_close(struct serve *s)
{
	if (!s)
		return;
	piece_close(s->pieces);
	inode_close(s->inode);
	free(s->requests);
	free(s);
}
