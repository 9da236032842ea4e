/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop: see loop.h.
 */
#include "ipc/loop.h"

#include "ipc/log.h"

#include <sched.h>
#include <stdint.h>
#include <time.h>

#define DISAPPOINTED 4 /* waits in vain, one after the other, before hope is given up */
#define REST 256       /* chances that are let pass then */

struct hope {
	unsigned in_vain, resting;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void turn(struct event_base *base, int flags)
{
	if (event_base_loop(base, flags) < 0)
		fatal("the event loop failed");
}

/* Until what is in flight changes; false when that was in vain. */
static bool wait_awake(struct event_base *base, loop_in_flight *in_flight, void *arg)
{
	unsigned before = in_flight(arg);
	uint64_t end = now() + LOOP_AWAKE;

	do {
		turn(base, EVLOOP_NONBLOCK);
		if (in_flight(arg) != before)
			return true;
		sched_yield();
	} while (now() < end);
	return false;
}

/* Waits awake where there is hope. */
static void wait_a_moment(
    struct event_base *base, struct hope *h, loop_in_flight *in_flight, void *arg)
{
	if (h->resting) {
		h->resting--;
	} else if (wait_awake(base, in_flight, arg)) {
		h->in_vain = 0;
	} else if (++h->in_vain == DISAPPOINTED) {
		h->in_vain = 0;
		h->resting = REST;
	}
}

void loop_run(struct event_base *base, loop_in_flight *in_flight, void *arg)
{
	struct hope hope = {0, 0};

	for (;;) {
		if (in_flight(arg) == 1)
			wait_a_moment(base, &hope, in_flight, arg);
		turn(base, EVLOOP_ONCE);
	}
}
