/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's outer world in unit tests: see simfront.h.
 */
#include "tests/unit/simfront.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void on_answer(void *arg, uint64_t id, int error)
{
	struct front *f = arg;
	struct front_request *q = &f->requests[id % FRONT_REQUESTS];

	assert_false(f->ended || f->drained || f->refused);
	assert_true(q->unanswered);
	assert_true(q->r.id == id);
	assert_true(error <= 0);
	for (unsigned n = 0; q->r.op == REQUEST_FLUSH && n < FRONT_REQUESTS; n++)
		if (f->requests[n].unanswered && f->requests[n].order < q->order)
			fail_msg("a flush was answered before request %u", n);
	q->unanswered = false;
	f->unanswered--;
	if (q->r.op != REQUEST_FLUSH)
		f->slot_used[q->r.op == REQUEST_READ][q->r.slot] = false;
	f->error = error;
	for (uint64_t at = q->r.offset >> f->ready.shift;
	     q->r.op == REQUEST_WRITE && !error && q->r.length &&
	     at <= (q->r.offset + q->r.length - 1) >> f->ready.shift;
	     at++)
		if (!sim_confirmed(f->sim, (uint32_t)at))
			fail_msg(
			    "a write was answered before the barrier of object %u", (unsigned)at);
	if (f->on_answer)
		f->on_answer(f, q, error);
}

static void on_locked(void *arg, uint32_t vid)
{
	((struct front *)arg)->locked = vid;
}

static void told(struct front *f, const char *sentence)
{
	assert_false(f->ended || f->drained || f->refused);
	assert_true(strlen(sentence) < sizeof f->sentence);
	strcpy(f->sentence, sentence);
}

static void on_ready(void *arg, const struct msg_ready *ready, const char *sentence)
{
	struct front *f = arg;

	told(f, sentence);
	f->is_ready = true;
	f->ready = *ready;
}

static void on_refused(void *arg, int error, bool elsewhere, const char *sentence)
{
	struct front *f = arg;

	told(f, sentence);
	f->refused = true;
	f->refusal = error;
	f->elsewhere = elsewhere;
}

static void on_ended(void *arg, enum exit_word word, const char *why)
{
	struct front *f = arg;

	told(f, why);
	f->ended = true;
	f->word = word;
}

static void on_drained(void *arg)
{
	struct front *f = arg;

	told(f, "");
	assert_true(f->handing_over || f->unanswered == 0);
	f->drained = true;
}

static void on_snapshotted(void *arg, uint64_t number, int error, const char *sentence)
{
	struct front *f = arg;

	told(f, sentence);
	f->snapshots++;
	f->snapshot_number = number;
	f->snapshot_error = error;
	if (f->on_snapshot)
		f->on_snapshot(f, error);
}

static void on_identified(void *arg, const struct msg_identity *identity)
{
	struct front *f = arg;

	f->now.cluster_ctime = identity->cluster_ctime;
	f->now.create_time = identity->create_time;
	f->now.vid = identity->vid;
}

static void on_later(void *arg)
{
	((struct front *)arg)->laters++;
}

static void on_stalled(void *arg, bool again)
{
	struct front *f = arg;

	assert_int_equal(again, f->stalls > 0);
	f->stalls++;
}

static void on_compared(void *arg)
{
	((struct front *)arg)->comparisons++;
}

static void on_progressed(void *arg)
{
	((struct front *)arg)->progress++;
}

static void on_deleted(void *arg, uint64_t number, int error, const char *sentence)
{
	struct front *f = arg;

	assert_int_equal(number, FRONT_DELETION);
	told(f, sentence);
	f->deletions++;
	f->deletion_error = error;
}

static const struct serve_calls calls = {on_answer, on_locked, on_identified, on_ready, on_refused,
    on_ended, on_drained, on_later, on_snapshotted, on_stalled, on_compared, on_progressed,
    on_deleted};

