/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The target lamb:/store: see lamb.h.  What is done to the folder before is storefolder.c's.
 */
#include "master/lamb.h"

#include "ipc/log.h"
#include "master/announce.h"
#include "master/cluster.h"
#include "master/front.h"
#include "master/handover.h"
#include "master/process.h"
#include "master/replace.h"
#include "master/stop.h"
#include "master/storefolder.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 1024
#define PAUSE_MIN 200 /* milliseconds before one that died early is started again */
#define PAUSE_MAX 10000
#define USEFUL_LIFE 2     /* seconds that one must have served, or it died early */
#define START_LIMIT 30000 /* milliseconds until it must serve: a large store is read first */
#define STOP_LIMIT 6000

enum state { IDLE, STARTING, SERVING, ENDING };

struct lamb {
	struct master *master;
	const struct target *target;
	enum state state;
	bool served;    /* ever */
	time_t since;   /* when it began to serve, on the monotonic clock */
	unsigned pause; /* the next one, in milliseconds; 0: none */
	struct event *again;
	struct process process;
	char refused[SENTENCE_MAX + 1];
};

struct lambs {
	unsigned count;
	struct lamb lambs[];
};

/* ---- sockets ---- */

static int bind_at(const char *path, struct target *t)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	if (!bind(fd, (struct sockaddr *)&sun, sizeof sun) && !chmod(path, 0600) &&
	    !listen(fd, BACKLOG))
		t->path_fd = open(path, O_PATH | O_CLOEXEC);
	if (t->path_fd < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	t->listener = fd;
	return 0;
}

/*
 * A socket that only we can reach: it has no name any more but the descriptor that we hold, through
 * which connect(2) finds it.  Nothing of it is left when we die.
 */
static int make_socket(struct target *t)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&t->address;
	char directory[] = "/run/sheepfs.XXXXXX", path[sizeof directory + 16];
	int error;

	if (!mkdtemp(directory))
		return -errno;
	snprintf(path, sizeof path, "%s/lamb", directory);
	error = bind_at(path, t);
	unlink(path);
	rmdir(directory);
	if (error)
		return error;
	memset(&t->address, 0, sizeof t->address);
	sun->sun_family = AF_UNIX;
	snprintf(sun->sun_path, sizeof sun->sun_path, "/proc/self/fd/%d", t->path_fd);
	t->size = sizeof *sun;
	return 0;
}

int lamb_prepare(struct conf *c, char *why, size_t why_size)
{
	for (unsigned i = 0; i < c->targets.count; i++) {
		struct target *t = &c->targets.targets[i];
		int error;

		if (!t->store[0])
			continue;
		if (access(c->lamb, X_OK)) {
			error = -errno;
			snprintf(why, why_size,
			    "%s: the program %s cannot be executed: %s; SHEEPFS_LAMB names another",
			    t->text, c->lamb, strerror(-error));
			return error;
		}
		error = storefolder_prepare(t->store, c->uid_first + 2, why, why_size);
		if (error)
			return error;
		error = make_socket(t);
		if (error) {
			snprintf(why, why_size, "%s: its socket cannot be made in /run: %s",
			    t->text, strerror(-error));
			return error;
		}
	}
	return 0;
}

/* ---- its life ---- */

static void start(struct lamb *l);

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start(arg);
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* At once after a life that was of use, later and later after ones that were not. */
static void start_later(struct lamb *l)
{
	struct timeval pause;

	if (l->state == SERVING && seconds() - l->since >= USEFUL_LIFE)
		l->pause = 0;
	pause.tv_sec = l->pause / 1000;
	pause.tv_usec = (l->pause % 1000) * 1000;
	l->state = IDLE;
	event_add(l->again, &pause);
	l->pause = l->pause ? 2 * l->pause : PAUSE_MIN;
	if (l->pause > PAUSE_MAX)
		l->pause = PAUSE_MAX;
}

static void on_message(struct msg *m, void *arg)
{
	struct lamb *l = arg;

	switch (m->id) {
	case MSG_LAMB_READY:
		if (l->state != STARTING)
			break;
		process_spare(&l->process);
		chan_talk(l->process.chan, TALK_SERVING);
		l->state = SERVING;
		l->served = true;
		l->since = seconds();
		log_info(
		    "%s is served by lamb, process %d", l->target->text, (int)l->process.child.pid);
		front_announce(l->master);
		break;
	case MSG_REFUSED:
		snprintf(
		    l->refused, sizeof l->refused, "%.*s", SENTENCE_MAX, (const char *)m->tail);
		break;
	case MSG_DRAINED:
		break;
	default:
		process_kill(&l->process, "it said what no lamb says");
	}
}

