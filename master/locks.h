/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks that dead workers of ours left in the cluster.
 *
 * Remembers each until the cluster worker has released it.  One that no daemon was asked to release
 * is tried again when somebody attaches the volume; one that a daemon was asked for in vain is not:
 * it may have done it, and nobody verifies whose lock is released (P 6.3).  Never knows what a lock
 * is.
 */
#ifndef SHEEPFS_MASTER_LOCKS_H
#define SHEEPFS_MASTER_LOCKS_H

#include "ipc/name.h"
#include "master/master.h"

struct lock {
	LIST_ENTRY(lock) link;
	struct master *master;
	struct name name;
	char shown[NAME_SHOWN_SIZE];
	uint32_t vid;
	bool releasing;
};

/* The worker of this volume died and may have held the lock of vid: it is released now. */
void locks_left(struct master *m, const struct name *name, const char *shown, uint32_t vid);

/* Tries once more to release what is left of this volume. */
void locks_release_again(struct master *m, const struct name *name);

/* A release for this volume is under way; its attach or detach is told when it is over. */
bool locks_hold_up(const struct master *m, const struct name *name);

/* What people can do about a lock that is left on it, for a sentence. */
const char *locks_remedy(const struct name *name);

void locks_forget_all(struct master *m);

#endif
