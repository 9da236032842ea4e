/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Learning the members of the cluster, for the master, which may dial some of them.
 *
 * Two questions: which cluster this is, for members must prove to be of it; then the list of its
 * nodes, which is told as it came, in pieces that fit a message.
 */
#ifndef SHEEPFS_WORKER_LEARNING_H
#define SHEEPFS_WORKER_LEARNING_H

#include "worker/members.h"
#include "worker/vdi.h"

/* The memory is the caller's.  Zeroed but for what is above the first line. */
struct learning {
	struct daemon *daemon;
	/* A piece of the list, as targets are typed, with commas between them. */
	void (*told)(struct learning *l, const char *text, bool first, bool last);
	/* All is told, or error is set. */
	void (*done)(struct learning *l);
	void *owner;
	/* ---- the outcome ---- */
	int error;
	char sentence[128];
	uint64_t cluster_ctime;
	/* ---- under way ---- */
	struct call call;
	struct sd_epoch_log epoch_log;
	struct members members;
};

/* Begins; done() is called once, not before this returns. */
void learning_begin(struct learning *l);

/* Frees what it holds: after done(), or once the daemon has forgotten all calls. */
void learning_end(struct learning *l);

#endif
