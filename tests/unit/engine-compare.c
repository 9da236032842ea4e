/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A daemon that answers and ends no object I/O: when another one is wanted, and which one is
 * better.
 */
#include "tests/unit/simworld.h"

#include <string.h>

struct pair {
	struct world *w;
	struct sim *other; /* another daemon, of the same cluster */
};

static struct pair begin(void)
{
	struct pair p = {world_open(64 * MIB, 22), sim_open(9)};

	sim_put(p.w->sim, VID, 1, 0, p.w->data, 4096);
	front_begin(&p.w->front, "v", "", 0);
	assert_true(p.w->front.is_ready);
	sim_make_vdi(p.other, VID, "v", "", 64 * MIB, 22)->header.create_time =
	    p.w->v->header.create_time;
	return p;
}

static void end(struct pair *p)
{
	world_close(p->w);
	sim_close(p->other);
}

/* Ours is asked for a READ, in vain, and then another one is wanted. */
static void stall(struct pair *p)
{
	struct front *f = &p->w->front;

	p->w->sim->frozen = true;
	front_send(f, front_take(f, REQUEST_READ, 4 * MIB, 4096));
	serve_stalled(f->serve);
	assert_int_equal(f->stalls, 0);
	assert_true(serve_wants_comparison(f->serve));
	serve_stalled(f->serve);
	assert_int_equal(f->stalls, 1);
}

static void compare(struct pair *p)
{
	serve_compare(p->w->front.serve, &p->other->daemon);
	assert_false(serve_wants_comparison(p->w->front.serve));
	serve_stalled(p->w->front.serve); /* one at a time */
	sim_run(p->other);
}

static void stays(const struct pair *p)
{
	assert_int_equal(p->w->front.comparisons, 1);
	assert_false(p->w->front.ended);
	assert_true(p->w->v->locked);
}

static void goes(const struct pair *p)
{
	assert_true(p->w->front.ended);
	assert_int_equal(p->w->front.word, EXIT_DAEMON_STALLED);
	assert_int_equal(p->w->front.comparisons, 0);
	assert_true(p->w->v->locked); /* the next generation goes on with it */
}

static void one_that_reads_is_as_good_as_any(void **state)
{
	struct pair p = begin();
	struct front *f = &p.w->front;

	(void)state;
	assert_false(serve_wants_comparison(f->serve));
	for (unsigned n = 0; n < 3; n++) {
		serve_stalled(f->serve);
		sim_run(p.w->sim);
		assert_false(serve_wants_comparison(f->serve));
	}
	assert_int_equal(f->stalls, 0);
	assert_int_equal(p.w->sim->daemon.in_flight, 0);
	end(&p);
}

static void another_that_reads_is_better(void **state)
{
	struct pair p = begin();

	(void)state;
	stall(&p);
	serve_stalled(p.w->front.serve); /* and once more, as nobody came */
	assert_int_equal(p.w->front.stalls, 2);
	compare(&p);
	goes(&p);
	end(&p);
}

static void another_cluster_is_no_better(void **state)
{
	struct pair p = begin();

	(void)state;
	stall(&p);
	p.other->ctime++;
	compare(&p);
	stays(&p);
	assert_true(serve_wants_comparison(p.w->front.serve));
	end(&p);
}

static void one_that_does_not_serve_is_no_better(void **state)
{
	struct pair p = begin();

	(void)state;
	stall(&p);
	p.other->status = SD_RES_WAIT_FOR_JOIN;
	compare(&p);
	stays(&p);
	end(&p);
}

static void one_that_does_not_read_is_no_better(void **state)
{
	struct pair p = begin();
	struct front *f = &p.w->front;

	(void)state;
	stall(&p);
	p.other->frozen = true;
	compare(&p);
	assert_int_equal(f->comparisons, 0);
	serve_compare_lost(f->serve, "it has not answered for 2 seconds");
	stays(&p);
	/* the next one */
	sim_crash(p.other);
	p.other->frozen = false;
	f->comparisons = 0;
	compare(&p);
	goes(&p);
	end(&p);
}

static void ours_may_come_back_meanwhile(void **state)
{
	struct pair p = begin();
	struct front *f = &p.w->front;

	(void)state;
	stall(&p);
	serve_compare(f->serve, &p.other->daemon);
	p.w->sim->frozen = false;
	sim_run(p.w->sim);
	assert_int_equal(f->unanswered, 0);
	sim_run(p.other);
	stays(&p);
	assert_false(serve_wants_comparison(f->serve));
	/* the next time it begins anew */
	f->stalls = f->comparisons = 0;
	stall(&p);
	compare(&p);
	goes(&p);
	end(&p);
}

/* What has become of the volume is for the next generation to follow. */
static void a_snapshot_by_others_is_no_reason_to_stay(void **state)
{
	struct pair p = begin();

	(void)state;
	stall(&p);
	sim_vdi(p.other, VID)->header.snap_ctime = 5;
	compare(&p);
	goes(&p);
	end(&p);
}

static void who_leaves_compares_nothing(void **state)
{
	struct pair p = begin();
	struct front *f = &p.w->front;

	(void)state;
	stall(&p);
	f->handing_over = true;
	serve_hand_over(f->serve);
	assert_false(serve_wants_comparison(f->serve));
	serve_stalled(f->serve);
	assert_int_equal(f->stalls, 1);
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_that_reads_is_as_good_as_any),
	    cmocka_unit_test(another_that_reads_is_better),
	    cmocka_unit_test(another_cluster_is_no_better),
	    cmocka_unit_test(one_that_does_not_serve_is_no_better),
	    cmocka_unit_test(one_that_does_not_read_is_no_better),
	    cmocka_unit_test(ours_may_come_back_meanwhile),
	    cmocka_unit_test(a_snapshot_by_others_is_no_reason_to_stay),
	    cmocka_unit_test(who_leaves_compares_nothing),
	};

	return cmocka_run_group_tests_name("engine-compare", tests, NULL, NULL);
}
