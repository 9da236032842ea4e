/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of sheepfs: see stop.h.
 */
#include "master/stop.h"

#include "ipc/log.h"
#include "master/announce.h"
#include "master/cluster.h"
#include "master/command.h"
#include "master/detach.h"
#include "master/errand.h"
#include "master/front.h"
#include "master/lamb.h"
#include "master/mount.h"
#include "master/mountinfo.h"
#include "master/replace.h"
#include "master/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRONT_LIMIT 1000 /* milliseconds that it may live on after the tree */
#define UTAB_LIMIT 5000  /* milliseconds; somebody else may hold its lock */
#define EXTRA 5000       /* milliseconds besides --timeout for all of it */
#define LAST_LIMIT 1000  /* milliseconds for the last umount(2), when nothing else helped */
#define HURRY 3000       /* milliseconds for the rest once we hurry */

struct stop {
	bool beginning;  /* still telling the volumes */
	bool hurried;    /* nothing is finished any more */
	bool tree_gone;  /* nothing of ours is mounted at the mount point */
	bool front_told; /* its limit runs */
	bool utab_done;
	struct errand *errand;
	struct event *limit;
	struct event *front_limit;
};

static void set_limit(struct event *e, unsigned milliseconds)
{
	struct timeval limit = {milliseconds / 1000, (milliseconds % 1000) * 1000};

	event_add(e, &limit);
}

/* ---- the tree ---- */

static void start_umount(struct master *m, bool lazy, void (*done)(int, const char *, void *))
{
	struct mount_end_order order = {.lazy = lazy};
	struct mountinfo info;

	memcpy(order.path, m->mountpoint, sizeof order.path);
	if (!mountinfo_find(MOUNTINFO_FILE, m->mountpoint, &info))
		order.mount_id = info.id;
	m->stop->errand =
	    errand_start(m->base, mount_end_work, &order, -1, m->conf->timeout * 1000, done, m);
	if (!m->stop->errand)
		done(-ENOMEM, "", m);
}

/* Its users are told at once: the device is closed with the front. */
static void on_lazily_unmounted(int error, const char *text, void *arg)
{
	struct master *m = arg;

	(void)text;
	m->stop->errand = NULL;
	m->stop->tree_gone = true;
	if (error && error != -EINVAL && error != -ENOENT) {
		log_error("%s cannot be unmounted: %s; umount -l %s does it", m->mountpoint,
		    strerror(-error), m->mountpoint);
		m->exit_status = 1;
	}
	front_kill(m, "the tree is gone");
	stop_turn(m);
}

static void on_unmounted(int error, const char *users, void *arg)
{
	struct master *m = arg;

	m->stop->errand = NULL;
	if (!error || error == -EINVAL || error == -ENOENT) {
		m->stop->tree_gone = true;
		stop_turn(m);
		return;
	}
	if (error == -EBUSY)
		log_warning(
		    "%s is in use%s%s; detached lazily: its users get errors (ENOTCONN) from now "
		    "on",
		    m->mountpoint, users[0] ? " by " : "", users);
	start_umount(m, true, on_lazily_unmounted);
}

/* ---- the steps: true while one is to be waited for ---- */

static bool step_tree(struct master *m)
{
	if (m->stop->errand)
		return true;
	if (m->stop->tree_gone)
		return false;
	start_umount(m, m->stop->hurried || !front_serves_tree(m),
	    m->stop->hurried || !front_serves_tree(m) ? on_lazily_unmounted : on_unmounted);
	return true;
}

static void on_front_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	front_kill(arg, "it did not end with the tree");
}

static bool step_front(struct master *m)
{
	if (!front_lives(m))
		return false;
	if (!m->stop->front_told)
		set_limit(m->stop->front_limit, FRONT_LIMIT);
	m->stop->front_told = true;
	return true;
}

static bool step_cluster(struct master *m)
{
	cluster_stop(m);
	return cluster_lives(m);
}

/* The last that a volume or an order may need. */
static bool step_lamb(struct master *m)
{
	lamb_stop(m);
	return lamb_lives(m);
}

static void on_utab(int error, const char *text, void *arg)
{
	struct master *m = arg;

	(void)text;
	m->stop->errand = NULL;
	if (error)
		log_warning("the line of %s in /run/mount/utab cannot be removed: %s",
		    m->mountpoint, strerror(-error));
	stop_turn(m);
}

