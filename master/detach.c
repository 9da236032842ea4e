/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The road down: see detach.h.
 */
#include "master/detach.h"

#include "ipc/log.h"
#include "master/attach.h"
#include "master/command.h"
#include "master/deletion.h"
#include "master/errand.h"
#include "master/front.h"
#include "master/handover.h"
#include "master/locks.h"
#include "master/mount.h"
#include "master/mountinfo.h"
#include "master/seek.h"
#include "master/snapshot.h"
#include "master/state.h"
#include "master/stop.h"
#include "master/volume.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONNECTION_LIMIT 2000 /* milliseconds from umount(2) to the kernel's word about it */
#define STOP_LOCK_LIMIT 3000  /* milliseconds for the release of a lock when all ends */
#define STEP_MIN 500          /* milliseconds that a step has at least */
#define DRAIN_MIN 2000        /* milliseconds that a worker has to finish, at least */

/* What is left of --timeout, which is for the whole road, though each step gets a little. */
static unsigned limit_of(struct volume *v)
{
	uint64_t now = generation_now();

	if (!v->end_by)
		v->end_by = now + v->master->conf->timeout * UINT64_C(1000);
	return v->end_by > now + STEP_MIN ? (unsigned)(v->end_by - now) : STEP_MIN;
}

/* ---- unmounting ---- */

static void start_umount(struct volume *v, bool lazy, void (*done)(int, const char *, void *))
{
	struct mount_end_order order = {.mount_id = v->mount_id, .lazy = lazy};

	memcpy(order.path, v->path, sizeof order.path);
	v->errand = errand_start(v->master->base, mount_end_work, &order, -1, limit_of(v), done, v);
	if (!v->errand)
		done(-ENOMEM, "", v);
}

static void close_device(struct volume *v)
{
	char name[NOTIFY_NAME_MAX];

	if (v->device < 0)
		return;
	close(v->device);
	v->device = -1;
	state_save_volume(v);
	state_device_name(name, v->number);
	notify_drop(name);
}

/* Some is left to settle what it cannot finish; but one that finishes needs a while, however long
 * the steps before took. */
static void drain(struct volume *v)
{
	unsigned limit = limit_of(v) * 3 / 4;

	if (!v->generation.is_ready || limit < DRAIN_MIN)
		limit = DRAIN_MIN;
	generation_drain(&v->generation, limit);
}

/* We and the front close its device, which ends the connection everywhere, for whoever still uses
 * it; unlike an abort by number this can never meet somebody else's.  The worker must know that it
 * is to finish. */
static void end_connection(struct volume *v)
{
	close_device(v);
	drain(v);
	if (v->shown_by_front)
		front_remove_volume(v->master, v);
	v->shown_by_front = false;
	v->serving = false;
}

/* ---- a command, or the stop, tries umount(2) ---- */

/* Nothing is changed by this try. */
static void stays(struct volume *v, int error, const char *why, const char *more)
{
	struct master *m = v->master;
	struct command *c = v->detach;

	v->state = v->state_before;
	v->end_by = 0;
	v->detach = NULL;
	command_answer(c, error, "volume %s %s%s; nothing was changed", v->shown, why, more);
	command_run_waiting(m);
}

/*
 * Its mount is gone and its connection is not: somebody unmounted it lazily and uses it still, or
 * the mount lives on for a moment in a process that is being started with a mount namespace of its
 * own.
 */
static void await_connection(struct volume *v)
{
	v->mounted = false;
	volume_set_timer(v, CONNECTION_LIMIT);
}

bool detach_by_hand(struct volume *v)
{
	if (!volume_is_up(v) || !v->serving || v->lingers ||
	    mountinfo_lists(MOUNTINFO_FILE, v->connection))
		return false;
	v->state_before = v->state;
	v->state = VOLUME_DETACHING;
	await_connection(v);
	return true;
}

