/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's engine at random: reads, overlapping writes and flushes of any place and length, in
 * all slots, on volumes of several object sizes, fresh ones and clones, against the model.
 *
 * A round ends by a drain, by the engine's death at any moment (what was under way is executed or
 * not), by a snapshot that somebody else takes under load, or by what a fault brings; or there is
 * one engine after the other in it, each of which is given what the one before did not answer,
 * while that one's requests may still be executed.  After each one the whole volume is read, and
 * every acknowledged write must be there.  The simulated daemon judges each call (rules 1 to 3)
 * meanwhile.  engine-random SEED [COUNT] repeats seeds.
 */
#include "tests/unit/model.h"
#include "tests/unit/simfront.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VID 0x100000U
#define PARENT 0x0abcdeU

enum ending { DRAIN, DEATH, SNAPSHOT, OWN_SNAPSHOT, FAULTS, AGAIN, ENDINGS };

struct play {
	struct sim *sim;
	struct front front;
	struct model *model;
	unsigned shift, cells, steps;
	size_t cell;
	uint32_t vid;
	uint32_t writes;
	uint64_t answered;
	bool filling; /* answers bring new requests at once */
	uint64_t snapshot_begun;
	unsigned snapshots, tags;
	uint8_t *parent;
};

static uint32_t play_random(struct play *p, uint32_t n)
{
	return sim_random(p->sim, n);
}

static uint64_t oldest_read(const struct play *p)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned n = 0; n < FRONT_REQUESTS; n++) {
		const struct front_request *q = &p->front.requests[n];

		if (q->unanswered && q->r.op == REQUEST_READ && q->began < oldest)
			oldest = q->began;
	}
	return oldest;
}

static void write_over(struct play *p, const struct front_request *q, bool acknowledged)
{
	model_write_over(p->model, q->write, (unsigned)(q->r.offset / p->cell),
	    (unsigned)(q->r.length / p->cell), acknowledged, oldest_read(p));
}

/* Sends something.  Returns false when all slots are used. */
static bool act(struct play *p)
{
	unsigned what = play_random(p, 100), length = 1, first;
	enum request_op op = what < 3 ? REQUEST_FLUSH : what < 60 ? REQUEST_WRITE : REQUEST_READ;
	struct front_request *q;

	if (play_random(p, 4) == 0)
		length = 1 + play_random(p, 12);
	if (play_random(p, 40) == 0)
		length = p->cells;
	while (length > p->cells || length * p->cell > SLOT_SIZE)
		length /= 2;
	first = play_random(p, p->cells - length + 1);
	if (play_random(p, 3) == 0 && p->cells > 8) /* a busy corner, for overlaps */
		first = play_random(p, 8) < p->cells - length ? play_random(p, 8) : 0;
	if (first + length > p->cells)
		first = p->cells - length;
	if (op == REQUEST_FLUSH)
		first = length = 0;
	q = front_take(&p->front, op, first * p->cell, (uint32_t)(length * p->cell));
	if (!q)
		return false;
	q->began = model_now(p->model);
	if (op == REQUEST_WRITE) {
		q->write = ++p->writes;
		model_fill(p->model, q->write, first, length, front_slot(&p->front, q));
		model_write_begun(p->model, q->write, first, length);
	}
	front_send(&p->front, q);
	return true;
}

static void on_answer(struct front *f, struct front_request *q, int error)
{
	struct play *p = f->arg;

	p->answered++;
	if (q->r.op == REQUEST_WRITE)
		write_over(p, q, !error);
	else if (q->r.op == REQUEST_READ && !error)
		model_read_over(p->model, q->began, (unsigned)(q->r.offset / p->cell),
		    (unsigned)(q->r.length / p->cell), front_slot(f, q));
	if (error && !p->sim->faults)
		fail_msg("request %llu was answered %d", (unsigned long long)q->r.id, error);
	if (p->filling && play_random(p, 3) == 0)
		act(p);
}

/* What the snapshot holds is what a read might have found that was as long under way. */
static void on_snapshot(struct front *f, int error)
{
	struct play *p = f->arg;
	size_t size = p->cells * p->cell;
	uint8_t *bytes = malloc(size);

	assert_int_equal(error, 0);
	sim_get(p->sim, p->vid, 0, bytes, size);
	model_read_over(p->model, p->snapshot_begun, 0, p->cells, bytes);
	free(bytes);
	p->vid = p->sim->working;
	p->snapshots++;
}

/* ---- rounds ---- */

static void begin(struct play *p)
{
	sim_vdi(p->sim, p->vid)->locked = false; /* the master's work */
	front_begin(&p->front, "volume", "", 0);
	assert_true(p->front.is_ready);
	assert_int_equal(p->front.ready.vid, p->vid);
	if (play_random(p, 2))
		serve_connected(p->front.serve, 2);
}

