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

#define LEFT_WORDS                                                                                 \
	"volume %.200s %s: what the daemon at %s was asked of %.200s before may still run; "       \
	"attach %.200s, which settles it, and try again"

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
 * deleted: a snapshot's entries were its volume's once.  Returns the volume whose it may be, or
 * NULL.
 */
static const struct volume *unsettled_relative(const struct master *m, const struct name *name)
{
	const struct volume *v;

	TAILQ_FOREACH (v, &m->volumes, link)
		if (same_family(&v->name, name) && name_compare(&v->name, name) && !v->doomed &&
		    is_working(&v->name) &&
		    (v->state != VOLUME_READY || v->snapshot || !TAILQ_EMPTY(&v->pasts)))
			return v;
	return NULL;
}

/* Nobody settles that but who attaches the volume. */
static const struct left *left_relative(const struct master *m, const struct name *name)
{
	const struct left *l;

	LIST_FOREACH (l, &m->lefts, link)
		if (same_family(&l->name, name) && name_compare(&l->name, name) &&
		    !TAILQ_EMPTY(&l->pasts))
			return l;
	return NULL;
}

bool deletion_must_wait(const struct command *c)
{
	struct volume *v = volume_find(c->master, &c->name);

	return v &&
	       (v->state == VOLUME_ENDING || v->state == VOLUME_DETACHING || detach_by_hand(v));
}

bool deletion_is_held_up(struct volume *v)
{
	v->held = v->doomed && unsettled_relative(v->master, &v->name);
	return v->held;
}

void deletion_look_again(struct master *m)
{
	struct volume *v, *next;

	for (v = TAILQ_FIRST(&m->volumes); v; v = next) {
		next = TAILQ_NEXT(v, link);
		if (!v->held || v->state != VOLUME_SEEKING || unsettled_relative(m, &v->name))
			continue;
		v->held = false;
		if (v->generation.is_ready && generation_lives(&v->generation) &&
		    !v->generation.draining)
			deletion_ready(v);
		else
			seek_again(v);
	}
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

const char *deletion_fate(uint32_t cut)
{
	return cut ? "is not deleted yet, though part of its data is; write its name to vdi/delete "
		     "again"
		   : "was not deleted";
}

void deletion_begin(struct master *m, struct command *c)
{
	const struct volume *relative = unsettled_relative(m, &c->name);
	const struct left *left = left_relative(m, &c->name);
	struct volume *v = volume_find(m, &c->name);
	const char *fate = deletion_fate(c->vid);

	if (v) {
		command_answer(c, -EBUSY,
		    "volume %.300s %s: it is attached; write its name to vdi/unmount first",
		    c->shown, fate);
		return;
	}
	if (left) {
		command_answer(c, -EBUSY, LEFT_WORDS, c->shown, fate,
		    TAILQ_FIRST(&left->pasts)->address, left->shown, left->shown);
		return;
	}
	if (relative && relative->state == VOLUME_FAILED) {
		command_answer(c, -EBUSY,
		    "volume %.300s %s: volume %.300s has failed, and what was asked of it may "
		    "still run; write its name to vdi/mount, or to vdi/unmount, and try again",
		    c->shown, fate, relative->shown);
		return;
	}
	v = volume_new(m, m->last_volume + 1, &c->name);
	if (!v) {
		command_answer(c, -ENOMEM, "volume %.300s %s: out of memory", c->shown, fate);
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
	const struct left *left = left_relative(v->master, &v->name);
	const struct volume *other = attached_as(v);

	if (other) {
		detach_after(v, -EBUSY,
		    "volume %.300s %s: it is attached as %.300s; write that to vdi/unmount first",
		    v->shown, deletion_fate(v->cut), other->shown);
		return;
	}
	if (left) {
		detach_after(v, -EBUSY, LEFT_WORDS, v->shown, deletion_fate(v->cut),
		    TAILQ_FIRST(&left->pasts)->address, left->shown, left->shown);
		return;
	}
	v->held = unsettled_relative(v->master, &v->name);
	if (v->held)
		return; /* deletion_look_again() comes, or its timer */
	if (!v->cut)
		volume_set_timer(v, v->master->conf->timeout * 1000);
	v->state = VOLUME_DELETING;
	v->cut = v->identity.vid;
	v->refused = false;
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
	if (v->state == VOLUME_DELETING) {
		detach_after(v, answer->error, "%s", sentence);
	} else if (v->state == VOLUME_ENDING && !answer->error) {
		/* it was too late, or not wanted any more, and is done all the same */
		v->error = 0;
		snprintf(v->sentence, sizeof v->sentence, "%s", sentence);
	}
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
	char why[SENTENCE_MAX];

	if (v->state == VOLUME_DELETING)
		snprintf(
		    why, sizeof why, "the daemon at %s does not answer", v->generation.target.text);
	else if (v->held)
		snprintf(why, sizeof why,
		    "what a daemon was asked of its volume before may still run, see "
		    "status/workers");
	else if (v->trouble[0])
		snprintf(why, sizeof why, "%s", v->trouble);
	else
		trial_describe(v->trial, why, sizeof why);
	detach_after(v, -ETIMEDOUT, "volume %.300s %s: nothing was done for %u s (--timeout): %s",
	    v->shown, deletion_fate(v->cut), v->master->conf->timeout, why);
}

void deletion_abort(struct volume *v, uint32_t uid)
{
	struct command *c = v->attach;
	char sentence[SENTENCE_MAX];
	int error = -ECONNABORTED;

	v->attach = NULL;
	if (v->state == VOLUME_ENDING) { /* it is over, but for what is to be tidied up */
		error = v->error;
		snprintf(sentence, sizeof sentence, "%s", v->sentence);
	} else {
		snprintf(sentence, sizeof sentence, "volume %.300s %s: user %u aborted that",
		    v->shown, deletion_fate(v->cut), uid);
	}
	detach_after(v, error, "%s", sentence);
	command_answer(c, error, "%s", sentence);
}

void deletion_before(const struct command *c, uint32_t *vid, uint64_t *created)
{
	const struct volume *v = volume_find(c->master, &c->name);
	bool begun = v && v->doomed && v->attach == c && v->cut;

	*vid = begun ? v->cut : c->vid;
	*created = begun ? v->identity.create_time : c->created;
}
