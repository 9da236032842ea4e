/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation with the master: see orders.h.
 */
#include "front/orders.h"

#include "front/control.h"
#include "front/volume.h"
#include "include/words.h"
#include "ipc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define LAST_WORDS 1000 /* milliseconds that they may take */

/* ---- endings ---- */

static _Noreturn void leave(struct front *f, enum exit_word word)
{
	chan_linger(f->master, LAST_WORDS);
	exit((int)word);
}

static _Noreturn void refused(struct front *f, const struct msg *m, const char *why)
{
	log_error("%s for volume %" PRIu32 " was refused: %s", msg_name(m->id), m->volume, why);
	leave(f, EXIT_BAD_MESSAGE);
}

/* The tree is gone; so is the reason to be here when no volume is left. */
static void leave_when_unmounted(struct front *f)
{
	if (!f->tree && TAILQ_EMPTY(&f->volumes))
		leave(f, EXIT_UNMOUNTED);
}

/* ---- orders ---- */

static struct volume *volume_of(struct front *f, const struct msg *m)
{
	struct volume *v = volume_by_number(f, m->volume);

	if (!v)
		refused(f, m, "there is no such volume");
	return v;
}

static void add(struct front *f, const struct msg *m)
{
	const char *name = (const char *)m->tail;
	int error;

	if (!m->volume || !m->tail_size || strchr(name, '/') || !strcmp(name, ".") ||
	    !strcmp(name, ".."))
		refused(f, m, "it has no number or no name");
	error = volume_add(f, m->volume, name, m->body.add_volume.read_only);
	if (error)
		refused(f, m, strerror(-error));
}

static void start(struct front *f, struct msg *m)
{
	struct volume *v = volume_of(f, m);
	int socket = msg_take_fd(m, 0), in = msg_take_fd(m, 1);
	int error = volume_start(v, m->generation, m->body.start_generation.blame, socket, in);

	if (error)
		refused(f, m, strerror(-error));
}

static void serve(struct front *f, struct msg *m)
{
	struct volume *v = volume_of(f, m);
	int device = msg_take_fd(m, 0), out = msg_take_fd(m, 1);
	int error = volume_serve(v, device, out, &m->body.serve_volume, m->tail, m->tail_size);

	if (error)
		refused(f, m, strerror(-error));
}

static void fail(struct front *f, const struct msg *m)
{
	struct volume *v = volume_of(f, m);

	log_debug("volume %s: every caller gets \"%s\" from now on: %s", v->name,
	    strerror(-m->body.fail_volume.error), (const char *)m->tail);
	volume_fail(v, m->body.fail_volume.error);
}

static void on_message(struct chan *c, struct msg *m, void *arg)
{
	struct front *f = arg;
	bool awaited = true;

	(void)c;
	switch (m->id) {
	case MSG_ADD_VOLUME:
		add(f, m);
		break;
	case MSG_START_GENERATION:
		start(f, m);
		break;
	case MSG_SERVE_VOLUME:
		serve(f, m);
		break;
	case MSG_FAIL_VOLUME:
		fail(f, m);
		break;
	case MSG_READ_TREE:
		if (f->tree)
			session_resume(f->tree);
		break;
	case MSG_SET_LIMITS:
		volume_set_io_timeout(f, m->body.set_limits.io_timeout);
		break;
	case MSG_REMOVE_VOLUME:
		volume_remove(volume_of(f, m));
		leave_when_unmounted(f);
		break;
	case MSG_ANSWER:
		awaited = control_answered(f->control, &m->body.answered, (const char *)m->tail);
		break;
	case MSG_TABLE:
		awaited = control_table(f->control, m->body.table.number, msg_take_fd(m, 0));
		break;
	default:
		refused(f, m, "nobody here expects it");
	}
	if (!awaited && f->tree)
		log_warning("%s for a command that does not wait for it", msg_name(m->id));
}

static void on_ended(struct chan *c, int error, const char *why, void *arg)
{
	struct front *f = arg;

	(void)c;
	if (error)
		log_error("the conversation with the master is over: %s", why);
	if (error == -EBADMSG)
		exit(EXIT_BAD_MESSAGE);
	exit(f->tree ? EXIT_MASTER_GONE : EXIT_UNMOUNTED);
}

static const struct chan_calls calls = {on_message, on_ended, NULL};

bool orders_pending(const struct front *f)
{
	struct pollfd p = {.fd = f->master_fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0 && p.revents & POLLIN;
}

/* ---- what is told ---- */

static uint32_t number_of(const struct volume *v)
{
	return v ? v->number : 0;
}

static uint32_t generation_of(const struct volume *v)
{
	return v ? v->generation : 0;
}

void orders_init_received(
    struct front *f, const struct volume *v, const void *request, size_t size, bool resend)
{
	const struct msg_init_received payload = {.resend = resend};

	send_init_received(
	    f->master, number_of(v), generation_of(v), &payload, request, size, NULL);
}

void orders_attributes(struct front *f, const struct volume *v)
{
	const struct msg_attributes payload = {
	    .mode = v->face.mode, .uid = v->face.uid, .gid = v->face.gid};

	send_attributes(f->master, number_of(v), generation_of(v), &payload, NULL, 0, NULL);
}

void orders_connection_ended(struct front *f, const struct volume *v)
{
	static const struct msg_connection_ended payload;

	send_connection_ended(f->master, number_of(v), generation_of(v), &payload, NULL, 0, NULL);
	leave_when_unmounted(f);
}

void orders_worker_misbehaved(struct front *f, const struct volume *v, const char *why)
{
	static const struct msg_worker_misbehaved payload;

	send_worker_misbehaved(
	    f->master, number_of(v), generation_of(v), &payload, why, strlen(why), NULL);
}

void orders_command(
    struct front *f, const struct msg_command *command, const char *text, size_t size)
{
	send_command(f->master, 0, 0, command, text, size, NULL);
}

/* ---- the beginning ---- */

int orders_await_start(int fd, struct msg_start_front *start, uint8_t *init, size_t *init_size)
{
	static const struct msg_edge edge = {KIND_FRONT, KIND_MASTER, TALK_STARTING};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	const char *why = "";
	struct msg m;
	int n;

	do {
		poll(&p, 1, -1);
		n = msg_receive(fd, &edge, &m, &why);
	} while (n == -EAGAIN);
	if (!n)
		exit(EXIT_MASTER_GONE);
	if (n < 0 && n != -EBADMSG)
		fatal("nothing can be received from the master: %s", strerror(-n));
	if (n < 0) {
		log_error("the first message of the master was refused: %s", why);
		exit(EXIT_BAD_MESSAGE);
	}
	*start = m.body.start_front; /* the table has no other message for us now */
	memcpy(init, m.tail, m.tail_size);
	*init_size = m.tail_size;
	return msg_take_fd(&m, 0);
}

void orders_open(struct front *f, int fd)
{
	static const struct msg_front_started payload;

	f->master_fd = fd;
	f->master = chan_open(f->base, fd, KIND_FRONT, KIND_MASTER, TALK_SERVING, &calls, f);
	if (!f->master)
		fatal("no memory for the conversation with the master");
	send_front_started(f->master, 0, 0, &payload, NULL, 0, NULL);
}