static void arena_make(struct arena *a)
{
	a->fd = -1;
	a->slots = SLOTS_PER_VOLUME;
	a->base = mmap(NULL, (size_t)SLOTS_PER_VOLUME * SLOT_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(a->base != MAP_FAILED);
}

void front_open(struct front *f, struct sim *sim)
{
	memset(f, 0, sizeof *f);
	f->sim = sim;
	arena_make(&f->out);
	arena_make(&f->in);
}

void front_start(struct front *f, const char *name, const char *tag, uint32_t snap_id)
{
	struct serve_volume volume = {
	    name, tag, snap_id, SLOTS_PER_VOLUME, f->object_cache, &f->was, f->purpose};

	f->is_ready = f->refused = f->ended = f->drained = f->handing_over = false;
	f->serve = serve_open(&volume, &f->sim->daemon, &f->out, &f->in, &calls, f);
	assert_non_null(f->serve);
	if (f->lock_is_lost)
		serve_lock_is_lost(f->serve);
	if (f->rewrite)
		serve_rewrite(f->serve);
	serve_begin(f->serve, !f->unsettled, f->died);
}

void front_begin(struct front *f, const char *name, const char *tag, uint32_t snap_id)
{
	front_start(f, name, tag, snap_id);
	while (!f->is_ready && !f->refused && sim_step(f->sim))
		;
}

void front_kill_engine(struct front *f)
{
	f->was = f->now;
	f->was.size = f->ready.size;
	f->was.lock = f->locked;
	sim_orphan(f->sim);
	serve_close(f->serve);
	f->serve = NULL;
}

static int as_they_came(const void *a, const void *b)
{
	const struct front_request *x = *(struct front_request *const *)a;
	const struct front_request *y = *(struct front_request *const *)b;

	return x->order < y->order ? -1 : x->order > y->order;
}

void front_resume(struct front *f)
{
	struct front_request *list[FRONT_REQUESTS];
	unsigned count = 0;

	for (unsigned n = 0; n < FRONT_REQUESTS; n++)
		if (f->requests[n].unanswered)
			list[count++] = &f->requests[n];
	qsort(list, count, sizeof *list, as_they_came);
	for (unsigned n = 0; n < count; n++) {
		list[n]->r.again = REQUEST_AGAIN;
		serve_request(f->serve, &list[n]->r);
	}
}

void front_crash(struct front *f)
{
	sim_crash(f->sim);
	serve_close(f->serve);
	f->serve = NULL;
	for (unsigned n = 0; n < FRONT_REQUESTS; n++)
		f->requests[n].unanswered = false;
	memset(f->slot_used, 0, sizeof f->slot_used);
	f->unanswered = 0;
}

void front_close(struct front *f)
{
	front_crash(f);
	munmap(f->out.base, (size_t)SLOTS_PER_VOLUME * SLOT_SIZE);
	munmap(f->in.base, (size_t)SLOTS_PER_VOLUME * SLOT_SIZE);
}

struct front_request *front_take(
    struct front *f, enum request_op op, uint64_t offset, uint32_t length)
{
	bool *used = f->slot_used[op == REQUEST_READ];
	unsigned slot = 0, n = 0;
	struct front_request *q;

	while (op != REQUEST_FLUSH && slot < SLOTS_PER_VOLUME && used[slot])
		slot++;
	while (n < FRONT_REQUESTS && f->requests[n].unanswered)
		n++;
	if (slot == SLOTS_PER_VOLUME || n == FRONT_REQUESTS)
		return NULL;
	q = &f->requests[n];
	memset(q, 0, sizeof *q);
	q->order = ++f->sent;
	q->unanswered = true;
	q->r.id = q->order * FRONT_REQUESTS + n;
	q->r.offset = offset;
	q->r.length = length;
	q->r.slot = slot;
	q->r.op = op;
	if (op != REQUEST_FLUSH)
		used[slot] = true;
	f->unanswered++;
	return q;
}

uint8_t *front_slot(struct front *f, const struct front_request *q)
{
	return arena_slot(q->r.op == REQUEST_READ ? &f->in : &f->out, q->r.slot);
}

void front_send(struct front *f, struct front_request *q)
{
	serve_request(f->serve, &q->r);
}

static int front_wait(struct front *f, struct front_request *q)
{
	front_send(f, q);
	while (q->unanswered && !f->ended && sim_step(f->sim))
		;
	return q->unanswered ? 1 : f->error;
}

int front_read(struct front *f, uint64_t offset, uint32_t length, void *data)
{
	struct front_request *q = front_take(f, REQUEST_READ, offset, length);
	int error;

	memset(front_slot(f, q), 0x5a, length);
	error = front_wait(f, q);
	memcpy(data, front_slot(f, q), length);
	return error;
}

int front_write(struct front *f, uint64_t offset, uint32_t length, const void *data)
{
	struct front_request *q = front_take(f, REQUEST_WRITE, offset, length);

	if (length)
		memcpy(front_slot(f, q), data, length);
	return front_wait(f, q);
}

int front_flush(struct front *f)
{
	return front_wait(f, front_take(f, REQUEST_FLUSH, 0, 0));
}