/* One that never served: sheepfs does not start with it, unless others wait for it already. */
static bool is_hopeless(const struct lamb *l)
{
	return !l->served && (TAILQ_EMPTY(&l->master->volumes) || replace_is_pending());
}

static void on_ended(const char *words, void *arg)
{
	struct lamb *l = arg;
	struct master *m = l->master;

	if (m->stop || l->state == ENDING) {
		l->state = IDLE;
		stop_turn(m);
		handover_turn(m);
		return;
	}
	if (is_hopeless(l)) {
		announce_failed("%s: lamb cannot serve it: %s", l->target->text,
		    l->refused[0] ? l->refused : words);
		l->state = IDLE;
		stop_begin(m, EXIT_FAILURE);
		/* it may be about to wait for an answer of this lamb */
		cluster_stop(m);
		cluster_kill(m, "sheepfs cannot start");
		return;
	}
	log_warning("%s: its lamb ended: %s; it is started again", l->target->text,
	    l->refused[0] ? l->refused : words);
	start_later(l);
}

static void start(struct lamb *l)
{
	const uid_t uid = l->master->conf->uid_first + 2;
	const struct process_plan plan = {.path = l->master->conf->lamb,
	    .program = "lamb",
	    .role = "--child",
	    .name = l->target->store,
	    .kind = KIND_LAMB,
	    .uid = uid,
	    .message = on_message,
	    .ended = on_ended,
	    .arg = l};
	const struct msg_start_lamb payload = {.uid = uid, .gid = uid};
	int error = process_start(l->master, &l->process, &plan), listener;

	if (error && is_hopeless(l)) {
		announce_failed(
		    "%s: lamb cannot be started: %s", l->target->text, strerror(-error));
		stop_begin(l->master, EXIT_FAILURE);
		return;
	}
	if (error) {
		log_error("%s: lamb cannot be started: %s", l->target->text, strerror(-error));
		start_later(l);
		return;
	}
	l->refused[0] = 0;
	l->state = STARTING;
	process_kill_later(&l->process, START_LIMIT, "it did not begin to serve in time");
	listener = fcntl(l->target->listener, F_DUPFD_CLOEXEC, 4);
	send_start_lamb(l->process.chan, 0, 0, &payload, NULL, 0, &listener);
}

/* ---- all of them ---- */

int lamb_open(struct master *m)
{
	const struct target_list *targets = &m->conf->targets;
	struct lambs *all = calloc(1, sizeof *all + targets->count * sizeof all->lambs[0]);

	m->lambs = all;
	if (!all)
		return -ENOMEM;
	for (unsigned i = 0; i < targets->count; i++) {
		struct lamb *l = &all->lambs[all->count];

		if (!targets->targets[i].store[0])
			continue;
		l->master = m;
		l->target = &targets->targets[i];
		l->again = evtimer_new(m->base, on_again, l);
		if (!l->again)
			return -ENOMEM;
		all->count++;
	}
	return 0;
}

void lamb_start(struct master *m)
{
	for (unsigned i = 0; i < m->lambs->count; i++)
		start(&m->lambs->lambs[i]);
}

bool lamb_all_serve(const struct master *m)
{
	for (unsigned i = 0; i < m->lambs->count; i++)
		if (!m->lambs->lambs[i].served)
			return false;
	return true;
}

bool lamb_lives(const struct master *m)
{
	for (unsigned i = 0; i < m->lambs->count; i++)
		if (m->lambs->lambs[i].process.lives)
			return true;
	return false;
}

struct process *lamb_process(const struct master *m, unsigned n)
{
	return n < m->lambs->count ? &m->lambs->lambs[n].process : NULL;
}

void lamb_stop(struct master *m)
{
	const struct msg_drain payload = {.pad = {0}};

	for (unsigned i = 0; i < m->lambs->count; i++) {
		struct lamb *l = &m->lambs->lambs[i];

		event_del(l->again);
		if (!l->process.lives || l->state == ENDING)
			continue;
		l->state = ENDING;
		if (l->process.chan) {
			chan_talk(l->process.chan, TALK_ENDING);
			send_drain(l->process.chan, 0, 0, &payload, NULL, 0, NULL);
		}
		process_kill_later(&l->process, STOP_LIMIT, "it did not finish in time");
	}
}

void lamb_kill(struct master *m, const char *why)
{
	for (unsigned i = 0; i < m->lambs->count; i++)
		process_kill(&m->lambs->lambs[i].process, why);
}

void lamb_close(struct master *m)
{
	if (!m->lambs)
		return;
	for (unsigned i = 0; i < m->lambs->count; i++)
		event_free(m->lambs->lambs[i].again);
	free(m->lambs);
	m->lambs = NULL;
}
