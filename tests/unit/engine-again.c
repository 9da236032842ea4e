/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's engine after an earlier one: what it is given again, what waits for a past that is
 * not settled, what has become of the volume and of its lock, and how it makes way for the next.
 */
#include "tests/unit/simworld.h"

#include <errno.h>
#include <string.h>

#define SECOND 0x300001U
#define THIRD 0x300002U

static void run_until_ready(struct world *w)
{
	front_begin(&w->front, "v", "", 0);
}

/* The engine of today dies; the next one begins, on a past that is settled or not. */
static void next(struct world *w, bool settled)
{
	front_kill_engine(&w->front);
	w->sim->again = true;
	if (settled)
		sim_settle(w->sim);
	w->front.unsettled = !settled;
	run_until_ready(w);
}

static struct front_request *write_begun(struct world *w, uint64_t offset, uint32_t length)
{
	struct front_request *q = front_take(&w->front, REQUEST_WRITE, offset, length);

	memcpy(front_slot(&w->front, q), w->data, length);
	front_send(&w->front, q);
	return q;
}

static void same_bytes(struct world *w, uint64_t offset, uint32_t length)
{
	assert_int_equal(front_read(&w->front, offset, length, w->back), 0);
	assert_memory_equal(w->back, w->data, length);
}

/* ---- what is given again ---- */

static void unanswered_is_done_again(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct front_request *q, *flush;

	(void)state;
	q = write_begun(w, 4 * MIB, 5000);
	flush = front_take(f, REQUEST_FLUSH, 0, 0);
	front_send(f, flush);
	next(w, true);
	assert_true(f->is_ready);
	assert_int_equal(f->ready.vid, VID);
	assert_int_equal(f->locked, VID);
	assert_true(w->v->locked);
	front_resume(f);
	sim_run(w->sim);
	assert_false(q->unanswered || flush->unanswered);
	same_bytes(w, 4 * MIB, 5000);
	world_close(w);
}

/* Whatever the dead one's calls still do, nothing that concerns the same object passes them. */
static void same_object_waits_for_the_past(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct front_request *old, *overlapping, *beside, *flush, *other, *after;

	(void)state;
	assert_int_equal(front_write(f, 8 * MIB, 4096, w->data), 0);
	old = write_begun(w, 8 * MIB, 4096);
	next(w, false);
	assert_true(f->is_ready);
	front_resume(f);
	overlapping = write_begun(w, 8 * MIB + 512, 512);
	beside = write_begun(w, 8 * MIB + 65536, 512);
	flush = front_take(f, REQUEST_FLUSH, 0, 0);
	front_send(f, flush);
	other = write_begun(w, 16 * MIB, 512);
	/* reads are concurrent with what nobody was told to be done */
	assert_int_equal(front_read(f, 8 * MIB, 4096, w->back), 0);
	for (unsigned n = 0; n < 1000 && other->unanswered; n++)
		sim_step(w->sim);
	assert_false(other->unanswered);
	assert_true(old->unanswered && overlapping->unanswered && beside->unanswered);
	assert_true(flush->unanswered);
	sim_settle(w->sim);
	serve_settled(f->serve, false);
	sim_run(w->sim);
	assert_false(old->unanswered || overlapping->unanswered || beside->unanswered);
	assert_false(flush->unanswered);
	after = write_begun(w, 8 * MIB, 512);
	sim_run(w->sim);
	assert_false(after->unanswered);
	world_close(w);
}

/* An index write of the past is executed after the index was read: it is seen, and not repeated. */
static void index_is_read_again(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct front_request *old;
	unsigned creates;

	(void)state;
	old = write_begun(w, 12 * MIB, 4096);
	next(w, false);
	front_resume(f);
	while (f->unanswered && w->sim->daemon.in_flight)
		sim_step(w->sim);
	assert_true(old->unanswered);
	/* the dead one's create and index write */
	sim_settle(w->sim);
	sim_put(w->sim, VID, 3, 0, w->data, 4096);
	w->v->index[3] = VID;
	creates = w->sim->creates;
	serve_settled(f->serve, false);
	sim_run(w->sim);
	assert_false(old->unanswered);
	assert_int_equal(w->sim->creates, creates);
	same_bytes(w, 12 * MIB, 4096);
	world_close(w);
}

/* A daemon's death may leave the index's copies different: entries are written again, too. */
static void index_is_written_again_after_a_death(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct front_request *old;
	unsigned writes, barriers;

	(void)state;
	assert_int_equal(front_write(f, 0, 4096, w->data), 0);
	old = write_begun(w, 0, 4096);
	front_kill_engine(f);
	sim_settle(w->sim);
	f->died = true;
	w->sim->again = w->sim->rewriting = true;
	run_until_ready(w);
	writes = w->sim->index_writes;
	barriers = w->sim->barriers;
	front_resume(f);
	sim_run(w->sim);
	assert_false(old->unanswered);
	assert_int_equal(w->sim->index_writes, writes + 1);
	assert_true(w->sim->barriers > barriers);
	/* one that is not of the past is a plain overwrite */
	assert_int_equal(front_write(f, 512, 512, w->data), 0);
	assert_int_equal(w->sim->index_writes, writes + 1);
	world_close(w);
}

