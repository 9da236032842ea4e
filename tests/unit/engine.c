/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's engine case by case: the life of single requests, errors, and what ends a
 * generation.  Attach is engine-attach.c's; order, crashes and snapshots under load are
 * engine-random.c's.
 */
#include "tests/unit/simworld.h"

#include <errno.h>
#include <string.h>

/* ---- requests ---- */

static void holes_need_no_daemon(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	unsigned before = w->sim->submitted;

	(void)state;
	assert_int_equal(front_read(&w->front, 4 * MIB - 100, MIB, w->back), 0);
	for (size_t n = 0; n < MIB; n++)
		assert_int_equal(w->back[n], 0);
	assert_int_equal(w->sim->submitted, before);
	world_close(w);
}

static void round_trips(void **state)
{
	static const unsigned shifts[] = {12, 13, 17, 20, 22, 31};
	static const uint32_t sizes[] = {1, 511, 4096, 5000, 123457, MIB};

	(void)state;
	for (size_t s = 0; s < 6; s++)
		for (size_t n = 0; n < 6; n++) {
			uint64_t size = shifts[s] < 20 ? 3 * MIB : UINT64_C(3) << shifts[s];
			struct world *w = world_begin(size, shifts[s]);
			uint64_t at = (size / 3 / sizes[n] + 1) * sizes[n] - 77 % sizes[n];

			if (shifts[s] == 31)
				at = size - sizes[n];
			assert_int_equal(front_write(&w->front, at, sizes[n], w->data), 0);
			assert_int_equal(front_read(&w->front, at, sizes[n], w->back), 0);
			assert_memory_equal(w->back, w->data, sizes[n]);
			sim_get(w->sim, VID, at, w->back, sizes[n]);
			assert_memory_equal(w->back, w->data, sizes[n]);
			world_close(w);
		}
}

static void overwrite_is_one_call(void **state)
{
	struct world *w = world_open(64 * MIB, 22);
	unsigned before;

	(void)state;
	sim_put(w->sim, VID, 1, 0, w->data, 8192);
	front_begin(&w->front, "v", "", 0);
	before = w->sim->submitted;
	assert_int_equal(front_write(&w->front, 4 * MIB + 5, 100, w->data), 0);
	assert_int_equal(w->sim->submitted, before + 1);
	assert_int_equal(w->sim->index_writes, 0);
	world_close(w);
}

/* A large write to small objects: a run of entries, few index writes, fewer barriers. */
static void neighbours_share_index_writes(void **state)
{
	struct world *w = world_begin(8 * MIB, 12);

	(void)state;
	assert_int_equal(front_write(&w->front, 2048, MIB, w->data), 0);
	assert_int_equal(w->sim->creates, 257);
	assert_int_equal(w->sim->index_entries, 257);
	assert_true(w->sim->index_writes < 200);
	assert_true(w->sim->barriers <= w->sim->index_writes);
	assert_int_equal(serve_allocated(w->front.serve), 257 * 4096);
	world_close(w);
}

static void copy_on_write(void **state)
{
	struct world *w = world_open(4 * MIB, 20);
	struct front *f = &w->front;

	(void)state;
	w->v->header.snap_ctime = 1;
	sim_put(w->sim, VID, 1, 0, w->data, MIB);
	w->v = sim_make_vdi(w->sim, VID + 1, "c", "", 4 * MIB, 20);
	w->v->index[1] = VID;
	front_begin(f, "c", "", 0);
	assert_int_equal(front_read(f, MIB, MIB, w->back), 0);
	assert_memory_equal(w->back, w->data, MIB);
	assert_int_equal(front_write(f, MIB + 1000, 10, "0123456789"), 0);
	assert_int_equal(front_read(f, MIB, MIB, w->back), 0);
	assert_memory_equal(w->back, w->data, 1000);
	assert_memory_equal(w->back + 1000, "0123456789", 10);
	assert_memory_equal(w->back + 1010, w->data + 1010, MIB - 1010);
	sim_get(w->sim, VID, MIB, w->back, MIB);
	assert_memory_equal(w->back, w->data, MIB);
	assert_int_equal(serve_allocated(f->serve), MIB);
	world_close(w);
}

