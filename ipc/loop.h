/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop of a process on the data path.
 *
 * Few in flight: between processors a sleep and a wake-up cost more than an answer takes, or than a
 * caller needs until its next request.  So the loop waits awake, for at most LOOP_AWAKE, while no
 * more than LOOP_FEW requests are in flight, or none any more since a moment ago.  It gives the
 * processor to whoever wants it all the while.  Where callers take longer until their next request
 * it soon stops to wait for that, and where answers take longer, too, unless callers ask again at
 * once: for them a processor that does not fall asleep is the better half of what can be won.
 *
 * Many in flight: its owner may want a pause between two turns, in which more to do gathers.
 */
#ifndef SHEEPFS_IPC_LOOP_H
#define SHEEPFS_IPC_LOOP_H

#include <event2/event.h>
#include <stdint.h>

#define LOOP_AWAKE 50000 /* nanoseconds */
#define LOOP_FEW 2

/* What is asked between two turns. */
struct loop_calls {
	/* how many requests are in flight */
	unsigned (*in_flight)(void *arg);
	/* how many nanoseconds to pause before the next turn, less than a second; NULL: never */
	uint64_t (*pause)(void *arg);
};

/* Dispatches events for ever. */
_Noreturn void loop_run(struct event_base *base, const struct loop_calls *calls, void *arg);

/* Nanoseconds of a clock that only goes forward. */
uint64_t loop_now(void);

#endif
