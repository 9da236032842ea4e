/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pieces: see piece.h.
 *
 * An object that is missing is doubted before anybody is told an error: is this still our cluster,
 * our name, our inode?  Then its index entry is read again and the piece tried once more (P 5).
 * One doubt is looked into at a time; the others wait with their ranges held.
 */
#include "worker/piece.h"

#include "ipc/log.h"
#include "worker/range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLDER(pointer, type, member) ((type *)(((char *)(pointer)) - offsetof(type, member)))

struct piece {
	struct range range;
	struct inode_write write;
	struct call call;
	void *request;
	uint8_t *slot; /* where its bytes are, or go to */
	bool retried;
	bool again;               /* an earlier generation was given it */
	bool holds;               /* its place, and is not done */
	STAILQ_ENTRY(piece) next; /* of the doubtful ones, or of the free ones */
};

struct pieces {
	const struct vdi *vdi;
	struct inode *inode;
	struct daemon *daemon;
	const struct piece_calls *calls;
	void *arg;
	bool over;
	struct ranges *ranges;
	struct piece *all; /* from `untouched` on never used */
	unsigned most, untouched;
	STAILQ_HEAD(, piece) free, doubtful, resting;
	bool doubting; /* about the first doubtful one, or while resuming */
	bool held;     /* no new doubt */
	/* the past: writes of it, whose entry is read again before any of them is let go */
	STAILQ_HEAD(, piece) unsettled, known;
	bool settled, died, resuming;
	uint16_t cache_flag;
	uint8_t *rewritten; /* a bit for each object that needs it no more; NULL: none does */
	struct vdi_proof doubt;
	struct call reread;
	uint32_t entry;
	unsigned long failures, rests;
};

static struct piece *piece_make(struct pieces *ps)
{
	struct piece *p = STAILQ_FIRST(&ps->free);

	if (p)
		STAILQ_REMOVE_HEAD(&ps->free, next);
	else if (ps->untouched < ps->most)
		p = &ps->all[ps->untouched++];
	else
		bug("more than %u pieces are in use", ps->most);
	return p;
}

static void piece_done(struct pieces *ps, struct piece *p, int error)
{
	ps->calls->done(ps->arg, p->request, error);
	STAILQ_INSERT_HEAD(&ps->free, p, next);
}

static void piece_failed(struct pieces *ps, struct piece *p, uint32_t result)
{
	unsigned long n = ++ps->failures;

	if ((n & (n - 1)) == 0) /* the 1st, 2nd, 4th ...: a full cluster must not fill the log */
		log_warning("volume %s: %s object %u of vid %x failed: %s (%lu failures so far)",
		    ps->vdi->shown, p->range.write ? "writing" : "reading", p->range.object,
		    ps->vdi->vid, sheep_result_name(result), n);
	range_leave(ps->ranges, &p->range);
	piece_done(ps, p, sheep_errno(result));
}

static bool first_write(struct pieces *ps, uint32_t object)
{
	uint8_t bit = (uint8_t)(1U << object % 8);
	bool first = ps->rewritten && !(ps->rewritten[object / 8] & bit);

	if (first)
		ps->rewritten[object / 8] |= bit;
	return first;
}

/* The daemon did what was asked. */
static void piece_succeeded(struct pieces *ps, struct piece *p)
{
	uint32_t object = p->range.object;
	bool held = false;

	if (p->range.creates) {
		inode_created(ps->inode, &p->write, object);
		held = true;
	} else if (p->range.write && ps->died && (p->again || first_write(ps, object))) {
		inode_again(ps->inode, &p->write, object);
		held = true;
	} else if (p->range.write) {
		held = inode_held(ps->inode, &p->write, object);
	}
	range_leave(ps->ranges, &p->range);
	if (!held)
		piece_done(ps, p, 0);
}

/* It keeps its place in its object's order: what it was is asked for once more, later. */
static void piece_rests(struct pieces *ps, struct piece *p, uint32_t result)
{
	unsigned long n = ++ps->rests;

	if ((n & (n - 1)) == 0)
		log_warning("volume %s: %s object %u of vid %x has to wait: %s (%lu times so far)",
		    ps->vdi->shown, p->range.write ? "writing" : "reading", p->range.object,
		    ps->vdi->vid, sheep_result_name(result), n);
	STAILQ_INSERT_TAIL(&ps->resting, p, next);
	ps->calls->rests(ps->arg);
}

static void on_piece(struct call *call)
{
	struct piece *p = HOLDER(call, struct piece, call);
	struct pieces *ps = call->owner;
	uint32_t result = call->rsp.result;
	char why[SENTENCE_MAX];

	if (ps->over)
		return;
	if (result == SD_RES_SUCCESS) {
		piece_succeeded(ps, p);
	} else if (result == SD_RES_READONLY) {
		snprintf(why, sizeof why,
		    "somebody else took a snapshot of volume %s (vid %x), which cannot be written "
		    "any "
		    "more",
		    ps->vdi->shown, ps->vdi->vid);
		ps->calls->failed(ps->arg, EXIT_VOLUME_CHANGED, why);
		return;
	} else if ((result == SD_RES_NO_OBJ || result == SD_RES_NO_VDI) && !p->retried) {
		STAILQ_INSERT_TAIL(&ps->doubtful, p, next);
	} else if (sheep_remedy(result) == SHEEP_LATER) {
		piece_rests(ps, p, result);
	} else if (sheep_remedy(result) == SHEEP_ELSEWHERE) {
		snprintf(why, sizeof why, "the daemon of volume %s is going down (%s)",
		    ps->vdi->shown, sheep_result_name(result));
		ps->calls->failed(ps->arg, EXIT_DAEMON_LOST, why);
		return;
	} else {
		piece_failed(ps, p, result);
	}
	ps->calls->moved(ps->arg);
}

