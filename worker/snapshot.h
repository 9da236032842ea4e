/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking a snapshot of a VDI, step by step (P 2.4, 6.2): no such tag, the name's vid, its header,
 * that it is recorded, the tag, NEW_VDI, and the proof that what came of it is the pair that was
 * meant.
 *
 * Nothing is repeated (rule 9): after a NEW_VDI that failed the name tells what happened, and
 * whoever goes on where somebody died only looks: a NEW_VDI that a daemon still holds would turn
 * the volume back to what this snapshot has (P 2.3).  Whoever has the volume attached sees to it
 * that none of its writes is in flight meanwhile; this file knows of none.
 */
#ifndef SHEEPFS_WORKER_SNAPSHOT_H
#define SHEEPFS_WORKER_SNAPSHOT_H

#include "worker/vdi.h"

/* The memory is the caller's and stays until done(), or until the daemon has forgotten all calls.
 * Zeroed but for what is above the first line. */
struct snapshot {
	struct daemon *daemon;
	struct vdi_block block; /* the volume, and the tag of its snapshot */
	uint32_t expected;      /* the vid that the name must lead to; 0: whatever it leads to */
	uint64_t created;       /* its create_time, with `expected` */
	uint32_t again; /* somebody may have taken it, of this vid, as looked() told; 0: nobody */
	/* Nothing stands in the way, what comes next makes `vid` the snapshot: snapshot_change()
	 * goes on. NULL: nobody is to know.  Not called with `again`. */
	void (*looked)(struct snapshot *s);
	void (*done)(struct snapshot *s);
	void *owner;
	/* ---- the outcome ---- */
	int error; /* 0: it was taken */
	bool
	    elsewhere; /* the name does not lead to `expected`, or not to its successor, any more */
	uint32_t vid;  /* of the snapshot */
	uint32_t successor;            /* of the volume from now on */
	struct sd_inode_header header; /* the successor's, its first VDI_IDENTITY_SIZE bytes */
	char sentence[SENTENCE_MAX];
	/* ---- under way ---- */
	bool sent; /* the cluster may have been changed */
	uint32_t result;
	struct vdi_block plain; /* without the tag */
	struct sd_inode_header base;
	struct call call;
};

/* Begins; done() is called once, not before this returns. */
void snapshot_begin(struct snapshot *s);

/* What looked() told is recorded; looks once more, since that may have taken long. */
void snapshot_change(struct snapshot *s);

/* What is to be said of one whose daemon was lost: -EINPROGRESS, since another daemon can be asked;
 * whether it was taken is not known once something was sent. */
void snapshot_lost(struct snapshot *s, const char *why);

#endif
