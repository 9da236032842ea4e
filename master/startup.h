/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The volumes that the configuration names: attached once the tree serves, before we say so.
 *
 * They go the road of commands (command.h), all of them at once.  One that cannot be attached is a
 * line in the log, and nothing else waits for it.  A sheepfs that goes on for another one attaches
 * what its configuration names and the other's did not: what was detached by hand stays so.  Never
 * knows how a volume is attached.
 */
#ifndef SHEEPFS_MASTER_STARTUP_H
#define SHEEPFS_MASTER_STARTUP_H

#include "master/master.h"

/* The sheepfs before us has seen to this one.  Returns 0 or -ENOMEM. */
int startup_remember(struct master *m, const struct name *name);

/* The tree serves, and every lamb: attaches them, once; when that is over it is announced, once. */
void startup_begin(struct master *m);

/* One of them is attached, or cannot be. */
void startup_answered(struct master *m);

void startup_close(struct master *m);

#endif