/* In use, and it ends all the same. */
static void cut_off(struct volume *v, const char *users)
{
	log_warning(
	    "volume/%s is in use%s%s; detached lazily: its users get errors (ENOTCONN) from now "
	    "on",
	    v->shown, users[0] ? " by " : "", users);
	v->forced = true;
	v->state = VOLUME_ENDING;
	detach_turn(v);
}

static void on_tried(int error, const char *users, void *arg)
{
	struct volume *v = arg;

	v->errand = NULL;
	v->mounted = v->mounted && error;
	/* something else put it on the road down meanwhile, or it was aborted: then whoever holds
	 * it open holds nothing any more */
	if (v->state != VOLUME_DETACHING || (error == -EBUSY && !v->serving)) {
		v->state = VOLUME_ENDING;
		detach_turn(v);
		return;
	}
	if (error == -EINVAL && v->serving && !v->lingers) {
		await_connection(v);
		return;
	}
	if (error == -EBUSY || (error == -EINVAL && v->serving)) {
		if (v->master->stop)
			cut_off(v, users);
		else
			stays(v, -EBUSY, users[0] ? "is in use by " : "is in use", users);
		return;
	}
	if (!error || error == -EINVAL || error == -ENOENT) {
		v->mounted = false;
		v->state = VOLUME_ENDING;
		detach_turn(v);
		return;
	}
	if (v->master->stop || error == -ETIMEDOUT) {
		detach_after(v, error, "volume %s: its unmount did not come back: %s", v->shown,
		    strerror(-error));
		return;
	}
	stays(v, error, "cannot be unmounted: ", strerror(-error));
}

static void try_umount(struct volume *v)
{
	v->state_before = v->state;
	v->state = VOLUME_DETACHING;
	start_umount(v, false, on_tried);
}

void detach_begin(struct volume *v, struct command *c)
{
	v->detach = c;
	if (volume_is_up(v))
		try_umount(v);
	/* else it is on the road down already, and the answer comes from there */
}

void detach_for_stop(struct volume *v)
{
	if (volume_is_up(v))
		try_umount(v);
	else if (v->state != VOLUME_DETACHING && v->state != VOLUME_ENDING)
		detach_after(v, -ESHUTDOWN, "volume %s %s: sheepfs is about to end", v->shown,
		    volume_fate(v));
}

void detach_hurry(struct volume *v)
{
	v->lock_is_late = true;
	errand_kill(v->errand);
	generation_kill(&v->generation, "sheepfs ends without waiting for it");
	if (v->state == VOLUME_ENDING)
		detach_turn(v);
	else
		detach_after(v, -ESHUTDOWN, "volume %s: sheepfs is about to end", v->shown);
}

/* ---- the steps ---- */

static void on_lazily_unmounted(int error, const char *text, void *arg)
{
	struct volume *v = arg;

	(void)text;
	v->errand = NULL;
	v->mounted = false;
	if (error && error != -EINVAL && error != -ENOENT)
		log_warning("volume %s cannot be unmounted: %s; umount -l %s does it", v->shown,
		    strerror(-error), v->path);
	detach_turn(v);
}

static bool step_unmount(struct volume *v)
{
	if (v->errand)
		return true;
	if (!v->mounted)
		return false;
	start_umount(v, true, on_lazily_unmounted);
	return true;
}

/* After an orderly umount(2) the kernel says so at once; else nobody is waited for. */
static bool step_connection(struct volume *v)
{
	if (v->serving && (v->error || v->forced))
		end_connection(v);
	if (v->serving && !event_pending(v->timer, EV_TIMEOUT, NULL))
		volume_set_timer(v, CONNECTION_LIMIT);
	return v->serving;
}

static bool step_worker(struct volume *v)
{
	struct generation *g = &v->generation;

	if (!generation_lives(g))
		return false;
	if (v->settling && !g->is_ready && !v->lock_is_late)
		return true; /* it settles what was */
	drain(v);
	return true;
}