/* Does what P 5 says for this object; it may run now. */
static void piece_start(struct pieces *ps, struct piece *p)
{
	const struct range *r = &p->range;
	uint32_t entry = inode_entry(ps->inode, r->object);
	size_t size = (size_t)(r->end - r->first);
	struct call *call = &p->call;

	if (p->holds || (!r->write && !entry)) {
		if (!r->write)
			memset(p->slot, 0, size);
		range_leave(ps->ranges, &p->range);
		piece_done(ps, p, p->holds ? -EIO : 0);
		return;
	}
	if (!r->write) {
		call_init(call, SD_OP_READ_OBJ, LANE_DATA, on_piece, ps);
		call->receive = p->slot;
		call->receive_size = size;
	} else {
		call_init(call, r->creates ? SD_OP_CREATE_AND_WRITE_OBJ : SD_OP_WRITE_OBJ,
		    LANE_DATA, on_piece, ps);
		call->req.flags = SD_FLAG_WRITE;
		call->send = p->slot;
		call->send_size = size;
	}
	if (r->creates && entry) {
		call->req.flags |= SD_FLAG_COW;
		call->req.obj.cow_oid = sd_data_oid(entry, r->object);
	}
	call->req.flags |= ps->cache_flag;
	call->req.obj.oid = sd_data_oid(r->write ? ps->vdi->vid : entry, r->object);
	call->req.obj.offset = (uint32_t)r->first;
	daemon_submit(ps->daemon, call);
}

void piece_try_again(struct pieces *ps)
{
	STAILQ_HEAD(, piece) now = STAILQ_HEAD_INITIALIZER(now);
	struct piece *p;

	STAILQ_CONCAT(&now, &ps->resting);
	while ((p = STAILQ_FIRST(&now))) {
		STAILQ_REMOVE_HEAD(&now, next);
		piece_start(ps, p);
	}
}

bool piece_add(struct pieces *ps, void *request, bool write, enum request_again again,
    uint32_t object, uint64_t first, size_t size, uint8_t *slot)
{
	struct piece *p;

	if (!write && !inode_entry(ps->inode, object) && !range_busy(ps->ranges, object)) {
		memset(slot, 0, size);
		return false;
	}
	p = piece_make(ps);
	p->range.object = object;
	p->range.first = first;
	p->range.end = first + size;
	p->range.write = write;
	p->request = request;
	p->slot = slot;
	p->retried = false;
	p->again = again != REQUEST_NEW;
	p->holds = again == REQUEST_HOLDS;
	p->range.held = write && p->again && !ps->settled;
	if (p->range.held)
		STAILQ_INSERT_TAIL(&ps->unsettled, p, next);
	range_enter(ps->ranges, &p->range);
	return true;
}

bool piece_rewrite(struct pieces *ps)
{
	ps->rewritten = calloc(1, SD_INODE_NR_INDEX / 8);
	return ps->rewritten;
}

void piece_unsettled(struct pieces *ps)
{
	ps->settled = false;
}

void piece_settled(struct pieces *ps, bool died)
{
	ps->settled = true;
	ps->died = died;
}

void piece_confirmed(struct pieces *ps, struct inode_write *w)
{
	if (!ps->over)
		piece_done(ps, HOLDER(w, struct piece, write), 0);
}

/* ---- doubt ---- */

static struct piece *doubt_take(struct pieces *ps)
{
	struct piece *p = STAILQ_FIRST(&ps->doubtful);

	STAILQ_REMOVE_HEAD(&ps->doubtful, next);
	ps->doubting = false;
	return p;
}

static void reread(struct pieces *ps, const struct piece *p);

/* Tries once more, as whatever its entry makes of it now; what waits meanwhile goes first. */
static void try_again(struct pieces *ps, struct piece *p)
{
	p->retried = true;
	range_leave(ps->ranges, &p->range);
	range_enter(ps->ranges, &p->range);
}

/* What the index said when it was loaded may have been changed since by what is settled now.  Only
 * when all entries are known is any write let go: it changes them. */
static void resume_next(struct pieces *ps)
{
	struct piece *p = STAILQ_FIRST(&ps->unsettled);

	STAILQ_REMOVE_HEAD(&ps->unsettled, next);
	STAILQ_INSERT_TAIL(&ps->known, p, next);
	if (!STAILQ_EMPTY(&ps->unsettled)) {
		reread(ps, STAILQ_FIRST(&ps->unsettled));
		return;
	}
	ps->resuming = ps->doubting = false;
	while ((p = STAILQ_FIRST(&ps->known))) {
		STAILQ_REMOVE_HEAD(&ps->known, next);
		range_let_go(ps->ranges, &p->range);
	}
}

