/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The road up: see attach.h.
 */
#include "master/attach.h"

#include "ipc/log.h"
#include "master/command.h"
#include "master/deletion.h"
#include "master/detach.h"
#include "master/errand.h"
#include "master/front.h"
#include "master/locks.h"
#include "master/mount.h"
#include "master/mountinfo.h"
#include "master/seek.h"
#include "master/state.h"
#include "master/volume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void attach_is_late(struct volume *v)
{
	char targets[SENTENCE_MAX];

	if (v->state == VOLUME_RECOVERING) {
		trial_describe(v->trial, targets, sizeof targets);
		command_answer(v->attach, -ETIMEDOUT,
		    "volume %s does not serve again after %u s (--timeout), and is still being "
		    "tried: "
		    "%s",
		    v->shown, v->master->conf->timeout, targets);
		v->attach = NULL;
		return;
	}
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

/* One that failed is tried again: who has it open goes on with it. */
static void revive(struct volume *v, struct command *c)
{
	v->attach = c;
	v->state = VOLUME_RECOVERING;
	memset(&v->history, 0, sizeof v->history);
	volume_set_timer(v, v->master->conf->timeout * 1000);
	seek_begin(v);
}

void attach_revived(struct volume *v)
{
	struct command *c = v->attach;

	v->attach = NULL;
	volume_clear_timer(v);
	command_answer(c, 0, "%s", v->generation.sentence);
}

void attach_failed(struct volume *v, const char *why)
{
	struct command *c = v->attach;

	v->attach = NULL;
	volume_clear_timer(v);
	command_answer(c, -EIO, "volume %s has failed again: %s", v->shown, why);
}

void attach_begin(struct master *m, struct command *c)
{
	struct volume *v = volume_find(m, &c->name);

	if (v && v->state == VOLUME_FAILED) {
		revive(v, c);
		return;
	}
	if (v && c->again) {
		command_answer(c, 0, "volume %s is attached", c->shown);
		return;
	}
	if (v) {
		command_answer(c, -EEXIST, "volume %s is attached already%s", c->shown,
		    v->lingers ? ": it was unmounted lazily and is still in use" : "");
		return;
	}
	v = volume_new(m, m->last_volume + 1, &c->name);
	if (!v) {
		command_answer(c, -ENOMEM, "volume %s was not attached: out of memory", c->shown);
		return;
	}
	v->attach = c;
	if (mount_volume_path(m->mountpoint, v->shown, v->path)) {
		detach_after(v, -ENAMETOOLONG,
		    "volume %.80s... was not attached: its name, written with %%XX, is longer "
		    "than a file's name may be",
		    v->shown);
		return;
	}
	volume_set_timer(v, m->conf->timeout * 1000);
	past_take_over(v);
	locks_release_again(m, &v->name);
	seek_begin(v);
}

/* ---- the mount ---- */

static void on_mounted(int error, const char *text, void *arg)
{
	struct volume *v = arg;
	struct mountinfo info;

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
	front_serve_volume(v->master, v);
	front_start_generation(v->master, v);
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

	if (v->doomed) {
		deletion_ready(v);
		return;
	}
	v->state = VOLUME_MOUNTING;
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
	char name[NOTIFY_NAME_MAX];

	if (v->state != VOLUME_MOUNTING || !v->serving)
		return;
	state_device_name(name, v->number);
	notify_keep(name, v->device);
	v->state = VOLUME_READY;
	volume_clear_timer(v);
	v->attach = NULL;
	state_save_volume(v);
	log_debug("volume %s: connection %u, generation %u", v->shown, v->connection,
	    v->generation.number);
	command_answer(c, 0, "%s", v->generation.sentence);
}
