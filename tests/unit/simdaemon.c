/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A simulated daemon: see simdaemon.h.
 */
#include "tests/unit/simdaemon.h"

#include "tests/unit/simstore.h"
#include "tests/unit/unit.h"
#include "worker/vdi.h"

#include <stdlib.h>
#include <string.h>

enum created { NOT_OURS, CREATING, CREATED, INDEX_SENT };

struct sim_call {
	struct call *call;
	uint64_t since;
	bool executed;
	uint32_t result;
	bool orphan;     /* nobody waits for it; it has its own call and payload */
	uint32_t vid;    /* of lookups */
	uint8_t *answer; /* what a READ has read */
};

#define RUNS_MAX 4 /* index writes in flight that the engine may have */

uint32_t sim_random(struct sim *sim, uint32_t n)
{
	sim->random ^= sim->random << 13;
	sim->random ^= sim->random >> 7;
	sim->random ^= sim->random << 17;
	return (uint32_t)((sim->random >> 16) % n);
}

/* ---- what the engine may submit ---- */

static bool is_inode(const struct sim_call *c)
{
	uint8_t op = c->call->req.opcode;

	return op <= SD_OP_WRITE_OBJ && c->call->req.obj.oid & SD_OID_INODE;
}

static bool is_data(const struct sim_call *c)
{
	return c->call->req.opcode <= SD_OP_WRITE_OBJ && !is_inode(c);
}

/* The tag that a snapshot is to have. */
static bool is_tag(const struct sim_call *c)
{
	return is_inode(c) && c->call->req.flags & SD_FLAG_WRITE &&
	       c->call->req.obj.offset == offsetof(struct sd_inode_header, tag);
}

/* The name in a header is overwritten. */
static bool is_rename(const struct sim_call *c)
{
	return is_inode(c) && c->call->req.flags & SD_FLAG_WRITE && !c->call->req.obj.offset;
}

static bool is_index_write(const struct sim_call *c)
{
	return is_inode(c) && c->call->req.flags & SD_FLAG_WRITE && !is_tag(c) && !is_rename(c);
}

static size_t size_of(const struct call *call)
{
	return call->req.flags & SD_FLAG_WRITE ? call->send_size : call->receive_size;
}

static void judge_neighbours(struct sim *sim, const struct sim_call *c)
{
	uint32_t idx = (uint32_t)c->call->req.obj.oid;
	uint64_t first = c->call->req.obj.offset, end = first + size_of(c->call);

	for (unsigned i = 0; i < sim->in_flight; i++) {
		const struct call *other = sim->calls[i]->call;
		uint64_t at = other->req.obj.offset;

		if (!is_data(sim->calls[i]) || (uint32_t)other->req.obj.oid != idx)
			continue;
		if (sim->calls[i]->orphan &&
		    (other->req.opcode == SD_OP_READ_OBJ || c->call->req.opcode == SD_OP_READ_OBJ))
			continue; /* neither is answered: they are concurrent */
		if (other->req.opcode == SD_OP_CREATE_AND_WRITE_OBJ ||
		    c->call->req.opcode == SD_OP_CREATE_AND_WRITE_OBJ)
			fail_msg("something is in flight beside a create of object %u", idx);
		if (other->req.opcode == SD_OP_WRITE_OBJ &&
		    c->call->req.opcode == SD_OP_WRITE_OBJ && at < end &&
		    first < at + other->send_size)
			fail_msg("overlapping writes to object %u are in flight", idx);
	}
}

static void judge_data(struct sim *sim, const struct sim_call *c)
{
	const struct call *call = c->call;
	const struct sim_vdi *v = sim_vdi(sim, sim->working);
	uint64_t oid = call->req.obj.oid;
	uint32_t idx = (uint32_t)oid;

	judge_neighbours(sim, c);
	assert_int_equal(call->lane, LANE_DATA);
	sim->cached += (call->req.flags & SD_FLAG_CACHE) != 0;
	assert_true(
	    call->req.obj.offset + size_of(call) <= UINT64_C(1) << v->header.block_size_shift);
	assert_int_equal(
	    call->req.opcode != SD_OP_READ_OBJ, (call->req.flags & SD_FLAG_WRITE) != 0);
	if (call->req.opcode == SD_OP_READ_OBJ) {
		sim->reads++;
		return;
	}
	if (call->req.opcode == SD_OP_CREATE_AND_WRITE_OBJ) {
		sim->creates++;
		assert_true(sim->created[idx] == NOT_OURS || sim->lenient);
		sim->created[idx] = CREATING;
	} else if (!sim->lenient) {
		assert_true(sim_exists(sim, sd_oid_vid(oid), idx)); /* P 10.9 */
	}
}

