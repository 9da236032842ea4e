/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The search for the next generation: see seek.h.
 */
#include "master/seek.h"

#include "include/words.h"
#include "ipc/log.h"
#include "master/attach.h"
#include "master/command.h"
#include "master/deletion.h"
#include "master/detach.h"
#include "master/discover.h"
#include "master/front.h"
#include "master/locks.h"
#include "master/replace.h"
#include "master/snapshot.h"
#include "master/state.h"
#include "master/status.h"
#include "master/volume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define CONNECT_MIN 1000     /* milliseconds that one target gets at least to connect */
#define CONNECT_MAX 2000     /* ... at most, while callers wait */
#define HAND_OVER_LIMIT 1000 /* milliseconds for what the daemon was sent, before it is left */

/* Where the state stands that the search concerns: an umount(2) that is being tried may end in it
 * again. */
static enum volume_state *state_of(struct volume *v)
{
	return v->state == VOLUME_DETACHING ? &v->state_before : &v->state;
}

static bool is_first(const struct volume *v)
{
	return v->state == VOLUME_SEEKING;
}

static unsigned connect_limit(const struct volume *v)
{
	unsigned all = v->master->conf->timeout * 1000;
	unsigned each = all / (v->trial->list.count + 1);

	if (!is_first(v) && each > CONNECT_MAX)
		each = CONNECT_MAX;
	return each < CONNECT_MIN ? CONNECT_MIN : each;
}

/* ---- the end of the search ---- */

static void fail(struct volume *v, const char *words)
{
	char why[SENTENCE_MAX];

	*state_of(v) = VOLUME_FAILED;
	snprintf(v->trouble, sizeof v->trouble, "%s", words);
	snprintf(why, sizeof why,
	    "volume %.300s has failed: %s; its users get EIO; write its name to vdi/mount to try "
	    "again, or to vdi/unmount to detach it",
	    v->shown, words);
	log_error("%s", why);
	front_fail_volume(v->master, v, -EIO, why);
	snapshot_lost(v, words);
	if (v->attach)
		attach_failed(v, words);
	command_run_waiting(v->master);
}

static void go_on(struct volume *v)
{
	struct generation *g = &v->generation;
	uint64_t pause = v->lost ? generation_now() - v->lost : 0;

	/* seek_front_takes() comes, once there is another front, and nobody else could go on here:
	 * what callers are given away to now, an old sheepfs would not know of */
	if (!front_takes(v->master) || replace_is_pending())
		return;
	*state_of(v) = VOLUME_READY;
	v->lost = 0;
	v->restarts++;
	front_start_generation(v->master, v);
	v->blames = v->settle_all = v->refused = false;
	status_note_failover(v, pause, v->trouble);
	state_save_volume(v);
	log_warning("volume %s goes on after %llu ms: generation %u, through %s; before: %s",
	    v->shown, (unsigned long long)pause, g->number, g->target.text, v->trouble);
	snapshot_resume(v);
	if (v->attach)
		attach_revived(v);
	command_run_waiting(v->master);
}

void seek_front_takes(struct volume *v)
{
	if (v->state == VOLUME_MOUNTING && v->serving && generation_lives(&v->generation))
		front_start_generation(v->master, v);
	else if (*state_of(v) == VOLUME_RECOVERING && generation_lives(&v->generation) &&
		 v->generation.is_ready && !v->generation.draining)
		go_on(v);
	else if (*state_of(v) == VOLUME_FAILED)
		front_fail_volume(v->master, v, -EIO, v->trouble);
}

void seek_ready(struct volume *v)
{
	struct generation *g = &v->generation;

	snprintf(v->master->daemon, sizeof v->master->daemon, "%s", g->target.text);
	v->face.allocated = g->ready.allocated;
	if (is_first(v)) {
		v->identity.size = g->ready.size;
		v->face = g->ready;
		attach_ready(v);
	} else if (v->state == VOLUME_ENDING) {
		detach_turn(v); /* it was only to settle what was, and to release the lock */
	} else {
		go_on(v);
	}
}

/* ---- trying ---- */

static void try_target(struct volume *v);

static void try_later(struct volume *v, unsigned milliseconds)
{
	struct timeval pause = {milliseconds / 1000, (milliseconds % 1000) * 1000};

	event_add(v->pause, &pause);
}

/* Nothing came of it; what now?  better: a target that is known to do better; NULL: none is. */
static void choose(
    struct volume *v, const struct policy_event *e, const char *words, const struct target *better)
{
	struct policy_choice choice = policy_choose(e, &v->history);

	log_debug("volume %s: %s: %s; next in %u ms%s", v->shown,
	    trial_target(v->trial) ? trial_target(v->trial)->text : "", words, choice.delay,
	    choice.next_target ? ", at the next target" : "");
	if (choice.next_target) {
		trial_failed(v->trial, words);
		trial_follow(v->trial, discover_targets(v->master));
		if (better)
			trial_go_to(v->trial, better);
		if (!trial_target(v->trial))
			trial_again(v->trial);
	}
	if (choice.fail) {
		if (v->state == VOLUME_ENDING)
			detach_gives_up(v);
		else if (is_first(v))
			detach_after(
			    v, -EIO, "volume %.300s %s: %s", v->shown, volume_fate(v), words);
		else
			fail(v, words);
		return;
	}
	/* more cannot be handed on: the next one leaves none, for it waits for all of them first */
	if (past_count(&v->pasts) >= PASTS_MAX)
		v->settle_all = true;
	if (choice.delay)
		try_later(v, choice.delay);
	else
		try_target(v);
}

static void no_daemon(struct volume *v, const char *why)
{
	const struct policy_event e = {.cause = POLICY_DAEMON, .targets = v->trial->list.count};

	choose(v, &e, why, NULL);
}

