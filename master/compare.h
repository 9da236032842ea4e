/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A daemon that answers and does no I/O: other targets are found for its worker to compare it with.
 *
 * Each time the next one in the list, but none that the volume has left with something unsettled:
 * it would only go to and fro.  Nor when it has nearly as many such daemons as it may have: those
 * that do no I/O are waited for, and never make a volume fail.  What the worker finds, it says by
 * its exit word (seek.h).
 */
#ifndef SHEEPFS_MASTER_COMPARE_H
#define SHEEPFS_MASTER_COMPARE_H

#include <stdbool.h>

struct generation;

/* Its worker says that its daemon has stalled; again: as before. */
void compare_begin(struct generation *g, bool again);

/* Its worker is over. */
void compare_end(struct generation *g);

#endif
