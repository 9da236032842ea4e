/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has become of a volume that an earlier generation had (rules 6 and 7): the same VDI, one
 * that continues it, or none that may be written on.
 *
 * A snapshot by somebody else makes the VDI that we knew read-only and leads the name to a new one,
 * which names it as its parent and was created in the very moment in which it became a snapshot;
 * several snapshots make a chain of such pairs (P 6.2).  Everything else - deleted, rolled back,
 * created anew - is another volume.  Reads headers and names; changes nothing.
 */
#ifndef SHEEPFS_WORKER_FOLLOW_H
#define SHEEPFS_WORKER_FOLLOW_H

#include "worker/vdi.h"

/* Fields above the line are the caller's; the memory stays until done(). */
struct follow {
	struct daemon *daemon;
	const struct vdi_block *block;
	bool snapshot; /* a snapshot was attached, which nothing continues */
	uint32_t snap_id;
	bool deletion; /* we have begun to delete it, and the cluster is the same: is it gone? */
	uint32_t vid;  /* what it was */
	uint64_t create_time;
	const char *shown;
	void (*done)(struct follow *f);
	void *owner;
	/* ---- the outcome ---- */
	int error;      /* 0: now_vid continues it, or is it */
	bool elsewhere; /* with an error: another daemon may tell otherwise */
	bool gone;      /* with an error: this very VDI was deleted */
	bool nameless;  /* ... and its header is still there */
	bool foreign;   /* ... and its vid is somebody else's */
	uint32_t now_vid;
	uint32_t snap_number; /* of a snapshot; 0: of none */
	char why[SENTENCE_MAX];
	/* ---- under way ---- */
	bool again; /* the first look was overtaken by a snapshot */
	unsigned links;
	uint64_t link_time; /* when the VDI that was looked at last was created */
	uint32_t looking;   /* at this vid */
	uint64_t snap_ctime;
	struct call call;
	struct sd_inode_header header;
};

void follow_begin(struct follow *f);

#endif
