/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one table of what is in flight on a volume.
 *
 * Owns the slots of both arenas (slot n stands for one piece of each), the ids that the worker sees
 * and what the front must remember to answer the kernel.  It is kept in the front's own memory and
 * believes nothing that a worker says: an answer counts only when its id and its generation are
 * those of a request that has none yet.  No system call, no clock.
 */
#ifndef SHEEPFS_FRONT_REQUEST_H
#define SHEEPFS_FRONT_REQUEST_H

#include "include/bounds.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct request {
	uint64_t id;         /* never used twice; 0: the slot is free */
	uint64_t unique;     /* the kernel's number */
	uint64_t offset;     /* bytes */
	uint32_t length;     /* bytes */
	uint32_t generation; /* the latest that was given it; 0: none */
	uint32_t op;         /* enum request_op */
	uint32_t slot;
	uint64_t since;  /* milliseconds, the owner's clock: when it came */
	unsigned deaths; /* workers that may have died of it */
	bool told;       /* its caller got an error already; what becomes of it is not known yet */
	bool condemned;  /* it killed workers: no other does it */
	bool answered;
	int error;                  /* the answer */
	STAILQ_ENTRY(request) next; /* the owner's, once answered */
};

struct request_table {
	unsigned slots;
	unsigned nr_free;
	uint16_t free[SLOTS_PER_VOLUME]; /* a stack: the slot freed last is hot */
	uint64_t serial;
	struct request requests[SLOTS_PER_VOLUME]; /* by slot */
};

/* Empties the table, which has `slots` slots from now on (0: none).  Ids go on. */
void request_start(struct request_table *t, unsigned slots);

/* The slot that the next request gets, or -1: all are in use. */
int request_next_slot(const struct request_table *t);

/* Enters a request into the next slot, which must be there. */
struct request *request_begin(
    struct request_table *t, uint64_t unique, uint32_t op, uint64_t offset, uint32_t length);

/* Those that have no answer, as they came, into `list`.  Returns how many there are. */
unsigned request_unanswered(struct request_table *t, struct request *list[SLOTS_PER_VOLUME]);

/* The request that an answer is for, or NULL: there is none, or it has been answered. */
struct request *request_find(struct request_table *t, uint64_t id, uint32_t generation);

/* It is answered to the kernel: its slot is free. */
void request_end(struct request_table *t, struct request *r);

/* How many slots are in use. */
unsigned request_in_flight(const struct request_table *t);

#endif