/* Only entries that are set, and none beside another one, not even of an engine that is dead: the
 * object of an entry that is emptied twice is somebody else's (P 3.6). */
static void judge_emptying(
    struct sim *sim, const struct sim_call *c, const uint32_t *entries, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		assert_int_equal(((const uint32_t *)c->call->send)[k], 0);
		if (!sim->rewriting)
			assert_int_not_equal(entries[k], 0);
	}
	for (unsigned i = 0; i < sim->in_flight; i++)
		assert_false(is_index_write(sim->calls[i]));
	sim->index_writes++;
	sim->index_entries += n;
	sim->index_in_flight++;
}

/* Rule 3: only entries that change, each once, each with its object in place. */
static void judge_index_write(struct sim *sim, const struct sim_call *c)
{
	const struct call *call = c->call;
	uint32_t vid = sd_oid_vid(call->req.obj.oid);
	const struct sim_vdi *v = sim_vdi(sim, vid);
	uint32_t first = (call->req.obj.offset - SD_INODE_INDEX_OFFSET) / 4;
	uint32_t n = (uint32_t)call->send_size / 4;

	assert_int_equal(call->req.opcode, SD_OP_WRITE_OBJ);
	assert_true(call->req.obj.offset >= SD_INODE_INDEX_OFFSET && n > 0);
	assert_true(call->req.obj.offset % 4 == SD_INODE_INDEX_OFFSET % 4);
	if (sim->deleting) {
		judge_emptying(sim, c, v->index + first, n);
		return;
	}
	assert_true(((first + n - UINT64_C(1)) << v->header.block_size_shift) < v->header.vdi_size);
	for (uint32_t k = 0; k < n; k++) {
		assert_int_equal(((const uint32_t *)call->send)[k], vid);
		if (sim->rewriting && v->index[first + k] == vid)
			continue;
		if (v->index[first + k] == vid)
			fail_msg(
			    "an index write covers entry %u, which does not change", first + k);
		if (sim->created[first + k] != CREATED)
			fail_msg("an index write covers entry %u in state %d", first + k,
			    sim->created[first + k]);
		sim->created[first + k] = INDEX_SENT;
	}
	sim->index_writes++;
	sim->index_entries += n;
	if (++sim->index_in_flight > RUNS_MAX)
		fail_msg("%u index writes are in flight", sim->index_in_flight);
}

/* Rule 9: nothing that changes the volume is in flight beside its own snapshot, nor a proof of
 * which VDI it is. */
static void judge_snapshot(struct sim *sim, const struct call *call)
{
	assert_int_equal(call->req.vdi.snapid, 1);
	assert_int_equal(call->req.vdi.base_vdi_id, sim->working);
	assert_int_equal(call->send_size, SD_NAME_SIZE);
	for (unsigned i = 0; i < sim->in_flight; i++)
		if (sim->calls[i]->call->req.opcode != SD_OP_READ_OBJ || is_inode(sim->calls[i]))
			fail_msg("operation %02x is in flight beside a snapshot",
			    sim->calls[i]->call->req.opcode);
}

/* Does this daemon still read (compare.h)? */
static bool is_comparison(const struct call *call)
{
	return call->req.opcode == SD_OP_READ_OBJ && call->receive_size == VDI_IDENTITY_SIZE;
}