static void beyond_the_end(void **state)
{
	struct world *w = world_begin(MIB + 5, 22);
	struct front *f = &w->front;

	(void)state;
	assert_int_equal(front_read(f, MIB, 6, w->back), -EINVAL);
	assert_int_equal(front_write(f, MIB, 6, w->data), -ENOSPC);
	assert_int_equal(front_write(f, UINT64_C(1) << 51, 1, w->data), -ENOSPC);
	assert_int_equal(front_read(f, MIB, 5, w->back), 0);
	assert_int_equal(front_write(f, MIB, 5, w->data), 0);
	assert_int_equal(front_read(f, MIB + 5, 0, w->back), 0);
	assert_int_equal(front_flush(f), 0);
	world_close(w);
}

static void broken_contract(void **state)
{
	(void)state;
	for (int n = 0; n < 3; n++) {
		struct world *w = world_begin(64 * MIB, 22);
		struct front *f = &w->front;
		struct front_request *q = front_take(f, REQUEST_WRITE, 0, 512);
		struct record_request r = q->r;

		w->sim->frozen = true;
		front_send(f, q);
		r.id += n != 0;
		r.slot += n != 1;
		r.slot = n == 2 ? SLOTS_PER_VOLUME : r.slot;
		serve_request(f->serve, &r);
		assert_true(f->ended);
		assert_int_equal(f->word, EXIT_BAD_MESSAGE);
		w->sim->frozen = false;
		sim_run(w->sim); /* and nothing is answered */
		assert_int_equal(f->unanswered, 1);
		world_close(w);
	}
}

/* A read and a write may have slots of the same number. */
static void slots_are_by_direction(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct front_request *q = front_take(f, REQUEST_WRITE, 0, 512);
	struct front_request *r = front_take(f, REQUEST_READ, 0, 512);

	(void)state;
	assert_int_equal(q->r.slot, r->r.slot);
	front_send(f, q);
	front_send(f, r);
	sim_run(w->sim);
	assert_int_equal(f->unanswered, 0);
	assert_false(f->ended);
	world_close(w);
}

static void drain_finishes_what_was_accepted(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct front_request *q;

	(void)state;
	for (int n = 0; n < 20; n++) {
		q = front_take(f, REQUEST_WRITE, (uint64_t)n * 3 * MIB, MIB);
		memset(front_slot(f, q), n + 1, MIB);
		front_send(f, q);
	}
	serve_drain(f->serve);
	assert_false(f->drained);
	q = front_take(f, REQUEST_READ, 0, 1);
	front_send(f, q);
	assert_false(q->unanswered);
	assert_int_equal(f->error, -ESHUTDOWN);
	sim_run(w->sim);
	assert_true(f->drained);
	assert_int_equal(f->locked, 0);
	for (int n = 0; n < 20; n++) {
		sim_get(w->sim, VID, (uint64_t)n * 3 * MIB, w->back, MIB);
		assert_int_equal(w->back[0], n + 1);
		assert_int_equal(w->back[MIB - 1], n + 1);
	}
	world_close(w);
}

/* ---- errors ---- */

static void failed_create_leaves_nothing(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;

	(void)state;
	w->sim->next_result = SD_RES_NO_SPACE;
	assert_int_equal(front_write(f, 0, 4096, w->data), -ENOSPC);
	assert_int_equal(w->v->index[0], 0);
	assert_int_equal(w->sim->index_writes, 0);
	assert_int_equal(serve_allocated(f->serve), 0);
	assert_int_equal(front_read(f, 0, 4096, w->back), 0);
	assert_int_equal(w->back[0], 0);
	assert_int_equal(front_write(f, 4096, 4096, w->data), 0);
	assert_int_equal(w->sim->creates, 2);
	assert_int_equal(w->v->index[0], VID);
	world_close(w);
}

/* A cluster that is disturbed, or has too few members, is waited for; what overlaps keeps its turn,
 * and everything else goes on. */
