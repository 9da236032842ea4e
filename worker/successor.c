/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The volume's own snapshot: see successor.h.
 *
 * The lock belongs to the vid: the snapshot's is given back first, for nobody needs it, then the
 * successor's is taken.  Whoever dies in between leaves at most the lock that the master knows of.
 */
#include "worker/successor.h"

#include "ipc/log.h"

#include <stdio.h>
#include <string.h>

static void end(struct successor *s, enum exit_word word, const char *why)
{
	s->active = false;
	s->answer(s->arg, s->snapshot.error, s->snapshot.sentence);
	s->failed(s->arg, word, why);
}

static void finish(struct successor *s)
{
	s->active = false;
	s->answer(s->arg, s->snapshot.error, s->snapshot.sentence);
	s->done(s->arg);
}

/* ---- the lock ---- */

static void on_locked(struct call *call)
{
	struct successor *s = call->owner;
	uint32_t result = call->rsp.result, vid = call->rsp.vdi.vdi_id;
	char why[SENTENCE_MAX];

	if (result == SD_RES_SUCCESS && vid == s->vdi->vid) {
		s->vdi->locked = true;
		s->locked(s->arg, vid);
		finish(s);
		return;
	}
	if (result == SD_RES_VDI_LOCKED)
		s->locked(s->arg, 0);
	snprintf(why, sizeof why,
	    "volume %s goes on as vid %x after its snapshot, but its lock was not to be had (%s, "
	    "vid %x): another client may have taken it in that moment",
	    s->vdi->shown, s->vdi->vid, sheep_result_name(result), vid);
	end(s,
	    result == SD_RES_SUCCESS || result == SD_RES_VDI_LOCKED ? EXIT_VOLUME_CHANGED
								    : EXIT_DAEMON_LOST,
	    why);
}

static void on_released(struct call *call)
{
	struct successor *s = call->owner;

	if (call->rsp.result != SD_RES_SUCCESS && call->rsp.result != SD_RES_VDI_NOT_LOCKED)
		log_warning("volume %s: the lock of its snapshot (vid %x) was not released: %s",
		    s->vdi->shown, s->snapshot.vid, sheep_result_name(call->rsp.result));
	s->vdi->locked = false;
	/* said before it is asked for: should we die now, the next one finds it locked, by us */
	s->locked(s->arg, s->vdi->vid);
	memcpy(s->block.name, s->vdi->block.name, sizeof s->block.name);
	vdi_call_lock(&s->call, &s->block, 0, on_locked, s);
	daemon_submit(s->daemon, &s->call);
}

/* ---- the snapshot ---- */

/* The volume is its successor from now on. */
static void adopt(struct successor *s)
{
	struct vdi *v = s->vdi;

	v->vid = s->snapshot.successor;
	v->create_time = s->snapshot.header.create_time;
	inode_succeed(s->inode);
	s->vdi->lock_is_assumed = false;
	s->adopted(s->arg);
	log_info("volume %s: %s", v->shown, s->snapshot.sentence);
	if (!v->locked) {
		finish(s);
		return;
	}
	vdi_call_release(&s->call, s->snapshot.vid, on_released, s);
	daemon_submit(s->daemon, &s->call);
}

static void on_snapshot(struct snapshot *snapshot)
{
	struct successor *s = snapshot->owner;
	char why[SENTENCE_MAX];

	if (!snapshot->error && snapshot->header.vdi_size == s->vdi->size &&
	    snapshot->header.block_size_shift == s->vdi->shift) {
		adopt(s);
	} else if (!snapshot->error || snapshot->elsewhere) {
		snprintf(why, sizeof why,
		    "volume %s was changed by somebody else while a snapshot of it was taken",
		    s->vdi->shown);
		end(s, EXIT_VOLUME_CHANGED, why);
	} else {
		finish(s);
	}
}

void successor_begin(struct successor *s, const char *tag)
{
	struct snapshot *snapshot = &s->snapshot;

	s->active = true;
	memset(snapshot, 0, sizeof *snapshot);
	snapshot->daemon = s->daemon;
	memcpy(snapshot->block.name, s->vdi->block.name, sizeof snapshot->block.name);
	memcpy(snapshot->block.tag, tag, sizeof snapshot->block.tag);
	snapshot->expected = s->vdi->vid;
	snapshot->created = s->vdi->create_time;
	snapshot->done = on_snapshot;
	snapshot->owner = s;
	snapshot_begin(snapshot);
}
