/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Helper processes: see process.h.
 */
#include "master/process.h"

#include "ipc/log.h"
#include "master/master.h"
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HUNG_UP 3000 /* milliseconds that it may live on after its conversation */

/* ---- its end ---- */

static void over(struct process *p)
{
	char words[PROCESS_WORDS_MAX];

	if (p->child.pid || p->chan)
		return;
	if (p->blame[0])
		snprintf(words, sizeof words, "%s", p->blame);
	else
		spawn_words(p->status, words, sizeof words);
	relay_close(p->relay);
	p->relay = NULL;
	event_free(p->patience);
	p->patience = NULL;
	log_debug("%s is over: %s", p->label, words);
	p->lives = false;
	p->ended(words, p->arg);
}

static void on_reaped(int status, void *arg)
{
	struct process *p = arg;

	p->status = status;
	/* an orderly exit tells more than that we were about to kill it */
	if (WIFEXITED(status))
		p->blame[0] = 0;
	over(p);
}

static void on_message(struct chan *c, struct msg *m, void *arg)
{
	struct process *p = arg;

	(void)c;
	p->message(m, p->arg);
}

static void on_hung_up(struct chan *c, int error, const char *why, void *arg)
{
	struct process *p = arg;
	char words[PROCESS_WORDS_MAX];

	chan_close(c);
	p->chan = NULL;
	if (error) {
		snprintf(words, sizeof words, "a message of it was refused: %s", why);
		process_kill(p, error == -EBADMSG ? words : why);
	} else {
		process_kill_later(p, HUNG_UP, "it ended its conversation and went on living");
	}
	over(p);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	(void)fd;
	(void)what;
	if (p->child.pid)
		log_warning("%s is killed: %s", p->label, p->late);
	process_kill(p, p->late);
}

void process_kill(struct process *p, const char *why)
{
	if (!p->child.pid)
		return;
	snprintf(p->blame, sizeof p->blame, "%s", why);
	reap_as(p->uid);
	kill(p->child.pid, SIGKILL);
	reap_as(0);
}

void process_kill_later(struct process *p, unsigned milliseconds, const char *why)
{
	struct timeval limit = {milliseconds / 1000, (milliseconds % 1000) * 1000};

	if (!p->child.pid)
		return;
	snprintf(p->late, sizeof p->late, "%s", why);
	event_add(p->patience, &limit);
}

void process_spare(struct process *p)
{
	if (p->patience)
		event_del(p->patience);
}

/* ---- its birth ---- */

static void make_label(struct process *p, const struct process_plan *plan, pid_t pid)
{
	if (!plan->role)
		snprintf(p->label, sizeof p->label, "front[%d]", (int)pid);
	else if (plan->path)
		snprintf(p->label, sizeof p->label, "%s %.200s[%d]", plan->program, plan->name,
		    (int)pid);
	else
		snprintf(p->label, sizeof p->label, "worker %.200s[%d]",
		    plan->name ? plan->name : plan->role, (int)pid);
}

static int birth(
    struct master *m, struct process *p, const struct process_plan *plan, int control, int log)
{
	const char *argv[] = {plan->program, plan->role, plan->name, NULL};
	char path[PATH_MAX];
	pid_t pid;

	if (plan->path)
		snprintf(path, sizeof path, "%s", plan->path);
	else
		snprintf(path, sizeof path, "%s/%s", m->conf->libexec, plan->program);
	pid = spawn_program(path, (char *const *)argv, control, log, m->conf->debug);
	if (pid < 0)
		return (int)pid;
	make_label(p, plan, pid);
	reap_watch(&p->child, pid, on_reaped, p);
	p->lives = true;
	return 0;
}

static const struct chan_calls calls = {on_message, on_hung_up, NULL};

/* Our ends; owned from now on. */
static int attend(struct master *m, struct process *p, enum kind kind, int control, int log)
{
	p->relay = relay_open(m->base, log, p->label);
	p->chan = chan_open(m->base, control, KIND_MASTER, kind, TALK_STARTING, &calls, p);
	p->patience = evtimer_new(m->base, on_patience, p);
	if (p->relay && p->chan && p->patience)
		return 0;
	reap_forget(&p->child);
	chan_close(p->chan);
	relay_close(p->relay);
	if (p->patience)
		event_free(p->patience);
	return -ENOMEM;
}

int process_start(struct master *m, struct process *p, const struct process_plan *plan)
{
	int control[2], log[2], error;
	pid_t pid;

	memset(p, 0, sizeof *p);
	p->uid = plan->uid;
	p->message = plan->message;
	p->ended = plan->ended;
	p->arg = plan->arg;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control))
		return -errno;
	if (pipe2(log, O_CLOEXEC | O_NONBLOCK)) {
		error = -errno;
		close(control[0]);
		close(control[1]);
		return error;
	}
	error = birth(m, p, plan, control[1], log[1]);
	close(control[1]);
	close(log[1]);
	if (error) {
		close(control[0]);
		close(log[0]);
		return error;
	}
	pid = p->child.pid;
	error = attend(m, p, plan->kind, control[0], log[0]);
	if (error) {
		kill(pid, SIGKILL); /* it is root's yet */
		memset(p, 0, sizeof *p);
	}
	return error;
}
