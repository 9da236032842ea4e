/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdi/list: see vdilist.h.
 */
#include "worker/vdilist.h"

#include "worker/format.h"
#include "worker/walk.h"

#include <stdio.h>

#define HEAD                                                                                       \
	"  Name        Id    Size    Used  Shared    Creation time   VDI id  Copies  Tag"          \
	"   Block Size Shift\n"

struct vdilist {
	struct table table;
	struct walk walk;
};

static char flag_of(const struct sd_inode_header *h)
{
	if (h->snap_ctime)
		return 's';
	return h->snap_id == 1 && h->parent_vdi_id ? 'c' : ' ';
}

/* The bytes of so many objects; 0 where the shift is beyond all reason. */
static uint64_t objects_size(uint64_t objects, uint8_t shift)
{
	return shift <= SD_SHIFT_MAX ? objects << shift : 0;
}

size_t vdilist_row(const struct usage *u, char line[VDILIST_ROW_MAX])
{
	const struct sd_inode_header *h = &u->first.header;
	char copies[16], date[FORMAT_TIME_MAX];
	char size[FORMAT_SIZE_MAX], own[FORMAT_SIZE_MAX], shared[FORMAT_SIZE_MAX];

	if (h->copy_policy)
		snprintf(
		    copies, sizeof copies, "%d:%d", (h->copy_policy >> 4) * 2, h->copy_policy & 15);
	else
		snprintf(copies, sizeof copies, "%d", h->nr_copies);
	format_minute(h->create_time >> 32, date);
	format_size(h->vdi_size, size);
	format_size(objects_size(u->own, h->block_size_shift), own);
	format_size(objects_size(u->shared, h->block_size_shift), shared);
	return (size_t)snprintf(line, VDILIST_ROW_MAX,
	    "%c %-8.255s %5d %7s %7s %7s %s  %7x %6s %13.255s %3u\n", flag_of(h), h->name,
	    h->snap_ctime ? (int)h->snap_id : 0, size, own, shared, date, u->vid, copies, h->tag,
	    h->block_size_shift);
}

static void on_vdi(void *arg, const struct usage *u)
{
	char line[VDILIST_ROW_MAX];

	table_add(arg, line, vdilist_row(u, line));
}

static void on_ended(void *arg, int error, const char *sentence)
{
	struct table *t = arg;

	if (error)
		table_fail(t, error, "%s", sentence);
	table_finish(t);
}

static bool begin(struct table *t)
{
	struct walk *w = &((struct vdilist *)t)->walk;

	table_add(t, HEAD, sizeof HEAD - 1);
	w->daemon = t->world->daemon;
	w->counted = t->world->counted;
	w->now = t->world->now();
	w->vdi = on_vdi;
	w->ended = on_ended;
	w->arg = t;
	return walk_begin(w);
}

static void end(struct table *t)
{
	walk_free(&((struct vdilist *)t)->walk);
}

const struct table_kind vdilist_kind = {sizeof(struct vdilist), begin, end, NULL};
