/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes: see volume.h.
 *
 * Requests: the session reads each into a free slot (volume_place), it enters the table and a
 * batch, the batch goes to the worker when the device's turn is over; without a slot it waits.
 * Without a worker requests gather in the table, and the next generation is given them.
 * Answers: small ones go to the kernel at once; what is beyond TURN_BYTES of payload waits for the
 * next turns of the loop, so that one volume's large reads do not hold up another's small ones.
 */
#include "front/volume.h"

#include "front/file.h"
#include "front/orders.h"
#include "ipc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TURN_BYTES (128 * 1024)
#define IDLE_SECONDS 10
#define EXPIRY_TICK 250  /* milliseconds between two looks at who has waited too long */
#define DEATHS_SUSPECT 2 /* of workers that a request was given to */
#define DEATHS_MAX 3     /* then it is answered EIO */

/* ---- towards the worker ---- */

static void send_batch(struct volume *v)
{
	static const struct msg_requests payload;

	if (v->nr_batch && v->worker)
		send_requests(v->worker, v->number, v->generation, &payload, v->batch,
		    v->nr_batch * sizeof v->batch[0], NULL);
	v->nr_batch = 0;
}

static uint32_t again_of(const struct request *r)
{
	if (r->condemned)
		return REQUEST_HOLDS;
	return r->generation ? REQUEST_AGAIN : REQUEST_NEW;
}

