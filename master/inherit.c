/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Going on: see inherit.h.
 */
#include "master/inherit.h"

#include "ipc/log.h"
#include "master/errand.h"
#include "master/front.h"
#include "master/mount.h"
#include "master/mountinfo.h"
#include "master/replace.h"
#include "master/seek.h"
#include "master/start.h"
#include "master/volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLEAN_LIMIT 5000 /* milliseconds for the umount of what an attach had begun */

static void let_go(struct inheritance *i)
{
	bundle_close(&i->bundle);
	free(i->text);
	i->text = NULL;
	if (i->fd >= 0)
		close(i->fd);
	i->fd = -1;
}

/* It cannot be gone on with: its mounts end, and nobody keeps it any more. */
static void forsake(struct inheritance *i)
{
	for (unsigned n = 0; n < i->bundle.count; n++)
		notify_drop(i->bundle.items[n].name);
	let_go(i);
	notify_barrier();
}

/* The tree must still be where its state says. */
static int check_tree(
    const struct state_tree *tree, const char *mountpoint, char *why, size_t why_size)
{
	struct mountinfo info;

	if (strcmp(tree->mountpoint, mountpoint) != 0) {
		snprintf(why, why_size, "it was mounted at %.200s", tree->mountpoint);
		return -ESTALE;
	}
	if (mountinfo_find(MOUNTINFO_FILE, mountpoint, &info) || info.device != tree->connection ||
	    strcmp(info.type, MOUNTINFO_TYPE) != 0) {
		snprintf(why, why_size, "it is not mounted any more");
		return -ESTALE;
	}
	if (!tree->resend) {
		snprintf(why, why_size,
		    "this kernel cannot ask another front what one did not answer (Linux 6.9 can)");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Its state, which is taken out of the bundle. */
static int open_state(struct inheritance *i, const char *mountpoint, char *why, size_t why_size)
{
	int error;

	i->fd = bundle_take(&i->bundle, STATE_NAME);
	if (i->fd < 0) {
		snprintf(why, why_size, "its state is missing");
		return i->fd;
	}
	error = state_read(i->fd, &i->text, &i->tree, why, why_size);
	return error ? error : check_tree(&i->tree, mountpoint, why, why_size);
}

bool inherit_from_service(struct inheritance *i, const char *mountpoint)
{
	char why[512] = "";
	int error;

	i->fd = -1;
	error = bundle_from_service(&i->bundle);
	if (!error && !i->bundle.count)
		return false;
	if (!error)
		error = open_state(i, mountpoint, why, sizeof why);
	if (!error) {
		start_await_end(i->tree.front, "sheepfs-front");
		return true;
	}
	log_error("what the sheepfs before left at %s cannot be gone on with: %s; its mounts end",
	    mountpoint, why[0] ? why : strerror(-error));
	forsake(i);
	return false;
}

int inherit_by_replacing(struct inheritance *i, const char *mountpoint, char *why, size_t why_size)
{
	struct mountinfo info;
	int error;

	i->fd = -1;
	if (mountinfo_find(MOUNTINFO_FILE, mountpoint, &info) ||
	    strcmp(info.type, MOUNTINFO_TYPE) != 0) {
		snprintf(why, why_size,
		    "there is no sheepfs at %s to replace; leave --replace out to mount one",
		    mountpoint);
		return -ENOENT;
	}
	error = replace_ask(&i->bundle, info.device, why, why_size);
	if (!error)
		error = open_state(i, mountpoint, why, why_size);
	if (error)
		let_go(i);
	return error;
}

/* ---- a mount that an attach had begun, and nobody can serve ---- */

static void on_cleaned(int error, const char *text, void *arg)
{
	(void)text;
	(void)arg;
	/* the front does not know its name, which lets go of it as well */
	if (error && error != -ENOENT && error != -EINVAL)
		log_warning("a mount without a volume cannot be unmounted: %s", strerror(-error));
}

static void clean(const char *target, unsigned device, void *arg)
{
	struct mount_end_order order = {.lazy = true};
	struct master *m = arg;
	struct volume *v;

	TAILQ_FOREACH (v, &m->volumes, link)
		if (v->connection == device)
			return;
	log_warning("%s was being attached: its mount is taken away", target);
	snprintf(order.path, sizeof order.path, "%s", target);
	errand_start(m->base, mount_end_work, &order, -1, CLEAN_LIMIT, on_cleaned, m);
}

int inherit_take_fd(struct inheritance *i)
{
	int fd = i->fd;

	i->fd = -1;
	return fd;
}

int inherit_go_on(struct master *m, struct inheritance *i, char *why, size_t why_size)
{
	int error = state_take(m, i->text, &i->bundle, why, why_size);
	struct volume *v;
	unsigned count = 0;

	if (!error) {
		error = front_start_next(m);
		if (error)
			snprintf(
			    why, why_size, "the front cannot be started: %s", strerror(-error));
	}
	if (error) {
		forsake(i);
		return error;
	}
	for (unsigned n = 0; n < i->bundle.count; n++)
		if (i->bundle.items[n].fd >= 0)
			notify_drop(i->bundle.items[n].name);
	let_go(i);
	TAILQ_FOREACH (v, &m->volumes, link) {
		seek_begin(v);
		count++;
	}
	mountinfo_each_below(MOUNTINFO_FILE, m->mountpoint, clean, m);
	log_info("%s goes on with process %d, volumes: %u", m->mountpoint, (int)getpid(), count);
	return 0;
}