static void set_lock_timer(struct volume *v)
{
	unsigned limit = v->master->stop ? STOP_LOCK_LIMIT : limit_of(v);

	if (!event_pending(v->timer, EV_TIMEOUT, NULL))
		volume_set_timer(v, limit < limit_of(v) ? limit : limit_of(v));
}

/* What its last generation had asked for may still run: another one settles that, before the lock
 * is released. */
static bool step_settle(struct volume *v)
{
	if (TAILQ_EMPTY(&v->pasts) || v->lock_is_late || generation_lives(&v->generation))
		return false;
	if (!v->settling) {
		v->settling = true;
		set_lock_timer(v);
		seek_begin(v);
		return v->state == VOLUME_ENDING;
	}
	return v->dial || event_pending(v->pause, EV_TIMEOUT, NULL);
}

static void leave_lock(struct volume *v)
{
	uint32_t vid = v->identity.lock;

	v->identity.lock = 0;
	locks_left(v->master, &v->name, v->shown, vid);
	state_save_volume(v);
}

/* A lock that a worker left is released first, so that the next attach finds none. */
static bool step_lock(struct volume *v)
{
	if (!TAILQ_EMPTY(&v->pasts))
		past_leave(v);
	else if (v->identity.lock)
		leave_lock(v);
	if (v->lock_is_late || !locks_hold_up(v->master, &v->name))
		return false;
	set_lock_timer(v);
	return true;
}

static void finish(struct volume *v)
{
	struct master *m = v->master;
	struct command *attach = v->attach, *detach = v->detach;
	char shown[NAME_SHOWN_SIZE], sentence[SENTENCE_MAX];
	int error = v->error;
	bool doomed = v->doomed;
	bool anew = v->anew && attach && !detach && !m->stop;

	memcpy(shown, v->shown, sizeof shown);
	memcpy(sentence, v->sentence, sizeof sentence);
	if (v->shown_by_front)
		front_remove_volume(m, v);
	close_device(v);
	volume_free(v);
	if (anew) {
		attach_begin(m, attach);
		return;
	}
	if (attach)
		command_answer(attach, error, "%s", sentence);
	if (doomed && !attach && !error)
		log_info("%s", sentence);
	if (detach && error)
		command_answer(detach, error, "%s", sentence);
	else if (detach || (!attach && !doomed))
		command_answer(detach, 0, "volume %s is detached", shown);
	command_run_waiting(m);
	stop_turn(m);
	handover_turn(m);
}

void detach_turn(struct volume *v)
{
	if (v->state != VOLUME_ENDING)
		return;
	if (!v->settling)
		seek_stop(v);
	if (step_unmount(v) || step_connection(v) || step_worker(v) || step_settle(v) ||
	    step_lock(v))
		return;
	finish(v);
}

void detach_gives_up(struct volume *v)
{
	v->lock_is_late = true;
	detach_turn(v);
}

static void connection_lingers(struct volume *v)
{
	v->lingers = true;
	if (v->master->stop)
		cut_off(v, "");
	else
		stays(v, -EBUSY, "is in use: it was unmounted lazily", "");
}

/* The timer of a step.  Where the kernel says nothing, another mount namespace holds a copy of the
 * mount. */
void detach_step_is_late(struct volume *v)
{
	if (v->state == VOLUME_DETACHING) {
		connection_lingers(v);
		return;
	}
	if (v->serving) {
		log_info(
		    "volume %s: somebody still holds it open, perhaps in a container; its users "
		    "get errors from now on",
		    v->shown);
		end_connection(v);
	} else {
		v->lock_is_late = true;
		seek_stop(v);
		generation_kill(&v->generation, "it did not settle what was in time");
	}
	detach_turn(v);
}

/* ---- what happens to it ---- */