/* What a dead front was asked, its successor is asked as if it were new. */
static void what_may_be_asked_again_is_written_again(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	unsigned writes;

	(void)state;
	assert_int_equal(front_write(f, 0, 4096, w->data), 0);
	assert_int_equal(front_write(f, 4 * MIB, 4096, w->data), 0);
	front_kill_engine(f);
	sim_settle(w->sim);
	f->rewrite = true;
	w->sim->again = w->sim->rewriting = true;
	run_until_ready(w);
	writes = w->sim->index_writes;
	assert_int_equal(front_write(f, 0, 512, w->data), 0);
	assert_int_equal(w->sim->index_writes, writes); /* nobody died */
	front_kill_engine(f);
	f->died = true;
	run_until_ready(w);
	writes = w->sim->index_writes;
	assert_int_equal(front_write(f, 0, 512, w->data), 0);
	assert_int_equal(w->sim->index_writes, writes + 1);
	assert_int_equal(front_write(f, 1024, 512, w->data), 0);
	assert_int_equal(w->sim->index_writes, writes + 1); /* once is enough */
	assert_int_equal(front_write(f, 4 * MIB, 512, w->data), 0);
	assert_int_equal(w->sim->index_writes, writes + 2);
	world_close(w);
}

/* One that is not done any more keeps what is new from its place, until nothing of it can run. */
static void who_is_condemned_holds_its_place(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct front_request *old, *overlapping;
	uint8_t before[4096];

	(void)state;
	assert_int_equal(front_write(f, 8 * MIB, 4096, w->data), 0);
	memcpy(before, w->data, sizeof before);
	memset(w->data, 'o', 4096);
	old = write_begun(w, 8 * MIB, 4096);
	next(w, false);
	assert_true(f->is_ready);
	old->r.again = REQUEST_HOLDS;
	serve_request(f->serve, &old->r);
	memset(w->data, 'n', 512);
	overlapping = write_begun(w, 8 * MIB + 512, 512);
	for (unsigned n = 0; n < 1000; n++)
		sim_step(w->sim);
	assert_true(old->unanswered && overlapping->unanswered);
	sim_settle(w->sim);
	sim_put(w->sim, VID, 2, 0, before, 4096);
	serve_settled(f->serve, false);
	sim_run(w->sim);
	assert_false(old->unanswered || overlapping->unanswered);
	assert_int_equal(front_read(f, 8 * MIB, 4096, w->back), 0);
	memset(before + 512, 'n', 512);
	assert_memory_equal(w->back, before, 4096);
	/* nothing is left of it: it is over at once */
	old = front_take(f, REQUEST_WRITE, 8 * MIB, 4096);
	old->r.again = REQUEST_HOLDS;
	front_send(f, old);
	sim_run(w->sim);
	assert_false(old->unanswered);
	assert_int_equal(f->error, -EIO);
	world_close(w);
}

/* ---- what has become of the volume ---- */

/* Somebody else takes a snapshot: the VDI that we knew is `old`, the volume goes on as `now`. */
static struct sim_vdi *succeed(struct world *w, struct sim_vdi *old, uint32_t now, uint64_t moment)
{
	struct sim_vdi *v =
	    sim_make_vdi(w->sim, now, "v", "", old->header.vdi_size, old->header.block_size_shift);

	memcpy(v->index, old->index, sizeof v->index);
	old->header.snap_ctime = moment;
	v->header.create_time = moment;
	v->header.parent_vdi_id = old->header.vdi_id;
	return v;
}

static void begun_and_lost(struct world *w)
{
	assert_int_equal(front_write(&w->front, 0, 4096, w->data), 0);
	front_kill_engine(&w->front);
	sim_settle(w->sim);
	w->sim->again = true;
}

static void a_snapshot_is_followed(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct sim_vdi *v;

	(void)state;
	begun_and_lost(w);
	v = succeed(w, w->v, SECOND, 77);
	run_until_ready(w);
	assert_true(f->is_ready);
	assert_int_equal(f->ready.vid, SECOND);
	assert_int_equal(f->now.vid, SECOND);
	assert_int_equal(f->now.create_time, 77);
	/* the lock went along */
	assert_int_equal(f->locked, SECOND);
	assert_true(v->locked);
	assert_false(w->v->locked);
	same_bytes(w, 0, 4096);
	assert_int_equal(front_write(f, 4096, 512, w->data), 0);
	assert_int_equal(v->index[0], SECOND);
	assert_int_equal(w->v->index[0], VID);
	same_bytes(w, 0, 4096);
	world_close(w);
}

