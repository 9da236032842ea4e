/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks that were left: see locks.h.
 */
#include "master/locks.h"

#include "ipc/log.h"
#include "master/cluster.h"
#include "master/detach.h"
#include "master/seek.h"
#include "master/state.h"
#include "master/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOCKS_MAX 1024 /* more are not remembered */

const char *locks_remedy(const struct name *name)
{
	return name->tag[0] || name->snap_id
		   ? "\"dog vdi delete -s\" deletes the snapshot without asking for it"
		   : "\"dog vdi lock unlock\" releases it";
}

static void tell_left(const struct lock *l, const char *why)
{
	log_warning(
	    "volume %s: its lock (vid %x) may still be held in the cluster: %s; attaching it again "
	    "tries once more, or %s",
	    l->shown, l->vid, why, locks_remedy(&l->name));
}

static void on_released(int error, const char *sentence, void *arg)
{
	struct lock *l = arg;
	struct master *m = l->master;
	struct volume *v;

	l->releasing = false;
	if (!error)
		log_info("volume %s: its lock (vid %x) is released", l->shown, l->vid);
	else if (error == -EINPROGRESS)
		log_warning(
		    "volume %s: whether its lock (vid %x) was released is not known: %s; it may be "
		    "somebody else's by now, so nobody tries again: should it stay locked, %s",
		    l->shown, l->vid, sentence, locks_remedy(&l->name));
	else
		tell_left(l, sentence);
	v = volume_find(m, &l->name);
	if (!error || error == -EINPROGRESS) {
		LIST_REMOVE(l, link);
		free(l);
		state_save_rest(m);
	}
	if (!v)
		return;
	seek_again(v);
	detach_turn(v);
}

static void release(struct lock *l)
{
	int error = cluster_release(l->master, l->vid, on_released, l);

	l->releasing = !error;
	if (error)
		tell_left(l, error == -ESHUTDOWN ? "sheepfs is about to end" : strerror(-error));
}

void locks_left(struct master *m, const struct name *name, const char *shown, uint32_t vid)
{
	struct lock *l;
	unsigned count = 0;

	LIST_FOREACH (l, &m->locks, link)
		count++;
	l = count < LOCKS_MAX ? calloc(1, sizeof *l) : NULL;
	if (!l) {
		log_warning("volume %s: its lock (vid %x) stays held in the cluster; %s", shown,
		    vid, locks_remedy(name));
		return;
	}
	l->master = m;
	l->name = *name;
	l->vid = vid;
	memcpy(l->shown, shown, strlen(shown) + 1);
	LIST_INSERT_HEAD(&m->locks, l, link);
	state_save_rest(m);
	release(l);
}

void locks_release_again(struct master *m, const struct name *name)
{
	struct lock *l;

	LIST_FOREACH (l, &m->locks, link)
		if (!l->releasing && !name_compare(&l->name, name))
			release(l);
}

bool locks_hold_up(const struct master *m, const struct name *name)
{
	const struct lock *l;

	LIST_FOREACH (l, &m->locks, link)
		if (l->releasing && !name_compare(&l->name, name))
			return true;
	return false;
}

void locks_forget_all(struct master *m)
{
	struct lock *l;

	while ((l = LIST_FIRST(&m->locks))) {
		LIST_REMOVE(l, link);
		free(l);
	}
}
