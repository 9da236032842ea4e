/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop: see loop.h.
 */
#include "ipc/loop.h"

#include "ipc/log.h"

#include <sched.h>
#include <stdbool.h>
#include <time.h>

#define DISAPPOINTED 4 /* waits in vain, one after the other, before hope is given up */
#define REST 256       /* chances that are let pass then */

struct hope {
	unsigned in_vain, resting;
};

struct loop {
	struct event_base *base;
	const struct loop_calls *calls;
	void *arg;
	struct hope answer, next; /* for what is in flight; for the next request */
};

uint64_t loop_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void turn(struct loop *l, int flags)
{
	if (event_base_loop(l->base, flags) < 0)
		fatal("the event loop failed");
}

/* Until another number is in flight; false when that was in vain. */
static bool wait_awake(struct loop *l, unsigned in_flight)
{
	uint64_t end = loop_now() + LOOP_AWAKE;

	do {
		turn(l, EVLOOP_NONBLOCK);
		if (l->calls->in_flight(l->arg) != in_flight)
			return true;
		sched_yield();
	} while (loop_now() < end);
	return false;
}

/* Waits awake where there is hope; true when something came of it. */
static bool wait_a_moment(struct loop *l, unsigned in_flight)
{
	struct hope *h = in_flight ? &l->answer : &l->next;

	if (h->resting) {
		h->resting--;
		return false;
	}
	if (wait_awake(l, in_flight)) {
		h->in_vain = 0;
		l->answer.in_vain = 0; /* who asks again at once is worth it */
		return true;
	}
	if (++h->in_vain == DISAPPOINTED) {
		h->in_vain = 0;
		h->resting = REST;
	}
	return false;
}

/* Is anybody quick to be expected?  `before` were in flight a turn ago. */
static bool is_quick(unsigned in_flight, unsigned before)
{
	return in_flight <= LOOP_FEW && (in_flight || before);
}

static void pause_a_moment(const struct loop *l)
{
	uint64_t pause = l->calls->pause ? l->calls->pause(l->arg) : 0;
	struct timespec t = {.tv_nsec = (long)pause};

	if (pause)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

void loop_run(struct event_base *base, const struct loop_calls *calls, void *arg)
{
	struct loop l = {.base = base, .calls = calls, .arg = arg};
	unsigned before = 0;

	for (;;) {
		unsigned in_flight = calls->in_flight(arg);
		bool quick = is_quick(in_flight, before);

		before = in_flight;
		if (quick && wait_a_moment(&l, in_flight))
			continue;
		pause_a_moment(&l);
		turn(&l, EVLOOP_ONCE);
	}
}