static void on_submit(struct daemon *d, struct call *call)
{
	struct sim *sim = (struct sim *)d;
	struct sim_call *c = calloc(1, sizeof *c);

	c->call = call;
	c->since = ++sim->clock;
	if (is_data(c))
		judge_data(sim, c);
	else if (is_index_write(c))
		judge_index_write(sim, c);
	else if (call->req.opcode == SD_OP_NEW_VDI)
		judge_snapshot(sim, call);
	else
		assert_true(call->req.opcode == SD_OP_FLUSH_VDI || call->lane == LANE_CONTROL ||
			    call->lane == LANE_NEW || is_comparison(call));
	if (call->req.opcode == SD_OP_GET_VDI_INFO) {
		sim->barriers++;
		if (++sim->lookups_in_flight > (sim->lenient || sim->again ? 2U : 1U))
			fail_msg("%u barriers are in flight", sim->lookups_in_flight);
	}
	if (sim->in_flight == sim->room) {
		sim->room = sim->room * 2 + 64;
		sim->calls = realloc(sim->calls, sim->room * sizeof(struct sim_call *));
	}
	sim->calls[sim->in_flight++] = c;
	sim->daemon.in_flight += call->lane != LANE_NEW;
	sim->submitted++;
	if (sim->in_flight > sim->peak)
		sim->peak = sim->in_flight;
}

static void on_admit(struct daemon *d, unsigned connection)
{
	struct sim *sim = (struct sim *)d;

	assert_true(connection > 0);
	sim->admitted++;
}

bool sim_confirmed(const struct sim *sim, uint32_t idx)
{
	if (sim->created[idx] == NOT_OURS)
		return true;
	return sim->indexed[idx] && sim->barrier_since > sim->indexed[idx];
}

/* ---- executing ---- */

static uint32_t read_inode(struct sim *sim, struct sim_call *c)
{
	const struct sim_vdi *v = sim_vdi(sim, sd_oid_vid(c->call->req.obj.oid));
	uint32_t offset = c->call->req.obj.offset;
	size_t size = c->call->receive_size;

	if (!v)
		return SD_RES_NO_OBJ;
	c->answer = malloc(size);
	if (offset < SD_INODE_INDEX_OFFSET) {
		assert_true(offset + size <= SD_INODE_INDEX_OFFSET);
		memcpy(c->answer, (const uint8_t *)&v->header + offset, size);
	} else {
		offset -= SD_INODE_INDEX_OFFSET;
		memset(c->answer, 0, size); /* the rest of an index is empty */
		if (offset < sizeof v->index)
			memcpy(c->answer, (const uint8_t *)v->index + offset,
			    size < sizeof v->index - offset ? size : sizeof v->index - offset);
	}
	return SD_RES_SUCCESS;
}

static uint32_t create(struct sim *sim, const struct call *call)
{
	uint64_t oid = call->req.obj.oid;
	struct sim_object *base = NULL, *o;

	if (call->req.flags & SD_FLAG_COW) {
		base = *sim_object_place(sim, call->req.obj.cow_oid);
		if (!base)
			return SD_RES_NO_OBJ;
	}
	sim_remove(sim, sd_oid_vid(oid), (uint32_t)oid);
	o = sim_object_make(sim, oid);
	if (base)
		sim_object_write(o, 0, base->data, base->size);
	sim_object_write(o, call->req.obj.offset, call->send, call->send_size);
	return SD_RES_SUCCESS;
}

static uint32_t execute_data(struct sim *sim, struct sim_call *c)
{
	static const uint32_t faults[] = {SD_RES_NO_SPACE, SD_RES_HALT, SD_RES_EIO};
	const struct call *call = c->call;
	const struct sim_vdi *v = sim_vdi(sim, sd_oid_vid(call->req.obj.oid));
	bool read = call->req.opcode == SD_OP_READ_OBJ;
	uint32_t result = sim->next_result;
	struct sim_object *o;

	sim->next_result = SD_RES_SUCCESS;
	if (!read && v &&
	    (v->header.snap_ctime || (sim->snapshotting && v->header.vdi_id == sim->working)))
		return SD_RES_READONLY;
	if (!result && sim_random(sim, 1000) < sim->faults)
		result = faults[sim_random(sim, 3)];
	if (result && (read || sim_random(sim, 2)))
		return result; /* else it fails after it was done */
	if (call->req.opcode == SD_OP_CREATE_AND_WRITE_OBJ)
		return result ? result : create(sim, call);
	o = *sim_object_place(sim, call->req.obj.oid);
	if (!o)
		return SD_RES_NO_OBJ;
	if (read) {
		c->answer = malloc(call->receive_size);
		sim_object_read(o, call->req.obj.offset, c->answer, call->receive_size);
	} else {
		sim_object_write(o, call->req.obj.offset, call->send, call->send_size);
	}
	return result;
}