/* Puts a request that is in the table into the batch. */
static void give(struct volume *v, struct request *r)
{
	v->batch[v->nr_batch++] = (struct record_request){.id = r->id,
	    .offset = r->offset,
	    .length = r->length,
	    .slot = r->slot,
	    .op = r->op,
	    .again = again_of(r)};
	r->generation = v->generation;
	if (v->nr_batch == BATCH_MAX)
		send_batch(v);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Enters a request into the table; there is a slot. */
static void enter(struct volume *v, uint64_t unique, uint64_t since, uint32_t op, uint64_t offset,
    uint32_t length)
{
	struct request *r = request_begin(&v->table, unique, op, offset, length);

	r->since = since;
	v->front->latest = v;
	if (v->worker && !v->singly)
		give(v, r);
}

static bool is_suspect(const struct request *r)
{
	return r->deaths >= DEATHS_SUSPECT && !r->condemned;
}

/* Gives the worker what it was not given yet.  While one is suspected to have killed workers, the
 * oldest alone: then the next death tells which it is. */
static void give_all(struct volume *v)
{
	struct request *list[SLOTS_PER_VOLUME];
	unsigned n = request_unanswered(&v->table, list);
	bool given_alone = false;

	if (!v->worker)
		return;
	v->singly = false;
	for (unsigned i = 0; i < n; i++)
		v->singly = v->singly || is_suspect(list[i]);
	for (unsigned i = 0; i < n && !given_alone; i++) {
		given_alone = v->singly && !list[i]->condemned;
		if (list[i]->generation != v->generation)
			give(v, list[i]);
	}
	send_batch(v);
}

/* ---- towards the kernel ---- */

static void reply(struct volume *v, struct request *r)
{
	struct fuse_write_out written = {.size = r->length};

	v->turn_bytes += r->length;
	if (!v->session || r->told)
		; /* unmounted meanwhile, or told an error: nobody waits any more */
	else if (r->op == REQUEST_READ)
		session_reply(
		    v->session, r->unique, r->error, arena_slot(&v->in, r->slot), r->length);
	else if (r->op == REQUEST_WRITE)
		session_reply(v->session, r->unique, r->error, &written, sizeof written);
	else
		session_reply(v->session, r->unique, r->error, NULL, 0);
	request_end(&v->table, r);
}

/* Slots are free: first for those who wait, then for what the device has. */
static void resume(struct volume *v)
{
	struct waiting *w;
	int slot;

	while ((slot = request_next_slot(&v->table)) >= 0 && (w = waiting_take(&v->waiting))) {
		if (w->op == REQUEST_WRITE)
			memcpy(arena_slot(&v->out, (unsigned)slot), w->payload, w->length);
		enter(v, w->unique, w->since, w->op, w->offset, w->length);
		free(w);
	}
	send_batch(v);
	if (v->session)
		session_resume(v->session);
}

/* Replies as far as the turn allows, and asks for another turn. */
static void reply_some(struct volume *v)
{
	static const struct timeval at_once = {0, 0};
	struct request *r;

	while (v->turn_bytes < TURN_BYTES && (r = STAILQ_FIRST(&v->replies))) {
		STAILQ_REMOVE_HEAD(&v->replies, next);
		reply(v, r);
	}
	if (!STAILQ_EMPTY(&v->replies))
		event_add(v->reply_turn, &at_once);
	resume(v);
}

static void on_reply_turn(evutil_socket_t fd, short what, void *arg)
{
	struct volume *v = arg;

	(void)fd;
	(void)what;
	v->turn_bytes = 0;
	reply_some(v);
}

/* ---- the worker ---- */

static void drop_worker(struct volume *v)
{
	chan_close(v->worker);
	v->worker = NULL;
	v->nr_batch = 0;
}

/* Its callers wait for the next one. */
static void misbehaved(struct volume *v, const char *why)
{
	log_debug("volume %s: its worker is given up: %s", v->name, why);
	drop_worker(v);
	orders_worker_misbehaved(v->front, v, why);
}

static void on_worker_message(struct chan *c, struct msg *m, void *arg)
{
	struct volume *v = arg;

	(void)c;
	if (m->volume != v->number || m->generation != v->generation) {
		misbehaved(v, "it answered for another volume or generation");
		return;
	}
	for (unsigned i = 0; i < m->records; i++) {
		struct record_answer answer;
		struct request *r;

		msg_record(m, i, &answer);
		r = request_find(&v->table, answer.id, m->generation);
		if (!r) {
			misbehaved(v, "it answered what it was not asked");
			return;
		}
		r->answered = true;
		r->error = session_errno(answer.error);
		STAILQ_INSERT_TAIL(&v->replies, r, next);
	}
	v->face.allocated = m->body.answers.allocated;
	reply_some(v);
	if (v->singly)
		give_all(v);
}

static void on_worker_ended(struct chan *c, int error, const char *why, void *arg)
{
	struct volume *v = arg;

	(void)c;
	if (v->ended)
		drop_worker(v); /* it is being detached */
	else
		misbehaved(v, error ? why : "it closed its data socket");
}

static void on_worker_idle(struct chan *c, void *arg)
{
	struct volume *v = arg;

	(void)c;
	if (STAILQ_EMPTY(&v->replies))
		v->turn_bytes = 0; /* else the next turn of replies does it */
}

static const struct chan_calls worker_calls = {on_worker_message, on_worker_ended, on_worker_idle};

/* ---- requests of the kernel ---- */

/* A slot; else the scratch, from where a write is copied to wait. */
static bool volume_place(struct session_place *place, void *arg)
{
	struct volume *v = arg;
	int slot = request_next_slot(&v->table);

	if (slot < 0)
		return !waiting_full(&v->waiting);
	place->bytes = arena_slot(&v->out, (unsigned)slot);
	place->present = &v->present[slot];
	return true;
}

static void note_activity(struct volume *v)
{
	static const struct timeval later = {IDLE_SECONDS, 0};

	v->active = true;
	if (!event_pending(v->idle, EV_TIMEOUT, NULL))
		event_add(v->idle, &later);
}

/* The pages that writes have touched go back to the system when nothing happens for a while. */
static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct volume *v = arg;
	bool active = v->active;

	(void)fd;
	(void)what;
	if (!v->out.base)
		return;
	v->active = false;
	if (active || request_in_flight(&v->table))
		event_add(v->idle, &(struct timeval){IDLE_SECONDS, 0});
	else if (arena_give_back(&v->out))
		log_debug("volume %s: its pages cannot be given back", v->name);
	else
		memset(v->present, 0, sizeof v->present);
}

/* ---- callers that wait for a limited time ---- */

/* Its caller gets an error; it keeps its slot until it is known to be done (rule 4). */
static void tell(struct volume *v, struct request *r, int error)
{
	if (v->session && !r->told)
		session_reply(v->session, r->unique, error, NULL, 0);
	r->told = true;
}

