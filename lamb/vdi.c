/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which VDIs there are: see vdi.h.
 */
#include "lamb/vdi.h"

#include "ipc/log.h"
#include "lamb/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BUCKETS (sizeof((struct vdi_table *)0)->by_name / sizeof(struct vdi *))

struct vdi_table *vdi_table_new(void)
{
	struct vdi_table *table = calloc(1, sizeof *table);

	if (!table)
		return NULL;
	table->by_vid = calloc(SD_NR_VDIS, sizeof *table->by_vid); /* touched where used */
	table->used = calloc(1, SD_VDI_BITMAP_SIZE);
	table->deleted = calloc(1, SD_VDI_BITMAP_SIZE);
	if (!table->by_vid || !table->used || !table->deleted) {
		vdi_table_free(table);
		return NULL;
	}
	return table;
}

static bool bit(const uint8_t *bitmap, uint32_t vid)
{
	return bitmap[vid / 8] & 1 << vid % 8;
}

static void set_bit(uint8_t *bitmap, uint32_t vid)
{
	bitmap[vid / 8] = (uint8_t)(bitmap[vid / 8] | 1 << vid % 8);
}

void vdi_table_clear(struct vdi_table *table)
{
	for (uint32_t i = 0; i < SD_VDI_BITMAP_SIZE; i++) {
		for (uint32_t vid = i * 8; table->used[i] && vid < i * 8 + 8; vid++) {
			free(table->by_vid[vid]);
			table->by_vid[vid] = NULL;
		}
	}
	memset(table->used, 0, SD_VDI_BITMAP_SIZE);
	memset(table->deleted, 0, SD_VDI_BITMAP_SIZE);
	memset(table->by_name, 0, sizeof table->by_name);
}

void vdi_table_free(struct vdi_table *table)
{
	if (table->by_vid && table->used && table->deleted)
		vdi_table_clear(table);
	free(table->by_vid);
	free(table->used);
	free(table->deleted);
	free(table);
}

struct vdi *vdi_find(const struct vdi_table *table, uint32_t vid)
{
	return vid < SD_NR_VDIS ? table->by_vid[vid] : NULL;
}

uint32_t vdi_hash(const char *name)
{
	uint32_t hash = sd_fnv(name, strlen(name), SD_FNV_BASIS) & (SD_NR_VDIS - 1);

	return hash ? hash : 1;
}

/* How far behind its name's hash a vid lies: the farthest is the newest (P 4.2). */
static uint32_t age(uint32_t vid, uint32_t hash)
{
	return (vid - hash) & (SD_NR_VDIS - 1);
}

uint32_t vdi_free_vid(const struct vdi_table *table, const char *name)
{
	uint32_t hash = vdi_hash(name);

	for (uint32_t i = 0; i < SD_NR_VDIS; i++) {
		uint32_t vid = (hash + i) & (SD_NR_VDIS - 1);

		if (vid && !bit(table->used, vid))
			return vid;
	}
	return 0;
}

static const struct vdi *bucket_first(const struct vdi_table *table, uint32_t hash)
{
	return table->by_name[hash % NAME_BUCKETS];
}

uint32_t vdi_lookup(const struct vdi_table *table, const char *name, const char *tag,
    uint32_t snap_id, struct vdi **result)
{
	uint32_t hash = vdi_hash(name);
	const struct vdi *newest = NULL, *match = NULL;

	for (const struct vdi *vdi = bucket_first(table, hash); vdi; vdi = vdi->next) {
		if (strcmp(vdi->name, name) != 0)
			continue;
		if (!newest || age(vdi->vid, hash) > age(newest->vid, hash))
			newest = vdi;
		if (!vdi->snap_ctime)
			continue;
		if (((*tag && !strcmp(vdi->tag, tag)) || (snap_id && vdi->snap_id == snap_id)) &&
		    (!match || age(vdi->vid, hash) > age(match->vid, hash)))
			match = vdi;
	}
	if (!newest)
		return SD_RES_NO_VDI;
	if (*tag || snap_id) {
		if (!match)
			return SD_RES_NO_TAG;
		*result = table->by_vid[match->vid];
		return SD_RES_SUCCESS;
	}
	if (newest->snap_ctime)
		return SD_RES_NO_VDI;
	*result = table->by_vid[newest->vid];
	return SD_RES_SUCCESS;
}

uint32_t vdi_highest_snap_id(const struct vdi_table *table, const char *name)
{
	uint32_t highest = 0;

	for (const struct vdi *vdi = bucket_first(table, vdi_hash(name)); vdi; vdi = vdi->next)
		if (!strcmp(vdi->name, name) && vdi->snap_id > highest)
			highest = vdi->snap_id;
	return highest;
}

static void unlink_name(struct vdi_table *table, struct vdi *vdi)
{
	struct vdi **link = &table->by_name[vdi_hash(vdi->name) % NAME_BUCKETS];

	while (*link && *link != vdi)
		link = &(*link)->next;
	if (*link)
		*link = vdi->next;
}