/* It had taken a snapshot itself, and died before it gave the lock of that back. */
static void an_old_lock_is_given_back(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct sim_vdi *v;

	(void)state;
	begun_and_lost(w);
	v = succeed(w, w->v, SECOND, 77);
	f->was.vid = SECOND;
	f->was.create_time = 77;
	assert_int_equal(f->was.lock, VID);
	run_until_ready(w);
	assert_true(f->is_ready);
	assert_int_equal(f->locked, SECOND);
	assert_true(v->locked);
	assert_false(w->v->locked);
	world_close(w);
}

static void several_snapshots_are_followed(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct sim_vdi *second;

	(void)state;
	begun_and_lost(w);
	second = succeed(w, w->v, SECOND, 77);
	succeed(w, second, THIRD, 88);
	w->v->header.name[0] = 0; /* and the first of them was deleted since */
	run_until_ready(w);
	assert_true(f->is_ready);
	assert_int_equal(f->ready.vid, THIRD);
	same_bytes(w, 0, 4096);
	world_close(w);
}

static void deleted(struct world *w)
{
	w->v->header.name[0] = 0;
}

static void created_anew(struct world *w)
{
	deleted(w);
	sim_make_vdi(w->sim, SECOND, "v", "", 64 * MIB, 22);
}

static void rolled_back(struct world *w)
{
	struct sim_vdi *v = succeed(w, w->v, SECOND, 77);

	v->header.create_time = 99;
}

static void rebased(struct world *w)
{
	succeed(w, w->v, SECOND, 77)->header.parent_vdi_id = PARENT;
	sim_make_vdi(w->sim, PARENT, "v", "", 64 * MIB, 22)->header.snap_ctime = 5;
}

static void left_over(struct world *w)
{
	succeed(w, w->v, SECOND, 77)->header.parent_vdi_id = 0;
}

static void broken_chain(struct world *w)
{
	struct sim_vdi *second = succeed(w, w->v, SECOND, 77);

	succeed(w, second, THIRD, 88)->header.create_time = 89;
}

static void recycled(struct world *w)
{
	w->v->header.create_time++;
}

static void another_cluster(struct world *w)
{
	w->sim->ctime++;
}

static void only_a_snapshot(struct world *w)
{
	w->v->header.snap_ctime = 77;
}

static void shrunk(struct world *w)
{
	w->v->header.vdi_size = MIB;
}

static void taken_by_others(struct world *w)
{
	succeed(w, w->v, SECOND, 77)->locked = true;
}

static void waiting_for_members(struct world *w)
{
	w->sim->status = SD_RES_WAIT_FOR_JOIN;
}

static const struct {
	const char *what;
	void (*change)(struct world *w);
	int error;
	bool elsewhere;
	const char *says;
} refusals[] = {
    {"deleted", deleted, -ESTALE, false, "deleted"},
    {"deleted and created anew", created_anew, -ESTALE, false, "deleted"},
    {"rolled back", rolled_back, -ESTALE, false, "does not continue it"},
    {"rebased", rebased, -ESTALE, false, "does not continue it"},
    {"a left-over snapshot, its name created anew", left_over, -ESTALE, false,
	"does not continue it"},
    {"a chain with a broken link", broken_chain, -ESTALE, false, "does not continue it"},
    {"its vid belongs to another one", recycled, -ESTALE, true, "is not the volume"},
    {"another cluster", another_cluster, -ESTALE, true, "another cluster"},
    {"its successor was deleted", only_a_snapshot, -ESTALE, false, "deleted"},
    {"shrunk", shrunk, -ESTALE, false, "had 67108864 bytes and has 1048576"},
    {"its successor is locked by others", taken_by_others, -EBUSY, false, "is locked"},
    {"the cluster waits", waiting_for_members, -EAGAIN, true, "WAIT_FOR_JOIN"},
};

/* Refused, nothing is changed by it, and the lock stays for those who may still go on. */
static void others_are_refused(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof refusals / sizeof *refusals; n++) {
		struct world *w = world_begin(64 * MIB, 22);
		struct front *f = &w->front;
		bool right;

		begun_and_lost(w);
		refusals[n].change(w);
		run_until_ready(w);
		right = f->refused && f->refusal == refusals[n].error &&
			f->elsewhere == refusals[n].elsewhere &&
			strstr(f->sentence, refusals[n].says) && w->v->locked && f->locked == VID;
		if (!right)
			fail_msg("%s: refused %d, error %d, elsewhere %d, locked %x: %s",
			    refusals[n].what, f->refused, f->refusal, f->elsewhere, f->locked,
			    f->sentence);
		world_close(w);
	}
}

