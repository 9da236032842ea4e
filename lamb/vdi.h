/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which VDIs there are.
 *
 * Owns the table of inode headers by vid and by name, the two bitmaps of vids, and the lookup rules
 * (P 4).  Built from the inode objects, at start and when another node has changed them.  A table
 * belongs to one thread, lamb's own to the loop.
 */
#ifndef LAMB_VDI_H
#define LAMB_VDI_H

#include "include/sheepdog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

struct vdi {
	uint32_t vid;
	uint32_t snap_id;
	uint32_t parent;
	uint8_t shift;
	uint8_t copies;
	uint8_t copy_policy;
	uint8_t store_policy;
	bool had_child; /* something was made from it: its objects may be shared (P 3.6) */
	uint64_t size, create_time, snap_ctime; /* snap_ctime 0: writable */
	char name[SD_NAME_SIZE];                /* empty: deleted */
	char tag[SD_TAG_SIZE];
	struct vdi *next; /* same name or same bucket */
};

struct vdi_table {
	struct vdi **by_vid; /* SD_NR_VDIS, NULL: unused */
	struct vdi *by_name[4096];
	uint8_t *used, *deleted; /* SD_VDI_BITMAP_SIZE each (P 2.3) */
};

/* NULL on lack of memory. */
struct vdi_table *vdi_table_new(void);
void vdi_table_free(struct vdi_table *table);
void vdi_table_clear(struct vdi_table *table);

/* Reads the header of every inode object. 0 or -errno. */
int vdi_table_load(struct vdi_table *table, struct store *store);

/*
 * Ends what a death left half done: of several writable VDIs of one name only the newest is, the
 * others became snapshots when it was made, and that is written down now.  0 or -errno.
 */
int vdi_table_mend(struct vdi_table *table, struct store *store);

/* Reads the header of one again. 0, -ENOENT (there is none) or -errno. */
int vdi_read(struct vdi_table *table, struct store *store, uint32_t vid);

struct vdi *vdi_find(const struct vdi_table *table, uint32_t vid);

/* The first VDI at or after vid, deleted ones included, or NULL. */
struct vdi *vdi_next(const struct vdi_table *table, uint32_t vid);

/* The oldest ancestor of a VDI that is known, itself if there is none: those of one root may share
 * objects (P 3.6). */
uint32_t vdi_root(const struct vdi_table *table, uint32_t vid);

/*
 * P 4.3: the working VDI with neither tag nor snap_id, else the newest snapshot that matches one
 * of them.  Returns SD_RES_SUCCESS, SD_RES_NO_VDI or SD_RES_NO_TAG.
 */
uint32_t vdi_lookup(const struct vdi_table *table, const char *name, const char *tag,
    uint32_t snap_id, struct vdi **vdi);

/* The first vid of the name: FNV hash, never 0 (P 4.1). */
uint32_t vdi_hash(const char *name);

/* The vid that a new VDI of that name gets (P 4.2), or 0 when none is left. */
uint32_t vdi_free_vid(const struct vdi_table *table, const char *name);

/* The highest snap_id that the name has, or 0. */
uint32_t vdi_highest_snap_id(const struct vdi_table *table, const char *name);

/* The header of header->vdi_id is now this: adds or updates. 0 or -ENOMEM. */
int vdi_put(struct vdi_table *table, const struct sd_inode_header *header);

/* DEL_VDI's mark; with `gone` the name is given up as well. */
void vdi_mark_deleted(struct vdi_table *table, struct vdi *vdi, bool gone);

#endif
