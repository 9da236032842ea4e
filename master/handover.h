/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handover: another sheepfs is about to go on here, and no volume is unmounted for that.
 *
 * Everything but the descriptors ends in order: commands that have begun are finished, workers
 * finish what their daemons were sent, then the front, the cluster worker and our lambs end, and
 * all of them are reaped.  Requests of callers wait in the kernel meanwhile.  Whoever asked for it
 * takes it from there: the service manager has every descriptor already (restart), or replace.c
 * sends them; and when the other one dies before it serves, we go on ourselves.
 */
#ifndef SHEEPFS_MASTER_HANDOVER_H
#define SHEEPFS_MASTER_HANDOVER_H

#include "master/master.h"

/* Why another sheepfs cannot go on here, as a sentence; NULL: it can. */
const char *handover_obstacle(const struct master *m);

/* Begins it; done() is called once when everything has ended. */
void handover_begin(struct master *m, void (*done)(struct master *m));

/* Something that may be waited for is over.  Nothing where no handover was begun. */
void handover_turn(struct master *m);

/* Everything has ended. */
bool handover_is_over(const struct master *m);

/* It is over and nobody goes on: we do, as after the death of a front. */
void handover_undo(struct master *m);

#endif
