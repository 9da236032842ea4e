/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VDI uses: see usage.h.
 *
 * The header comes with the beginning of the index, which for most VDIs is all; the rest in
 * pieces, one after the other.  Plain volumes have an array, "hyper" ones a tree of one or two
 * levels (P 3.4).  Whatever the header says, no more is read than an inode and its tree can hold.
 */
#include "worker/usage.h"

#include <string.h>

#define TREE_MAGIC 0x6274
#define TREE_LEAF_MAX 524287U
#define TREE_ROOT_MAX 262143U

struct tree_head {
	uint16_t magic;
	uint16_t depth;
	uint32_t entries;
};

static uint32_t least(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

static void ask(struct usage *u, uint64_t oid, uint32_t offset, void *to, size_t size,
    void (*done)(struct call *))
{
	call_init(&u->call, SD_OP_READ_OBJ, LANE_CONTROL, done, u);
	u->call.req.obj.oid = oid;
	u->call.req.obj.offset = offset;
	u->call.receive = to;
	u->call.receive_size = size;
	daemon_submit(u->daemon, &u->call);
}

static bool went_well(struct usage *u)
{
	u->result = u->call.rsp.result;
	if (u->result != SD_RES_SUCCESS)
		u->done(u);
	return u->result == SD_RES_SUCCESS;
}

static void count(struct usage *u, const uint8_t *entries, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t vid;

		memcpy(&vid, entries + (size_t)(i + 1) * u->span.width - sizeof vid, sizeof vid);
		if (vid == u->vid)
			u->own++;
		else if (vid)
			u->shared++;
	}
	u->span.at += n;
}

/* Entries of a node of that depth; a damaged node has none. */
static uint32_t tree_entries(const uint8_t *node, unsigned depth, uint32_t most)
{
	struct tree_head head;

	memcpy(&head, node, sizeof head);
	return head.magic == TREE_MAGIC && head.depth == depth ? least(head.entries, most) : 0;
}

static void next(struct usage *u);

static void on_piece(struct call *call)
{
	struct usage *u = call->owner;

	if (!went_well(u))
		return;
	count(u, u->piece, u->reading);
	next(u);
}

static void on_root(struct call *call)
{
	struct usage *u = call->owner;

	if (!went_well(u))
		return;
	u->root_loaded = u->root_at + u->reading;
	next(u);
}

/* The beginning of a leaf tells how many entries it has. */
static void on_leaf(struct call *call)
{
	struct usage *u = call->owner;
	size_t head = sizeof(struct tree_head);

	if (!went_well(u))
		return;
	u->span.total = tree_entries(u->piece, 1, TREE_LEAF_MAX);
	count(u, u->piece + head, least(u->span.total, (USAGE_PIECE - head) / u->span.width));
	next(u);
}

static void leaf_begin(struct usage *u)
{
	uint64_t oid = u->root[u->root_at++ % USAGE_KEYS].oid;

	if ((oid & SD_OID_TYPES) != SD_OID_BTREE) {
		u->result = SD_RES_UNKNOWN;
		u->done(u);
		return;
	}
	u->span = (struct usage_span){.oid = oid, .offset = sizeof(struct tree_head), .width = 8};
	ask(u, oid, 0, u->piece, USAGE_PIECE, on_leaf);
}

/* Reads what comes next, or ends. */
static void next(struct usage *u)
{
	const uint32_t keys = SD_INODE_INDEX_OFFSET + (uint32_t)sizeof(struct tree_head);
	struct usage_span *s = &u->span;

	if (s->at < s->total) {
		u->reading = least(s->total - s->at, USAGE_PIECE / s->width);
		ask(u, s->oid, s->offset + s->at * s->width, u->piece,
		    (size_t)u->reading * s->width, on_piece);
	} else if (u->root_at < u->root_loaded) {
		leaf_begin(u);
	} else if (u->root_at < u->root_total) {
		u->reading = least(u->root_total - u->root_at, USAGE_KEYS);
		ask(u, sd_inode_oid(u->vid), keys + u->root_at * (uint32_t)sizeof u->root[0],
		    u->root, u->reading * sizeof u->root[0], on_root);
	} else {
		if (u->counted)
			counted_keep(u->counted, &u->first.header, u->now, u->own, u->shared);
		u->done(u);
	}
}

/* How many entries a plain VDI of this size has. */
static uint32_t plain_entries(const struct sd_inode_header *h)
{
	unsigned shift = h->block_size_shift;
	uint64_t rest;

	if (shift > 63)
		return 0;
	rest = h->vdi_size & ((UINT64_C(1) << shift) - 1);
	return least((h->vdi_size >> shift) + (rest != 0), SD_INODE_NR_INDEX);
}

static void on_first(struct call *call)
{
	struct usage *u = call->owner;
	const struct sd_inode_header *h = &u->first.header;
	const uint8_t *index = u->first.index;
	struct usage_span *s = &u->span;
	size_t head = sizeof(struct tree_head);

	if (!went_well(u))
		return;
	if (!h->name[0] || u->header_only ||
	    (u->counted && counted_find(u->counted, h, u->now, &u->own, &u->shared))) {
		u->done(u);
		return;
	}
	s->oid = sd_inode_oid(u->vid);
	s->offset = SD_INODE_INDEX_OFFSET;
	if (h->store_policy == 0) {
		s->width = 4;
		s->total = plain_entries(h);
		count(u, index, least(s->total, USAGE_FIRST / s->width));
	} else {
		s->width = 8;
		s->offset += (uint32_t)head;
		s->total = tree_entries(index, 1, TREE_LEAF_MAX);
		u->root_total = tree_entries(index, 2, TREE_ROOT_MAX);
		count(u, index + head, least(s->total, (USAGE_FIRST - head) / s->width));
	}
	next(u);
}

void usage_read(struct usage *u, struct daemon *daemon, uint32_t vid, void (*done)(struct usage *u),
    void *owner)
{
	u->vid = vid;
	u->own = u->shared = 0;
	u->daemon = daemon;
	u->done = done;
	u->owner = owner;
	u->span = (struct usage_span){.total = 0};
	u->root_at = u->root_loaded = u->root_total = 0;
	ask(u, sd_inode_oid(vid), 0, &u->first,
	    u->header_only ? sizeof u->first.header : sizeof u->first, on_first);
}
