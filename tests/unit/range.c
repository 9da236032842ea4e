/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of I/O on one object, as tables of arrivals and departures, and at random against the
 * rules themselves.
 */
#include "worker/range.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#define RANGES 64

static bool foreign; /* writes create their objects */

static bool creates(void *arg, uint32_t object)
{
	(void)arg;
	(void)object;
	return foreign;
}

struct order {
	struct ranges *ranges;
	struct range r[RANGES];
	bool entered[RANGES], running[RANGES];
};

static void order_open(struct order *o, bool foreign_now)
{
	memset(o, 0, sizeof *o);
	foreign = foreign_now;
	o->ranges = range_open(RANGES, creates, NULL);
	assert_non_null(o->ranges);
}

static void fetch(struct order *o)
{
	struct range *range;

	while ((range = range_next(o->ranges))) {
		assert_false(o->running[range - o->r]);
		o->running[range - o->r] = true;
	}
}

static void enter(struct order *o, unsigned n, bool write, uint64_t first, uint64_t end)
{
	o->r[n].object = 5;
	o->r[n].write = write;
	o->r[n].first = first;
	o->r[n].end = end;
	o->entered[n] = true;
	range_enter(o->ranges, &o->r[n]);
	fetch(o);
}

static void leave(struct order *o, unsigned n)
{
	range_leave(o->ranges, &o->r[n]);
	o->entered[n] = o->running[n] = false;
	fetch(o);
}

/* Which of the first ranges run: "1101" ... */
static void runs(const struct order *o, const char *expected)
{
	for (unsigned n = 0; expected[n]; n++)
		if (o->running[n] != (expected[n] == '1'))
			fail_msg("range %u does %srun", n, o->running[n] ? "" : "not ");
}

static void overlapping_writes_wait(void **state)
{
	struct order o;

	(void)state;
	order_open(&o, false);
	enter(&o, 0, true, 0, 100);
	enter(&o, 1, true, 100, 200); /* beside it */
	enter(&o, 2, true, 99, 101);  /* over both */
	enter(&o, 3, true, 50, 60);
	enter(&o, 4, true, 300, 400);
	enter(&o, 5, false, 0, 400);
	runs(&o, "110011");
	leave(&o, 0);
	runs(&o, "010111"); /* 3 does not overlap 2 */
	enter(&o, 0, true, 100, 101);
	leave(&o, 1);
	runs(&o, "001111");
	leave(&o, 2);
	runs(&o, "100111");
	range_close(o.ranges);
}

static void creates_are_alone(void **state)
{
	struct order o;

	(void)state;
	order_open(&o, true);
	enter(&o, 0, false, 0, 10);
	enter(&o, 1, true, 20, 30); /* waits for the read */
	enter(&o, 2, false, 0, 10); /* does not pass it */
	enter(&o, 3, true, 40, 50);
	runs(&o, "1000");
	leave(&o, 0);
	runs(&o, "0100");
	assert_true(o.r[1].creates);
	foreign = false; /* even if it is ours already */
	enter(&o, 4, false, 0, 10);
	enter(&o, 5, true, 60, 70);
	runs(&o, "010000");
	leave(&o, 1);
	runs(&o, "001111");
	assert_false(o.r[3].creates);
	assert_true(range_busy(o.ranges, 5));
	for (unsigned n = 2; n < 6; n++)
		leave(&o, n);
	assert_false(range_busy(o.ranges, 5));
	range_close(o.ranges);
}

static void after_a_failed_create_the_next_creates(void **state)
{
	struct order o;

	(void)state;
	order_open(&o, true);
	enter(&o, 0, true, 0, 10);
	enter(&o, 1, true, 20, 30);
	enter(&o, 2, false, 20, 30);
	runs(&o, "100");
	leave(&o, 0);
	runs(&o, "010");
	assert_true(o.r[1].creates);
	leave(&o, 1);
	runs(&o, "001");
	range_close(o.ranges);
}

/* An object that stopped being ours while writes to it run: the create waits for all. */
static void an_object_lost_meanwhile(void **state)
{
	struct order o;

	(void)state;
	order_open(&o, false);
	enter(&o, 0, true, 0, 10);
	enter(&o, 1, true, 5, 15);
	enter(&o, 2, true, 20, 30);
	runs(&o, "101");
	foreign = true;
	leave(&o, 0);
	runs(&o, "001");
	leave(&o, 2);
	runs(&o, "010");
	assert_true(o.r[1].creates);
	range_close(o.ranges);
}

static void judge(const struct order *o)
{
	bool any = false;

	for (unsigned a = 0; a < RANGES; a++) {
		any |= o->running[a];
		for (unsigned b = 0; b < a; b++) {
			const struct range *x = &o->r[a], *y = &o->r[b];

			if (!o->running[a] || !o->running[b] || x->object != y->object)
				continue;
			assert_false(x->creates || y->creates);
			assert_false(
			    x->write && y->write && x->first < y->end && y->first < x->end);
		}
	}
	for (unsigned a = 0; a < RANGES && !any; a++)
		assert_false(o->entered[a]); /* somebody always runs */
}

static void at_random(void **state)
{
	struct order o;

	(void)state;
	srandom(3);
	for (unsigned round = 0; round < 200; round++) {
		order_open(&o, false);
		for (unsigned step = 0; step < 400; step++) {
			unsigned n = (unsigned)random() % RANGES;

			if (random() % 16 == 0)
				foreign = !foreign;
			if (!o.entered[n] && random() % 3) {
				uint64_t first = (uint64_t)random() % 20;

				o.r[n].object = (uint32_t)random() % 4 * 64;
				o.r[n].write = random() % 2;
				o.r[n].first = first;
				o.r[n].end = first + 1 + (uint64_t)random() % 5;
				o.entered[n] = true;
				range_enter(o.ranges, &o.r[n]);
				fetch(&o);
			} else if (o.running[n]) {
				leave(&o, n);
			}
			judge(&o);
		}
		range_close(o.ranges);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(overlapping_writes_wait),
	    cmocka_unit_test(creates_are_alone),
	    cmocka_unit_test(after_a_failed_create_the_next_creates),
	    cmocka_unit_test(an_object_lost_meanwhile),
	    cmocka_unit_test(at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
