/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of an attached volume: see inode.h.
 *
 * Unconfirmed entries are found by a hash; a run is what lies around the oldest dirty one.  All
 * entries of an index write have the same value, our vid, so one constant payload serves all.
 */
#include "worker/inode.h"

#include "ipc/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RUNS_MAX 4
#define RUN_LENGTH_MAX 4096U /* entries */
#define CHUNK 65536U         /* entries in one read of the index */
#define PAGE_ENTRIES 1024U   /* entries of a page of memory */

LIST_HEAD(inode_bucket, inode_write);

struct run { /* an index write */
	struct call call;
	struct inode *inode;
	struct inode_writes writes; /* not empty while it is in flight */
};

struct inode {
	const struct vdi *vdi;
	struct daemon *daemon;
	const struct inode_calls *calls;
	void *arg;
	uint32_t *index;
	uint32_t nr, loaded; /* entries */
	uint32_t allocated;
	uint32_t *chunk; /* only while the index is read */
	struct call call;
	struct inode_bucket *buckets;
	uint32_t mask;
	struct inode_writes dirty, written, covered; /* covered: by the barrier in flight */
	struct run runs[RUNS_MAX];
	uint32_t payload[RUN_LENGTH_MAX];
	struct call barrier;
};

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t inode_entry(const struct inode *i, uint32_t idx)
{
	return i->index[idx];
}

bool inode_owned(const struct inode *i, uint32_t idx)
{
	return i->index[idx] == i->vdi->vid;
}

uint64_t inode_allocated(const struct inode *i)
{
	return (uint64_t)i->allocated << i->vdi->shift;
}

static void entry_set(struct inode *i, uint32_t idx, uint32_t entry)
{
	i->allocated += (entry != 0) - (i->index[idx] != 0);
	i->index[idx] = entry;
}

/* ---- unconfirmed entries ---- */

static struct inode_bucket *bucket_of(const struct inode *i, uint32_t idx)
{
	return &i->buckets[idx & i->mask];
}

static struct inode_write *find(const struct inode *i, uint32_t idx)
{
	struct inode_write *w;

	for (w = LIST_FIRST(bucket_of(i, idx)); w && w->idx != idx;)
		w = LIST_NEXT(w, link);
	return w;
}

static bool dirty_at(const struct inode *i, uint32_t idx)
{
	const struct inode_write *w = find(i, idx);

	return w && w->dirty;
}

static void make_dirty(struct inode *i, struct inode_write *w, uint32_t idx)
{
	w->idx = idx;
	w->dirty = true;
	TAILQ_INIT(&w->followers);
	TAILQ_INSERT_TAIL(&i->dirty, w, next);
	LIST_INSERT_HEAD(bucket_of(i, idx), w, link);
}

void inode_created(struct inode *i, struct inode_write *w, uint32_t idx)
{
	if (inode_owned(i, idx) || find(i, idx))
		bug("object %u of vid %x was created twice", idx, i->vdi->vid);
	entry_set(i, idx, i->vdi->vid);
	make_dirty(i, w, idx);
}

void inode_again(struct inode *i, struct inode_write *w, uint32_t idx)
{
	if (!inode_held(i, w, idx))
		make_dirty(i, w, idx);
}

bool inode_held(struct inode *i, struct inode_write *w, uint32_t idx)
{
	struct inode_write *creator = find(i, idx);

	if (!creator)
		return false;
	TAILQ_INSERT_TAIL(&creator->followers, w, next);
	return true;
}

static void fail(struct inode *i, enum exit_word word, const char *what, uint32_t result)
{
	char why[SENTENCE_MAX];

	if (word == EXIT_VOLUME_CHANGED)
		snprintf(why, sizeof why,
		    "%s volume %s (vid %x) was answered %s: somebody else deleted or replaced it",
		    what, i->vdi->shown, i->vdi->vid, sheep_result_name(result));
	else
		snprintf(why, sizeof why,
		    "%s volume %s (vid %x) failed with %s, and what the index holds now is not "
		    "known; nothing that waits for it is acknowledged",
		    what, i->vdi->shown, i->vdi->vid, sheep_result_name(result));
	i->calls->failed(i->arg, word, why);
}

/* ---- index writes ---- */

static void on_run(struct call *call)
{
	struct run *run = call->owner;
	struct inode *i = run->inode;
	uint32_t result = call->rsp.result;

	if (result != SD_RES_SUCCESS) {
		fail(i, result == SD_RES_NO_OBJ ? EXIT_VOLUME_CHANGED : EXIT_DAEMON_LOST,
		    "an index write to", result);
		return;
	}
	TAILQ_CONCAT(&i->written, &run->writes, next);
	i->calls->moved(i->arg);
}

