/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a simulated cluster holds: objects, VDIs, and what a snapshot does to them.
 */
#include "tests/unit/simstore.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* ---- objects ---- */

struct sim_object **sim_object_place(struct sim *sim, uint64_t oid)
{
	struct sim_object **o = &sim->objects[(oid ^ oid >> 32) % 4096];

	while (*o && (*o)->oid != oid)
		o = &(*o)->next;
	return o;
}

struct sim_object *sim_object_make(struct sim *sim, uint64_t oid)
{
	struct sim_object **o = sim_object_place(sim, oid);

	if (!*o) {
		*o = calloc(1, sizeof **o);
		(*o)->oid = oid;
	}
	return *o;
}

void sim_object_write(struct sim_object *o, uint64_t at, const void *data, size_t size)
{
	if (at + size > o->size) {
		uint8_t *grown = calloc(1, at + size); /* 2 GiB of zeros cost nothing */

		if (o->size)
			memcpy(grown, o->data, o->size);
		free(o->data);
		o->data = grown;
		o->size = at + size;
	}
	memcpy(o->data + at, data, size);
}

void sim_object_read(const struct sim_object *o, uint64_t at, void *data, size_t size)
{
	size_t have = at >= o->size ? 0 : o->size - at < size ? o->size - at : size;

	memset(data, 0, size);
	if (have)
		memcpy(data, o->data + at, have);
}

void sim_put(
    struct sim *sim, uint32_t vid, uint32_t idx, uint64_t at, const void *data, size_t size)
{
	sim_object_write(sim_object_make(sim, sd_data_oid(vid, idx)), at, data, size);
	sim_vdi(sim, vid)->index[idx] = vid;
}

void sim_get(struct sim *sim, uint32_t vid, uint64_t at, void *data, size_t size)
{
	struct sim_vdi *v = sim_vdi(sim, vid);
	uint64_t object_size = UINT64_C(1) << v->header.block_size_shift;
	uint8_t *to = data;

	while (size) {
		uint32_t idx = (uint32_t)(at >> v->header.block_size_shift);
		uint64_t within = at & (object_size - 1);
		size_t part = size < object_size - within ? size : object_size - within;
		struct sim_object *o = *sim_object_place(sim, sd_data_oid(v->index[idx], idx));

		if (!v->index[idx])
			memset(to, 0, part);
		else if (o)
			sim_object_read(o, within, to, part);
		else
			fail_msg("vid %x names object %u of vid %x, which there is not", vid, idx,
			    v->index[idx]);
		at += part;
		to += part;
		size -= part;
	}
}

void sim_remove(struct sim *sim, uint32_t vid, uint32_t idx)
{
	struct sim_object **o = sim_object_place(sim, sd_data_oid(vid, idx));
	struct sim_object *gone = *o;

	if (!gone)
		return;
	*o = gone->next;
	free(gone->data);
	free(gone);
}

bool sim_exists(struct sim *sim, uint32_t vid, uint32_t idx)
{
	return *sim_object_place(sim, sd_data_oid(vid, idx)) != NULL;
}

/* ---- VDIs ---- */

struct sim_vdi *sim_vdi(struct sim *sim, uint32_t vid)
{
	struct sim_vdi *v = sim->vdis;

	while (v && v->header.vdi_id != vid)
		v = v->next;
	return v;
}

struct sim_vdi *sim_make_vdi(
    struct sim *sim, uint32_t vid, const char *name, const char *tag, uint64_t size, unsigned shift)
{
	struct sim_vdi *v = calloc(1, sizeof *v);

	strcpy(v->header.name, name);
	strcpy(v->header.tag, tag);
	v->header.create_time = ++sim->clock + (UINT64_C(1) << 40);
	v->header.vdi_size = size;
	v->header.block_size_shift = (uint8_t)shift;
	v->header.nr_copies = 1;
	v->header.snap_id = 1;
	v->header.vdi_id = vid;
	v->next = sim->vdis;
	sim->vdis = v;
	sim->working = vid;
	return v;
}

void sim_snapshot_begin(struct sim *sim)
{
	sim->snapshotting = true;
	memcpy(sim->copy, sim_vdi(sim, sim->working)->index, sizeof sim->copy);
}

/* The inode is written back whole: what its index got meanwhile is lost (P 6.2). */
void sim_snapshot_end(struct sim *sim)
{
	struct sim_vdi *v = sim_vdi(sim, sim->working);
	struct sim_vdi *w = sim_make_vdi(sim, sim->working + 1, v->header.name, "",
	    v->header.vdi_size, v->header.block_size_shift);

	memcpy(v->index, sim->copy, sizeof v->index);
	memcpy(w->index, sim->copy, sizeof w->index);
	v->header.snap_ctime = w->header.create_time;
	w->header.parent_vdi_id = v->header.vdi_id;
	sim->snapshotting = false;
}