/* Every slot belongs to one of which nothing is known: nobody may hang on that. */
static bool all_are_told(struct volume *v)
{
	for (unsigned i = 0; i < v->table.slots; i++)
		if (!v->table.requests[i].id || !v->table.requests[i].told)
			return false;
	return v->table.slots != 0;
}

static void expire_later(struct volume *v)
{
	static const struct timeval interval = {0, EXPIRY_TICK * 1000};

	if (v->front->io_timeout && !event_pending(v->expiry, EV_TIMEOUT, NULL))
		event_add(v->expiry, &interval);
}

static unsigned expire_requests(struct volume *v, uint64_t before)
{
	struct request *list[SLOTS_PER_VOLUME];
	unsigned n = request_unanswered(&v->table, list), told = 0;

	for (unsigned i = 0; i < n; i++) {
		if (list[i]->told || list[i]->since > before)
			continue;
		tell(v, list[i], -EIO);
		told++;
	}
	return told;
}

static unsigned expire_waiting(struct volume *v, uint64_t before)
{
	const struct waiting *first;
	unsigned told = 0;

	while (
	    (first = waiting_first(&v->waiting)) && (first->since <= before || all_are_told(v))) {
		struct waiting *w = waiting_take(&v->waiting);

		if (v->session)
			session_reply(v->session, w->unique, -EIO, NULL, 0);
		free(w);
		told++;
	}
	return told;
}

static void on_expiry(evutil_socket_t fd, short what, void *arg)
{
	struct volume *v = arg;
	uint64_t limit = (uint64_t)v->front->io_timeout * 1000, told;

	(void)fd;
	(void)what;
	if (!limit || !v->session || now() < limit)
		return;
	told = expire_requests(v, now() - limit);
	told += expire_waiting(v, now() - limit);
	if (told)
		log_warning(
		    "volume %s: %u requests were not done within %u s (config/io_timeout); their "
		    "callers get EIO",
		    v->name, (unsigned)told, v->front->io_timeout);
	/* who waits in the kernel, since there was no place for him, is to be told as well */
	if (v->session && !waiting_full(&v->waiting))
		session_resume(v->session);
	if (request_in_flight(&v->table) || waiting_first(&v->waiting))
		expire_later(v);
}

void volume_set_io_timeout(struct front *f, unsigned seconds)
{
	struct volume *v;

	f->io_timeout = seconds;
	TAILQ_FOREACH (v, &f->volumes, link)
		if (request_in_flight(&v->table) || waiting_first(&v->waiting))
			expire_later(v);
}

/* ---- requests ---- */

static void submit(struct volume *v, uint64_t unique, uint32_t op, uint64_t offset, uint32_t length)
{
	const uint8_t *payload = op == REQUEST_WRITE ? v->front->scratch + KERNEL_HEAD_SIZE : NULL;

	if (v->error) {
		session_reply(v->session, unique, v->error, NULL, 0);
		return;
	}
	if (request_next_slot(&v->table) >= 0)
		enter(v, unique, now(), op, offset, length);
	else if (all_are_told(v))
		session_reply(v->session, unique, -EIO, NULL, 0);
	else if (waiting_add(&v->waiting, unique, now(), op, offset, length, payload))
		session_reply(v->session, unique, -ENOMEM, NULL, 0);
	if (!v->active)
		note_activity(v);
	expire_later(v);
}

/* Reading ends at the end of the volume. */
static void take_read(struct volume *v, uint64_t unique, const void *body)
{
	struct fuse_read_in in;

	memcpy(&in, body, sizeof in);
	if (in.offset >= v->face.size || !in.size) {
		session_reply(v->session, unique, 0, NULL, 0);
		return;
	}
	if (in.size > v->face.size - in.offset)
		in.size = (uint32_t)(v->face.size - in.offset);
	submit(v, unique, REQUEST_READ, in.offset, in.size);
}

/* So does writing, as on a block device: what does not fit at all is ENOSPC. */
static void take_write(struct volume *v, uint64_t unique, const void *body)
{
	struct fuse_write_out written = {0};
	struct fuse_write_in in;

	memcpy(&in, body, sizeof in);
	if (v->face.read_only) {
		session_reply(v->session, unique, -EROFS, NULL, 0);
	} else if (!in.size) {
		session_reply(v->session, unique, 0, &written, sizeof written);
	} else if (in.offset >= v->face.size) {
		session_reply(v->session, unique, -ENOSPC, NULL, 0);
	} else {
		if (in.size > v->face.size - in.offset)
			in.size = (uint32_t)(v->face.size - in.offset);
		submit(v, unique, REQUEST_WRITE, in.offset, in.size);
	}
}

