/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handover: see handover.h.
 */
#include "master/handover.h"

#include "ipc/log.h"
#include "master/cluster.h"
#include "master/command.h"
#include "master/detach.h"
#include "master/front.h"
#include "master/lamb.h"
#include "master/replace.h"
#include "master/seek.h"
#include "master/state.h"
#include "master/stop.h"
#include "master/volume.h"

#include <stdlib.h>

#define COMMANDS_EXTRA 2000 /* milliseconds besides --timeout for commands that have begun */

struct handover {
	bool volumes_told;
	bool front_told;
	bool late; /* commands that have begun are not waited for any more */
	bool over;
	bool turning;
	struct event *limit;
	void (*done)(struct master *m);
};

const char *handover_obstacle(const struct master *m)
{
	const struct front_memory *memory = front_memory(m);

	if (m->stop)
		return "it is about to end";
	if (m->handover)
		return "it is being handed over already";
	if (!memory || replace_is_pending())
		return "it does not serve yet";
	if (!memory->resend)
		return "this kernel cannot ask another front what one did not answer (Linux 6.9 "
		       "can), so callers would wait for ever";
	return NULL;
}

static bool is_in_motion(const struct volume *v)
{
	return v->state == VOLUME_SEEKING || v->state == VOLUME_MOUNTING ||
	       v->state == VOLUME_DELETING || v->state == VOLUME_DETACHING ||
	       v->state == VOLUME_ENDING;
}

static bool step_commands(const struct master *m)
{
	const struct volume *v;

	if (m->handover->late)
		return false;
	TAILQ_FOREACH (v, &m->volumes, link)
		if (is_in_motion(v))
			return true;
	return !command_none_runs(m);
}

static bool step_workers(struct master *m)
{
	struct handover *h = m->handover;
	bool lives = false;
	struct volume *v;

	TAILQ_FOREACH (v, &m->volumes, link) {
		if (!h->volumes_told && is_in_motion(v))
			generation_kill(&v->generation, "sheepfs is handed over");
		else if (!h->volumes_told)
			seek_elsewhere(v);
		lives = lives || generation_lives(&v->generation);
	}
	h->volumes_told = true;
	return lives;
}

static bool step_front(struct master *m)
{
	if (!front_lives(m))
		return false;
	if (!m->handover->front_told)
		front_end_for_successor(m);
	m->handover->front_told = true;
	return true;
}

static bool step_others(struct master *m)
{
	cluster_stop(m);
	lamb_stop(m);
	return cluster_lives(m) || lamb_lives(m);
}

void handover_turn(struct master *m)
{
	struct handover *h = m->handover;
	struct volume *v;

	/* an end that has begun meanwhile is the end; whoever waits for our place hears it from
	 * that */
	if (!h || h->over || h->turning || m->stop)
		return;
	h->turning = true; /* telling somebody may end somebody */
	h->over = !step_commands(m) && !step_workers(m) && !step_front(m) && !step_others(m);
	h->turning = false;
	if (!h->over)
		return;
	event_del(h->limit);
	TAILQ_FOREACH (v, &m->volumes, link)
		detach_front_lost(v);
	state_save(m);
	log_debug("everything but the mounts has ended");
	h->done(m);
}

bool handover_is_over(const struct master *m)
{
	return m->handover && m->handover->over;
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;

	(void)fd;
	(void)what;
	log_warning("a command takes too long: the next sheepfs is asked for it again");
	m->handover->late = true;
	handover_turn(m);
}

void handover_begin(struct master *m, void (*done)(struct master *m))
{
	unsigned milliseconds = m->conf->timeout * 1000 + COMMANDS_EXTRA;
	struct timeval limit = {milliseconds / 1000, (milliseconds % 1000) * 1000};
	struct handover *h = calloc(1, sizeof *h);

	if (h)
		h->limit = evtimer_new(m->base, on_limit, m);
	if (!h || !h->limit)
		fatal("no memory to hand over in order");
	h->done = done;
	event_add(h->limit, &limit);
	m->handover = h;
	handover_turn(m);
}

void handover_undo(struct master *m)
{
	struct handover *h = m->handover;
	struct volume *v;
	int error;

	m->handover = NULL;
	event_free(h->limit);
	free(h);
	error = front_start_next(m);
	if (error) {
		log_error("the front cannot be started again: everything is unmounted");
		stop_begin(m, EXIT_FAILURE);
		return;
	}
	lamb_start(m);
	cluster_go_on(m);
	TAILQ_FOREACH (v, &m->volumes, link)
		if (v->state == VOLUME_RECOVERING || v->state == VOLUME_SEEKING)
			seek_begin(v);
	command_run_waiting(m);
	front_announce(m);
}
