/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's engine takes snapshots of its own volume: what they hold, who waits meanwhile, the
 * lock, and every way in which it can go wrong.  Under load and at random: engine-random.c.
 */
#include "tests/unit/simworld.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void snapshot_begin(struct world *w, uint64_t number, const char *tag)
{
	char field[SD_TAG_SIZE] = "";

	strcpy(field, tag);
	serve_snapshot(w->front.serve, number, field);
}

/* Takes one and waits for its end; its errno. */
static int snapshot(struct world *w, const char *tag)
{
	unsigned before = w->front.snapshots;

	snapshot_begin(w, 77, tag);
	sim_run(w->sim);
	assert_int_equal(w->front.snapshots, before + 1);
	assert_int_equal(w->front.snapshot_number, 77);
	return w->front.snapshot_error;
}

static void says(struct world *w, const char *words)
{
	if (!strstr(w->front.sentence, words))
		fail_msg("\"%s\" is not in \"%s\"", words, w->front.sentence);
}

static void holds_what_was_answered(void **state)
{
	struct world *w = world_begin(8 * MIB, 20);
	struct front *f = &w->front;
	struct sim_vdi *v = w->v;

	(void)state;
	assert_int_equal(front_write(f, 0, MIB, w->data), 0);
	assert_int_equal(snapshot(w, "one"), 0);
	says(w, "snapshot v@one was taken: it is vid 6a5e16, and the volume goes on as vid 6a5e17");
	assert_string_equal(v->header.tag, "one");
	assert_string_equal(sim_vdi(w->sim, VID + 1)->header.tag, "");
	assert_false(v->locked);
	assert_true(sim_vdi(w->sim, VID + 1)->locked);
	assert_int_equal(f->locked, VID + 1);
	/* reads go on, writes copy first, the snapshot stays */
	assert_int_equal(front_read(f, 0, MIB, w->back), 0);
	assert_memory_equal(w->back, w->data, MIB);
	assert_int_equal(front_write(f, 100, 5, "hello"), 0);
	assert_int_equal(front_write(f, 3 * MIB, 5, "again"), 0);
	sim_get(w->sim, VID, 0, w->back, MIB);
	assert_memory_equal(w->back, w->data, MIB);
	assert_int_equal(v->index[3], 0);
	sim_get(w->sim, VID + 1, 0, w->back, MIB);
	assert_memory_equal(w->back, w->data, 100);
	assert_memory_equal(w->back + 100, "hello", 5);
	assert_int_equal(serve_allocated(f->serve), 2 * MIB);
	/* and once more */
	assert_int_equal(snapshot(w, "two"), 0);
	assert_int_equal(w->sim->working, VID + 2);
	serve_drain(f->serve);
	sim_run(w->sim);
	assert_true(f->drained);
	assert_false(sim_vdi(w->sim, VID + 2)->locked);
	world_close(w);
}

/* A write that was begun is finished first; one that comes meanwhile is no part of the snapshot,
 * and is answered all the same; reads do not wait. */
static void writes_wait(void **state)
{
	struct world *w = world_begin(8 * MIB, 20);
	struct front *f = &w->front;
	struct front_request *first, *second, *flush, *read;

	(void)state;
	first = front_take(f, REQUEST_WRITE, 0, 4096);
	memset(front_slot(f, first), 'a', 4096);
	front_send(f, first);
	snapshot_begin(w, 1, "s");
	assert_int_equal(w->sim->snapshots, 0);
	second = front_take(f, REQUEST_WRITE, 0, 4096);
	memset(front_slot(f, second), 'b', 4096);
	front_send(f, second);
	flush = front_take(f, REQUEST_FLUSH, 0, 0);
	front_send(f, flush);
	while (!w->sim->snapshots)
		assert_true(sim_step(w->sim));
	assert_false(first->unanswered);
	assert_true(second->unanswered && flush->unanswered);
	read = front_take(f, REQUEST_READ, 0, 4096);
	front_send(f, read);
	sim_run(w->sim);
	assert_false(second->unanswered || flush->unanswered || read->unanswered);
	sim_get(w->sim, VID, 0, w->back, 1);
	assert_int_equal(w->back[0], 'a');
	sim_get(w->sim, VID + 1, 0, w->back, 1);
	assert_int_equal(w->back[0], 'b');
	world_close(w);
}

/* A connection that comes meanwhile is proved afterwards, against the successor; one that is just
 * being proved is not waited for, and proved once more. */
static void connections_wait(void **state)
{
	for (unsigned steps = 0; steps < 8; steps++) {
		struct world *w = world_begin(MIB, 20);

		(void)state;
		serve_connected(w->front.serve, 2);
		for (unsigned n = 0; n < steps; n++)
			sim_step(w->sim);
		snapshot_begin(w, 1, "s");
		serve_connected(w->front.serve, 3);
		sim_run(w->sim);
		assert_false(w->front.ended);
		assert_int_equal(w->front.snapshot_error, 0);
		assert_int_equal(w->sim->admitted, 2);
		world_close(w);
	}
}

