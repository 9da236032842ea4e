/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's engine deletes its volume: what it empties, in which order, and how often; deaths at
 * every step; and what it must not delete.
 */
#include "tests/unit/simworld.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Runs of entries: one alone, one of three, one longer than is emptied at once, and the last. */
static const struct {
	uint32_t first, n;
} runs[] = {{0, 3}, {5, 1}, {130, 271}, {SIM_INDEX_MAX - 1, 1}};

#define NR_RUNS (sizeof runs / sizeof *runs)
#define NR_ENTRIES (3 + 1 + 271 + 1)
#define NR_WRITES 6 /* of 128 at most */

static struct world *volume_to_delete(void)
{
	struct world *w = world_open((uint64_t)SIM_INDEX_MAX << 12, 12);

	w->sim->deleting = true;
	w->front.purpose = PURPOSE_DELETE;
	for (size_t r = 0; r < NR_RUNS; r++)
		for (uint32_t n = 0; n < runs[r].n; n++)
			w->v->index[runs[r].first + n] = n % 2 ? VID : PARENT;
	return w;
}

static void order(struct world *w)
{
	serve_delete(w->front.serve, FRONT_DELETION);
}

static void begin(struct world *w)
{
	front_begin(&w->front, "v", "", 0);
	assert_true(w->front.is_ready);
	order(w);
}

static bool is_empty(const struct sim_vdi *v)
{
	for (uint32_t idx = 0; idx < SIM_INDEX_MAX; idx++)
		if (v->index[idx])
			return false;
	return true;
}

static void says(struct world *w, const char *words)
{
	if (!strstr(w->front.sentence, words))
		fail_msg("\"%s\" is not in \"%s\"", words, w->front.sentence);
}

static void was_deleted(struct world *w)
{
	assert_int_equal(w->front.deletions, 1);
	assert_int_equal(w->front.deletion_error, 0);
	says(w, "volume v was deleted (vid 6a5e16)");
	assert_true(is_empty(w->v));
	assert_string_equal(w->v->header.name, "");
}

static void empties_and_deletes(void **state)
{
	struct world *w = volume_to_delete();

	(void)state;
	begin(w);
	assert_int_equal(w->front.ready.vid, VID);
	assert_true(w->v->locked);
	sim_run(w->sim);
	was_deleted(w);
	assert_int_equal(w->sim->index_writes, NR_WRITES);
	assert_int_equal(w->sim->index_entries, NR_ENTRIES);
	assert_int_equal(w->sim->deletions, 1);
	assert_true(w->front.progress >= 2);
	/* nothing but its index is touched, and its lock is given back */
	assert_int_equal(w->sim->creates + w->sim->reads + w->sim->renames, 0);
	serve_drain(w->front.serve);
	sim_run(w->sim);
	assert_true(w->front.drained);
	assert_false(w->v->locked);
	world_close(w);
}

/* Nothing is begun before it is ordered. */
static void waits_for_the_order(void **state)
{
	struct world *w = volume_to_delete();

	(void)state;
	front_begin(&w->front, "v", "", 0);
	sim_run(w->sim);
	assert_int_equal(w->sim->index_writes + w->sim->deletions, 0);
	serve_drain(w->front.serve);
	sim_run(w->sim);
	assert_true(w->front.drained);
	assert_false(w->v->locked);
	world_close(w);
}

