/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes: see volume.h.
 */
#include "master/volume.h"

#include "master/attach.h"
#include "master/command.h"
#include "master/deletion.h"
#include "master/detach.h"
#include "master/discover.h"
#include "master/seek.h"
#include "master/snapshot.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct volume *volume_find(const struct master *m, const struct name *name)
{
	struct volume *v;

	TAILQ_FOREACH (v, &m->volumes, link)
		if (!name_compare(&v->name, name))
			return v;
	return NULL;
}

struct volume *volume_by_number(const struct master *m, uint32_t number)
{
	struct volume *v;

	TAILQ_FOREACH (v, &m->volumes, link)
		if (v->number == number)
			return v;
	return NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct volume *v = arg;

	(void)fd;
	(void)what;
	if (v->state == VOLUME_ENDING || v->state == VOLUME_DETACHING)
		detach_step_is_late(v);
	else if (v->doomed)
		deletion_is_late(v);
	else
		attach_is_late(v);
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	seek_again(arg);
}

struct volume *volume_new(struct master *m, uint32_t number, const struct name *name)
{
	struct volume *v = calloc(1, sizeof *v);

	if (!v)
		return NULL;
	v->master = m;
	v->name = *name;
	name_show(name, v->shown);
	v->page_cache = m->page_cache;
	v->object_cache = m->object_cache;
	v->device = v->out[0] = v->out[1] = -1;
	TAILQ_INIT(&v->pasts);
	v->generation.volume = v;
	v->trial = malloc(sizeof *v->trial);
	v->timer = evtimer_new(m->base, on_timer, v);
	v->pause = evtimer_new(m->base, on_pause, v);
	if (!v->trial || !v->timer || !v->pause) {
		volume_free(v);
		return NULL;
	}
	trial_begin(v->trial, discover_targets(m));
	v->number = number;
	if (m->last_volume < number)
		m->last_volume = number;
	TAILQ_INSERT_TAIL(&m->volumes, v, link);
	return v;
}

void volume_free(struct volume *v)
{
	snapshot_forget(v);
	if (v->number)
		TAILQ_REMOVE(&v->master->volumes, v, link);
	if (v->timer)
		event_free(v->timer);
	if (v->pause)
		event_free(v->pause);
	past_close(v->master, NULL, &v->pasts);
	free(v->lines);
	for (unsigned i = 0; i < 2; i++)
		if (v->out[i] >= 0)
			close(v->out[i]);
	free(v->trial);
	free(v);
}

void volume_identify(struct volume *v, const struct msg_identity *identity)
{
	v->identity.cluster_ctime = identity->cluster_ctime;
	v->identity.create_time = identity->create_time;
	v->identity.vid = identity->vid;
}

const char *volume_fate(const struct volume *v)
{
	return v->doomed ? deletion_fate(v->cut) : "was not attached";
}

bool volume_is_up(const struct volume *v)
{
	return v->state == VOLUME_READY || v->state == VOLUME_RECOVERING ||
	       v->state == VOLUME_FAILED;
}

void volume_set_timer(struct volume *v, unsigned milliseconds)
{
	struct timeval limit = {milliseconds / 1000, (milliseconds % 1000) * 1000};

	event_add(v->timer, &limit);
}

void volume_clear_timer(struct volume *v)
{
	event_del(v->timer);
}
