/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting awake: only while few requests are in flight, or a moment ago were, and not for long
 * where it is in vain; and pausing.
 */
#include "tests/unit/unit.h"

#include "ipc/loop.h"

#include <stdlib.h>

#define TURNS 200

struct rig {
	struct event_base *base;
	struct event *tick;
	unsigned in_flight;
	unsigned asked;       /* how often in_flight() was called */
	unsigned asked_idle;  /* ... since nothing is in flight any more */
	unsigned ticks;       /* turns of the loop that had something to do */
	unsigned answer_at;   /* the tick at which all is answered; 0: never */
	struct event *answer; /* not NULL: each tick is a request, and it is answered at once */
	uint64_t pause;       /* nanoseconds */
	unsigned paused;      /* how often pause() was called */
	jmp_buf done;
};

static unsigned on_in_flight(void *arg)
{
	struct rig *r = arg;

	r->asked++;
	if (r->answer_at && !r->in_flight)
		r->asked_idle++;
	return r->in_flight;
}

static uint64_t on_pause(void *arg)
{
	struct rig *r = arg;

	r->paused++;
	return r->pause;
}

static const struct loop_calls calls = {on_in_flight, on_pause};

/* Something else than an answer happens, a little later each time. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval soon = {0, 200};
	struct rig *r = arg;

	(void)fd;
	(void)what;
	if (++r->ticks == TURNS)
		longjmp(r->done, 1);
	if (r->ticks == r->answer_at)
		r->in_flight = 0;
	if (r->answer) {
		r->in_flight = 1;
		event_active(r->answer, EV_WRITE, 0);
	}
	event_add(r->tick, &soon);
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct rig *r = arg;

	(void)fd;
	(void)what;
	r->in_flight = 0;
}

static struct rig *rig_prepare(unsigned in_flight)
{
	static const struct timeval soon = {0, 200};
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	r->base = event_base_new();
	r->tick = evtimer_new(r->base, on_tick, r);
	r->in_flight = in_flight;
	assert_true(r->base && r->tick);
	assert_int_equal(event_add(r->tick, &soon), 0);
	return r;
}

/* For TURNS ticks. */
static void rig_go(struct rig *r)
{
	if (!setjmp(r->done))
		loop_run(r->base, &calls, r);
}

static struct rig *rig_run(unsigned in_flight)
{
	struct rig *r = rig_prepare(in_flight);

	rig_go(r);
	return r;
}

static void rig_free(struct rig *r)
{
	event_free(r->tick);
	if (r->answer)
		event_free(r->answer);
	event_base_free(r->base);
	free(r);
}

/* Nothing, or more than a few, in flight: it asks once a turn and sleeps. */
static void test_sleeps(void **state)
{
	static const unsigned in_flight[] = {0, LOOP_FEW + 1, 64};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct rig *r = rig_run(in_flight[i]);

		assert_int_equal(r->ticks, TURNS);
		assert_true(r->asked <= TURNS + 10);
		rig_free(r);
	}
}

/* A few in flight whose answers do not come: it waits awake a few times, then rests. */
static void test_gives_up_hope(void **state)
{
	(void)state;
	for (unsigned in_flight = 1; in_flight <= LOOP_FEW; in_flight++) {
		struct rig *r = rig_run(in_flight);

		assert_true(r->asked >= TURNS + 4); /* it did wait awake */
		/* 50 us hold some 100 looks; 200 turns of them would be 20000 */
		assert_true(r->asked < 5000);
		rig_free(r);
	}
}

/* The last one was answered a moment ago: the caller's next request is waited for awake. */
static void test_waits_for_the_next(void **state)
{
	struct rig *r;

	(void)state;
	r = rig_prepare(64);
	r->answer_at = 10;
	rig_go(r);
	assert_int_equal(r->in_flight, 0);
	assert_true(r->asked_idle > TURNS - 10);  /* awake once */
	assert_true(r->asked_idle < TURNS + 500); /* and no more */
	rig_free(r);
}

/* Answers come at once, and requests seldom: the next one is not waited for any more. */
static void test_gives_up_callers(void **state)
{
	struct rig *r = rig_prepare(0);

	(void)state;
	r->answer = event_new(r->base, -1, 0, on_answer, r);
	assert_non_null(r->answer);
	rig_go(r);
	assert_true(r->asked < 5000);
	rig_free(r);
}

/* It pauses as it is told to, once a turn. */
static void test_pauses(void **state)
{
	struct rig *r = rig_prepare(64);
	uint64_t began = loop_now(), took;

	(void)state;
	r->pause = 1000000;
	rig_go(r);
	took = loop_now() - began;
	assert_in_range(r->paused, TURNS, TURNS + 10);
	assert_true(took >= TURNS * r->pause);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sleeps),
	    cmocka_unit_test(test_gives_up_hope),
	    cmocka_unit_test(test_waits_for_the_next),
	    cmocka_unit_test(test_gives_up_callers),
	    cmocka_unit_test(test_pauses),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
