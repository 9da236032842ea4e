/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cluster operations beside those of other nodes.
 *
 * Owns the lock that one cluster operation of all nodes holds (P 2.1), the waiting for its end, and
 * the mending of what one left that died with it.  While it is held no node writes an object and
 * none answers a lookup: that is the barrier of P 6.2, for all nodes.  Who only writes or looks up
 * pays two accesses to the shared page, and no call.  Belongs to the loop, but for what the pool
 * runs for it.
 */
#ifndef LAMB_EXCLUSION_H
#define LAMB_EXCLUSION_H

#include <stdbool.h>

struct exclusion;
struct lamb;
struct request;

/* Also hooks into lamb->order. NULL on lack of memory. */
struct exclusion *exclusion_new(struct lamb *lamb);
void exclusion_free(struct exclusion *exclusion);

/* At start: reads everything, and mends what is left half done. 0 or -errno. */
int exclusion_load(struct lamb *lamb);

/* An EXCLUSIVE request runs once no other node is in the way; it is given up by its order's end. */
void exclusion_begin(struct request *request);

/* Our own operation has the lock: our tables are ahead of what the store says. */
bool exclusion_is_ours(const struct exclusion *exclusion);

/* A node has died: what it left half done is mended, and every node reads everything again. */
void exclusion_mend(struct exclusion *exclusion);

/* True: a thread waits for the lock, or may hold it. */
bool exclusion_is_busy(const struct exclusion *exclusion);

#endif
