/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation with the front: see front.h.
 */
#include "master/front.h"

#include "ipc/log.h"
#include "master/announce.h"
#include "master/attach.h"
#include "master/command.h"
#include "master/detach.h"
#include "master/lamb.h"
#include "master/process.h"
#include "master/stop.h"
#include "master/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct front {
	struct process process;
	struct event *starting; /* pending until the tree serves */
	bool serves;
	bool tree_ended;
};

static struct chan *chan_of(const struct master *m)
{
	return m->front ? m->front->process.chan : NULL;
}

bool front_lives(const struct master *m)
{
	return m->front && m->front->process.lives;
}

bool front_serves_tree(const struct master *m)
{
	return front_lives(m) && !m->front->tree_ended;
}

void front_kill(struct master *m, const char *why)
{
	if (m->front)
		process_kill(&m->front->process, why);
}

/* ---- what it says ---- */

void front_announce(struct master *m)
{
	if (m->front && m->front->serves && lamb_all_serve(m))
		announce_served();
}

static void tree_serves(struct master *m)
{
	struct front *f = m->front;

	if (f->serves)
		return;
	f->serves = true;
	event_del(f->starting);
	log_info("%s is served by process %d", m->mountpoint, (int)getpid());
	front_announce(m);
}

static void volume_message(struct master *m, const struct msg *message)
{
	struct volume *v = volume_by_number(m, message->volume);

	/* what it said of a volume that we have just given up */
	if (!v)
		log_debug("the front speaks of volume %u, which is gone", message->volume);
	else if (message->id == MSG_INIT_RECEIVED)
		attach_init_received(v);
	else if (message->id == MSG_CONNECTION_ENDED)
		detach_connection_ended(v);
	else if (message->generation == v->generation.number)
		generation_blame(&v->generation, (const char *)message->tail);
}

static void on_message(struct msg *message, void *arg)
{
	struct master *m = arg;

	switch (message->id) {
	case MSG_FRONT_STARTED:
		chan_talk(m->front->process.chan, TALK_SERVING);
		front_set_limits(m);
		break;
	case MSG_INIT_RECEIVED:
		if (!message->volume)
			tree_serves(m);
		else
			volume_message(m, message);
		break;
	case MSG_COMMAND:
		command_receive(m, message);
		break;
	case MSG_CONNECTION_ENDED:
		if (!message->volume) {
			m->front->tree_ended = true;
			stop_tree_ended(m);
		} else {
			volume_message(m, message);
		}
		break;
	default:
		volume_message(m, message);
	}
}

static void on_ended(const char *words, void *arg)
{
	struct master *m = arg;
	struct front *f = m->front;

	m->front = NULL;
	stop_front_ended(m, f->tree_ended, words);
	event_free(f->starting);
	free(f);
}

static void on_mute(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;

	(void)fd;
	(void)what;
	front_kill(m, "it did not begin to serve in time");
}

/* ---- what it is told ---- */

int front_start(struct master *m, int device)
{
	const struct process_plan plan = {.program = "sheepfs-front",
	    .kind = KIND_FRONT,
	    .message = on_message,
	    .ended = on_ended,
	    .arg = m};
	const struct msg_start_front start = {.uid = m->conf->uid_first, .gid = m->conf->uid_first};
	struct timeval limit = {m->conf->timeout, 0};
	struct front *f = calloc(1, sizeof *f);
	int error = -ENOMEM;

	if (f)
		f->starting = evtimer_new(m->base, on_mute, m);
	if (f && f->starting)
		error = process_start(m, &f->process, &plan);
	if (error) {
		close(device);
		if (f && f->starting)
			event_free(f->starting);
		free(f);
		return error;
	}
	event_add(f->starting, &limit);
	m->front = f;
	send_start_front(f->process.chan, 0, 0, &start, NULL, 0, &device);
	return 0;
}

void front_answer(struct master *m, uint64_t number, int error, const char *sentence)
{
	const struct msg_answered payload = {.number = number, .error = error};

	if (chan_of(m))
		send_answered(
		    chan_of(m), 0, 0, &payload, sentence, strnlen(sentence, SENTENCE_MAX), NULL);
}

void front_answer_table(struct master *m, uint64_t number, int fd)
{
	const struct msg_table payload = {.number = number};

	if (chan_of(m))
		send_table(chan_of(m), 0, 0, &payload, NULL, 0, &fd);
	else
		close(fd);
}

void front_add_volume(struct master *m, const struct volume *v)
{
	const struct msg_add_volume payload = {.read_only = v->generation.ready.read_only};

	if (chan_of(m))
		send_add_volume(
		    chan_of(m), v->number, 0, &payload, v->shown, strlen(v->shown), NULL);
}

void front_serve_volume(struct master *m, struct volume *v)
{
	const struct msg_ready *ready = &v->generation.ready;
	const struct msg_serve_volume payload = {.size = ready->size,
	    .allocated = ready->allocated,
	    .shift = ready->shift,
	    .read_only = ready->read_only,
	    .page_cache = v->page_cache,
	    .slots = SLOTS_PER_VOLUME};
	int fds[2] = {v->device, v->out[0]};

	v->device = v->out[0] = -1;
	if (chan_of(m)) {
		send_serve_volume(
		    chan_of(m), v->number, v->generation.number, &payload, NULL, 0, fds);
		return;
	}
	close(fds[0]);
	close(fds[1]);
}

void front_start_generation(struct master *m, struct volume *v)
{
	const struct msg_start_generation payload = {.blame = v->blames};
	int fds[2];

	generation_take_fds(&v->generation, fds);
	if (chan_of(m)) {
		send_start_generation(
		    chan_of(m), v->number, v->generation.number, &payload, NULL, 0, fds);
		return;
	}
	close(fds[0]);
	close(fds[1]);
}

/* As the knobs say. */
void front_set_limits(struct master *m)
{
	const struct msg_set_limits payload = {.io_timeout = m->io_timeout};

	if (chan_of(m))
		send_set_limits(chan_of(m), 0, 0, &payload, NULL, 0, NULL);
}

void front_fail_volume(struct master *m, const struct volume *v, int error, const char *why)
{
	const struct msg_fail_volume payload = {.error = error};

	if (chan_of(m))
		send_fail_volume(chan_of(m), v->number, v->generation.number, &payload, why,
		    strnlen(why, SENTENCE_MAX), NULL);
}

void front_remove_volume(struct master *m, const struct volume *v)
{
	const struct msg_remove_volume payload = {.pad = {0}};

	if (chan_of(m))
		send_remove_volume(
		    chan_of(m), v->number, v->generation.number, &payload, NULL, 0, NULL);
}
