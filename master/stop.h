/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of sheepfs: every volume, the tree, the front, the cluster worker, the line in utab.
 *
 * One road, whoever asked: a signal, umount(8), the front's death, a start that failed.  Twice
 * asked, or when it takes too long, nothing is finished any more.  Afterwards the loop ends.
 */
#ifndef SHEEPFS_MASTER_STOP_H
#define SHEEPFS_MASTER_STOP_H

#include "master/master.h"

/* Begins; the second time: hurries.  exit_status: of this process, unless a worse one was said. */
void stop_begin(struct master *m, int exit_status);

/* Something is over: takes the next step if it was waited for.  Nothing when nobody asked for the
 * end. */
void stop_turn(struct master *m);

/* The kernel ended the tree's connection: somebody unmounted it, or aborted it. */
void stop_tree_ended(struct master *m);

/* The front is dead; tree_ended: not before the tree was. */
void stop_front_ended(struct master *m, bool tree_ended, const char *words);

void stop_close(struct master *m);

#endif