/* An object that is missing is looked into before or after, never while the name changes. */
static void doubts_wait(void **state)
{
	struct world *w = world_begin(4 * MIB, 20);
	struct front *f = &w->front;
	struct front_request *read;

	(void)state;
	assert_int_equal(front_write(f, 0, MIB, w->data), 0);
	w->sim->lenient = true;
	sim_remove(w->sim, VID, 0);
	read = front_take(f, REQUEST_READ, 0, 4096);
	front_send(f, read);
	for (unsigned n = 0; n < 2; n++)
		sim_step(w->sim);
	snapshot_begin(w, 1, "s");
	sim_run(w->sim);
	assert_false(f->ended);
	assert_int_equal(f->snapshot_error, 0);
	assert_false(read->unanswered);
	assert_int_equal(f->error, -EIO);
	world_close(w);
}

static void refused(void **state)
{
	struct world *w = world_begin(4 * MIB, 20);
	struct sim_vdi *v = w->v;

	(void)state;
	assert_int_equal(snapshot(w, "old"), 0);
	assert_int_equal(snapshot(w, "old"), -EEXIST);
	says(w, "v@old was not taken: there is one of that tag");
	snapshot_begin(w, 1, "a");
	snapshot_begin(w, 2, "b"); /* the first is under way */
	assert_int_equal(w->front.snapshot_number, 2);
	assert_int_equal(w->front.snapshot_error, -EBUSY);
	sim_run(w->sim);
	assert_int_equal(w->front.snapshot_number, 1);
	assert_int_equal(w->front.snapshot_error, 0);
	assert_int_equal(front_write(&w->front, 0, 4096, w->data), 0);
	world_close(w);

	w = world_open(4 * MIB, 20);
	v = w->v;
	strcpy(v->header.tag, "t");
	v->header.snap_ctime = 1;
	front_begin(&w->front, "v", "t", 0);
	assert_int_equal(snapshot(w, "new"), -EROFS);
	assert_false(v->locked);
	world_close(w);
}

/* NEW_VDI fails: nothing was changed, the tag is what it was, and the volume goes on. */
static void failed(void **state)
{
	struct world *w = world_begin(4 * MIB, 20);

	(void)state;
	w->sim->new_result = SD_RES_FULL_VDI;
	assert_int_equal(snapshot(w, "s"), -ENOSPC);
	says(w, "v@s was not taken: the cluster has as many volumes");
	assert_string_equal(w->v->header.tag, "");
	assert_true(w->v->locked);
	assert_int_equal(front_write(&w->front, 0, 4096, w->data), 0);
	assert_int_equal(snapshot(w, "s"), 0);
	world_close(w);
}

/* It failed and was done all the same: the name tells. */
static void failed_and_done(void **state)
{
	struct world *w = world_begin(4 * MIB, 20);

	(void)state;
	w->sim->new_result = SD_RES_NETWORK_ERROR;
	w->sim->new_works = true;
	assert_int_equal(snapshot(w, "s"), 0);
	assert_int_equal(w->sim->snapshots, 1);
	assert_string_equal(w->v->header.tag, "s");
	assert_int_equal(front_write(&w->front, 0, 4096, w->data), 0);
	assert_int_equal(w->sim->working, VID + 1);
	world_close(w);
}

static void lock_was_stolen(void **state)
{
	struct world *w = world_begin(4 * MIB, 20);
	struct front *f = &w->front;

	(void)state;
	w->sim->steals_lock = true;
	snapshot_begin(w, 5, "s");
	sim_run(w->sim);
	assert_int_equal(f->snapshots, 1); /* it was taken, and that is what the caller hears */
	assert_int_equal(f->snapshot_error, 0);
	assert_true(f->ended);
	assert_int_equal(f->word, EXIT_VOLUME_CHANGED);
	says(w, "its lock was not to be had");
	world_close(w);
}

static void without_locks(void **state)
{
	struct world *w = world_open(4 * MIB, 20);

	(void)state;
	w->sim->flags = 0;
	front_begin(&w->front, "v", "", 0);
	assert_int_equal(snapshot(w, "s"), 0);
	assert_int_equal(front_write(&w->front, 0, 4096, w->data), 0);
	world_close(w);
}

/* Somebody else took one a moment before: ours is not taken, and the volume fails as it would have
 * with its next write. */
static void somebody_was_faster(void **state)
{
	struct world *w = world_begin(4 * MIB, 20);
	struct front *f = &w->front;

	(void)state;
	sim_snapshot_begin(w->sim);
	sim_snapshot_end(w->sim);
	snapshot_begin(w, 5, "s");
	sim_run(w->sim);
	assert_int_equal(f->snapshots, 1);
	assert_int_equal(f->snapshot_error, -ESTALE);
	assert_true(f->ended);
	assert_int_equal(f->word, EXIT_VOLUME_CHANGED);
	assert_int_equal(w->sim->snapshots, 0);
	world_close(w);
}

