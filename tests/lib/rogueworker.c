/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rogueworker: what a volume's worker may do that somebody has taken over, for tests.
 *
 * Installed as sheepfs-worker, beside the true one under the name true-worker, which it becomes for
 * the cluster.  It has no jail, asks for more and more connections, and says with REFUSED how many
 * it was given.
 */
#include "include/bounds.h"
#include "ipc/chan.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE 16 /* as many as a DIAL may ask for */
#define ROUNDS 6

static unsigned asked, given, refused;

static void ask(struct chan *c, const struct msg *m)
{
	const struct msg_dial dial = {.count = AT_ONCE};

	asked += AT_ONCE;
	send_dial(c, m->volume, m->generation, &dial, NULL, 0, NULL);
}

static void tell(struct chan *c, const struct msg *m)
{
	const struct msg_refused payload = {.error = -EPERM};
	char text[100];

	snprintf(
	    text, sizeof text, "a rogue asked %u times and was given %u connections", asked, given);
	send_refused(c, m->volume, m->generation, &payload, text, strlen(text), NULL);
}

static void on_message(struct chan *c, struct msg *m, void *arg)
{
	(void)arg;
	if (m->id == MSG_START_VOLUME)
		ask(c, m);
	else if (m->id == MSG_DAEMON && msg_take_fd(m, 0) >= 0)
		given++;
	else if (m->id == MSG_DIAL_FAILED)
		refused++;
	else
		return;
	if (given + refused < asked)
		return;
	if (asked < ROUNDS * AT_ONCE)
		ask(c, m);
	else
		tell(c, m);
}

static void on_ended(struct chan *c, int error, const char *why, void *arg)
{
	(void)c;
	(void)error;
	(void)why;
	(void)arg;
	exit(EXIT_SUCCESS);
}

static const struct chan_calls calls = {on_message, on_ended, NULL};

int main(int argc, char **argv)
{
	struct event_base *base;
	char path[4096];
	ssize_t size;

	if (argc > 1 && !strcmp(argv[1], "cluster")) {
		size = readlink("/proc/self/exe", path, sizeof path - sizeof "/true-worker");
		if (size < 0)
			return EXIT_FAILURE;
		path[size] = 0;
		strcpy(strrchr(path, '/'), "/true-worker");
		execv(path, argv);
		return EXIT_FAILURE;
	}
	base = event_base_new();
	if (!base ||
	    !chan_open(base, CONTROL_FD, KIND_VOLUME, KIND_MASTER, TALK_STARTING, &calls, NULL))
		return EXIT_FAILURE;
	event_base_dispatch(base);
	return EXIT_SUCCESS;
}
