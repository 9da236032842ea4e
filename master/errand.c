/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errands: see errand.h.
 */
#include "master/errand.h"

#include "master/reap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LAST_SECOND 1000 /* milliseconds that a killed child has to go */

struct errand {
	struct child child;
	int text; /* the reading end of its pipe */
	struct event *limit;
	bool killed;
	void (*done)(int error, const char *text, void *arg);
	void *done_arg;
};

/* ---- the child ---- */

/* Signals mean what they mean, and no descriptor but these is held. */
static void make_plain(int keep, int text)
{
	int low = keep < text ? keep : text, high = keep < text ? text : keep;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (low > 3)
		close_range(3, (unsigned)low - 1, 0);
	if (high > low + 1)
		close_range(low < 3 ? 3U : (unsigned)low + 1, (unsigned)high - 1, 0);
	close_range((unsigned)high + 1, ~0U, 0);
}

static _Noreturn void child_main(errand_work *work, const void *arg, int keep, int out)
{
	static char text[ERRAND_TEXT_MAX];
	int error;

	make_plain(keep, out);
	error = work(arg, keep, text);
	if (text[0] && write(out, text, strnlen(text, sizeof text)) < 0 && !error)
		error = -errno;
	_exit(-error);
}

/* Returns the pid or -errno; *text becomes the pipe's reading end. */
static pid_t start_child(errand_work *work, const void *arg, int keep, int *text)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid)
		child_main(work, arg, keep, ends[1]);
	if (pid < 0) {
		pid = -errno;
		close(ends[0]);
	} else {
		*text = ends[0];
	}
	close(ends[1]);
	return pid;
}

/* ---- the parent ---- */

static int result_of(int status)
{
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ETIMEDOUT;
}

/* What the child wrote; the pipe holds more than ERRAND_TEXT_MAX, so all of it is there. */
static void take_text(int fd, char *text)
{
	ssize_t n = read(fd, text, ERRAND_TEXT_MAX - 1);

	text[n > 0 ? n : 0] = 0;
}

static void errand_over(struct errand *e, int error, const char *text)
{
	void (*done)(int, const char *, void *) = e->done;
	void *arg = e->done_arg;

	reap_forget(&e->child);
	event_free(e->limit);
	close(e->text);
	free(e);
	done(error, text, arg);
}

static void on_ended(int status, void *arg)
{
	struct errand *e = arg;
	char text[ERRAND_TEXT_MAX];

	take_text(e->text, text);
	errand_over(e, result_of(status), text);
}

/* In its last second it sits in a system call that no signal ends: nobody waits for it. */
static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct errand *e = arg;

	(void)fd;
	(void)what;
	if (e->killed)
		errand_over(e, -ETIMEDOUT, "");
	else
		errand_kill(e);
}

static void set_limit(struct errand *e, unsigned milliseconds)
{
	struct timeval limit = {milliseconds / 1000, (milliseconds % 1000) * 1000};

	event_add(e->limit, &limit);
}

void errand_kill(struct errand *e)
{
	if (!e || e->killed)
		return;
	e->killed = true;
	kill(e->child.pid, SIGKILL);
	set_limit(e, LAST_SECOND);
}

struct errand *errand_start(struct event_base *base, errand_work *work, const void *arg, int keep,
    unsigned milliseconds, void (*done)(int error, const char *text, void *arg), void *done_arg)
{
	struct errand *e = calloc(1, sizeof *e);
	pid_t pid = -ENOMEM;

	if (!e)
		return NULL;
	e->done = done;
	e->done_arg = done_arg;
	e->limit = evtimer_new(base, on_limit, e);
	if (e->limit)
		pid = start_child(work, arg, keep, &e->text);
	if (pid < 0) {
		if (e->limit)
			event_free(e->limit);
		free(e);
		return NULL;
	}
	fcntl(e->text, F_SETFL, O_NONBLOCK);
	reap_watch(&e->child, pid, on_ended, e);
	set_limit(e, milliseconds);
	return e;
}

/* Waits for the end of `pid` up to LAST_SECOND. */
static int collect(pid_t pid)
{
	static const struct timespec moment = {0, 10 * 1000 * 1000};
	int status = 0;

	for (int waited = 0; waited < LAST_SECOND; waited += 10) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return result_of(status);
		nanosleep(&moment, NULL);
	}
	return -ETIMEDOUT;
}

int errand_run(errand_work *work, const void *arg, unsigned milliseconds, char *text)
{
	struct pollfd p = {.events = POLLIN};
	pid_t pid = start_child(work, arg, -1, &p.fd);

	text[0] = 0;
	if (pid < 0)
		return pid;
	if (poll(&p, 1, (int)milliseconds) > 0)
		take_text(p.fd, text);
	else
		kill(pid, SIGKILL);
	close(p.fd);
	return collect(pid);
}
