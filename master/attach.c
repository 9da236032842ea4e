/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The road up: see attach.h.
 */
#include "master/attach.h"

#include "include/words.h"
#include "ipc/log.h"
#include "master/command.h"
#include "master/detach.h"
#include "master/errand.h"
#include "master/front.h"
#include "master/locks.h"
#include "master/mount.h"
#include "master/mountinfo.h"
#include "master/volume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE 300        /* milliseconds before the list of targets is tried again */
#define CONNECT_MIN 1000 /* milliseconds that one target gets at least */

/* ---- the targets ---- */

static unsigned connect_limit(const struct volume *v)
{
	unsigned all = v->master->conf->timeout * 1000;
	unsigned each = all / (v->trial->list->count + 1);

	return each < CONNECT_MIN ? CONNECT_MIN : each;
}

static void try_next(struct volume *v);

/* This target did not do; the next one, or the first again after a pause. */
static void try_elsewhere(struct volume *v, const char *why)
{
	static const struct timeval pause = {0, PAUSE * 1000};

	v->state = VOLUME_DIALLING;
	log_debug("volume %s: %s: %s", v->shown,
	    trial_target(v->trial) ? trial_target(v->trial)->text : "", why);
	trial_failed(v->trial, why);
	if (trial_target(v->trial)) {
		try_next(v);
		return;
	}
	trial_again(v->trial);
	event_add(v->pause, &pause);
}

static void on_dialled(int fd, void *arg)
{
	struct volume *v = arg;
	const struct target *target = trial_target(v->trial);
	int error;

	v->dial = NULL;
	if (fd < 0) {
		try_elsewhere(v, strerror(-fd));
		return;
	}
	error = generation_start(v, target, fd);
	if (error) {
		detach_after(v, error,
		    "volume %s was not attached: its worker cannot be started: %s", v->shown,
		    strerror(-error));
		return;
	}
	v->state = VOLUME_STARTING;
}

static void try_next(struct volume *v)
{
	v->dial =
	    dial_start(v->master->base, trial_target(v->trial), connect_limit(v), on_dialled, v);
	if (!v->dial)
		detach_after(v, -ENOMEM, "volume %s was not attached: out of memory", v->shown);
}

/* A lock that an earlier worker of ours left is released first. */
void attach_again(struct volume *v)
{
	if (v->state != VOLUME_DIALLING || v->dial || locks_hold_up(v->master, &v->name))
		return;
	event_del(v->pause);
	try_next(v);
}

/* The daemon's doing, or at least not a fault of ours. */
static bool is_daemon_word(int status)
{
	static const int words[] = {EXIT_REFUSED, EXIT_DAEMON_LOST, EXIT_DAEMON_MUTE,
	    EXIT_DAEMON_LIES, EXIT_VOLUME_CHANGED};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (WIFEXITED(status) && WEXITSTATUS(status) == words[i])
			return true;
	return false;
}

/* A worker that broke may have been broken by what this daemon said; where every daemon does it,
 * trying again is of no use. */
void attach_worker_ended(struct volume *v, const char *words)
{
	struct generation *g = &v->generation;

	if (g->refused && !g->elsewhere)
		detach_after(v, g->refused, "%s", g->sentence);
	else if (!g->refused && !is_daemon_word(g->process.status) &&
		 v->trial->at + 1 == v->trial->list->count)
		detach_after(
		    v, -EIO, "volume %s was not attached: its worker ended: %s", v->shown, words);
	else
		try_elsewhere(v, g->refused ? g->sentence : words);
}

void attach_is_late(struct volume *v)
{
	char targets[SENTENCE_MAX];

	if (v->state == VOLUME_MOUNTING) {
		detach_after(v, -ETIMEDOUT,
		    "volume %s was not attached within %u s (--timeout): its mount is not served",
		    v->shown, v->master->conf->timeout);
		return;
	}
	trial_describe(v->trial, targets, sizeof targets);
	detach_after(v, -ETIMEDOUT, "volume %s was not attached within %u s (--timeout): %s",
	    v->shown, v->master->conf->timeout, targets);
}

void attach_begin(struct master *m, struct command *c)
{
	struct volume *v = volume_find(m, &c->name);

	if (v && v->state == VOLUME_FAILED) {
		command_answer(c, -EEXIST,
		    "volume %s is attached and has failed; write its name to vdi/unmount first",
		    c->shown);
		return;
	}
	if (v) {
		command_answer(c, -EEXIST, "volume %s is attached already%s", c->shown,
		    v->lingers ? ": it was unmounted lazily and is still in use" : "");
		return;
	}
	v = volume_new(m, c);
	if (!v) {
		command_answer(c, -ENOMEM, "volume %s was not attached: out of memory", c->shown);
		return;
	}
	if (mount_volume_path(m->mountpoint, v->shown, v->path)) {
		detach_after(v, -ENAMETOOLONG,
		    "volume %.80s... was not attached: its name, written with %%XX, is longer "
		    "than a file's name may be",
		    v->shown);
		return;
	}
	volume_set_timer(v, m->conf->timeout * 1000);
	locks_release_again(m, &v->name);
	attach_again(v);
}

/* ---- the mount ---- */

static void on_mounted(int error, const char *text, void *arg)
{
	struct volume *v = arg;
	struct mountinfo info;
	int fds[3];

	(void)text;
	v->errand = NULL;
	if (v->state == VOLUME_ENDING || error) {
		detach_mount_tried(v, error);
		return;
	}
	error = mountinfo_find(MOUNTINFO_FILE, v->path, &info);
	if (error || strcmp(info.type, MOUNTINFO_TYPE) != 0) {
		detach_after(v, -EIO, "volume %s was not attached: its mount vanished", v->shown);
		return;
	}
	v->mounted = true;
	v->mount_id = info.id;
	v->connection = info.device;
	v->serving = true;
	generation_take_fds(&v->generation, fds);
	front_serve_volume(v->master, v, v->device, fds);
	v->device = -1;
}

static int mount_file(struct volume *v)
{
	struct mount_volume_order order = {.read_only = v->generation.ready.read_only};

	memcpy(order.path, v->path, sizeof order.path);
	snprintf(order.source, sizeof order.source, "sheepfs:%s", v->shown);
	v->device = mount_open_device();
	if (v->device < 0)
		return v->device;
	v->errand = errand_start(v->master->base, mount_volume_work, &order, v->device,
	    v->master->conf->timeout * 1000, on_mounted, v);
	return v->errand ? 0 : -ENOMEM;
}

void attach_ready(struct volume *v)
{
	int error;

	if (v->state != VOLUME_STARTING)
		return;
	v->state = VOLUME_MOUNTING;
	v->master->daemon = v->generation.target;
	front_add_volume(v->master, v);
	v->shown_by_front = true;
	error = mount_file(v);
	if (error)
		detach_after(v, error, "volume %s was not attached: it cannot be mounted: %s",
		    v->shown, strerror(-error));
}

void attach_init_received(struct volume *v)
{
	struct command *c = v->attach;

	if (v->state != VOLUME_MOUNTING || !v->serving)
		return;
	v->state = VOLUME_READY;
	volume_clear_timer(v);
	v->attach = NULL;
	log_debug("volume %s: connection %u, generation %u", v->shown, v->connection,
	    v->generation.number);
	command_answer(c, 0, "%s", v->generation.sentence);
}
