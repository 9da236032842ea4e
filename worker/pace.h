/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast the daemon answers while much is in flight, and what follows from it.
 *
 * A daemon that is slow works on many requests at a time and ends them one by one.  Taken one by
 * one each answer costs the wake-ups of worker, front and caller, on processors that the daemon may
 * need: so the worker pauses between its turns, for a small part of the time that an answer takes,
 * and finds several.  And since a daemon receives on one connection one request after the other,
 * one that is slow with small requests gains by more connections; a fast one does not, nor do large
 * requests.
 *
 * Only measures and judges: whoever asks sleeps and dials.
 */
#ifndef SHEEPFS_WORKER_PACE_H
#define SHEEPFS_WORKER_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* What there is to be seen. */
struct pace_sight {
	uint64_t now; /* nanoseconds */
	unsigned in_flight;
	uint64_t answered; /* ever */
	uint64_t bytes;    /* ever, of the payload of what was answered */
};

/* All zero is the beginning. */
struct pace {
	struct pace_sight began, last; /* of the measurement under way */
	uint64_t sum;                  /* of what was in flight at the looks since it began */
	uint64_t looks;
	uint64_t pause; /* nanoseconds, by the last measurement */
	unsigned slow;  /* measurements that found it slow, since one that did not */
};

/* To be called once a turn.  Returns for how many nanoseconds to pause before the next one; 0: not
 * at all. */
uint64_t pace_look(struct pace *p, const struct pace_sight *sight);

/* Has it been slow, with much in flight, for a while? */
bool pace_is_slow(const struct pace *p);

#endif