static void on_dialled(int fd, void *arg)
{
	struct volume *v = arg;
	int error;

	v->dial = NULL;
	if (fd < 0) {
		if (dial_found_nobody(fd))
			past_note_nobody(v, trial_target(v->trial)->text);
		no_daemon(v, dial_words(fd));
		return;
	}
	error = generation_start(v, trial_target(v->trial), fd);
	if (error && is_first(v)) {
		detach_after(v, error, "volume %s %s: its worker cannot be started: %s", v->shown,
		    volume_fate(v), strerror(-error));
	} else if (error) {
		log_error(
		    "volume %s: its worker cannot be started: %s", v->shown, strerror(-error));
		no_daemon(v, strerror(-error));
	}
}

static void try_target(struct volume *v)
{
	if (v->master->handover)
		return; /* the next sheepfs does */
	v->dial =
	    dial_start(v->master->base, trial_target(v->trial), connect_limit(v), on_dialled, v);
	if (!v->dial)
		try_later(v, CONNECT_MIN); /* out of memory, for a moment */
}

/* A lock that an earlier worker of ours left is released first. */
void seek_again(struct volume *v)
{
	bool seeking =
	    is_first(v) || *state_of(v) == VOLUME_RECOVERING || v->state == VOLUME_ENDING;

	if (!seeking || v->dial || generation_lives(&v->generation) ||
	    (is_first(v) && (locks_hold_up(v->master, &v->name) || deletion_is_held_up(v))))
		return;
	event_del(v->pause);
	try_target(v);
}

void seek_begin(struct volume *v)
{
	trial_begin(v->trial, discover_targets(v->master));
	seek_again(v);
}

void seek_stop(struct volume *v)
{
	event_del(v->pause);
	dial_cancel(v->dial);
	v->dial = NULL;
}

/* ---- after a generation ---- */

static bool exited_with(const struct generation *g, enum exit_word word)
{
	return WIFEXITED(g->process.status) && WEXITSTATUS(g->process.status) == (int)word;
}

static enum policy_cause cause_of(const struct generation *g)
{
	if (g->handing_over || g->orphaned || exited_with(g, EXIT_FRONT_GONE))
		return POLICY_MOVED;
	if (g->refused && !g->elsewhere)
		return POLICY_REFUSED;
	if (g->refused == -ESTALE)
		return POLICY_STRANGER;
	if (g->refused || exited_with(g, EXIT_DAEMON_LOST) || exited_with(g, EXIT_DAEMON_MUTE) ||
	    exited_with(g, EXIT_DAEMON_LIES) || exited_with(g, EXIT_DAEMON_STALLED))
		return POLICY_DAEMON;
	if (exited_with(g, EXIT_VOLUME_CHANGED))
		return POLICY_CHANGED;
	return POLICY_WORKER;
}

/* On the road up somebody waits for an answer: what no daemon can mend is told at once. */
static bool first_is_hopeless(const struct volume *v, enum policy_cause cause)
{
	return cause == POLICY_REFUSED ||
	       (cause == POLICY_WORKER && !v->cut && v->trial->at + 1 == v->trial->list.count);
}

void seek_after(struct volume *v, const char *words)
{
	struct generation *g = &v->generation;
	const struct policy_event e = {.cause = cause_of(g),
	    .was_ready = g->is_ready,
	    .served = g->is_ready ? generation_now() - g->since : 0,
	    .targets = v->trial->list.count};

	if (g->refused)
		words = g->sentence;
	if (is_first(v) && g->refused == -ESTALE && v->identity.vid && !v->cut) {
		/* what was left belongs to a volume that is no more */
		past_close(v->master, v, &v->pasts);
		memset(&v->identity, 0, sizeof v->identity);
		try_target(v);
		return;
	}
	if (is_first(v) && first_is_hopeless(v, e.cause)) {
		if (g->refused && !v->cut)
			detach_after(v, g->refused, "%s", words);
		else if (g->refused == -ESTALE)
			detach_after(v, g->refused,
			    "volume %.300s was not deleted: somebody else changed it meanwhile; of "
			    "vid %x part of the data is gone, look at vdi/list: %s",
			    v->shown, v->cut, words);
		else if (g->refused)
			detach_after(
			    v, g->refused, "volume %.300s %s: %s", v->shown, volume_fate(v), words);
		else
			detach_after(v, -EIO, "volume %.300s %s: its worker ended: %s", v->shown,
			    volume_fate(v), words);
		return;
	}
	v->blames = v->blames || generation_may_blame(g);
	if (*state_of(v) == VOLUME_READY) {
		*state_of(v) = VOLUME_RECOVERING;
		v->lost = generation_now();
		snprintf(v->trouble, sizeof v->trouble, "%s", g->handing_over ? "moved" : words);
		log_warning("volume %s: generation %u ended: %s; its callers wait for the next one",
		    v->shown, g->number, words);
	}
	choose(v, &e, words, exited_with(g, EXIT_DAEMON_STALLED) ? &g->compared.target : NULL);
}

void seek_elsewhere(struct volume *v)
{
	struct generation *g = &v->generation;

	trial_begin(v->trial, discover_targets(v->master));
	if (v->state == VOLUME_MOUNTING || v->state == VOLUME_ENDING)
		return; /* its next search, if there is one, begins with them */
	memset(&v->history, 0, sizeof v->history);
	if (g->is_ready && generation_lives(g)) {
		generation_hand_over(g, HAND_OVER_LIMIT);
	} else if (generation_lives(g)) {
		g->handing_over = true;
		generation_kill(g, "there are other targets");
	} else if (v->dial || event_pending(v->pause, EV_TIMEOUT, NULL)) {
		seek_stop(v);
		seek_again(v);
	}
}
