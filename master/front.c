/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation with the front: see front.h.
 */
#include "master/front.h"

#include "ipc/log.h"
#include "master/attach.h"
#include "master/command.h"
#include "master/detach.h"
#include "master/handover.h"
#include "master/lamb.h"
#include "master/process.h"
#include "master/replace.h"
#include "master/seek.h"
#include "master/startup.h"
#include "master/state.h"
#include "master/stop.h"
#include "master/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EARLY 2000  /* milliseconds: who lives no longer has been of no use */
#define EARLY_MAX 5 /* such ones in a row, then it is given up */

struct front {
	struct process process;
	struct event *starting; /* pending until the tree serves */
	bool serves;
	bool takes; /* it knows the volumes */
	bool tree_ended;
	bool announced;   /* one of ours has served */
	bool leaves_tree; /* its end was asked for, and the tree's connection stays */
	struct front_memory memory;
	uint64_t since; /* milliseconds: when it was started */
	unsigned early; /* in a row that died early */
};

static struct chan *chan_of(const struct master *m)
{
	return m->front ? m->front->process.chan : NULL;
}

/* What concerns volumes can be said from begin() on, where all that was not said is made good. */
static struct chan *volumes_of(const struct master *m)
{
	return m->front && m->front->takes ? m->front->process.chan : NULL;
}

/* The front has the only other descriptor of the device: without both the connection ends. */
static void close_device(struct master *m)
{
	if (m->device < 0)
		return;
	close(m->device);
	m->device = -1;
	notify_drop(STATE_TREE_NAME);
}

bool front_lives(const struct master *m)
{
	return m->front && m->front->process.lives;
}

bool front_takes(const struct master *m)
{
	return front_lives(m) && m->front->takes;
}

bool front_serves_tree(const struct master *m)
{
	return front_lives(m) && !m->front->tree_ended;
}

void front_kill(struct master *m, const char *why)
{
	close_device(m);
	if (m->front)
		process_kill(&m->front->process, why);
}

void front_end_for_successor(struct master *m)
{
	m->front->leaves_tree = true;
	process_kill(&m->front->process, "another sheepfs goes on");
}

/* ---- what it says ---- */

void front_announce(struct master *m)
{
	struct volume *v;

	if (!m->front || !m->front->serves || !lamb_all_serve(m))
		return;
	if (replace_is_pending()) {
		replace_served();
		TAILQ_FOREACH (v, &m->volumes, link)
			if (v->state != VOLUME_MOUNTING)
				seek_front_takes(v);
		command_run_waiting(m);
	}
	startup_begin(m);
}

static void tree_serves(struct master *m)
{
	struct front *f = m->front;

	if (f->serves)
		return;
	f->serves = true;
	event_del(f->starting);
	if (!f->announced)
		log_info("%s is served by process %d", m->mountpoint, (int)getpid());
	f->announced = true;
	front_announce(m);
}

static void save_init(uint8_t *init, size_t *init_size, const struct msg *message)
{
	*init_size = message->tail_size;
	memcpy(init, message->tail, message->tail_size);
}

static void volume_message(struct master *m, const struct msg *message)
{
	struct volume *v = volume_by_number(m, message->volume);

	if (!v) {
		/* what it said of a volume that we have just given up */
		log_debug("the front speaks of volume %u, which is gone", message->volume);
	} else if (message->id == MSG_INIT_RECEIVED) {
		save_init(v->init, &v->init_size, message);
		attach_init_received(v);
	} else if (message->id == MSG_CONNECTION_ENDED) {
		detach_connection_ended(v);
	} else if (message->id == MSG_ATTRIBUTES) {
		v->attributes = message->body.attributes;
		v->owned = true;
		state_save_volume(v);
	} else if (message->generation == v->generation.number) {
		generation_blame(&v->generation, (const char *)message->tail);
	}
}

static void tree_init_received(struct master *m, const struct msg *message)
{
	struct front_memory *memory = &m->front->memory;

	save_init(memory->init, &memory->init_size, message);
	memory->resend = message->body.init_received.resend;
	notify_keep(STATE_TREE_NAME, m->device);
	state_save(m);
	tree_serves(m);
}

/* It may show what there is, and then read what the kernel has for it. */
static void begin(struct master *m)
{
	static const struct msg_read_tree payload;
	struct volume *v;

	chan_talk(chan_of(m), TALK_SERVING);
	m->front->takes = true;
	front_set_limits(m);
	TAILQ_FOREACH (v, &m->volumes, link) {
		if (v->shown_by_front)
			front_add_volume(m, v);
		if (v->shown_by_front && v->serving)
			front_serve_volume(m, v);
	}
	TAILQ_FOREACH (v, &m->volumes, link)
		seek_front_takes(v);
	send_read_tree(chan_of(m), 0, 0, &payload, NULL, 0, NULL);
	if (m->front->memory.init_size)
		tree_serves(m);
}