static bool volume_request(const struct fuse_in_header *in, const void *body, void *arg)
{
	struct volume *v = arg;

	switch (in->opcode) {
	case FUSE_READ:
		take_read(v, in->unique, body);
		return true;
	case FUSE_WRITE:
		take_write(v, in->unique, body);
		return true;
	case FUSE_FSYNC:
		submit(v, in->unique, REQUEST_FLUSH, 0, 0);
		return true;
	case FUSE_INTERRUPT: /* what a worker has seen is not cancelled */
		return true;
	default:
		return false;
	}
}

static void volume_turn_ended(void *arg)
{
	send_batch(arg);
}

static void volume_init_received(const void *request, size_t size, bool resend, void *arg)
{
	struct volume *v = arg;

	orders_init_received(v->front, v, request, size, resend);
}

static void volume_init_answered(void *arg)
{
	struct volume *v = arg;

	v->listed = true;
}

/* umount(2) or abort.  The worker finishes what it has; the master says when to forget it. */
static void volume_ended(void *arg)
{
	struct volume *v = arg;

	session_close(v->session);
	v->session = NULL;
	v->ended = true;
	v->listed = false;
	send_batch(v);
	orders_connection_ended(v->front, v);
}

static const struct session_calls session_calls = {
    .place = volume_place,
    .request = volume_request,
    .turn_ended = volume_turn_ended,
    .init_received = volume_init_received,
    .init_answered = volume_init_answered,
    .ended = volume_ended,
};

/* ---- life ---- */

struct volume *volume_by_number(const struct front *f, uint32_t number)
{
	struct volume *v;

	TAILQ_FOREACH (v, &f->volumes, link)
		if (v->number == number)
			return v;
	return NULL;
}

struct volume *volume_by_name(const struct front *f, const char *name)
{
	struct volume *v;

	TAILQ_FOREACH (v, &f->volumes, link)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

struct volume *volume_by_node(const struct front *f, uint64_t node)
{
	struct volume *v;