/* It goes by its number: another, newer one has the same tag. */
static void a_snapshot(void **state)
{
	struct world *w = volume_to_delete();
	struct sim_vdi *other, *working;

	(void)state;
	w->v->header.snap_ctime = 7;
	w->v->header.snap_id = 3;
	strcpy(w->v->header.tag, "t");
	other = sim_make_vdi(w->sim, VID + 1, "v", "t", MIB, 12);
	other->header.snap_ctime = 8;
	other->header.snap_id = 4;
	working = sim_make_vdi(w->sim, VID + 2, "v", "", MIB, 12);
	front_begin(&w->front, "v", "", 3);
	assert_true(w->front.is_ready);
	assert_true(w->front.ready.read_only);
	order(w);
	sim_run(w->sim);
	assert_int_equal(w->front.deletion_error, 0);
	says(w, "volume v@3 was deleted");
	assert_true(is_empty(w->v));
	assert_string_equal(w->v->header.name, "");
	assert_string_equal(other->header.name, "v");
	assert_string_equal(working->header.name, "v");
	/* nobody else may delete it meanwhile */
	assert_true(w->v->locked);
	assert_false(other->locked || working->locked);
	serve_drain(w->front.serve);
	sim_run(w->sim);
	assert_false(w->v->locked);
	world_close(w);
}

/* An attach refuses it; the daemon frees such an index itself. */
static void a_hyper_volume(void **state)
{
	struct world *w = volume_to_delete();

	(void)state;
	w->v->header.store_policy = 1;
	begin(w);
	sim_run(w->sim);
	assert_int_equal(w->front.deletion_error, 0);
	assert_int_equal(w->sim->index_writes, 0);
	assert_string_equal(w->v->header.name, "");
	world_close(w);
}

static void somebody_writes_at_the_end(void **state)
{
	struct world *w = volume_to_delete();

	(void)state;
	/* a copy that was not read may have had it, so all is emptied once more */
	w->sim->late_entry = w->sim->rewriting = true;
	begin(w);
	sim_run(w->sim);
	assert_int_equal(w->sim->deletions, 2);
	assert_true(w->sim->index_entries >= SIM_INDEX_MAX);
	assert_int_equal(w->front.deletion_error, -EAGAIN);
	says(w, "vdi/delete again");
	assert_string_equal(w->v->header.name, "v");
	world_close(w);
}

static void locked_by_another(void **state)
{
	struct world *w = volume_to_delete();

	(void)state;
	w->v->locked = true;
	front_begin(&w->front, "v", "", 0);
	assert_true(w->front.refused);
	assert_int_equal(w->front.refusal, -EBUSY);
	assert_int_equal(w->sim->index_writes + w->sim->deletions, 0);
	world_close(w);
}

/* ---- another one goes on ---- */

/* What the dead one had in flight is executed, whatever it was; then the next one begins. */
static void next_engine(struct world *w)
{
	struct front *f = &w->front;

	front_kill_engine(f);
	f->purpose = PURPOSE_DELETE_ON;
	sim_settle(w->sim);
	front_start(f, "v", "", 0);
	while (!f->is_ready && !f->refused && sim_step(w->sim))
		;
}

/* That one goes on with it, to the end. */
static void next_one_finishes(struct world *w)
{
	next_engine(w);
	assert_true(w->front.is_ready);
	order(w);
	sim_run(w->sim);
	was_deleted(w);
}

/* Every entry is emptied once, whenever an engine dies. */
static void deaths_at_every_step(void **state)
{
	unsigned steps = 0;
	bool over = false;

	(void)state;
	for (; !over; steps++) {
		struct world *w = volume_to_delete();

		begin(w);
		for (unsigned n = 0; n < steps; n++)
			over = !sim_step(w->sim);
		over = over || w->front.deletions;
		if (!over) {
			next_engine(w);
			assert_true(w->front.is_ready);
			order(w);
		}
		sim_run(w->sim);
		was_deleted(w);
		assert_int_equal(w->sim->index_entries, NR_ENTRIES);
		assert_true(w->sim->deletions == 1);
		world_close(w);
	}
	assert_true(steps > 40);
}

/* The daemon died of DEL_VDI: its copies of the header may differ. */
static void gone_and_written_again(void **state)
{
	for (unsigned died = 0; died < 2; died++) {
		struct world *w = volume_to_delete();

		(void)state;
		begin(w);
		while (!w->sim->deletions)
			assert_true(sim_step(w->sim));
		w->front.died = died;
		next_one_finishes(w);
		assert_int_equal(w->sim->renames, died);
		assert_int_equal(w->sim->deletions, 1);
		world_close(w);
	}
}

