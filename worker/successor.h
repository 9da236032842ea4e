/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The volume's own snapshot: the VDI that is attached becomes a snapshot, and the volume goes on as
 * its successor (rule 9).
 *
 * No write is in flight and no connection is being proved while this is under way: the engine sees
 * to it (serve.c).  Then what the snapshot holds is exactly what was answered before, and the
 * successor's index is ours, word for word.  Owns the snapshot's steps and the handing over of the
 * lock.
 */
#ifndef SHEEPFS_WORKER_SUCCESSOR_H
#define SHEEPFS_WORKER_SUCCESSOR_H

#include "worker/inode.h"
#include "worker/snapshot.h"

struct successor {
	struct vdi *vdi; /* becomes the successor */
	struct inode *inode;
	struct daemon *daemon;
	/* How the snapshot ended, once, just before done() or failed(): 0 or -errno, and a sentence
	 * for the one who asked. */
	void (*answer)(void *arg, int error, const char *sentence);
	/* *vdi is what the volume is from now on; nothing was written to it. */
	void (*adopted)(void *arg);
	/* The lock that we hold now; 0: none. */
	void (*locked)(void *arg, uint32_t vid);
	/* Writes may go on. */
	void (*done)(void *arg);
	/* The generation is over. */
	void (*failed)(void *arg, enum exit_word word, const char *why);
	void *arg;
	/* ---- its own ---- */
	bool active; /* from successor_begin() to done() or failed() */
	struct snapshot snapshot;
	struct vdi_block block; /* for the lock: without a tag */
	struct call call;
};

/* Takes the snapshot `tag` (NUL-padded, SD_TAG_SIZE bytes). */
void successor_begin(struct successor *s, const char *tag);

#endif
