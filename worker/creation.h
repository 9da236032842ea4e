/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a volume: a new one, or a clone of a snapshot (P 2.3, 2.4).
 *
 * Owns the checks that NEW_VDI does not make.  It is sent once and never repeated (rule 9).
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
	void (*done)(struct creation *c);
	void *owner;
	/* ---- the outcome ---- */
	int error;
	char sentence[SENTENCE_MAX];
	/* ---- under way ---- */
	bool sent; /* the cluster may have been changed */
	uint32_t base;
	struct sd_inode_header like;
	struct call call;
	struct members members;
};

/* Begins; done() is called once, perhaps before this returns. */
void creation_begin(struct creation *c);

/* What is to be said of one whose daemon was lost. */
void creation_lost(struct creation *c, const char *why);

#endif