/* Of one that never ran nothing can be said but that it could not be begun. */
static void doubt_failed(struct pieces *ps, uint32_t result)
{
	char why[SENTENCE_MAX];

	if (!ps->resuming) {
		piece_failed(ps, doubt_take(ps), SD_RES_NO_OBJ);
		ps->calls->moved(ps->arg);
		return;
	}
	snprintf(why, sizeof why,
	    "what volume %s (vid %x) holds now cannot be learnt from its index: %s", ps->vdi->shown,
	    ps->vdi->vid, sheep_result_name(result));
	ps->calls->failed(ps->arg, EXIT_DAEMON_LOST, why);
}

static void on_reread(struct call *call)
{
	struct pieces *ps = call->owner;
	const struct piece *p;

	if (ps->over)
		return;
	p = ps->resuming ? STAILQ_FIRST(&ps->unsettled) : STAILQ_FIRST(&ps->doubtful);
	if (call->rsp.result != SD_RES_SUCCESS ||
	    inode_reread(ps->inode, p->range.object, ps->entry)) {
		doubt_failed(ps, call->rsp.result);
		return;
	}
	if (ps->resuming)
		resume_next(ps);
	else
		try_again(ps, doubt_take(ps));
	ps->calls->moved(ps->arg);
}

static void reread(struct pieces *ps, const struct piece *p)
{
	inode_call_entry(&ps->reread, ps->inode, p->range.object, &ps->entry, on_reread, ps);
	daemon_submit(ps->daemon, &ps->reread);
}

static void on_doubt(struct vdi_proof *proof)
{
	struct pieces *ps = proof->owner;

	if (ps->over)
		return;
	switch (proof->verdict) {
	case VDI_OTHER:
		ps->calls->failed(ps->arg, proof->word, proof->why);
		return;
	case VDI_SAME:
		reread(
		    ps, ps->resuming ? STAILQ_FIRST(&ps->unsettled) : STAILQ_FIRST(&ps->doubtful));
		return;
	case VDI_UNKNOWN:
		doubt_failed(ps, SD_RES_NO_OBJ);
		return;
	}
}

static void doubt_next(struct pieces *ps)
{
	bool resume = ps->settled && !STAILQ_EMPTY(&ps->unsettled);

	if (ps->doubting || ps->held || (!resume && STAILQ_EMPTY(&ps->doubtful)))
		return;
	ps->doubting = true;
	ps->resuming = resume;
	ps->doubt.vdi = ps->vdi;
	ps->doubt.lane = LANE_CONTROL;
	ps->doubt.by_name = !ps->vdi->snapshot; /* a newer one may have the same tag (P 4.3) */
	ps->doubt.done = on_doubt;
	ps->doubt.owner = ps;
	vdi_prove(&ps->doubt);
}

void piece_turn(struct pieces *ps)
{
	struct range *range;

	while ((range = range_next(ps->ranges)))
		piece_start(ps, HOLDER(range, struct piece, range));
	doubt_next(ps);
}

/* ---- from birth to end ---- */

static bool creates(void *arg, uint32_t object)
{
	const struct pieces *ps = arg;

	return !inode_owned(ps->inode, object);
}

/* A request of SLOT_SIZE bytes touches at most that many objects. */
unsigned piece_writes(const struct vdi *v, unsigned slots)
{
	return slots * (((SLOT_SIZE - 1) >> v->shift) + 2);
}

struct pieces *piece_open(const struct vdi *v, struct inode *inode, unsigned slots,
    bool object_cache, struct daemon *daemon, const struct piece_calls *calls, void *arg)
{
	struct pieces *ps = calloc(1, sizeof *ps);

	if (!ps)
		return NULL;
	ps->vdi = v;
	ps->inode = inode;
	ps->daemon = daemon;
	ps->calls = calls;
	ps->arg = arg;
	ps->cache_flag = object_cache ? SD_FLAG_CACHE : 0;
	ps->most = 2 * piece_writes(v, slots);
	STAILQ_INIT(&ps->free);
	STAILQ_INIT(&ps->doubtful);
	STAILQ_INIT(&ps->resting);
	STAILQ_INIT(&ps->unsettled);
	STAILQ_INIT(&ps->known);
	ps->settled = true;
	ps->all = calloc(ps->most, sizeof *ps->all);
	ps->ranges = range_open(ps->most, creates, ps);
	if (!ps->all || !ps->ranges) {
		piece_close(ps);
		return NULL;
	}
	return ps;
}

void piece_hold(struct pieces *ps, bool held)
{
	ps->held = held;
}

bool piece_is_sure(const struct pieces *ps)
{
	return !ps->doubting;
}

void piece_stop(struct pieces *ps)
{
	ps->over = true;
}

void piece_close(struct pieces *ps)
{
	if (!ps)
		return;
	range_close(ps->ranges);
	free(ps->rewritten);
	free(ps->all);
	free(ps);
}