static void run_begin(struct inode *i, struct run *run)
{
	uint32_t first = TAILQ_FIRST(&i->dirty)->idx;
	uint32_t end = first + 1;

	while (end < i->nr && end - first < RUN_LENGTH_MAX && dirty_at(i, end))
		end++;
	while (first && end - first < RUN_LENGTH_MAX && dirty_at(i, first - 1))
		first--;
	for (uint32_t idx = first; idx < end; idx++) {
		struct inode_write *w = find(i, idx);

		w->dirty = false;
		TAILQ_REMOVE(&i->dirty, w, next);
		TAILQ_INSERT_TAIL(&run->writes, w, next);
	}
	call_init(&run->call, SD_OP_WRITE_OBJ, LANE_DATA, on_run, run);
	run->call.req.flags = SD_FLAG_WRITE;
	run->call.req.obj.oid = sd_inode_oid(i->vdi->vid);
	run->call.req.obj.offset = SD_INODE_INDEX_OFFSET + first * (uint32_t)sizeof *i->index;
	run->call.send = i->payload;
	run->call.send_size = (end - first) * sizeof *i->payload;
	daemon_submit(i->daemon, &run->call);
}

/* ---- the barrier ---- */

static void confirm(struct inode *i, struct inode_writes *writes)
{
	struct inode_write *w, *f;

	while ((w = TAILQ_FIRST(writes))) {
		TAILQ_REMOVE(writes, w, next);
		LIST_REMOVE(w, link);
		while ((f = TAILQ_FIRST(&w->followers))) {
			TAILQ_REMOVE(&w->followers, f, next);
			i->calls->confirmed(i->arg, f);
		}
		i->calls->confirmed(i->arg, w);
	}
}

static void on_barrier(struct call *call)
{
	struct inode *i = call->owner;
	uint32_t result = call->rsp.result;
	char why[SENTENCE_MAX];

	if (result == SD_RES_NO_VDI) {
		fail(i, EXIT_VOLUME_CHANGED, "looking up", result);
	} else if (result != SD_RES_SUCCESS) {
		fail(i, EXIT_DAEMON_LOST, "looking up", result);
	} else if (call->rsp.vdi.vdi_id != i->vdi->vid) {
		snprintf(why, sizeof why,
		    "volume %s was vid %x and is vid %x now (a snapshot or a rollback by somebody "
		    "else)",
		    i->vdi->shown, i->vdi->vid, call->rsp.vdi.vdi_id);
		i->calls->failed(i->arg, EXIT_VOLUME_CHANGED, why);
	} else {
		confirm(i, &i->covered);
		i->calls->moved(i->arg);
	}
}

void inode_turn(struct inode *i)
{
	for (unsigned n = 0; n < RUNS_MAX && !TAILQ_EMPTY(&i->dirty); n++)
		if (TAILQ_EMPTY(&i->runs[n].writes))
			run_begin(i, &i->runs[n]);
	if (TAILQ_EMPTY(&i->written) || !TAILQ_EMPTY(&i->covered))
		return;
	TAILQ_CONCAT(&i->covered, &i->written, next);
	vdi_call_lookup(&i->barrier, &i->vdi->block, 0, on_barrier, i);
	daemon_submit(i->daemon, &i->barrier);
}

/* ---- reading ---- */

static void chunk_read(struct inode *i);

/* Entries that are zero are not copied page by page, so that an empty index stays untouched. */
static void chunk_keep(struct inode *i, uint32_t n)
{
	static const uint32_t zeros[PAGE_ENTRIES];

	for (uint32_t k = 0; k < n; k += PAGE_ENTRIES) {
		uint32_t part = least(n - k, PAGE_ENTRIES);

		if (memcmp(i->chunk + k, zeros, part * sizeof *zeros) == 0)
			continue;
		memcpy(i->index + i->loaded + k, i->chunk + k, part * sizeof *zeros);
		for (uint32_t e = k; e < k + part; e++)
			i->allocated += i->chunk[e] != 0;
	}
}