/* What was not answered is executed or not; then nobody will execute it any more. */
static void die(struct play *p)
{
	struct front_request lost[FRONT_REQUESTS];

	memcpy(lost, p->front.requests, sizeof lost);
	front_crash(&p->front);
	for (unsigned n = 0; n < FRONT_REQUESTS; n++)
		if (lost[n].unanswered && lost[n].r.op == REQUEST_WRITE)
			write_over(p, &lost[n], false);
}

static void everything_is_there(struct play *p)
{
	size_t size = p->cells * p->cell;
	uint8_t *bytes = malloc(size);

	sim_get(p->sim, p->vid, 0, bytes, size);
	model_read_over(p->model, model_now(p->model), 0, p->cells, bytes);
	free(bytes);
}

static void load(struct play *p)
{
	unsigned depth = 1 + play_random(p, 160), steps = 1 + play_random(p, p->steps);

	p->filling = true;
	while (steps-- && !p->front.ended) {
		if (p->front.unanswered < depth && play_random(p, 3))
			act(p);
		else if (p->front.laters && play_random(p, 8) == 0)
			serve_try_again(p->front.serve);
		else
			sim_step(p->sim);
	}
	p->filling = false;
}

static void finish_by_drain(struct play *p)
{
	serve_drain(p->front.serve);
	sim_run(p->sim);
	assert_true(p->front.drained);
	assert_int_equal(p->front.locked, 0);
}

static void finish_by_snapshot(struct play *p)
{
	sim_snapshot_begin(p->sim);
	load(p);
	sim_snapshot_end(p->sim);
	load(p);
	while (!p->front.ended && sim_step(p->sim))
		;
	if (p->front.ended)
		assert_int_equal(p->front.word, EXIT_VOLUME_CHANGED);
	die(p);
	p->vid = p->sim->working;
}

static void snapshot_begin(struct play *p)
{
	char tag[SD_TAG_SIZE] = "";

	snprintf(tag, sizeof tag, "s%u", p->tags++);
	p->snapshot_begun = model_now(p->model);
	serve_snapshot(p->front.serve, p->snapshots + 1, tag);
}

/* Snapshots by the engine itself, under load; the last one may be cut short by death, or finished
 * by a drain. */
static void finish_by_own_snapshot(struct play *p)
{
	unsigned taken = p->front.snapshots, wanted = 1 + play_random(p, 3);

	while (wanted--) {
		snapshot_begin(p);
		load(p);
		if (play_random(p, 3) == 0)
			serve_connected(p->front.serve, 3 + wanted);
		while (wanted && p->front.snapshots == taken && sim_step(p->sim))
			;
		if (wanted)
			assert_int_equal(p->front.snapshots, taken + 1);
		taken = p->front.snapshots;
	}
	assert_false(p->front.ended);
	if (play_random(p, 2)) {
		finish_by_drain(p);
	} else {
		die(p);
		p->vid = p->sim->working;
	}
}

/* ---- one engine after the other ---- */

static void settle(struct play *p, bool died)
{
	sim_settle(p->sim);
	p->sim->rewriting = died;
	serve_settled(p->front.serve, died);
}

/* The end of an engine whose callers go on waiting. */
static void lose_engine(struct play *p)
{
	unsigned how = play_random(p, 4);

	if (how == 0 && !p->front.ended) {
		p->front.handing_over = true;
		serve_hand_over(p->front.serve);
		while (!p->front.drained && !p->front.ended && sim_step(p->sim))
			;
		assert_true(p->front.drained || p->front.word == EXIT_VOLUME_CHANGED);
	} else if (how == 1 && !p->front.ended) {
		sim_snapshot_begin(p->sim);
		load(p);
		sim_snapshot_end(p->sim);
		if (play_random(p, 2))
			load(p);
		p->vid = p->sim->working;
	}
	front_kill_engine(&p->front);
}

/* The next one begins, perhaps before all of the past is over. */
static void next_engine(struct play *p)
{
	bool died = play_random(p, 3) == 0, late = play_random(p, 2);

	p->sim->again = true;
	p->sim->rewriting = false;
	if (!late)
		sim_settle(p->sim);
	p->sim->rewriting = died && !late;
	p->front.unsettled = late;
	p->front.died = died && !late;
	front_begin(&p->front, "volume", "", 0);
	if (!p->front.is_ready && p->front.elsewhere) {
		/* a snapshot of then was executed between two questions */
		front_kill_engine(&p->front);
		sim_settle(p->sim);
		p->front.unsettled = p->front.died = false;
		front_begin(&p->front, "volume", "", 0);
	}
	assert_true(p->front.is_ready);
	p->vid = p->sim->working;
	assert_int_equal(p->front.ready.vid, p->vid);
	if (play_random(p, 2))
		serve_connected(p->front.serve, 2);
	front_resume(&p->front);
	load(p);
	if (late && play_random(p, 2)) {
		sim_snapshot_begin(p->sim);
		load(p);
		sim_snapshot_end(p->sim);
		p->vid = p->sim->working;
	}
	if (late && !p->front.ended)
		settle(p, died);
	load(p);
}

