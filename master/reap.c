/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reaping: see reap.h.
 */
#include "master/reap.h"

#include "ipc/log.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static LIST_HEAD(, child) children;
static struct event *signal_event;

static struct child *find(pid_t pid)
{
	struct child *c;

	LIST_FOREACH (c, &children, link)
		if (c->pid == pid)
			return c;
	return NULL;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	int status;
	pid_t pid;

	(void)number;
	(void)what;
	(void)arg;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = find(pid);

		if (c) {
			reap_forget(c);
			c->ended(status, c->arg);
		}
	}
}

int reap_open(struct event_base *base)
{
	LIST_INIT(&children);
	signal_event = evsignal_new(base, SIGCHLD, on_signal, NULL);
	return signal_event && !event_add(signal_event, NULL) ? 0 : -ENOMEM;
}

void reap_close(void)
{
	if (signal_event)
		event_free(signal_event);
	signal_event = NULL;
}

void reap_watch(struct child *c, pid_t pid, void (*ended)(int status, void *arg), void *arg)
{
	c->pid = pid;
	c->ended = ended;
	c->arg = arg;
	LIST_INSERT_HEAD(&children, c, link);
}

/* Whose real user number is theirs may send them signals: no capability is needed for it. */
void reap_as(uid_t uid)
{
	if (setresuid(uid, (uid_t)-1, (uid_t)-1))
		fatal(
		    "user %u cannot be become, even to end its process: %s", uid, strerror(errno));
}

void reap_forget(struct child *c)
{
	if (!c->pid)
		return;
	LIST_REMOVE(c, link);
	c->pid = 0;
}
