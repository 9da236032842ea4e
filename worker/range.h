/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of I/O on each object (rule 2):
 *
 *	- beside a write that creates its object nothing else is in flight on that object;
 *	- overlapping writes run one after another, as they came;
 *	- reads run beside reads and beside writes (unanswered requests are concurrent), but not
 *	  beside a create, and none passes a create that waits;
 *	- a write that is held stands in its place for the whole object and does not start until it
 *	  is let go: an earlier generation may still be writing there (rule 5).
 *
 * Nothing that waits is passed for ever: each waits only for what came before it.  Knows neither
 * the daemon nor what a range's owner does while it runs.
 */
#ifndef SHEEPFS_WORKER_RANGE_H
#define SHEEPFS_WORKER_RANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct range_object;

/* A claim on bytes [first, end) of an object.  The memory is the caller's; it fills what is above
 * the line and keeps it unchanged from range_enter() to range_leave(). */
struct range {
	uint32_t object;     /* its index in the volume */
	uint64_t first, end; /* bytes within the object */
	bool write;
	bool held; /* a write that waits for range_let_go() */
	/* ---- range.c's ---- */
	bool running;
	bool creates; /* a write that runs alone, for its object is not ours yet */
	struct range_object *at;
	TAILQ_ENTRY(range) next;  /* of its object, as they came */
	TAILQ_ENTRY(range) ready; /* may start and was not fetched */
};

/* Would a write to this object create it now? */
typedef bool range_creates(void *arg, uint32_t object);

struct ranges;

/* An order for at most `most` ranges at a time; allocates all it will ever need.  NULL when memory
 * is short. */
struct ranges *range_open(unsigned most, range_creates *creates, void *arg);

/* The range is accepted; range_next() hands it out when it may run. */
void range_enter(struct ranges *r, struct range *range);

/* The next range that may run now, each once; NULL when there is none. */
struct range *range_next(struct ranges *r);

/* A held one may start as others do. */
void range_let_go(struct ranges *r, struct range *range);

/* What was done under the range is over; whether its object is ours now is asked afresh. */
void range_leave(struct ranges *r, struct range *range);

/* Does any range, running or waiting, concern this object? */
bool range_busy(const struct ranges *r, uint32_t object);

/* NULL is fine. */
void range_close(struct ranges *r);

#endif