static void finish_again(struct play *p)
{
	for (unsigned lives = 1 + play_random(p, 4); lives; lives--) {
		lose_engine(p);
		next_engine(p);
	}
	if (!p->front.ended && play_random(p, 2)) {
		serve_drain(p->front.serve);
		sim_run(p->sim);
		/* or it finds out only now that somebody else took a snapshot */
		assert_true(p->front.drained || p->front.word == EXIT_VOLUME_CHANGED);
	}
	die(p);
	memset(&p->front.was, 0, sizeof p->front.was);
	p->front.unsettled = p->front.died = p->sim->again = p->sim->rewriting = false;
	p->vid = p->sim->working;
}

static void round_play(struct play *p, enum ending ending)
{
	begin(p);
	if (ending == FAULTS) {
		p->sim->faults = 30;
		p->sim->index_faults = play_random(p, 2) * 10;
		p->sim->name_faults = play_random(p, 2) * 10;
	}
	load(p);
	if (ending == SNAPSHOT)
		finish_by_snapshot(p);
	else if (ending == OWN_SNAPSHOT)
		finish_by_own_snapshot(p);
	else if (ending == DRAIN)
		finish_by_drain(p);
	else if (ending == AGAIN)
		finish_again(p);
	if (ending == FAULTS && p->front.ended)
		assert_int_equal(p->front.word, EXIT_DAEMON_LOST);
	p->sim->faults = p->sim->index_faults = p->sim->name_faults = 0;
	if (p->front.serve)
		die(p);
	everything_is_there(p);
}

/* ---- volumes ---- */

/* A clone's parent has some objects, among them a grandparent's. */
static void inherit(struct play *p, struct sim_vdi *parent, uint8_t *bytes)
{
	size_t size = p->cells * p->cell, object_size = (size_t)1 << p->shift;
	struct sim_vdi *v;

	for (size_t at = 0; at < size; at += object_size) {
		size_t part = size - at < object_size ? size - at : object_size;

		if (play_random(p, 3) == 0)
			continue;
		for (size_t n = 0; n < part; n++)
			bytes[at + n] = (uint8_t)(at / object_size + n * 5 + 3);
		sim_put(p->sim, PARENT, (uint32_t)(at >> p->shift), 0, bytes + at, part);
	}
	parent->header.snap_ctime = 1;
	v = sim_make_vdi(p->sim, VID, "volume", "", size, p->shift);
	memcpy(v->index, parent->index, sizeof v->index);
}

static void play_open(struct play *p, uint64_t seed)
{
	static const unsigned shifts[] = {12, 12, 12, 13, 14, 16, 20, 22, 31};
	uint8_t *bytes;

	memset(p, 0, sizeof *p);
	p->sim = sim_open(seed);
	p->shift = shifts[play_random(p, 9)];
	p->cells = 16 + play_random(p, 200);
	p->cell = 1 + play_random(p, p->shift < 20 ? 700 : 4000);
	p->steps = 2500;
	if (p->shift == 20 && play_random(p, 4) == 0) { /* several large objects */
		p->cell = 30000;
		p->cells = 120;
		p->steps = 100;
	}
	p->vid = VID;
	bytes = calloc(p->cells, p->cell);
	if (play_random(p, 2))
		inherit(p, sim_make_vdi(p->sim, PARENT, "parent", "", p->cells * p->cell, p->shift),
		    bytes);
	else
		sim_make_vdi(p->sim, VID, "volume", "", p->cells * p->cell, p->shift);
	p->model = model_open(p->cells, p->cell, bytes);
	p->parent = bytes;
	front_open(&p->front, p->sim);
	p->front.on_answer = on_answer;
	p->front.on_snapshot = on_snapshot;
	p->front.arg = p;
}

static uint64_t play_seed(uint64_t seed)
{
	struct play *p = calloc(1, sizeof *p);
	uint64_t answered;

	play_open(p, seed);
	for (unsigned rounds = 1 + play_random(p, 4); rounds; rounds--)
		round_play(p, (enum ending)play_random(p, ENDINGS));
	if (sim_vdi(p->sim, PARENT)) { /* whatever was written, the parent stays what it was */
		uint8_t *bytes = malloc(p->cells * p->cell);

		sim_get(p->sim, PARENT, 0, bytes, p->cells * p->cell);
		assert_memory_equal(bytes, p->parent, p->cells * p->cell);
		free(bytes);
	}
	answered = p->answered;
	front_close(&p->front);
	sim_close(p->sim);
	model_close(p->model);
	free(p->parent);
	free(p);
	return answered;
}

static uint64_t first_seed, nr_seeds;

static void at_random(void **state)
{
	uint64_t answered = 0;

	(void)state;
	for (uint64_t seed = first_seed; seed < first_seed + nr_seeds; seed++) {
		fprintf(stderr, "seed %llu\r", (unsigned long long)seed);
		answered += play_seed(seed);
	}
	print_message("%llu requests were answered\n", (unsigned long long)answered);
	assert_true(answered > nr_seeds * 10);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(at_random)};

	first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	nr_seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : 250;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