static void a_halted_cluster_is_waited_for(void **state)
{
	struct world *w = world_open(64 * MIB, 22);
	struct front *f = &w->front;
	struct front_request *halted, *overlapping;

	(void)state;
	sim_put(w->sim, VID, 0, 0, w->back, MIB);
	front_begin(f, "v", "", 0);
	halted = front_take(f, REQUEST_WRITE, 0, 4096);
	memcpy(front_slot(f, halted), w->data, 4096);
	w->sim->next_result = SD_RES_HALT;
	front_send(f, halted);
	sim_run(w->sim);
	assert_true(halted->unanswered);
	assert_int_equal(f->laters, 1);
	overlapping = front_take(f, REQUEST_WRITE, 512, 512);
	memcpy(front_slot(f, overlapping), w->data + 4096, 512);
	front_send(f, overlapping);
	assert_int_equal(front_write(f, 8192, 512, w->data), 0);
	assert_true(halted->unanswered && overlapping->unanswered);
	w->sim->next_result = SD_RES_WAIT_FOR_JOIN;
	serve_try_again(f->serve);
	sim_run(w->sim);
	assert_true(halted->unanswered);
	assert_int_equal(f->laters, 2);
	serve_try_again(f->serve);
	sim_run(w->sim);
	assert_false(halted->unanswered || overlapping->unanswered);
	assert_int_equal(front_read(f, 0, 4096, w->back), 0);
	assert_memory_equal(w->back, w->data, 512);
	assert_memory_equal(w->back + 512, w->data + 4096, 512);
	assert_memory_equal(w->back + 1024, w->data + 1024, 3072);
	/* one that goes down has to be left */
	w->sim->next_result = SD_RES_SHUTDOWN;
	assert_int_equal(front_write(f, 0, 4096, w->data), 1);
	assert_true(f->ended);
	assert_int_equal(f->word, EXIT_DAEMON_LOST);
	world_close(w);
}

static void failed_read_and_write(void **state)
{
	struct world *w = world_open(64 * MIB, 22);
	struct front *f = &w->front;

	(void)state;
	sim_put(w->sim, VID, 0, 0, w->data, MIB);
	front_begin(f, "v", "", 0);
	w->sim->next_result = SD_RES_EIO;
	assert_int_equal(front_read(f, 0, 4096, w->back), -EIO);
	w->sim->next_result = SD_RES_NO_SPACE;
	assert_int_equal(front_write(f, 0, 4096, w->data), -ENOSPC);
	assert_int_equal(front_read(f, 0, 4096, w->back), 0);
	assert_memory_equal(w->back, w->data, 4096);
	assert_false(f->ended);
	world_close(w);
}

static void failed_index_write_or_barrier(void **state)
{
	(void)state;
	for (int n = 0; n < 2; n++) {
		struct world *w = world_begin(64 * MIB, 22);
		struct front *f = &w->front;

		if (n == 0)
			w->sim->index_faults = 1000;
		else
			w->sim->name_status = SD_RES_CLUSTER_ERROR;
		assert_int_equal(front_write(f, 0, 4096, w->data), 1);
		assert_true(f->ended);
		assert_int_equal(f->word, EXIT_DAEMON_LOST);
		world_close(w);
	}
}

/* What happens to the volume while it is attached; the next request must end the generation. */
static void deleted(struct world *w)
{
	w->v->header.name[0] = 0;
	sim_remove(w->sim, VID, 1);
}

static void created_anew(struct world *w)
{
	w->v->header.create_time++;
	sim_remove(w->sim, VID, 1);
}

static void another_cluster(struct world *w)
{
	w->sim->ctime++;
	sim_remove(w->sim, VID, 1);
}

static void rolled_back(struct world *w)
{
	w->v->header.name[0] = 0;
	sim_make_vdi(w->sim, VID + 1, "v", "", 64 * MIB, 22);
	sim_remove(w->sim, VID, 1);
}

