/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policy of restarts, as a table: what ended one generation after the other, and what must
 * follow each time.
 */
#include "tests/unit/unit.h"

#include "master/policy.h"

#include <stdio.h>
#include <string.h>

struct step {
	struct policy_event event;
	unsigned times; /* that it happens in a row, 0 as 1; what is expected is of the last */
	struct policy_choice expected;
};

#define STEPS_MAX 12

struct row {
	const char *what;
	struct step steps[STEPS_MAX]; /* until one without targets */
};

#define SHORT 500
#define LONG 60000

static const struct row rows[] = {
    {"the first death of a worker is followed at once, later ones wait longer",
	{{{POLICY_WORKER, true, SHORT, 2}, 1, {false, 0, false}},
	    {{POLICY_WORKER, true, SHORT, 2}, 1, {false, 10, false}},
	    {{POLICY_WORKER, true, SHORT, 2}, 1, {false, 20, false}},
	    {{POLICY_WORKER, true, SHORT, 2}, 1, {false, 40, false}},
	    {{POLICY_WORKER, true, SHORT, 2}, 20, {false, 2000, false}},
	    {{POLICY_WORKER, true, LONG, 2}, 1, {false, 0, false}}}},
    {"workers that served never make it fail",
	{{{POLICY_WORKER, true, 0, 1}, 1000, {false, 2000, false}}}},
    {"those that die before they serve wait at once, elsewhere, and make it fail in the end",
	{{{POLICY_WORKER, false, 0, 2}, 1, {false, 100, true}},
	    {{POLICY_WORKER, false, 0, 2}, 1, {false, 200, true}},
	    {{POLICY_WORKER, false, 0, 2}, 5, {false, 2000, true}},
	    {{POLICY_WORKER, false, 0, 2}, 1, {true, 2000, true}}}},
    {"one that serves in between begins that count anew",
	{{{POLICY_WORKER, false, 0, 2}, 7, {false, 2000, true}},
	    {{POLICY_WORKER, true, SHORT, 2}, 1, {false, 0, false}},
	    {{POLICY_WORKER, false, 0, 2}, 1, {false, 100, true}}}},
    {"a lost daemon leads to the next target at once, and the list is gone through without a pause",
	{{{POLICY_DAEMON, true, LONG, 3}, 1, {false, 0, true}},
	    {{POLICY_DAEMON, false, 0, 3}, 1, {false, 0, true}},
	    {{POLICY_DAEMON, false, 0, 3}, 1, {false, 0, true}},
	    {{POLICY_DAEMON, false, 0, 3}, 1, {false, 50, true}},
	    {{POLICY_DAEMON, false, 0, 3}, 3, {false, 100, true}},
	    {{POLICY_DAEMON, false, 0, 3}, 300, {false, 1000, true}}}},
    {"daemons that are gone are waited for, for ever",
	{{{POLICY_DAEMON, false, 0, 1}, 100000, {false, 1000, true}}}},
    {"one that serves for a while gives a clean record",
	{{{POLICY_DAEMON, false, 0, 1}, 50, {false, 1000, true}},
	    {{POLICY_DAEMON, true, SHORT, 1}, 1, {false, 1000, true}},
	    {{POLICY_DAEMON, true, LONG, 1}, 1, {false, 0, true}},
	    {{POLICY_DAEMON, false, 0, 1}, 1, {false, 50, true}}}},
    {"strangers at all targets, one after the other, make it fail",
	{{{POLICY_STRANGER, false, 0, 3}, 2, {false, 0, true}},
	    {{POLICY_STRANGER, false, 0, 3}, 1, {true, 0, false}}}},
    {"a target that cannot be reached may be the one that has it",
	{{{POLICY_STRANGER, false, 0, 2}, 1, {false, 0, true}},
	    {{POLICY_DAEMON, false, 0, 2}, 1, {false, 0, true}},
	    {{POLICY_STRANGER, false, 0, 2}, 1, {false, 50, true}},
	    {{POLICY_STRANGER, false, 0, 2}, 1, {true, 0, false}}}},
    {"a move is no trouble", {{{POLICY_DAEMON, false, 0, 1}, 50, {false, 1000, true}},
				 {{POLICY_MOVED, true, SHORT, 2}, 1, {false, 0, false}},
				 {{POLICY_DAEMON, false, 0, 2}, 1, {false, 0, true}}}},
    {"a changed VDI is looked at again where it was",
	{{{POLICY_CHANGED, true, SHORT, 2}, 1, {false, 0, false}},
	    {{POLICY_CHANGED, true, SHORT, 2}, 1, {false, 10, false}}}},
    {"what no daemon can mend fails at once",
	{{{POLICY_REFUSED, false, 0, 9}, 1, {true, 0, false}}}},
};

static void table(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
		struct policy_history h;

		memset(&h, 0, sizeof h);
		for (size_t n = 0; n < STEPS_MAX && rows[r].steps[n].event.targets; n++) {
			const struct step *s = &rows[r].steps[n];
			struct policy_choice got = {.fail = false};

			for (unsigned times = s->times ? s->times : 1; times; times--)
				got = policy_choose(&s->event, &h);
			if (got.fail == s->expected.fail && got.delay == s->expected.delay &&
			    got.next_target == s->expected.next_target)
				continue;
			fail_msg("%s, step %zu: fail %d, delay %u, next target %d", rows[r].what, n,
			    got.fail, got.delay, got.next_target);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
