/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was counted of snapshots: see counted.h.  One place for each, by its vid; the last one
 * stays.
 */
#include "worker/counted.h"

#include <stdlib.h>

#define PLACES 65536U /* a power of two */

struct entry {
	uint32_t vid; /* 0: nothing */
	uint32_t own, shared;
	uint64_t create_time, snap_ctime, size;
	uint64_t seen, when; /* first seen; when counted */
};

struct counted {
	struct entry entries[PLACES];
};

static struct entry *place(struct counted *c, const struct sd_inode_header *h)
{
	return &c->entries[h->vdi_id % PLACES];
}

/* Is it this very VDI, unchanged? */
static bool same(const struct entry *e, const struct sd_inode_header *h)
{
	return e->vid && e->vid == h->vdi_id && e->create_time == h->create_time &&
	       e->snap_ctime == h->snap_ctime && e->size == h->vdi_size;
}

bool counted_find(struct counted *c, const struct sd_inode_header *h, uint64_t now, uint64_t *own,
    uint64_t *shared)
{
	const struct entry *e = place(c, h);

	if (!h->snap_ctime || !same(e, h) || e->when - e->seen < COUNTED_REST ||
	    now - e->when >= COUNTED_LAST)
		return false;
	*own = e->own;
	*shared = e->shared;
	return true;
}

void counted_keep(
    struct counted *c, const struct sd_inode_header *h, uint64_t now, uint64_t own, uint64_t shared)
{
	struct entry *e = place(c, h);

	if (!h->snap_ctime)
		return;
	if (!same(e, h))
		*e = (struct entry){.vid = h->vdi_id,
		    .create_time = h->create_time,
		    .snap_ctime = h->snap_ctime,
		    .size = h->vdi_size,
		    .seen = now};
	e->own = (uint32_t)own;
	e->shared = (uint32_t)shared;
	e->when = now;
}

struct counted *counted_open(void)
{
	return calloc(1, sizeof(struct counted));
}

void counted_close(struct counted *c)
{
	free(c);
}