static uint32_t write_index(struct sim *sim, const struct call *call)
{
	struct sim_vdi *v = sim_vdi(sim, sd_oid_vid(call->req.obj.oid));
	bool fault = sim_random(sim, 1000) < sim->index_faults;

	if (!v)
		return SD_RES_NO_OBJ;
	if (!fault || sim_random(sim, 2))
		memcpy((uint8_t *)v->index + call->req.obj.offset - SD_INODE_INDEX_OFFSET,
		    call->send, call->send_size);
	return fault ? SD_RES_EIO : SD_RES_SUCCESS;
}

static uint32_t write_tag(struct sim *sim, const struct call *call)
{
	struct sim_vdi *v = sim_vdi(sim, sd_oid_vid(call->req.obj.oid));

	assert_int_equal(call->send_size, SD_TAG_SIZE);
	assert_true(v && !v->header.snap_ctime);
	memcpy(v->header.tag, call->send, SD_TAG_SIZE);
	return SD_RES_SUCCESS;
}

static uint32_t take_snapshot(struct sim *sim, struct sim_call *c)
{
	uint32_t result = sim->new_result;
	struct sim_vdi *v = sim_vdi(sim, sim->working);

	sim->new_result = SD_RES_SUCCESS;
	if (result && !sim->new_works)
		return result;
	assert_string_equal(c->call->send, v->header.name);
	assert_true(c->call->req.vdi.vdi_size == v->header.vdi_size);
	assert_int_equal(c->call->req.vdi.block_size_shift, v->header.block_size_shift);
	assert_int_equal(c->call->req.vdi.copies, v->header.nr_copies);
	sim_snapshot_begin(sim);
	sim_snapshot_end(sim);
	sim->snapshots++;
	c->vid = sim->working;
	sim_vdi(sim, sim->working)->locked = sim->steals_lock;
	memset(sim->created, NOT_OURS, sizeof sim->created);
	return result;
}

/* Names: those of vdi.c's block. */
static uint32_t look_up(struct sim *sim, struct sim_call *c)
{
	const char *name = c->call->send, *tag = name + SD_NAME_SIZE;
	uint32_t snap_id = c->call->req.vdi.snapid;
	bool known = false;
	struct sim_vdi *v;

	assert_int_equal(c->call->send_size, SD_NAME_SIZE + SD_TAG_SIZE);
	if (sim->name_status)
		return sim->name_status;
	if (c->call->req.opcode == SD_OP_GET_VDI_INFO && sim_random(sim, 1000) < sim->name_faults)
		return SD_RES_CLUSTER_ERROR;
	for (v = sim->vdis; v; v = v->next) {
		bool snapshot = v->header.snap_ctime != 0;

		if (strcmp(v->header.name, name) != 0)
			continue;
		known = true;
		if (tag[0] || snap_id ? snapshot && ((tag[0] && !strcmp(v->header.tag, tag)) ||
							snap_id == v->header.snap_id)
				      : !snapshot)
			break;
	}
	if (!v)
		return known && (tag[0] || snap_id) ? SD_RES_NO_TAG : SD_RES_NO_VDI;
	c->vid = v->header.vdi_id;
	if (c->call->req.opcode == SD_OP_LOCK_VDI) {
		if (v->locked)
			return SD_RES_VDI_LOCKED;
		v->locked = sim->flags & SD_CLUSTER_USE_LOCK;
	}
	return SD_RES_SUCCESS;
}

/* One whose index is not empty keeps its name. */
static uint32_t delete (struct sim *sim, struct sim_call *c)
{
	uint32_t result = sim->del_result, found;
	struct sim_vdi *v;

	sim->del_result = SD_RES_SUCCESS;
	if (result && !sim->del_works)
		return result;
	found = look_up(sim, c);
	if (found)
		return found;
	v = sim_vdi(sim, c->vid);
	sim->deletions++;
	if (sim->late_entry)
		v->index[0] = c->vid;
	sim->late_entry = sim->late_entry && !sim->recycles;
	for (uint32_t idx = 0; idx < SIM_INDEX_MAX && !v->header.store_policy; idx++)
		if (v->index[idx])
			return result;
	memset(v->header.name, 0, sizeof v->header.name);
	v->header.vdi_size = 0;
	if (sim->recycles)
		v->header.vdi_id = 0; /* nobody finds it any more */
	return result;
}