/* The cluster was made anew, with the same names and vids (P 6.5). */
static void another_volume(void **state)
{
	struct world *w = world_begin(4 * MIB, 20);

	(void)state;
	w->v->header.create_time++;
	snapshot_begin(w, 5, "s");
	sim_run(w->sim);
	assert_int_equal(w->front.snapshot_error, -ESTALE);
	assert_true(w->front.ended);
	assert_int_equal(w->front.word, EXIT_VOLUME_CHANGED);
	assert_int_equal(w->sim->snapshots, 0);
	assert_string_equal(w->v->header.tag, "");
	world_close(w);
}

/* A drain finishes what was begun, the snapshot too. */
static void drained_meanwhile(void **state)
{
	struct world *w = world_begin(4 * MIB, 20);
	struct front *f = &w->front;

	(void)state;
	snapshot_begin(w, 5, "s");
	serve_drain(f->serve);
	sim_run(w->sim);
	assert_int_equal(f->snapshots, 1);
	assert_int_equal(f->snapshot_error, 0);
	assert_true(f->drained);
	assert_false(w->v->locked || sim_vdi(w->sim, VID + 1)->locked);
	world_close(w);
}

/* ---- the object cache of old daemons ---- */

static void object_cache(void **state)
{
	struct world *w = world_open(4 * MIB, 20);
	struct front *f = &w->front;

	(void)state;
	f->object_cache = true;
	front_begin(f, "v", "", 0);
	assert_int_equal(front_write(f, 0, 4096, w->data), 0);
	assert_int_equal(front_read(f, 0, 4096, w->back), 0);
	assert_int_equal(w->sim->cached, 2);
	assert_int_equal(w->sim->flushes, 0);
	assert_int_equal(front_flush(f), 0);
	assert_int_equal(front_flush(f), 0);
	assert_int_equal(w->sim->flushes, 2);
	w->sim->flush_result = SD_RES_EIO;
	assert_int_equal(front_flush(f), -EIO);
	w->sim->flush_result = SD_RES_INVALID_PARMS; /* "nothing to flush, stop asking" */
	assert_int_equal(front_flush(f), 0);
	assert_int_equal(front_flush(f), 0);
	assert_int_equal(w->sim->flushes, 4);
	world_close(w);
}

/* What was answered is out of the cache before the volume is another VDI, or given back. */
static void object_cache_first(void **state)
{
	struct world *w = world_open(4 * MIB, 20);
	struct front *f = &w->front;
	unsigned flushes;

	(void)state;
	f->object_cache = true;
	front_begin(f, "v", "", 0);
	assert_int_equal(snapshot(w, "clean"), 0);
	assert_int_equal(w->sim->flushes, 0);
	assert_int_equal(front_write(f, 0, 4096, w->data), 0);
	w->sim->flush_result = SD_RES_EIO;
	assert_int_equal(snapshot(w, "s"), -EIO);
	says(w, "was not flushed");
	assert_int_equal(w->sim->snapshots, 1);
	assert_int_equal(front_write(f, 0, 4096, w->data), 0);
	w->sim->flush_result = SD_RES_SUCCESS;
	snapshot_begin(w, 1, "s");
	flushes = w->sim->flushes;
	while (w->sim->flushes == flushes)
		assert_true(sim_step(w->sim));
	assert_int_equal(w->sim->snapshots, 1);
	sim_run(w->sim);
	assert_int_equal(f->snapshot_error, 0);
	assert_int_equal(w->sim->snapshots, 2);
	assert_int_equal(w->sim->flushes, flushes + 1);
	/* the end: once, and nobody stays for one that fails */
	assert_int_equal(front_write(f, 0, 4096, w->data), 0);
	w->sim->flush_result = SD_RES_EIO;
	serve_drain(f->serve);
	sim_run(w->sim);
	assert_true(f->drained);
	assert_int_equal(w->sim->flushes, flushes + 2);
	assert_false(sim_vdi(w->sim, VID + 2)->locked);
	world_close(w);
}

static void no_object_cache(void **state)
{
	struct world *w = world_begin(4 * MIB, 20);

	(void)state;
	assert_int_equal(front_write(&w->front, 0, 4096, w->data), 0);
	assert_int_equal(front_flush(&w->front), 0);
	assert_int_equal(w->sim->cached, 0);
	assert_int_equal(w->sim->flushes, 0);
	world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(holds_what_was_answered),
	    cmocka_unit_test(writes_wait),
	    cmocka_unit_test(connections_wait),
	    cmocka_unit_test(doubts_wait),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(failed),
	    cmocka_unit_test(failed_and_done),
	    cmocka_unit_test(lock_was_stolen),
	    cmocka_unit_test(without_locks),
	    cmocka_unit_test(somebody_was_faster),
	    cmocka_unit_test(another_volume),
	    cmocka_unit_test(drained_meanwhile),
	    cmocka_unit_test(object_cache),
	    cmocka_unit_test(object_cache_first),
	    cmocka_unit_test(no_object_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
