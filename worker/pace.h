/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast the daemon answers while much is in flight, and what follows from it.
 *
 * A daemon that is slow works on many requests at a time and ends them one by one.  Taken one by
 * one each answer costs the wake-ups of worker, front and caller, on processors that the daemon may
 * need: so the worker pauses between its turns, for a small part of the time that an answer takes,
 * and finds several.  And since a daemon receives on one connection one request after the other, a
 * slow one gains by more connections; a fast one does not.
 *
 * Only measures and judges: whoever asks sleeps and dials.
 */
#ifndef SHEEPFS_WORKER_PACE_H
#define SHEEPFS_WORKER_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Times in nanoseconds.  All zero is the beginning. */
struct pace {
	uint64_t since;    /* of the measurement under way */
	uint64_t answered; /* then */
	uint64_t sum;      /* of what was in flight at the looks since */
	uint64_t looks;
	uint64_t pause; /* by the last measurement */
	unsigned slow;  /* measurements in sequence that found it slow */
};

/*
 * To be called once a turn: at the time `now` so many requests are in flight, and so many were ever
 * answered.  Returns how long to pause before the next turn; 0: not at all.
 */
uint64_t pace_look(struct pace *p, uint64_t now, unsigned in_flight, uint64_t answered);

/* Has it been slow, with much in flight, for a while? */
bool pace_is_slow(const struct pace *p);

#endif