static void volume_changed(void **state)
{
	static void (*const changes[])(struct world *) = {
	    deleted, created_anew, another_cluster, rolled_back};

	(void)state;
	for (unsigned n = 0; n < 8; n++) {
		struct world *w = world_open(64 * MIB, 22);
		struct front *f = &w->front;
		int error;

		w->sim->lenient = true;
		sim_put(w->sim, VID, 1, 0, w->data, MIB);
		front_begin(f, "v", "", 0);
		changes[n / 2](w);
		error = n % 2 ? front_read(f, 4 * MIB, 512, w->back)
			      : front_write(f, 4 * MIB, 512, w->data);
		assert_int_equal(error, 1);
		assert_true(f->ended);
		assert_int_equal(f->word,
		    changes[n / 2] == another_cluster ? EXIT_DAEMON_LIES : EXIT_VOLUME_CHANGED);
		assert_non_null(strstr(f->sentence, "vol"));
		world_close(w);
	}
}

static void snapshot_by_others(void **state)
{
	(void)state;
	for (int n = 0; n < 2; n++) {
		struct world *w = world_open(64 * MIB, 22);
		struct front *f = &w->front;

		sim_put(w->sim, VID, 1, 0, w->data, MIB);
		front_begin(f, "v", "", 0);
		sim_snapshot_begin(w->sim);
		sim_snapshot_end(w->sim);
		if (n) { /* the barrier tells */
			w->v->header.snap_ctime = 0;
			w->v->header.name[0] = 0;
		}
		assert_int_equal(front_write(f, n ? 0 : 4 * MIB, 512, w->data), 1);
		assert_true(f->ended);
		assert_int_equal(f->word, EXIT_VOLUME_CHANGED);
		assert_non_null(
		    strstr(f->sentence, n ? "a rollback by somebody else" : "cannot be written"));
		world_close(w);
	}
}

/* The entry changed under us and nothing else did (P 5). */
static void missing_object_is_read_again(void **state)
{
	struct world *w = world_open(64 * MIB, 22);
	struct front *f = &w->front;

	(void)state;
	w->sim->lenient = true;
	sim_put(w->sim, VID, 1, 0, w->data, MIB);
	sim_put(w->sim, VID, 2, 0, w->data, MIB);
	sim_put(w->sim, VID, 3, 0, w->data, MIB);
	front_begin(f, "v", "", 0);
	sim_remove(w->sim, VID, 1);
	sim_remove(w->sim, VID, 2);
	sim_remove(w->sim, VID, 3);
	w->v->index[1] = w->v->index[2] = 0;
	assert_int_equal(front_read(f, 4 * MIB, 512, w->back), 0);
	assert_int_equal(w->back[0] | w->back[511], 0);
	assert_int_equal(front_write(f, 8 * MIB, 512, w->data), 0);
	sim_get(w->sim, VID, 8 * MIB, w->back, 512);
	assert_memory_equal(w->back, w->data, 512);
	assert_int_equal(front_read(f, 12 * MIB, 512, w->back), -EIO);
	assert_int_equal(front_write(f, 12 * MIB, 512, w->data), -EIO);
	assert_int_equal(serve_allocated(f->serve), 8 * MIB);
	assert_false(f->ended);
	world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(holes_need_no_daemon),
	    cmocka_unit_test(round_trips),
	    cmocka_unit_test(overwrite_is_one_call),
	    cmocka_unit_test(neighbours_share_index_writes),
	    cmocka_unit_test(copy_on_write),
	    cmocka_unit_test(beyond_the_end),
	    cmocka_unit_test(broken_contract),
	    cmocka_unit_test(slots_are_by_direction),
	    cmocka_unit_test(drain_finishes_what_was_accepted),
	    cmocka_unit_test(failed_create_leaves_nothing),
	    cmocka_unit_test(failed_read_and_write),
	    cmocka_unit_test(a_halted_cluster_is_waited_for),
	    cmocka_unit_test(failed_index_write_or_barrier),
	    cmocka_unit_test(volume_changed),
	    cmocka_unit_test(snapshot_by_others),
	    cmocka_unit_test(missing_object_is_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