void detach_after(struct volume *v, int error, const char *format, ...)
{
	va_list ap;

	if (v->state == VOLUME_ENDING)
		return;
	va_start(ap, format);
	vsnprintf(v->sentence, sizeof v->sentence, format, ap);
	va_end(ap);
	v->error = error;
	v->state = VOLUME_ENDING;
	volume_clear_timer(v);
	errand_kill(v->errand);
	detach_turn(v);
}

/* A killed child may have mounted all the same. */
void detach_mount_tried(struct volume *v, int error)
{
	struct mountinfo info;

	if (!mountinfo_find(MOUNTINFO_FILE, v->path, &info) && !strcmp(info.type, MOUNTINFO_TYPE)) {
		v->mounted = true;
		v->mount_id = info.id;
	}
	if (v->state == VOLUME_ENDING)
		detach_turn(v);
	else
		detach_after(v, error, "volume %s was not attached: it cannot be mounted: %s",
		    v->shown, strerror(-error));
}

void detach_connection_ended(struct volume *v)
{
	bool listed = mountinfo_lists(MOUNTINFO_FILE, v->connection);

	if (!v->serving)
		return;
	v->serving = false;
	v->mounted = v->mounted && listed;
	switch (v->state) {
	case VOLUME_MOUNTING:
		detach_after(v, -ECONNABORTED,
		    "volume %s was not attached: its connection was aborted", v->shown);
		break;
	case VOLUME_READY:
	case VOLUME_RECOVERING:
	case VOLUME_FAILED:
		if (listed)
			log_warning(
			    "volume/%s: its connection was aborted; it is detached", v->shown);
		v->state = VOLUME_ENDING;
		detach_turn(v);
		break;
	case VOLUME_DETACHING:
		if (v->errand)
			break; /* umount(2) comes back next */
		volume_clear_timer(v);
		v->state = VOLUME_ENDING;
		detach_turn(v);
		break;
	default:
		volume_clear_timer(v);
		detach_turn(v);
	}
}

void detach_front_lost(struct volume *v)
{
	struct generation *g = &v->generation;

	if (v->out[0] >= 0 || v->out[1] < 0)
		return; /* no front has had its memory yet */
	v->settle_all = true;
	g->orphaned = true;
	generation_kill(g, "its front died");
	close(v->out[1]);
	v->out[1] = -1;
	if (v->state == VOLUME_MOUNTING) {
		log_warning(
		    "volume %s: the front died while it was attached; that begins anew", v->shown);
		v->anew = true;
		detach_after(v, -EIO, "volume %s was not attached: the front died", v->shown);
	}
}

void detach_front_ended(struct volume *v)
{
	close_device(v);
	v->serving = false;
	v->shown_by_front = false;
	if (v->state == VOLUME_ENDING) {
		volume_clear_timer(v);
		detach_turn(v);
	} else {
		detach_after(v, -EIO, "volume %s: the front is gone", v->shown);
	}
}

static void after_generation(struct volume *v, const char *words)
{
	struct generation *g = &v->generation;

	switch (v->state) {
	case VOLUME_SEEKING:
		/* it was locked, and never used */
		if (v->identity.lock && !v->identity.vid)
			leave_lock(v);
		seek_after(v, words);
		break;
	case VOLUME_DELETING:
		deletion_interrupted(v, words);
		seek_after(v, words);
		break;
	case VOLUME_MOUNTING:
		detach_after(v, -EIO, "volume %s was not attached: its worker ended: %s", v->shown,
		    g->refused ? g->sentence : words);
		break;
	case VOLUME_ENDING:
		if (g->process.blame[0])
			log_warning("volume %s: its worker ended: %s", v->shown, words);
		if (v->settling && !g->is_ready && !v->lock_is_late)
			seek_after(v, words);
		else
			detach_turn(v);
		break;
	default:
		seek_after(v, words);
	}
}

void detach_generation_ended(struct volume *v, const char *words)
{
	struct master *m = v->master;

	snapshot_worker_ended(v, words);
	after_generation(v, words);
	handover_turn(m);
}