static void a_grown_volume_keeps_its_size(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);

	(void)state;
	begun_and_lost(w);
	w->v->header.vdi_size *= 2;
	run_until_ready(w);
	assert_true(w->front.is_ready);
	assert_int_equal(w->front.ready.size, 64 * MIB);
	assert_int_equal(front_write(&w->front, 64 * MIB, 512, w->data), -ENOSPC);
	world_close(w);
}

/* The whole cluster was restarted, and has forgotten its locks (P 6.3). */
static void a_lost_lock_is_taken_again(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);

	(void)state;
	begun_and_lost(w);
	w->v->locked = false;
	run_until_ready(w);
	assert_true(w->front.is_ready);
	assert_true(w->v->locked);
	assert_int_equal(w->front.locked, VID);
	world_close(w);
}

/* ... and somebody else was quicker: nothing tells his lock from ours but that ours is lost. */
static void a_lost_lock_may_be_taken(void **state)
{
	(void)state;
	for (unsigned lost = 0; lost < 2; lost++) {
		struct world *w = world_begin(64 * MIB, 22);
		struct front *f = &w->front;

		begun_and_lost(w);
		f->lock_is_lost = lost;
		run_until_ready(w);
		assert_int_equal(f->is_ready, !lost);
		assert_int_equal(f->locked, lost ? 0 : VID);
		if (lost) {
			assert_true(f->refused);
			assert_int_equal(f->refusal, -EBUSY);
		}
		assert_true(w->v->locked);
		world_close(w);
	}
}

/* ---- making way ---- */

static void hands_over(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;
	struct front_request *sent, *waiting, *late;

	(void)state;
	assert_int_equal(front_write(f, 0, 4096, w->data), 0);
	sent = write_begun(w, 0, 4096);
	waiting = write_begun(w, 512, 512); /* overlaps: it is not sent before the first is done */
	f->handing_over = true;
	serve_hand_over(f->serve);
	late = write_begun(w, 4 * MIB, 512);
	sim_run(w->sim);
	assert_true(f->drained);
	assert_false(sent->unanswered);
	assert_true(waiting->unanswered && late->unanswered);
	assert_int_equal(f->locked, VID);
	assert_true(w->v->locked);
	front_kill_engine(f);
	w->sim->again = true;
	run_until_ready(w);
	assert_true(f->is_ready);
	front_resume(f);
	sim_run(w->sim);
	assert_int_equal(f->unanswered, 0);
	world_close(w);
}

/* A connection is just being admitted, and nothing else is to be done: that is not waited for, and
 * the lock stays all the same. */
static void hands_over_at_rest(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;

	(void)state;
	serve_connected(f->serve, 2);
	assert_int_equal(w->sim->in_flight, 1);
	f->handing_over = true;
	serve_hand_over(f->serve);
	sim_run(w->sim);
	assert_true(f->drained);
	assert_int_equal(f->locked, VID);
	assert_true(w->v->locked);
	world_close(w);
}

/* Nobody waits for what is not settled; the lock stays, for it may still be written. */
static void drains_with_an_unsettled_past(void **state)
{
	struct world *w = world_begin(64 * MIB, 22);
	struct front *f = &w->front;

	(void)state;
	assert_int_equal(front_write(f, 0, 4096, w->data), 0);
	write_begun(w, 0, 4096);
	next(w, false);
	front_resume(f);
	while (w->sim->daemon.in_flight)
		sim_step(w->sim);
	f->handing_over = true; /* what is unanswered stays so */
	serve_drain(f->serve);
	while (!f->drained && w->sim->daemon.in_flight)
		sim_step(w->sim);
	assert_true(f->drained);
	assert_int_equal(f->locked, VID);
	assert_true(w->v->locked);
	world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(unanswered_is_done_again),
	    cmocka_unit_test(same_object_waits_for_the_past),
	    cmocka_unit_test(index_is_read_again),
	    cmocka_unit_test(index_is_written_again_after_a_death),
	    cmocka_unit_test(what_may_be_asked_again_is_written_again),
	    cmocka_unit_test(who_is_condemned_holds_its_place),
	    cmocka_unit_test(a_snapshot_is_followed),
	    cmocka_unit_test(an_old_lock_is_given_back),
	    cmocka_unit_test(several_snapshots_are_followed),
	    cmocka_unit_test(others_are_refused),
	    cmocka_unit_test(a_grown_volume_keeps_its_size),
	    cmocka_unit_test(a_lost_lock_is_taken_again),
	    cmocka_unit_test(a_lost_lock_may_be_taken),
	    cmocka_unit_test(hands_over),
	    cmocka_unit_test(hands_over_at_rest),
	    cmocka_unit_test(drains_with_an_unsettled_past),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