static uint32_t rename_vdi(struct sim *sim, const struct call *call)
{
	struct sim_vdi *v = sim_vdi(sim, sd_oid_vid(call->req.obj.oid));

	assert_int_equal(call->send_size, SD_NAME_SIZE);
	memcpy(v->header.name, call->send, SD_NAME_SIZE);
	sim->renames++;
	return SD_RES_SUCCESS;
}

static uint32_t tell_status(struct sim *sim, struct sim_call *c)
{
	struct sd_epoch_log *log = calloc(1, sizeof *log);

	assert_int_equal(c->call->receive_size, sizeof *log);
	log->ctime = c->call->lane == LANE_NEW && sim->stray_ctime ? sim->stray_ctime : sim->ctime;
	log->flags = sim->flags;
	c->answer = (uint8_t *)log;
	return sim->status;
}

static void execute(struct sim *sim, struct sim_call *c)
{
	struct sim_vdi *v;

	c->executed = true;
	switch (c->call->req.opcode) {
	case SD_OP_CREATE_AND_WRITE_OBJ:
	case SD_OP_READ_OBJ:
	case SD_OP_WRITE_OBJ:
		if (is_data(c))
			c->result = execute_data(sim, c);
		else if (c->call->req.opcode == SD_OP_READ_OBJ)
			c->result = read_inode(sim, c);
		else if (is_rename(c))
			c->result = rename_vdi(sim, c->call);
		else
			c->result = is_tag(c) ? write_tag(sim, c->call) : write_index(sim, c->call);
		return;
	case SD_OP_DEL_VDI:
		c->result = delete (sim, c);
		return;
	case SD_OP_NEW_VDI:
		c->result = take_snapshot(sim, c);
		return;
	case SD_OP_FLUSH_VDI:
		assert_true(c->call->req.obj.oid == sd_inode_oid(sim->working));
		sim->flushes++;
		c->result = sim->flush_result;
		return;
	case SD_OP_LOCK_VDI:
	case SD_OP_GET_VDI_INFO:
		c->result = look_up(sim, c);
		return;
	case SD_OP_RELEASE_VDI:
		v = sim_vdi(sim, c->call->req.vdi.base_vdi_id);
		if (v)
			v->locked = false;
		return;
	case SD_OP_STAT_CLUSTER:
		c->result = tell_status(sim, c);
		return;
	default:
		fail_msg("operation %02x is not simulated", c->call->req.opcode);
	}
}

/* ---- answering ---- */

static void take_note(struct sim *sim, const struct sim_call *c)
{
	const struct call *call = c->call;
	uint32_t idx = (uint32_t)call->req.obj.oid;

	if (call->req.opcode == SD_OP_CREATE_AND_WRITE_OBJ)
		sim->created[idx] = c->result == SD_RES_SUCCESS ? CREATED : NOT_OURS;
	if (call->req.opcode == SD_OP_GET_VDI_INFO) {
		sim->lookups_in_flight--;
		if (c->result == SD_RES_SUCCESS && c->since > sim->barrier_since)
			sim->barrier_since = c->since;
	}
	if (!is_index_write(c))
		return;
	sim->index_in_flight--;
	idx = (call->req.obj.offset - SD_INODE_INDEX_OFFSET) / 4;
	for (uint32_t k = 0; k < call->send_size / 4 && c->result == SD_RES_SUCCESS; k++)
		if (!sim->rewriting || !sim->indexed[idx + k]) /* once is enough */
			sim->indexed[idx + k] = ++sim->clock;
}

static bool is_waited_for(const struct sim_call *c)
{
	return !c->orphan && c->call->lane != LANE_NEW;
}

static void take_out(struct sim *sim, unsigned n)
{
	sim->calls[n] = sim->calls[--sim->in_flight];
	sim->daemon.in_flight = 0;
	for (unsigned i = 0; i < sim->in_flight; i++)
		sim->daemon.in_flight += is_waited_for(sim->calls[i]);
}

static void orphan_free(struct sim_call *c)
{
	free((void *)(uintptr_t)c->call->send);
	free(c->call);
	free(c->answer);
	free(c);
}