static void on_chunk(struct call *call)
{
	struct inode *i = call->owner;
	uint32_t n = least(i->nr - i->loaded, CHUNK);
	char sentence[SENTENCE_MAX];

	if (call->rsp.result != SD_RES_SUCCESS) {
		snprintf(sentence, sizeof sentence,
		    "the index of volume %s (vid %x) cannot be read: %s", i->vdi->shown,
		    i->vdi->vid, sheep_result_name(call->rsp.result));
		i->calls->loaded(i->arg, sheep_errno(call->rsp.result), true, sentence);
		return;
	}
	for (uint32_t k = 0; k < n; k++) {
		if (i->chunk[k] < SD_NR_VDIS)
			continue;
		snprintf(sentence, sizeof sentence,
		    "the index of volume %s (vid %x) is damaged: entry %u is %08x, which is no "
		    "vid; `dog vdi check` may mend it",
		    i->vdi->shown, i->vdi->vid, i->loaded + k, i->chunk[k]);
		i->calls->loaded(i->arg, -EIO, true, sentence);
		return;
	}
	chunk_keep(i, n);
	i->loaded += n;
	if (i->loaded < i->nr) {
		chunk_read(i);
		return;
	}
	free(i->chunk);
	i->chunk = NULL;
	i->calls->loaded(i->arg, 0, false, "the index is read");
}

static void chunk_read(struct inode *i)
{
	call_init(&i->call, SD_OP_READ_OBJ, LANE_CONTROL, on_chunk, i);
	i->call.req.obj.oid = sd_inode_oid(i->vdi->vid);
	i->call.req.obj.offset = SD_INODE_INDEX_OFFSET + i->loaded * (uint32_t)sizeof *i->index;
	i->call.receive = i->chunk;
	i->call.receive_size = least(i->nr - i->loaded, CHUNK) * sizeof *i->chunk;
	daemon_submit(i->daemon, &i->call);
}

void inode_load(struct inode *i)
{
	chunk_read(i);
}

void inode_call_entry(struct call *call, const struct inode *i, uint32_t idx, uint32_t *entry,
    void (*done)(struct call *), void *owner)
{
	call_init(call, SD_OP_READ_OBJ, LANE_CONTROL, done, owner);
	call->req.obj.oid = sd_inode_oid(i->vdi->vid);
	call->req.obj.offset = SD_INODE_INDEX_OFFSET + idx * (uint32_t)sizeof *i->index;
	call->receive = entry;
	call->receive_size = sizeof *entry;
}

int inode_reread(struct inode *i, uint32_t idx, uint32_t entry)
{
	if (entry >= SD_NR_VDIS)
		return -EIO;
	if (!find(i, idx))
		entry_set(i, idx, entry);
	return 0;
}

/* ---- from birth to end ---- */

static void set_payload(struct inode *i)
{
	for (unsigned n = 0; n < RUN_LENGTH_MAX; n++)
		i->payload[n] = i->vdi->vid;
}

void inode_succeed(struct inode *i)
{
	bool idle = TAILQ_EMPTY(&i->dirty) && TAILQ_EMPTY(&i->written) && TAILQ_EMPTY(&i->covered);

	for (unsigned n = 0; n < RUNS_MAX; n++)
		idle = idle && TAILQ_EMPTY(&i->runs[n].writes);
	if (!idle)
		bug("vid %x is continued while its index is being written", i->vdi->vid);
	set_payload(i);
}

struct inode *inode_open(const struct vdi *v, unsigned writes, struct daemon *daemon,
    const struct inode_calls *calls, void *arg)
{
	struct inode *i = calloc(1, sizeof *i);
	uint64_t objects = (v->size - 1) >> v->shift;
	uint32_t buckets = 64;

	if (!i)
		return NULL;
	while (buckets < writes)
		buckets *= 2;
	i->vdi = v;
	i->daemon = daemon;
	i->calls = calls;
	i->arg = arg;
	i->nr = (uint32_t)objects + 1;
	i->mask = buckets - 1;
	TAILQ_INIT(&i->dirty);
	TAILQ_INIT(&i->written);
	TAILQ_INIT(&i->covered);
	for (unsigned n = 0; n < RUNS_MAX; n++) {
		i->runs[n].inode = i;
		TAILQ_INIT(&i->runs[n].writes);
	}
	set_payload(i);
	i->buckets = calloc(buckets, sizeof *i->buckets);
	i->chunk = calloc(least(i->nr, CHUNK), sizeof *i->chunk);
	i->index = mmap(NULL, i->nr * sizeof *i->index, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (i->index == MAP_FAILED)
		i->index = NULL;
	if (!i->buckets || !i->chunk || !i->index) {
		inode_close(i);
		return NULL;
	}
	return i;
}

void inode_close(struct inode *i)
{
	if (!i)
		return;
	if (i->index)
		munmap(i->index, i->nr * sizeof *i->index);
	free(i->chunk);
	free(i->buckets);
	free(i);
}
