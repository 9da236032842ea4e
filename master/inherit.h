/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Going on where another sheepfs ended: its descriptors and its state, whoever kept them.
 *
 * One road for all of them: the service manager's store after a death, a restart or an upgrade, and
 * the sheepfs that --replace asks.  The tree stays mounted, a new front reads what callers wait
 * for, and every volume seeks its next generation, as after the death of a front.
 */
#ifndef SHEEPFS_MASTER_INHERIT_H
#define SHEEPFS_MASTER_INHERIT_H

#include "master/bundle.h"
#include "master/state.h"

struct inheritance {
	struct bundle bundle;
	char *text; /* of the state; NULL: there is nothing to go on with */
	int fd;     /* of its memory file; -1: none */
	struct state_tree tree;
};

/*
 * What the service manager kept of the sheepfs that was at this mount point.  Returns true when
 * there is something to go on with; what cannot be used is told in the log and let go of, which
 * ends its mounts.
 */
bool inherit_from_service(struct inheritance *i, const char *mountpoint);

/* The place of the sheepfs that serves the mount point.  Returns 0, or -errno with a sentence in
 * why: then that one goes on. */
int inherit_by_replacing(struct inheritance *i, const char *mountpoint, char *why, size_t why_size);

/* Gives the state's memory file away. */
int inherit_take_fd(struct inheritance *i);

/* Makes the new master go on.  The inheritance is used up.  Returns 0, or -errno with a sentence in
 * why: then nothing of it is served. */
int inherit_go_on(struct master *m, struct inheritance *i, char *why, size_t why_size);

#endif