/* A daemon that died amid a run may have emptied it in one copy only. */
static void emptied_again_after_a_death(void **state)
{
	struct world *w = volume_to_delete();

	(void)state;
	begin(w);
	while (w->sim->index_writes < 3)
		assert_true(sim_step(w->sim));
	w->front.died = w->sim->rewriting = true;
	next_one_finishes(w);
	assert_true(w->sim->index_entries >= SIM_INDEX_MAX);
	assert_int_equal(w->sim->deletions, 1);
	world_close(w);
}

/* Where vids are used again no inode is left, or it is somebody else's. */
static void vids_are_used_again(void **state)
{
	for (unsigned death = 0; death < 4; death++) {
		struct world *w = volume_to_delete();

		(void)state;
		w->sim->recycles = true;
		begin(w);
		while (death && !w->sim->deletions)
			assert_true(sim_step(w->sim));
		if (death == 2)
			sim_make_vdi(w->sim, VID, "other", "", MIB, 12);
		if (death == 3)
			sim_make_vdi(w->sim, VID, "v", "", MIB, 12);
		if (death) {
			w->front.died = true;
			next_engine(w);
			assert_true(w->front.is_ready);
			order(w);
		}
		sim_run(w->sim);
		assert_int_equal(w->front.deletions, 1);
		assert_int_equal(w->front.deletion_error, 0);
		assert_int_equal(w->sim->renames, 0);
		assert_int_equal(w->sim->deletions, 1);
		world_close(w);
	}
}

/* What was seen of it before tells nothing: it was kept once, and then it is gone. */
static void kept_once_and_gone(void **state)
{
	struct world *w = volume_to_delete();

	(void)state;
	w->sim->late_entry = w->sim->recycles = w->sim->rewriting = true;
	begin(w);
	sim_run(w->sim);
	assert_int_equal(w->front.deletions, 1);
	assert_int_equal(w->front.deletion_error, 0);
	assert_int_equal(w->sim->deletions, 2);
	world_close(w);
}

/* Nobody wants it any more while its lock is asked for: that is waited for, and given back. */
static void abandoned_while_it_is_locked(void **state)
{
	struct world *w = volume_to_delete();

	(void)state;
	w->v->header.snap_ctime = 7;
	strcpy(w->v->header.tag, "t");
	front_start(&w->front, "v", "t", 0);
	while (!w->v->locked)
		assert_true(sim_step(w->sim));
	serve_drain(w->front.serve);
	sim_run(w->sim);
	assert_true(w->front.drained || w->front.refused);
	assert_false(w->v->locked);
	assert_int_equal(w->front.locked, 0);
	world_close(w);
}

/* Only who goes on with a deletion takes an emptied, nameless VDI for a success. */
static void gone_before_it_began(void **state)
{
	struct world *w = volume_to_delete();
	struct sim_vdi *anew;

	(void)state;
	begin(w);
	sim_run(w->sim);
	front_kill_engine(&w->front);
	sim_settle(w->sim);
	anew = sim_make_vdi(w->sim, VID + 1, "v", "", MIB, 12);
	front_start(&w->front, "v", "", 0);
	sim_run(w->sim);
	assert_true(w->front.refused);
	assert_int_equal(w->front.refusal, -ESTALE);
	assert_string_equal(anew->header.name, "v");
	world_close(w);
}

/* The name belongs to a new volume by then: it is left alone. */
static void made_anew_meanwhile(void **state)
{
	struct world *w = volume_to_delete();
	struct sim_vdi *anew;

	(void)state;
	begin(w);
	while (!w->sim->deletions)
		assert_true(sim_step(w->sim));
	anew = sim_make_vdi(w->sim, VID + 1, "v", "", MIB, 12);
	anew->index[0] = VID + 1;
	next_one_finishes(w);
	assert_string_equal(anew->header.name, "v");
	assert_int_equal(anew->index[0], VID + 1);
	assert_false(anew->locked);
	world_close(w);
}

