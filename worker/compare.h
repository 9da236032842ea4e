/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing: is another daemon better than ours, which answers and ends no object I/O?
 *
 * Ours is asked for a READ itself first: one that still reads is as good as any, and what it does
 * not end the cluster does not.  Then others are asked for the same, one at a time.  The first
 * that proves to be of our cluster and reads our VDI's header, while ours still does not, is the
 * better one.  Never decides what follows from that.
 */
#ifndef SHEEPFS_WORKER_COMPARE_H
#define SHEEPFS_WORKER_COMPARE_H

#include "worker/vdi.h"

/* Zeroed but for what is above the line. */
struct compare {
	const struct vdi *vdi;
	/* Ours does not read: compare_with() another.  again: so it was told before. */
	void (*wanted)(void *arg, bool again);
	/* The other one is not needed any more. */
	void (*compared)(void *arg);
	/* It reads, and ours does not. */
	void (*better)(void *arg);
	void *arg;
	/* ---- under way ---- */
	bool reading;   /* ours is asked and has not answered */
	unsigned asked; /* others, since ours was */
	bool proving;   /* another one is being asked */
	struct call read;
	struct sd_inode_header header;
	struct vdi_proof proof;
};

/* Our daemon is asked; or, when it was and has not answered, another is wanted. */
void compare_begin(struct compare *c);

/* Is another daemon of use now? */
static inline bool compare_is_wanted(const struct compare *c)
{
	return c->reading && !c->proving;
}

/* Another daemon, with one connection; it is wanted.  compared() follows, or better(). */
void compare_with(struct compare *c, struct daemon *other);

/* That one is lost: no call to it completes any more. */
void compare_lost(struct compare *c, const char *why);

#endif