struct vdi *vdi_next(const struct vdi_table *table, uint32_t vid)
{
	for (; vid < SD_NR_VDIS; vid++) {
		if (!table->used[vid / 8])
			vid |= 7;
		else if (table->by_vid[vid])
			return table->by_vid[vid];
	}
	return NULL;
}

/* A chain that comes back to itself is damaged: it ends anywhere. */
uint32_t vdi_root(const struct vdi_table *table, uint32_t vid)
{
	const struct vdi *vdi = vdi_find(table, vid);

	for (unsigned n = 0; vdi && vdi->parent && n < SD_NR_VDIS; n++) {
		vid = vdi->vid;
		vdi = vdi_find(table, vdi->parent);
	}
	return vdi ? vdi->vid : vid;
}

static void link_name(struct vdi_table *table, struct vdi *vdi)
{
	struct vdi **link = &table->by_name[vdi_hash(vdi->name) % NAME_BUCKETS];

	vdi->next = *link;
	*link = vdi;
}

int vdi_put(struct vdi_table *table, const struct sd_inode_header *header)
{
	uint32_t vid = header->vdi_id;
	struct vdi *vdi = table->by_vid[vid], *parent;

	if (!vdi) {
		vdi = calloc(1, sizeof *vdi);
		if (!vdi)
			return -ENOMEM;
		vdi->vid = vid;
		table->by_vid[vid] = vdi;
		set_bit(table->used, vid);
	} else if (vdi->name[0]) {
		unlink_name(table, vdi);
	}
	memcpy(vdi->name, header->name, SD_NAME_SIZE - 1);
	memcpy(vdi->tag, header->tag, SD_TAG_SIZE - 1);
	vdi->snap_id = header->snap_id;
	vdi->parent = header->parent_vdi_id;
	vdi->shift = header->block_size_shift;
	vdi->copies = header->nr_copies;
	vdi->copy_policy = header->copy_policy;
	vdi->store_policy = header->store_policy;
	vdi->size = header->vdi_size;
	vdi->create_time = header->create_time;
	vdi->snap_ctime = header->snap_ctime;
	if (vdi->name[0])
		link_name(table, vdi);
	else
		set_bit(table->deleted, vid);
	parent = vdi_find(table, vdi->parent);
	if (parent)
		parent->had_child = true;
	return 0;
}

void vdi_mark_deleted(struct vdi_table *table, struct vdi *vdi, bool gone)
{
	set_bit(table->deleted, vdi->vid);
	if (gone && vdi->name[0]) {
		unlink_name(table, vdi);
		vdi->name[0] = 0;
		vdi->size = 0;
	}
}

struct loading {
	struct vdi_table *table;
	struct store *store;
};

static int read_header(struct vdi_table *table, struct store *store, uint64_t oid)
{
	struct sd_inode_header header;
	int error = store_read(store, oid, &header, sizeof header, 0);

	if (error)
		return error;
	if (sd_inode_oid(header.vdi_id) != oid || header.block_size_shift < SD_SHIFT_MIN ||
	    header.block_size_shift > SD_SHIFT_MAX) {
		log_error("inode object %016llx is damaged: restore it from a copy, or remove it",
		    (unsigned long long)oid);
		return -EBADMSG;
	}
	return vdi_put(table, &header);
}

int vdi_read(struct vdi_table *table, struct store *store, uint32_t vid)
{
	return read_header(table, store, sd_inode_oid(vid));
}

/* One that another node gives up while we look is none. */
static int load_one(void *argument, uint64_t oid)
{
	const struct loading *loading = argument;
	int error = 0;

	if ((oid & SD_OID_TYPES) == SD_OID_INODE)
		error = read_header(loading->table, loading->store, oid);
	return error == -ENOENT ? 0 : error;
}

/* `vdi` became a snapshot at `time`: written now. */
static int end_snapshot(struct store *store, struct vdi *vdi, uint64_t time)
{
	log_info("VDI \"%s\": the snapshot %06x was under way at the last end; completed",
	    vdi->name, vdi->vid);
	vdi->snap_ctime = time;
	return store_write(store, sd_inode_oid(vdi->vid), &time, sizeof time,
	    offsetof(struct sd_inode_header, snap_ctime));
}

int vdi_table_load(struct vdi_table *table, struct store *store)
{
	struct loading loading = {table, store};
	int error = store_each(store, load_one, &loading);

	/* a parent may have been loaded after its child */
	for (struct vdi *vdi = vdi_next(table, 1); vdi; vdi = vdi_next(table, vdi->vid + 1)) {
		struct vdi *parent = vdi_find(table, vdi->parent);

		if (parent)
			parent->had_child = true;
	}
	return error;
}

int vdi_table_mend(struct vdi_table *table, struct store *store)
{
	int error = 0;

	for (struct vdi *vdi = vdi_next(table, 1); vdi && !error;
	     vdi = vdi_next(table, vdi->vid + 1)) {
		struct vdi *newest;

		if (vdi->name[0] && !vdi->snap_ctime &&
		    vdi_lookup(table, vdi->name, "", 0, &newest) == SD_RES_SUCCESS && newest != vdi)
			error = end_snapshot(store, vdi, newest->create_time);
	}
	return error;
}