/* Somebody else's snapshot makes it what nobody wants to delete. */
static void snapshot_by_others(void **state)
{
	struct world *w = volume_to_delete();
	unsigned writes;

	(void)state;
	begin(w);
	while (w->sim->index_writes < 2)
		assert_true(sim_step(w->sim));
	sim_snapshot_begin(w->sim);
	sim_snapshot_end(w->sim);
	sim_run(w->sim);
	assert_true(w->front.ended);
	assert_int_equal(w->front.word, EXIT_VOLUME_CHANGED);
	assert_int_equal(w->sim->deletions, 0);
	/* the last piece, which has one entry, is not emptied any more */
	assert_int_equal(w->v->index[SIM_INDEX_MAX - 1], PARENT);
	writes = w->sim->index_writes;
	next_engine(w);
	assert_true(w->front.refused);
	assert_int_equal(w->front.refusal, -ESTALE);
	says(w, "took a snapshot of it meanwhile");
	assert_int_equal(w->sim->index_writes, writes);
	world_close(w);
}

/* What failed may have been done: only an engine that reads it afresh knows. */
static void failures(void **state)
{
	for (unsigned works = 0; works < 2; works++) {
		struct world *w = volume_to_delete();

		(void)state;
		w->sim->del_result = SD_RES_CLUSTER_ERROR;
		w->sim->del_works = works;
		begin(w);
		sim_run(w->sim);
		assert_true(w->front.ended);
		assert_int_equal(w->front.word, EXIT_DAEMON_LOST);
		next_one_finishes(w);
		world_close(w);
	}
	for (unsigned seed = 0; seed < 50; seed++) {
		struct world *w = volume_to_delete();

		w->sim->random += seed;
		w->sim->index_faults = 300;
		begin(w);
		for (;;) {
			sim_run(w->sim);
			if (!w->front.ended)
				break;
			assert_int_equal(w->front.word, EXIT_DAEMON_LOST);
			next_engine(w);
			order(w);
		}
		was_deleted(w);
		assert_true(w->sim->index_entries >= NR_ENTRIES);
		world_close(w);
	}
}

/* ---- the end in peace ---- */

static void stopped_amid(void **state)
{
	for (unsigned handing_over = 0; handing_over < 2; handing_over++) {
		struct world *w = volume_to_delete();
		unsigned writes;

		(void)state;
		begin(w);
		while (w->sim->index_writes < 2)
			assert_true(sim_step(w->sim));
		w->front.handing_over = handing_over;
		writes = w->sim->index_writes;
		if (handing_over)
			serve_hand_over(w->front.serve);
		else
			serve_drain(w->front.serve);
		sim_run(w->sim);
		assert_true(w->front.drained);
		assert_int_equal(w->front.deletions + w->sim->deletions, 0);
		assert_int_equal(w->sim->index_writes, writes);
		assert_int_equal(w->v->locked, handing_over);
		next_one_finishes(w);
		assert_int_equal(w->sim->index_entries, NR_ENTRIES);
		world_close(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(empties_and_deletes),
	    cmocka_unit_test(waits_for_the_order),
	    cmocka_unit_test(a_snapshot),
	    cmocka_unit_test(a_hyper_volume),
	    cmocka_unit_test(somebody_writes_at_the_end),
	    cmocka_unit_test(locked_by_another),
	    cmocka_unit_test(deaths_at_every_step),
	    cmocka_unit_test(gone_and_written_again),
	    cmocka_unit_test(emptied_again_after_a_death),
	    cmocka_unit_test(vids_are_used_again),
	    cmocka_unit_test(kept_once_and_gone),
	    cmocka_unit_test(abandoned_while_it_is_locked),
	    cmocka_unit_test(gone_before_it_began),
	    cmocka_unit_test(made_anew_meanwhile),
	    cmocka_unit_test(snapshot_by_others),
	    cmocka_unit_test(failures),
	    cmocka_unit_test(stopped_amid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
