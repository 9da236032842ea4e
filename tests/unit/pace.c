/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A daemon's pace, at a made-up clock: when a worker pauses and for how long, and when its daemon
 * counts as slow.
 */
#include "worker/pace.h"

#include "tests/unit/unit.h"

#define MICROSECOND 1000U
#define MILLISECOND 1000000U

struct load {
	struct pace pace;
	uint64_t now; /* nanoseconds */
	uint64_t answered;
	uint64_t pause; /* what the last look said */
};

/* A daemon with so many in flight, which each take so long, looked at every `step`. */
static void run(
    struct load *l, unsigned in_flight, uint64_t answer_time, uint64_t step, uint64_t duration)
{
	uint64_t began = l->now, answered = l->answered;

	while (l->now - began < duration) {
		l->now += step;
		l->answered = answered + in_flight * (l->now - began) / answer_time;
		l->pause = pace_look(&l->pace, l->now, in_flight, l->answered);
	}
}

static struct load begin(void)
{
	return (struct load){.now = 12345 * (uint64_t)MILLISECOND};
}

static void test_pauses_for_a_part_of_an_answer(void **state)
{
	struct load l = begin();

	(void)state;
	run(&l, 32, 800 * MICROSECOND, 100 * MICROSECOND, 30 * MILLISECOND);
	assert_in_range(l.pause, 99 * MICROSECOND, 101 * MICROSECOND);
	run(&l, 20, 900 * MICROSECOND, 100 * MICROSECOND, 30 * MILLISECOND);
	assert_in_range(l.pause, 110 * MICROSECOND, 114 * MICROSECOND);
}

static void test_never_for_long(void **state)
{
	struct load l = begin();

	(void)state;
	run(&l, 64, 2 * MILLISECOND, 100 * MICROSECOND, 30 * MILLISECOND);
	assert_int_equal(l.pause, 150 * MICROSECOND);
}

/* What a fast daemon's answers would gain is less than what a pause costs. */
static void test_not_for_a_fast_daemon(void **state)
{
	struct load l = begin();

	(void)state;
	run(&l, 32, 250 * MICROSECOND, 50 * MICROSECOND, 50 * MILLISECOND);
	assert_int_equal(l.pause, 0);
	assert_false(pace_is_slow(&l.pace));
}

static void test_not_for_few_in_flight(void **state)
{
	struct load l = begin();

	(void)state;
	run(&l, 7, 2 * MILLISECOND, 100 * MICROSECOND, 500 * MILLISECOND);
	assert_int_equal(l.pause, 0);
	assert_false(pace_is_slow(&l.pace));
}

/* Large answers come so seldom that a pause would find none. */
static void test_not_where_nothing_gathers(void **state)
{
	struct load l = begin();

	(void)state;
	run(&l, 8, 20 * MILLISECOND, 500 * MICROSECOND, 500 * MILLISECOND);
	assert_int_equal(l.pause, 0);
	assert_true(pace_is_slow(&l.pace)); /* more connections help all the same */
}

/* The burst is over: who comes alone does not wait for others. */
static void test_ends_with_the_load(void **state)
{
	struct load l = begin();

	(void)state;
	run(&l, 32, 1 * MILLISECOND, 100 * MICROSECOND, 30 * MILLISECOND);
	assert_int_not_equal(l.pause, 0);
	assert_int_equal(pace_look(&l.pace, l.now + MICROSECOND, 1, l.answered), 0);
	assert_int_not_equal(pace_look(&l.pace, l.now + 2 * MICROSECOND, 32, l.answered), 0);
	/* what was measured before a rest says nothing about what comes after it */
	assert_int_equal(pace_look(&l.pace, l.now + 200 * MILLISECOND, 32, l.answered), 0);
}

static void test_slow_only_when_it_lasts(void **state)
{
	struct load l = begin();

	(void)state;
	run(&l, 32, 2 * MILLISECOND, 100 * MICROSECOND, 50 * MILLISECOND);
	assert_false(pace_is_slow(&l.pace));
	run(&l, 32, 300 * MICROSECOND, 100 * MICROSECOND, 20 * MILLISECOND);
	run(&l, 32, 2 * MILLISECOND, 100 * MICROSECOND, 60 * MILLISECOND);
	assert_false(pace_is_slow(&l.pace));
	run(&l, 32, 2 * MILLISECOND, 100 * MICROSECOND, 100 * MILLISECOND);
	assert_true(pace_is_slow(&l.pace));
}

/* A daemon that answers nothing at all is watched by others: nothing is made of it here. */
static void test_silence_is_no_pace(void **state)
{
	const uint64_t never = UINT64_C(3600000) * MILLISECOND;
	struct load l = begin();

	(void)state;
	run(&l, 32, 1 * MILLISECOND, 100 * MICROSECOND, 500 * MILLISECOND);
	assert_true(l.pause && pace_is_slow(&l.pace));
	run(&l, 32, never, 500 * MICROSECOND, 50 * MILLISECOND);
	assert_int_equal(l.pause, 0);
	assert_false(pace_is_slow(&l.pace));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pauses_for_a_part_of_an_answer),
	    cmocka_unit_test(test_never_for_long),
	    cmocka_unit_test(test_not_for_a_fast_daemon),
	    cmocka_unit_test(test_not_for_few_in_flight),
	    cmocka_unit_test(test_not_where_nothing_gathers),
	    cmocka_unit_test(test_ends_with_the_load),
	    cmocka_unit_test(test_slow_only_when_it_lasts),
	    cmocka_unit_test(test_silence_is_no_pace),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
