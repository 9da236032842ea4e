/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cluster's history: its epochs, each with its nodes (P 2.5).
 *
 * Two questions: how many nodes there are and how large one is; then the records, for which the
 * answer's memory is sized by both.  When an earlier epoch had more nodes the daemon says so, and
 * it is asked once more.  Never prints.
 */
#ifndef SHEEPFS_WORKER_HISTORY_H
#define SHEEPFS_WORKER_HISTORY_H

#include "worker/sheep.h"

#define HISTORY_NODE_SIZE sizeof(struct sd_node)
#define HISTORY_DISKS_MAX 32
#define HISTORY_DISK_NODE_SIZE                                                                     \
	(HISTORY_NODE_SIZE + HISTORY_DISKS_MAX * 16U) /* with disk vnodes                          \
						       */

/* The memory is the caller's; zeroed before its first use. */
struct history {
	struct daemon *daemon;
	unsigned most; /* records that are wanted, the newest; 0: all of them */
	void (*done)(struct history *h);
	void *owner;
	/* ---- the outcome ---- */
	int error;          /* -errno: nothing was told, and why says why */
	const char *why;    /* a static sentence, or the name of a result */
	uint32_t result;    /* of STAT_CLUSTER; there may be records whatever it is */
	uint32_t epoch;     /* the daemon's, now */
	uint8_t *records;   /* the newest first, until history_end() */
	size_t size;        /* bytes of them */
	size_t record_size; /* bytes of each: struct sd_epoch_log and room for nodes */
	size_t node_size;   /* HISTORY_NODE_SIZE or HISTORY_DISK_NODE_SIZE */
	uint32_t nr_nodes;  /* for which a record has room */
	/* ---- under way ---- */
	struct call call;
	uint8_t *nodes; /* the node list, only for its length */
};

/* Asks; done() is called once.  After it this may be called again. */
void history_begin(struct history *h);

/* The head of record n, copied; false when there is none. */
bool history_record(const struct history *h, size_t n, struct sd_epoch_log *log);

/* Where node k of record n lies, unaligned; NULL when there is none. */
const uint8_t *history_node(const struct history *h, size_t n, uint32_t k);

/* Frees the records. */
void history_end(struct history *h);

#endif