static void answer(struct sim *sim, unsigned n)
{
	struct sim_call *c = sim->calls[n];
	struct call *call = c->call;

	take_out(sim, n);
	if (c->orphan) {
		orphan_free(c);
		return;
	}
	take_note(sim, c);
	memset(&call->rsp, 0, sizeof call->rsp);
	call->rsp.opcode = call->req.opcode;
	call->rsp.result = c->result;
	if (call->req.opcode == SD_OP_LOCK_VDI || call->req.opcode == SD_OP_GET_VDI_INFO ||
	    call->req.opcode == SD_OP_NEW_VDI)
		call->rsp.vdi.vdi_id = c->vid;
	if (c->answer) {
		memcpy(call->receive, c->answer, call->receive_size);
		call->rsp.data_length = (uint32_t)call->receive_size;
	}
	free(c->answer);
	free(c);
	call->done(call);
}

static bool may_go_on(const struct sim *sim, const struct sim_call *c)
{
	uint8_t op = c->call->req.opcode;

	return !sim->snapshotting || c->executed ||
	       (op != SD_OP_GET_VDI_INFO && op != SD_OP_LOCK_VDI); /* cluster ops wait */
}

bool sim_step(struct sim *sim)
{
	unsigned n = 0;

	if (!sim->in_flight || sim->frozen)
		return false;
	n = sim_random(sim, sim->in_flight);
	for (unsigned i = 0; i < sim->in_flight; i++, n = (n + 1) % sim->in_flight) {
		struct sim_call *c = sim->calls[n];

		if (!may_go_on(sim, c) || (c->orphan && sim_random(sim, 16)))
			continue;
		if (!c->executed)
			execute(sim, c);
		else
			answer(sim, n);
		return true;
	}
	for (unsigned i = 0; i < sim->in_flight; i++)
		if (!sim->calls[i]->orphan)
			return true;
	return false; /* orphans take their time */
}

void sim_run(struct sim *sim)
{
	while (sim_step(sim))
		;
}

static void forget_engine(struct sim *sim)
{
	sim->index_in_flight = sim->lookups_in_flight = 0;
	sim->barrier_since = 0;
	memset(sim->created, 0, sizeof sim->created);
	memset(sim->indexed, 0, sizeof sim->indexed);
}

void sim_orphan(struct sim *sim)
{
	for (unsigned i = 0; i < sim->in_flight; i++) {
		struct sim_call *c = sim->calls[i];
		struct call *copy;
		void *payload;

		if (c->orphan)
			continue;
		copy = malloc(sizeof *copy);
		payload = malloc(c->call->send_size + 1);
		*copy = *c->call;
		if (copy->send_size)
			memcpy(payload, copy->send, copy->send_size);
		copy->send = payload;
		c->call = copy;
		c->orphan = true;
	}
	sim->daemon.in_flight = 0;
	forget_engine(sim);
}

void sim_settle(struct sim *sim)
{
	for (unsigned i = 0; i < sim->in_flight;) {
		struct sim_call *c = sim->calls[i];

		if (!c->orphan) {
			i++;
			continue;
		}
		if (!c->executed)
			execute(sim, c);
		answer(sim, i);
	}
}

void sim_crash(struct sim *sim)
{
	while (sim->in_flight) {
		unsigned n = sim_random(sim, sim->in_flight);
		struct sim_call *c = sim->calls[n];

		if (!c->executed && may_go_on(sim, c) && sim_random(sim, 2))
			execute(sim, c);
		take_out(sim, n);
		if (c->orphan) {
			orphan_free(c);
			continue;
		}
		free(c->answer);
		free(c);
	}
	forget_engine(sim);
}

/* ---- from birth to end ---- */

struct sim *sim_open(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof *sim);

	sim->daemon = (struct daemon){.submit = on_submit, .admit = on_admit};
	sim->random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
	sim->ctime = SIM_CTIME;
	sim->flags = SD_CLUSTER_USE_LOCK;
	return sim;
}

void sim_close(struct sim *sim)
{
	struct sim_vdi *v;

	sim_crash(sim);
	for (unsigned n = 0; n < 4096; n++)
		while (sim->objects[n])
			sim_remove(
			    sim, sd_oid_vid(sim->objects[n]->oid), (uint32_t)sim->objects[n]->oid);
	while ((v = sim->vdis)) {
		sim->vdis = v->next;
		free(v);
	}
	free(sim->calls);
	free(sim);
}
