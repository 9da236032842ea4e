/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting awake for the one answer: only while one request is in flight, and not for long where it
 * is in vain.
 */
#include "tests/unit/unit.h"

#include "ipc/loop.h"

#include <stdlib.h>

#define TURNS 200

struct rig {
	struct event_base *base;
	struct event *tick;
	unsigned in_flight;
	unsigned asked; /* how often in_flight() was called */
	unsigned ticks; /* turns of the loop that had something to do */
	jmp_buf done;
};

static unsigned on_in_flight(void *arg)
{
	struct rig *r = arg;

	r->asked++;
	return r->in_flight;
}

/* Something else than an answer happens, a little later each time. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval soon = {0, 200};
	struct rig *r = arg;

	(void)fd;
	(void)what;
	if (++r->ticks == TURNS)
		longjmp(r->done, 1);
	event_add(r->tick, &soon);
}

static struct rig *rig_run(unsigned in_flight)
{
	static const struct timeval soon = {0, 200};
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	r->base = event_base_new();
	r->tick = evtimer_new(r->base, on_tick, r);
	r->in_flight = in_flight;
	assert_true(r->base && r->tick);
	assert_int_equal(event_add(r->tick, &soon), 0);
	if (!setjmp(r->done))
		loop_run(r->base, on_in_flight, r);
	return r;
}

static void rig_free(struct rig *r)
{
	event_free(r->tick);
	event_base_free(r->base);
	free(r);
}

/* Nothing, or many, in flight: it asks once a turn and sleeps. */
static void test_sleeps(void **state)
{
	static const unsigned in_flight[] = {0, 2, 64};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct rig *r = rig_run(in_flight[i]);

		assert_int_equal(r->ticks, TURNS);
		assert_true(r->asked <= TURNS + 10);
		rig_free(r);
	}
}

/* One in flight whose answer does not come: it waits awake a few times, then rests. */
static void test_gives_up_hope(void **state)
{
	struct rig *r = rig_run(1);

	(void)state;
	assert_true(r->asked > TURNS + 4); /* it did wait awake */
	/* 50 us hold some 100 looks; 200 turns of them would be 20000 */
	assert_true(r->asked < 5000);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sleeps),
	    cmocka_unit_test(test_gives_up_hope),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
