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
	uint64_t size; /* bytes of an answer; 0: 4096 */
	uint64_t bytes;
	uint64_t pause; /* what the last look said */
};

static uint64_t look(struct load *l, unsigned in_flight)
{
	const struct pace_sight sight = {l->now, in_flight, l->answered, l->bytes};

	return pace_look(&l->pace, &sight);
}

/* A daemon with so many in flight, which each take so long, looked at every `step`. */
static void run(
    struct load *l, unsigned in_flight, uint64_t answer_time, uint64_t step, uint64_t duration)
{
	uint64_t began = l->now, answered = l->answered;

	while (l->now - began < duration) {
		uint64_t now_answered =
		    answered + in_flight * (l->now - began + step) / answer_time;

		l->now += step;
		l->bytes += (now_answered - l->answered) * (l->size ? l->size : 4096);
		l->answered = now_answered;
		l->pause = look(l, in_flight);
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

/* Large answers take their time, come so seldom that a pause would find none, and gain nothing by
 * more connections. */
static void test_not_for_large_answers(void **state)
{
	struct load l = begin();

	(void)state;
	l.size = 1 << 20;
	run(&l, 8, 5 * MILLISECOND, 500 * MICROSECOND, 500 * MILLISECOND);
	assert_int_equal(l.pause, 0);
	assert_false(pace_is_slow(&l.pace));
}

/* One whose answers are so late that the loop does not even turn between them. */
static void test_very_slow(void **state)
{
	struct load l = begin();

	(void)state;
	run(&l, 8, 2000 * (uint64_t)MILLISECOND, 250 * MILLISECOND, 5000 * (uint64_t)MILLISECOND);
	assert_int_equal(l.pause, 0);
	assert_true(pace_is_slow(&l.pace));
}

/* The burst is over: who comes alone does not wait for others. */
static void test_ends_with_the_load(void **state)
{
	struct load l = begin();

	(void)state;
	run(&l, 32, 1 * MILLISECOND, 100 * MICROSECOND, 30 * MILLISECOND);
	assert_int_not_equal(l.pause, 0);
	l.now += MICROSECOND;
	assert_int_equal(look(&l, 1), 0);
	l.now += MICROSECOND;
	assert_int_not_equal(look(&l, 32), 0);
	l.now += MICROSECOND;
	assert_int_equal(look(&l, 0), 0);
	/* what was measured before a rest says nothing about what comes after it */
	l.now += 200 * MILLISECOND;
	assert_int_equal(look(&l, 32), 0);
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

/* Bursts count together, until it is fast or nobody looks for a while. */
static void test_slow_in_bursts(void **state)
{
	struct load l = begin();

	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		if (n < 3)
			assert_false(pace_is_slow(&l.pace));
		run(&l, 32, 2 * MILLISECOND, 100 * MICROSECOND, 30 * MILLISECOND);
		run(&l, 1, 2 * MILLISECOND, 2 * MILLISECOND, 20 * MILLISECOND);
	}
	assert_true(pace_is_slow(&l.pace));
	l.now += 200 * MILLISECOND;
	look(&l, 32);
	assert_false(pace_is_slow(&l.pace));
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
	    cmocka_unit_test(test_not_for_large_answers),
	    cmocka_unit_test(test_very_slow),
	    cmocka_unit_test(test_ends_with_the_load),
	    cmocka_unit_test(test_slow_only_when_it_lasts),
	    cmocka_unit_test(test_slow_in_bursts),
	    cmocka_unit_test(test_silence_is_no_pace),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
