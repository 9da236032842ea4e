/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a volume: a new one, or a clone of a snapshot (P 2.3, 2.4).
 *
 * Owns the checks that NEW_VDI does not make.  It is sent once the name was looked up and found to
 * be free, and its owner knows that; and never repeated blindly (rule 9): whoever goes on where
 * somebody died looks whether the volume is there by now.
 */
#ifndef SHEEPFS_WORKER_CREATION_H
#define SHEEPFS_WORKER_CREATION_H

#include "worker/members.h"
#include "worker/vdi.h"

/* The memory is the caller's and stays until done(), or until the daemon has forgotten all calls.
 * Zeroed but for what is above the first line. */
struct creation {
	struct daemon *daemon;
	struct vdi_block block;  /* the new volume's name */
	struct vdi_block source; /* the snapshot to clone; empty: none */
	uint32_t source_snap_id; /* the same by its number; 0: by its tag */
	/* of a new volume; a clone is what its source is */
	uint64_t size;
	unsigned shift;         /* 0: the cluster's default */
	uint8_t copies, policy; /* 0: the cluster's default (P 3.2) */
	bool again;             /* somebody may have made it, after he had called looked() */
	uint32_t base;          /* the snapshot's vid, of a clone: as looked() told, with `again` */
	/* The name is free, what comes next changes the cluster: creation_change() goes on.  Not
	 * called with `again`. */
	void (*looked)(struct creation *c);
	void (*done)(struct creation *c);
	void *owner;
	/* ---- the outcome ---- */
	int error;
	char sentence[SENTENCE_MAX];
	/* ---- under way ---- */
	bool sent;                          /* the cluster may have been changed */
	void (*absent)(struct creation *c); /* what is next where there is none of that name */
	uint32_t found;
	struct sd_inode_header like, header;
	struct call call;
	struct members members;
};

/* Begins; done() is called once, perhaps before this returns. */
void creation_begin(struct creation *c);

/* What looked() told is recorded. */
void creation_change(struct creation *c);

/* What is to be said of one whose daemon was lost: -EINPROGRESS, since another daemon can be asked.
 */
void creation_lost(struct creation *c, const char *why);

#endif
