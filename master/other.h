/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other daemons than a volume's own, for its worker to ask them once.
 *
 * To compare a daemon with that answers and does no I/O: each time the next one in the list, but
 * none that the volume has left with something unsettled: it would only go to and fro.  Nor when it
 * has nearly as many such daemons as it may have: all would have to be settled before anything
 * else.  What the worker finds, it says by its exit word (seek.h).
 *
 * And who serves where one died, if that is a target still: what it tells may settle a past.
 */
#ifndef SHEEPFS_MASTER_OTHER_H
#define SHEEPFS_MASTER_OTHER_H

#include <stdbool.h>

struct generation;

/* Its worker says that its daemon has stalled; again: as before. */
void other_compare(struct generation *g, bool again);

/* Its worker wants to ask who serves at that address now.  None is no news. */
void other_visit(struct generation *g, const char *address);

/* Its worker is over. */
void other_end(struct generation *g);

#endif
