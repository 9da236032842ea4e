/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deleting a VDI: its index is emptied, run by run, then its name is given up (P 2.3, 2.4).
 *
 * DEL_VDI alone leaves the data of a plain VDI in place for good.  An entry that becomes zero drops
 * a reference to its object, and twice at once drops two (P 3.6): so one run is in flight, of
 * entries that were just read and are set, of a VDI that was just proved to be the one that is
 * meant.  A write that failed ends the generation: the next one settles it, and reads what is left.
 * After a daemon's death what is read may be empty in one copy alone: then all of it is emptied
 * once more, which drops nothing where it is empty.
 */
#ifndef SHEEPFS_WORKER_DELETION_H
#define SHEEPFS_WORKER_DELETION_H

#include "worker/vdi.h"

#define DELETION_PIECE 16384U /* index entries that are read at once */

struct deletion_calls {
	/* Some of it is done. */
	void (*progressed)(void *arg);
	/* The end: 0, and it is deleted for good, or -errno; a sentence for the one who asked. */
	void (*done)(void *arg, int error, const char *sentence);
	/* Nothing is in flight any more, as deletion_stop() asked. */
	void (*stopped)(void *arg);
	/* The generation is over. */
	void (*failed)(void *arg, enum exit_word word, const char *why);
};

/* Fields above the line are the caller's; the memory stays until one of the last three calls. */
struct deletion {
	const struct vdi *vdi; /* open (vdi.h), for this purpose */
	struct daemon *daemon;
	const struct deletion_calls *calls;
	void *arg;
	bool died; /* a daemon that was asked for it: copies of the inode may differ (P 6.5) */
	/* ---- its own ---- */
	bool active; /* from deletion_begin() to the end */
	bool stopping;
	bool proved;    /* it is still the VDI that is meant, for this piece */
	uint32_t again; /* entries below this one are emptied, whatever they show */
	uint32_t first; /* entry of the piece */
	uint32_t at;    /* the next one to look at, in it */
	uint32_t run;   /* entries that are being emptied */
	uint32_t index[DELETION_PIECE];
	struct vdi_block block;
	struct vdi_proof proof;
	struct call call;
	struct sd_inode_header header; /* afterwards, its first VDI_IDENTITY_SIZE bytes */
};

/* Begins; nothing of earlier generations can run any more. */
void deletion_begin(struct deletion *d);

/* No more is begun: stopped() follows, perhaps at once, or one of the other ends. */
void deletion_stop(struct deletion *d);

#endif
