/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk through all VDIs of the cluster, in the order of their vids.
 *
 * Reads the two bitmaps of vids, then WALK_WINDOW VDIs at once; a finished one waits for those
 * before it.  Memory is bounded by the window, whatever the cluster says of itself; a VDI that
 * cannot be read is left out, with a line in the log.
 */
#ifndef SHEEPFS_WORKER_WALK_H
#define SHEEPFS_WORKER_WALK_H

#include "worker/usage.h"

#define WALK_WINDOW 32

struct walk {
	struct daemon *daemon;
	struct counted *counted; /* NULL: nothing is remembered */
	uint64_t now;            /* milliseconds, for it */
	bool headers_only;
	/* The next VDI that is alive; called from ended() at the latest. */
	void (*vdi)(void *arg, const struct usage *u);
	/* Once, when nothing is under way any more: 0 or -errno with a sentence. */
	void (*ended)(void *arg, int error, const char *sentence);
	void *arg;
	/* ---- its own; zero in the beginning ---- */
	struct call bitmap_calls[2];
	uint64_t *bitmaps[2]; /* used, deleted */
	uint32_t next_vid;
	unsigned head, used; /* the window: items[head] is the lowest vid of `used` */
	unsigned in_flight;
	struct walk_item *items;
	int error;
	char sentence[160];
};

/* Begins; returns false when memory is short, and then ended() is not called. */
bool walk_begin(struct walk *w);

/* Frees what it holds; also in its midst, when no call completes any more. */
void walk_free(struct walk *w);

#endif
