/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deletion of a VDI: see deletion.h.
 */
#include "master/deletion.h"

#include "ipc/log.h"
#include "master/command.h"
#include "master/detach.h"
#include "master/locks.h"
#include "master/past.h"
#include "master/seek.h"
#include "master/state.h"
#include "master/volume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_working(const struct name *name)
{
	return !name->tag[0] && !name->snap_id;
}

static bool same_family(const struct name *a, const struct name *b)
{
	return !strcmp(a->name, b->name);
}

/* ---- what stands in the way ---- */

/*
 * A request of ours that may still run could empty an entry a second time, or write into what is
 * deleted: a snapshot's entries were its volume's once.  Returns the name of whose it is, or NULL.
 */
static const char *unsettled_relative(const struct master *m, const struct name *name)
{
	const struct volume *v;
	const struct left *l;

	TAILQ_FOREACH (v, &m->volumes, link)
		if (same_family(&v->name, name) && is_working(&v->name) &&
		    (v->state != VOLUME_READY || v->snapshot || !TAILQ_EMPTY(&v->pasts)))
			return v->shown;
	LIST_FOREACH (l, &m->lefts, link)
		if (same_family(&l->name, name) && name_compare(&l->name, name) &&
		    !TAILQ_EMPTY(&l->pasts))
			return l->shown;
	return NULL;
}

bool deletion_must_wait(const struct command *c)
{
	struct volume *v = volume_find(c->master, &c->name);

	return v &&
	       (v->state == VOLUME_ENDING || v->state == VOLUME_DETACHING || detach_by_hand(v));
}

/* The same snapshot by another name: NAME@TAG is NAME@NUMBER, too. */
static const struct volume *attached_as(const struct volume *v)
{
	const struct volume *other;

	TAILQ_FOREACH (other, &v->master->volumes, link)
		if (other != v && same_family(&other->name, &v->name) &&
		    other->identity.vid == v->identity.vid)
			return other;
	return NULL;
}

/* ---- the way ---- */

void deletion_begin(struct master *m, struct command *c)
{
	const char *relative = unsettled_relative(m, &c->name);
	struct volume *v = volume_find(m, &c->name);

	if (v) {
		command_answer(c, -EBUSY,
		    "volume %s was not deleted: it is attached; write its name to vdi/unmount "
		    "first",
		    c->shown);
		return;
	}
	if (relative) {
		command_answer(c, -EBUSY,
		    "volume %.300s was not deleted: what a daemon was asked of %.300s before may "
		    "still run, see status/workers and the log; attaching that settles it, then "
		    "try again",
		    c->shown, relative);
		return;
	}
	v = volume_new(m, m->last_volume + 1, &c->name);
	if (!v) {
		command_answer(c, -ENOMEM, "volume %s was not deleted: out of memory", c->shown);
		return;
	}
	v->attach = c;
	v->doomed = true;
	past_take_over(v);
	v->cut = c->vid;
	if (v->cut && !v->identity.vid) {
		v->identity.vid = c->vid;
		v->identity.create_time = c->created;
	}
	volume_set_timer(v, m->conf->timeout * 1000);
	locks_release_again(m, &v->name);
	seek_begin(v);
}

void deletion_ready(struct volume *v)
{
	const struct volume *other = attached_as(v);

	if (other) {
		detach_after(v, -EBUSY,
		    "volume %.300s was not deleted: it is attached as %.300s; write that to "
		    "vdi/unmount first",
		    v->shown, other->shown);
		return;
	}
	v->state = VOLUME_DELETING;
	v->cut = v->identity.vid;
	state_save_volume(v);
	generation_delete(&v->generation, v->attach->number);
}

void deletion_progressed(struct volume *v)
{
	if (v->state == VOLUME_DELETING)
		volume_set_timer(v, v->master->conf->timeout * 1000);
}

void deletion_answered(struct volume *v, const struct msg_answered *answer, const char *sentence)
{
	if (v->state == VOLUME_DELETING)
		detach_after(v, answer->error, "%s", sentence);
}

void deletion_interrupted(struct volume *v, const char *words)
{
	v->state = VOLUME_SEEKING;
	v->restarts++;
	snprintf(v->trouble, sizeof v->trouble, "%s", words);
	log_warning("volume %s: generation %u ended: %s; the next one goes on with its deletion",
	    v->shown, v->generation.number, words);
}

void deletion_is_late(struct volume *v)
{
	char targets[SENTENCE_MAX];

	trial_describe(v->trial, targets, sizeof targets);
	detach_after(v, -ETIMEDOUT,
	    "volume %.300s %s: nothing of it was done for %u s (--timeout): %s", v->shown,
	    volume_fate(v), v->master->conf->timeout, v->trouble[0] ? v->trouble : targets);
}

void deletion_before(const struct command *c, uint32_t *vid, uint64_t *created)
{
	const struct volume *v = volume_find(c->master, &c->name);
	bool begun = v && v->doomed && v->cut;

	*vid = begun ? v->cut : c->vid;
	*created = begun ? v->identity.create_time : c->created;
}