static bool step_utab(struct master *m)
{
	if (m->stop->errand)
		return true;
	if (m->stop->utab_done)
		return false;
	m->stop->utab_done = true;
	m->stop->errand =
	    errand_start(m->base, mount_leave_utab_work, m->mountpoint, -1, UTAB_LIMIT, on_utab, m);
	return m->stop->errand != NULL;
}

void stop_turn(struct master *m)
{
	if (!m->stop || m->stop->beginning || !TAILQ_EMPTY(&m->volumes))
		return;
	if (step_tree(m) || step_front(m) || step_cluster(m) || step_lamb(m) || step_utab(m))
		return;
	log_debug("everything is down");
	event_base_loopbreak(m->base);
}

/* ---- the beginning, and haste ---- */

static void each_volume(struct master *m, void (*what)(struct volume *v))
{
	struct volume *v, *next;

	for (v = TAILQ_FIRST(&m->volumes); v; v = next) {
		next = TAILQ_NEXT(v, link);
		what(v);
	}
}

static void hurry(struct master *m)
{
	struct stop *s = m->stop;

	if (s->hurried)
		return;
	s->hurried = true;
	set_limit(s->limit, HURRY);
	each_volume(m, detach_hurry);
	errand_kill(s->errand);
	cluster_stop(m);
	cluster_kill(m, "sheepfs ends without waiting for it");
	lamb_stop(m);
	lamb_kill(m, "sheepfs ends without waiting for it");
	stop_turn(m);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct mount_end_order order = {.lazy = true};
	char text[ERRAND_TEXT_MAX];
	struct master *m = arg;

	(void)fd;
	(void)what;
	if (!m->stop->hurried) {
		log_warning("the end takes too long: what is not finished by now stays unfinished");
		hurry(m);
		return;
	}
	/* the children die with us, the connections with the front */
	memcpy(order.path, m->mountpoint, sizeof order.path);
	errand_run(mount_end_work, &order, LAST_LIMIT, text);
	log_error(
	    "the end was cut short; umount -R -l %s helps if something is left", m->mountpoint);
	m->exit_status = 1;
	event_base_loopbreak(m->base);
}

static void make_stop(struct master *m)
{
	struct stop *s = calloc(1, sizeof *s);

	if (s)
		s->limit = evtimer_new(m->base, on_limit, m);
	if (s)
		s->front_limit = evtimer_new(m->base, on_front_limit, m);
	if (!s || !s->limit || !s->front_limit)
		fatal("no memory to end in order");
	s->beginning = true;
	m->stop = s;
}

static void begin(struct master *m, bool tree_gone)
{
	if (replace_is_pending()) {
		log_error("the sheepfs before goes on at %s", m->mountpoint);
		m->handed_over = true;
		m->exit_status = m->exit_status ? m->exit_status : 1;
		event_base_loopbreak(m->base);
		return;
	}
	make_stop(m);
	m->stop->tree_gone = tree_gone;
	set_limit(m->stop->limit, m->conf->timeout * 1000 + EXTRA);
	command_refuse_waiting(m);
	each_volume(m, detach_for_stop);
	m->stop->beginning = false;
	stop_turn(m);
}

void stop_begin(struct master *m, int exit_status)
{
	if (exit_status)
		m->exit_status = exit_status;
	if (m->stop)
		hurry(m);
	else
		begin(m, false);
}

void stop_tree_ended(struct master *m)
{
	struct mountinfo info;
	bool listed = !mountinfo_find(MOUNTINFO_FILE, m->mountpoint, &info) &&
		      info.device == m->connection && !strcmp(info.type, MOUNTINFO_TYPE);

	if (m->stop) {
		stop_turn(m);
		return;
	}
	if (listed) {
		announce_failed(
		    "the connection of %s was aborted; everything is unmounted", m->mountpoint);
		m->exit_status = 1;
	} else {
		log_info("%s was unmounted", m->mountpoint);
	}
	begin(m, !listed);
}

void stop_front_ended(struct master *m, bool tree_ended, const char *words)
{
	if (!tree_ended && !(m->stop && m->stop->tree_gone)) {
		announce_failed("the front ended: %s; everything is unmounted", words);
		m->exit_status = 1;
	}
	if (!m->stop)
		stop_begin(m, m->exit_status);
	if (m->handed_over)
		return;
	each_volume(m, detach_front_ended);
	stop_turn(m);
}

void stop_close(struct master *m)
{
	if (!m->stop)
		return;
	event_free(m->stop->limit);
	event_free(m->stop->front_limit);
	free(m->stop);
	m->stop = NULL;
}