static void on_message(struct msg *message, void *arg)
{
	struct master *m = arg;

	switch (message->id) {
	case MSG_FRONT_STARTED:
		begin(m);
		break;
	case MSG_INIT_RECEIVED:
		if (!message->volume) {
			tree_init_received(m, message);
		} else {
			volume_message(m, message);
		}
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

static int start(struct master *m);

/* What its callers wait for is asked of the next one; what its workers had is settled first. */
static bool succeed(struct master *m, const char *words)
{
	struct front *f = m->front;
	struct volume *v;

	f->early = f->serves && generation_now() - f->since >= EARLY ? 0 : f->early + 1;
	if (m->stop || f->tree_ended || m->device < 0 || !f->memory.init_size ||
	    !f->memory.resend || f->early >= EARLY_MAX)
		return false;
	log_warning(
	    "front %u ended: %s; callers wait for the next one", f->memory.incarnation, words);
	TAILQ_FOREACH (v, &m->volumes, link)
		detach_front_lost(v);
	return !front_start_next(m);
}

static void on_ended(const char *words, void *arg)
{
	struct master *m = arg;
	struct front *f = m->front;

	event_del(f->starting);
	if (m->handover && f->leaves_tree) {
		handover_turn(m);
		return;
	}
	if (succeed(m, words))
		return;
	if (!m->stop && !f->tree_ended && f->memory.init_size && !f->memory.resend)
		log_error("this kernel cannot ask another front what one did not answer (Linux 6.9 "
			  "can): the mounts end with it");
	close_device(m);
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

static int start(struct master *m)
{
	const struct process_plan plan = {.program = "sheepfs-front",
	    .kind = KIND_FRONT,
	    .uid = m->conf->uid_first,
	    .message = on_message,
	    .ended = on_ended,
	    .arg = m};
	struct front *f = m->front;
	const struct msg_start_front payload = {.uid = m->conf->uid_first,
	    .gid = m->conf->uid_first,
	    .started = f->memory.started,
	    .incarnation = f->memory.incarnation};
	const struct timeval limit = {m->conf->timeout, 0};
	int device = fcntl(m->device, F_DUPFD_CLOEXEC, 4);
	int error = device < 0 ? -errno : process_start(m, &f->process, &plan);

	if (error) {
		if (device >= 0)
			close(device);
		return error;
	}
	f->memory.pid = f->process.child.pid;
	replace_tell_front(f->memory.pid);
	state_save(m);
	f->since = generation_now();
	event_add(f->starting, &limit);
	send_start_front(
	    f->process.chan, 0, 0, &payload, f->memory.init, f->memory.init_size, &device);
	return 0;
}

struct process *front_process(const struct master *m)
{
	return m->front ? &m->front->process : NULL;
}

void front_forget(struct master *m)
{
	close_device(m);
	if (m->front && m->front->starting)
		event_free(m->front->starting);
	free(m->front);
	m->front = NULL;
}

int front_remember(struct master *m, int device, const struct front_memory *memory)
{
	if (device < 0)
		return device;
	m->device = device;
	m->front = calloc(1, sizeof *m->front);
	if (m->front)
		m->front->starting = evtimer_new(m->base, on_mute, m);
	if (!m->front || !m->front->starting) {
		front_forget(m);
		return -ENOMEM;
	}
	m->front->memory = *memory;
	return 0;
}

int front_start_next(struct master *m)
{
	struct front *f = m->front;

	f->memory.incarnation++;
	f->serves = f->takes = f->leaves_tree = false;
	return start(m);
}

int front_start(struct master *m, int device)
{
	const struct front_memory memory = {.started = (uint64_t)time(NULL)};
	int error = front_remember(m, device, &memory);

	if (!error)
		error = front_start_next(m);
	if (error && m->front)
		front_forget(m);
	return error;
}

const struct front_memory *front_memory(const struct master *m)
{
	return m->front && m->front->memory.init_size ? &m->front->memory : NULL;
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
	const struct msg_add_volume payload = {.read_only = v->face.read_only};

	if (volumes_of(m))
		send_add_volume(
		    volumes_of(m), v->number, 0, &payload, v->shown, strlen(v->shown), NULL);
}

/* A duplicate of its device; another `out` each time. */
static int give_memory(struct volume *v, int fds[2])
{
	int error = generation_make_out(v);

	fds[0] = error ? -1 : fcntl(v->device, F_DUPFD_CLOEXEC, 4);
	if (error || fds[0] < 0)
		return error ? error : -errno;
	fds[1] = v->out[0];
	v->out[0] = -1;
	return 0;
}

void front_serve_volume(struct master *m, struct volume *v)
{
	const struct msg_ready *ready = &v->face;
	const struct msg_serve_volume payload = {.size = ready->size,
	    .allocated = ready->allocated,
	    .shift = ready->shift,
	    .read_only = ready->read_only,
	    .page_cache = v->page_cache,
	    .slots = SLOTS_PER_VOLUME,
	    .owned = v->owned,
	    .mode = v->attributes.mode,
	    .uid = v->attributes.uid,
	    .gid = v->attributes.gid};
	int fds[2], error;

	if (!volumes_of(m))
		return;
	error = give_memory(v, fds);
	if (error)
		fatal("no memory for the requests of volume %s: %s", v->shown, strerror(-error));
	send_serve_volume(
	    volumes_of(m), v->number, v->generation.number, &payload, v->init, v->init_size, fds);
}

void front_start_generation(struct master *m, struct volume *v)
{
	const struct msg_start_generation payload = {.blame = v->blames};
	int fds[2];

	if (!volumes_of(m))
		return;
	generation_take_fds(&v->generation, fds);
	send_start_generation(
	    volumes_of(m), v->number, v->generation.number, &payload, NULL, 0, fds);
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

	if (volumes_of(m))
		send_fail_volume(volumes_of(m), v->number, v->generation.number, &payload, why,
		    strnlen(why, SENTENCE_MAX), NULL);
}

void front_remove_volume(struct master *m, const struct volume *v)
{
	const struct msg_remove_volume payload = {.pad = {0}};

	if (volumes_of(m))
		send_remove_volume(
		    volumes_of(m), v->number, v->generation.number, &payload, NULL, 0, NULL);
}
