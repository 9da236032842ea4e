/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The members of the cluster, as one daemon tells them: GET_NODE_LIST (P 2.5).
 */
#ifndef SHEEPFS_WORKER_MEMBERS_H
#define SHEEPFS_WORKER_MEMBERS_H

#include "worker/sheep.h"

/* Zeroed before its first use. */
struct members {
	uint8_t *list;
	size_t stride; /* bytes of a node in the list */
	unsigned count;
};

#define MEMBERS_ZONES_MAX 31 /* no object has more copies or strips (P 3.2) */

/* Prepares `call` to ask for them; `m` stays in place until done().  False: no memory. */
bool members_call(struct members *m, struct call *call, void (*done)(struct call *), void *owner);

/* Takes the answer, a success.  False: the daemon knows of none. */
bool members_take(struct members *m, const struct call *call);

/* The one at i, below m->count. */
struct sd_node members_at(const struct members *m, unsigned i);

/* In how many zones there is one that stores data; counted up to `most`, at most
 * MEMBERS_ZONES_MAX. */
unsigned members_zones(const struct members *m, unsigned most);

void members_free(struct members *m);

#endif
