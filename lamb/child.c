/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lamb as a child of sheepfs: see child.h.
 */
#include "lamb/child.h"

#include "include/words.h"
#include "ipc/chan.h"
#include "ipc/log.h"
#include "lamb/jail.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LAST_WORDS 1000 /* milliseconds that they may take */

static void check_started_by_sheepfs(void)
{
	socklen_t size = sizeof(int);
	int type = 0;

	if (!getsockopt(CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET)
		return;
	log_open("lamb", LOG_TO_STDERR, 0);
	fatal("--child is for sheepfs, which starts it so for the target lamb:/STORE");
}

void child_begin(struct child *c, const char *store)
{
	static const struct msg_edge edge = {KIND_LAMB, KIND_MASTER, TALK_STARTING};
	struct pollfd p = {.fd = CONTROL_FD, .events = POLLIN};
	const char *why = "";
	static struct msg m;
	int n;

	check_started_by_sheepfs();
	do {
		poll(&p, 1, -1);
		n = msg_receive(CONTROL_FD, &edge, &m, &why);
	} while (n == -EAGAIN);
	if (!n)
		exit(EXIT_MASTER_GONE);
	if (n < 0 || m.id != MSG_START_LAMB) {
		log_error(
		    "the first message of sheepfs was refused: %s", n < 0 ? why : msg_name(m.id));
		exit(EXIT_BAD_MESSAGE);
	}
	c->listener = msg_take_fd(&m, 0);
	snprintf(c->store, sizeof c->store, "%s", store);
	n = jail_enter(c->store, m.body.start_lamb.uid, m.body.start_lamb.gid);
	if (n)
		fatal("the jail on %s cannot be entered: %s", c->store, strerror(-n));
}

/* The conversation is blocking until child_serve(), and short. */
static void say(const struct msg_refused *refused, const char *sentence)
{
	struct event_base *base = event_base_new();
	static const struct chan_calls silent = {NULL, NULL, NULL};
	struct chan *chan =
	    base ? chan_open(base, CONTROL_FD, KIND_LAMB, KIND_MASTER, TALK_STARTING, &silent, NULL)
		 : NULL;

	if (!chan)
		return;
	send_refused(chan, 0, 0, refused, sentence, strnlen(sentence, SENTENCE_MAX), NULL);
	chan_linger(chan, LAST_WORDS);
}

void child_refuse(const char *why)
{
	const struct msg_refused payload = {.error = -EIO};

	say(&payload, why);
	exit(EXIT_REFUSED);
}

static void on_message(struct chan *chan, struct msg *m, void *arg)
{
	struct child *c = arg;

	if (m->id != MSG_DRAIN) {
		log_error("%s of sheepfs was refused: nobody here expects it", msg_name(m->id));
		exit(EXIT_BAD_MESSAGE);
	}
	chan_talk(chan, TALK_ENDING);
	c->end(c->arg);
}

static void on_ended(struct chan *chan, int error, const char *why, void *arg)
{
	(void)chan;
	(void)arg;
	if (error == -EBADMSG) {
		log_error("a message of sheepfs was refused: %s", why);
		exit(EXIT_BAD_MESSAGE);
	}
	exit(EXIT_MASTER_GONE);
}

void child_serve(struct child *c, struct event_base *base)
{
	static const struct chan_calls calls = {on_message, on_ended, NULL};
	static const struct msg_lamb_ready payload;
	int error;

	c->master = chan_open(base, CONTROL_FD, KIND_LAMB, KIND_MASTER, TALK_SERVING, &calls, c);
	if (!c->master)
		fatal("no memory for the conversation with sheepfs");
	error = jail_close();
	if (error)
		fatal("the system-call filter cannot be loaded: %s", strerror(-error));
	send_lamb_ready(c->master, 0, 0, &payload, NULL, 0, NULL);
}

void child_drained(struct child *c)
{
	static const struct msg_drained payload;

	send_drained(c->master, 0, 0, &payload, NULL, 0, NULL);
	chan_linger(c->master, LAST_WORDS);
	exit(EXIT_DRAINED);
}