	TAILQ_FOREACH (v, &f->volumes, link)
		if (v->node == node)
			return v;
	return NULL;
}

/*
 * The kernel keeps a placeholder's name for ever once it has looked it up (tree.c), also over a
 * detach; the same name must therefore always lead to the same node.  FNV-1a, far from the small
 * numbers of the tree.
 */
static uint64_t node_of(const struct front *f, const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (const unsigned char *p = (const unsigned char *)name; *p; p++)
		hash = (hash ^ *p) * UINT64_C(0x100000001b3);
	hash |= UINT64_C(1) << 62;
	while (volume_by_node(f, hash))
		hash++;
	return hash;
}

static void insert(struct front *f, struct volume *v)
{
	struct volume *next;

	TAILQ_FOREACH (next, &f->volumes, link)
		if (next->number > v->number)
			break;
	if (next)
		TAILQ_INSERT_BEFORE(next, v, link);
	else
		TAILQ_INSERT_TAIL(&f->volumes, v, link);
}

int volume_add(struct front *f, uint32_t number, const char *name, bool read_only)
{
	struct volume *v;

	if (volume_by_number(f, number) || volume_by_name(f, name))
		return -EEXIST;
	v = calloc(1, sizeof *v);
	if (!v)
		return -ENOMEM;
	v->front = f;
	v->number = number;
	snprintf(v->name, sizeof v->name, "%s", name);
	v->node = node_of(f, v->name);
	v->out.fd = v->in.fd = -1;
	STAILQ_INIT(&v->replies);
	waiting_init(&v->waiting);
	file_init(v, read_only);
	v->reply_turn = evtimer_new(f->base, on_reply_turn, v);
	v->idle = evtimer_new(f->base, on_idle, v);
	v->expiry = evtimer_new(f->base, on_expiry, v);
	insert(f, v);
	if (v->reply_turn && v->idle && v->expiry)
		return 0;
	volume_remove(v);
	return -ENOMEM;
}

/* Whoever kills one worker after the other is done by no other.  What is left of a write in a
 * daemon still holds its place. */
static void condemn(struct volume *v, struct request *r)
{
	static const char *const names[] = {
	    [REQUEST_READ] = "read", [REQUEST_WRITE] = "write", [REQUEST_FLUSH] = "flush"};

	log_error("volume %s: %u workers died of a %s of %" PRIu32 " bytes at %" PRIu64
		  "; it is answered EIO",
	    v->name, r->deaths, names[r->op], r->length, r->offset);
	r->error = -EIO;
	r->condemned = true;
	if (r->op == REQUEST_WRITE)
		tell(v, r, -EIO);
	else
		reply(v, r);
}

/* A worker has died, perhaps of one of those that it had. */
static void blame_requests(struct volume *v)
{
	struct request *list[SLOTS_PER_VOLUME];
	unsigned n = request_unanswered(&v->table, list);

	for (unsigned i = 0; i < n; i++)
		if (list[i]->generation == v->generation && !list[i]->condemned &&
		    ++list[i]->deaths == DEATHS_MAX)
			condemn(v, list[i]);
}

/* What the worker said before its end counts, and leaves its `in`. */
static void finish_generation(struct volume *v)
{
	if (v->worker)
		chan_exhaust(v->worker);
	drop_worker(v);
	while (!STAILQ_EMPTY(&v->replies)) {
		v->turn_bytes = 0;
		reply_some(v);
	}
	arena_close(&v->in);
}

int volume_start(struct volume *v, uint32_t generation, bool blame, int socket, int in)
{
	int error;

	if (!v->out.base) {
		close(socket);
		close(in);
		return -EINVAL;
	}
	finish_generation(v);
	if (blame)
		blame_requests(v);
	v->error = 0;
	v->generation = generation;
	v->worker = chan_open(
	    v->front->base, socket, KIND_FRONT, KIND_VOLUME, TALK_SERVING, &worker_calls, v);
	error = arena_map(&v->in, in, v->table.slots, false);
	if (error)
		return error;
	if (!v->worker)
		return -ENOMEM;
	give_all(v);
	return 0;
}

int volume_serve(struct volume *v, int device, int out, const struct msg_serve_volume *what,
    const void *init, size_t init_size)
{
	int error;

	if (v->session || v->ended || v->out.base) {
		close(device);
		close(out);
		return -EEXIST;
	}
	error = arena_map(&v->out, out, what->slots, true);
	if (error) {
		close(device);
		return error;
	}
	request_start(&v->table, what->slots);
	v->face.size = what->size;
	v->face.allocated = what->allocated;
	v->face.read_only = what->read_only;
	v->face.page_cache = what->page_cache;
	if (what->owned) {
		v->face.mode = what->mode;
		v->face.uid = what->uid;
		v->face.gid = what->gid;
	}
	v->session = session_open(v->front->base, device, v->front->scratch, VOLUME_MAX_BACKGROUND,
	    file_ops(), &session_calls, v);
	if (!v->session)
		return -ENOMEM;
	v->listed = init_size != 0;
	return init_size ? session_restore(v->session, init, init_size) : 0;
}

void volume_fail(struct volume *v, int error)
{
	struct request *list[SLOTS_PER_VOLUME];
	struct waiting *w;
	unsigned n;

	finish_generation(v);
	v->error = session_errno(error);
	n = request_unanswered(&v->table, list);
	for (unsigned i = 0; i < n; i++)
		tell(v, list[i], v->error);
	while ((w = waiting_take(&v->waiting))) {
		if (v->session)
			session_reply(v->session, w->unique, v->error, NULL, 0);
		free(w);
	}
	resume(v);
}

void volume_remove(struct volume *v)
{
	struct waiting *w;

	while ((w = waiting_take(&v->waiting)))
		free(w);
	session_close(v->session);
	chan_close(v->worker);
	arena_close(&v->out);
	arena_close(&v->in);
	if (v->reply_turn)
		event_free(v->reply_turn);
	if (v->idle)
		event_free(v->idle);
	if (v->expiry)
		event_free(v->expiry);
	TAILQ_REMOVE(&v->front->volumes, v, link);
	if (v->front->latest == v)
		v->front->latest = NULL;
	free(v);
}
