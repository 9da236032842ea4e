/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VDI uses: its header, and how many of its index entries have objects of its own and of
 * others (P 8.1).
 */
#ifndef SHEEPFS_WORKER_USAGE_H
#define SHEEPFS_WORKER_USAGE_H

#include "worker/counted.h"
#include "worker/sheep.h"

#define USAGE_FIRST 4096U  /* bytes of the index that are read with the header */
#define USAGE_PIECE 32768U /* bytes of an index, or of a tree's leaf, in one further read */
#define USAGE_KEYS 256U    /* keys of a deep tree's root in one read */

/* A run of index entries within one object, and how far it has been counted. */
struct usage_span {
	uint64_t oid;
	uint32_t offset; /* of entry 0 */
	uint32_t width;  /* bytes of an entry; its vid is the last four */
	uint32_t at, total;
};

/* A key in the root of a deep tree (P 3.4). */
struct usage_key {
	uint32_t index;
	uint32_t pad;
	uint64_t oid;
};

/* The reading of one VDI.  The memory is the caller's; it stays until done(). */
struct usage {
	/* ---- how; the caller's ---- */
	struct counted *counted; /* what is known already; NULL: nothing */
	uint64_t now;            /* milliseconds, for it */
	bool header_only;        /* own and shared are not wanted */
	/* ---- the outcome ---- */
	uint32_t vid;
	uint32_t result; /* enum sd_result; UNKNOWN for an index that makes no sense */
	uint64_t own, shared;
	struct {
		struct sd_inode_header header;
		uint8_t index[USAGE_FIRST];
	} first;
	/* ---- under way ---- */
	struct daemon *daemon;
	void (*done)(struct usage *u);
	void *owner;
	struct call call;
	struct usage_span span;
	uint32_t root_at, root_loaded, root_total; /* keys */
	uint32_t reading;                          /* entries in the read under way */
	struct usage_key root[USAGE_KEYS];
	uint8_t piece[USAGE_PIECE];
};

/*
 * Reads header and index of VDI `vid`; done() is called once, not before this returns.  The index
 * of a VDI without a name (a deleted one) is not looked at, nor one whose numbers are known.
 */
void usage_read(struct usage *u, struct daemon *daemon, uint32_t vid, void (*done)(struct usage *u),
    void *owner);

#endif
