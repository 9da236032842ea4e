/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sheepfs --replace: see replace.h.
 *
 * The conversation, one SEQPACKET message each: "replace 1"; "go", or a sentence that says why not;
 * the bundle (bundle.h); "front PID"; "serving".
 */
#include "master/replace.h"

#include "ipc/log.h"
#include "master/front.h"
#include "master/handover.h"
#include "master/past.h"
#include "master/start.h"
#include "master/state.h"
#include "master/stop.h"
#include "master/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DIRECTORY "/run/sheepfs"
#define REQUEST "replace 1"
#define GO "go"
#define SERVING "serving"
#define FRONT "front %d"
#define WORD_MAX 300
#define PEER_LIMIT 5000   /* milliseconds that a message may take */
#define SERVE_LIMIT 45000 /* until the new one serves: its lamb reads a store first */
#define GIVE_LIMIT 60000  /* until the old one has ended everything */

struct replace {
	int listener;
	struct sockaddr_un address;
	struct event *asked;
	int caller; /* somebody who has connected and not said what it wants; -1: nobody */
	struct event *request;
	int peer; /* the new one; -1: there is none */
	pid_t pid, front;
	struct event *said, *limit;
};

static int predecessor = -1; /* the old one, until it knows that we serve */

static void set_address(struct sockaddr_un *address, unsigned connection, const char *suffix)
{
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof address->sun_path, DIRECTORY "/%u.sock%s", connection,
	    suffix);
}

static void set_limits(int fd, unsigned milliseconds)
{
	struct timeval limit = {milliseconds / 1000, (milliseconds % 1000) * 1000};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static int say(int fd, const char *word)
{
	return send(fd, word, strlen(word) + 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Returns 0, -EPIPE when the conversation is over, or -errno. */
static int hear(int fd, char word[WORD_MAX])
{
	ssize_t n = recv(fd, word, WORD_MAX - 1, 0);

	if (n <= 0)
		return n ? -errno : -EPIPE;
	word[n] = 0;
	return 0;
}

/* root, or nobody */
static bool peer_is_root(int fd, pid_t *pid)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) || peer.uid != 0)
		return false;
	*pid = peer.pid;
	return true;
}

/* ---- the old one ---- */

static void forget_peer(struct replace *r)
{
	event_del(r->limit);
	if (r->said)
		event_free(r->said);
	r->said = NULL;
	if (r->peer >= 0)
		close(r->peer);
	r->peer = -1;
}

static void go_on(struct master *m)
{
	handover_undo(m);
	/* its own address is where ours was */
	replace_close(m);
	if (replace_open(m))
		log_warning("no other sheepfs can take the place of this one any more");
	if (m->end_wanted)
		stop_begin(m, m->exit_status);
}

/* It is killed if it lives: there must not be two.  What has begun to end ends first. */
static void go_on_ourselves(struct master *m, const char *why)
{
	struct replace *r = m->replace;

	log_error("the sheepfs that was to take over, process %d, does not: %s; this one goes on",
	    (int)r->pid, why);
	forget_peer(r);
	start_await_end(r->pid, "sheepfs");
	start_await_end(r->front, "sheepfs-front");
	if (handover_is_over(m))
		go_on(m);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;

	(void)fd;
	(void)what;
	go_on_ourselves(m, "it did not serve in time");
}

static void on_said(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;
	struct replace *r = m->replace;
	char word[WORD_MAX];
	int error = hear(fd, word), pid;

	(void)what;
	if (error == -EAGAIN)
		return;
	if (error) {
		go_on_ourselves(m, "it ended");
	} else if (sscanf(word, FRONT, &pid) == 1) {
		r->front = pid;
	} else if (!strcmp(word, SERVING)) {
		log_info(
		    "process %d serves %s from now on; this one ends", (int)r->pid, m->mountpoint);
		m->handed_over = true;
		event_base_loopbreak(m->base);
	} else {
		go_on_ourselves(m, "it said what no sheepfs says");
	}
}

static int add_duplicate(struct bundle *b, const char *name, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 4);

	return copy < 0 ? -errno : bundle_add(b, name, copy);
}

static int add_pasts(struct bundle *b, const struct past_list *pasts)
{
	char name[NOTIFY_NAME_MAX];
	const struct past *p;
	int error = 0;

	TAILQ_FOREACH (p, pasts, link) {
		for (unsigned i = 0; i < p->count && !error; i++) {
			past_name(name, p->volume, p->number, i);
			error = add_duplicate(b, name, p->fds[i]);
		}
	}
	return error;
}

/* All that the service manager would have had. */
static int fill(struct bundle *b, struct master *m)
{
	int state = state_write(m), error = state < 0 ? state : bundle_add(b, STATE_NAME, state);
	const struct volume *v;
	const struct left *l;
	char name[NOTIFY_NAME_MAX];

	if (!error)
		error = add_duplicate(b, STATE_TREE_NAME, m->device);
	TAILQ_FOREACH (v, &m->volumes, link) {
		state_device_name(name, v->number);
		if (!error && v->device >= 0)
			error = add_duplicate(b, name, v->device);
		if (!error)
			error = add_pasts(b, &v->pasts);
	}
	LIST_FOREACH (l, &m->lefts, link)
		if (!error)
			error = add_pasts(b, &l->pasts);
	return error;
}

static void on_handed_over(struct master *m)
{
	static const struct timeval limit = {SERVE_LIMIT / 1000, 0};
	struct replace *r = m->replace;
	struct bundle b = {.count = 0};
	int error;

	if (r->peer < 0) {
		go_on(m);
		return;
	}
	error = fill(&b, m);
	if (!error)
		error = bundle_send(&b, r->peer);
	bundle_close(&b);
	event_add(r->limit, &limit);
	if (error)
		go_on_ourselves(m, strerror(-error));
}

static void refuse(int fd, const char *why)
{
	log_warning("another sheepfs asks for the place of this one; it is refused: %s", why);
	say(fd, why);
	close(fd);
}

/* Returns its descriptor, which nobody is waited for at any more; the next one's turn has come. */
static int release_caller(struct replace *r)
{
	int fd = r->caller;

	event_add(r->asked, NULL);
	if (r->request)
		event_free(r->request);
	r->request = NULL;
	r->caller = -1;
	return fd;
}

static void on_request(evutil_socket_t caller, short what, void *arg)
{
	struct master *m = arg;
	struct replace *r = m->replace;
	const char *obstacle = handover_obstacle(m);
	int fd = release_caller(r);
	char word[WORD_MAX];
	pid_t pid;

	(void)caller;
	if (what & EV_TIMEOUT || !peer_is_root(fd, &pid) || hear(fd, word)) {
		close(fd);
		return;
	}
	if (strcmp(word, REQUEST) != 0)
		obstacle = "it speaks another version of --replace";
	else if (notify_is_service())
		obstacle = "it is a service: systemctl restart does it";
	if (obstacle) {
		refuse(fd, obstacle);
		return;
	}
	r->peer = fd;
	r->pid = pid;
	r->front = 0;
	r->said = event_new(m->base, fd, EV_READ | EV_PERSIST, on_said, m);
	if (!r->said || event_add(r->said, NULL) || say(fd, GO)) {
		forget_peer(r);
		return;
	}
	log_info("process %d takes over", (int)r->pid);
	handover_begin(m, on_handed_over);
}

/* Who says nothing holds up nobody but those who ask after it, who wait to be accepted. */
static void on_asked(evutil_socket_t listener, short what, void *arg)
{
	static const struct timeval limit = {PEER_LIMIT / 1000, 0};
	struct master *m = arg;
	struct replace *r = m->replace;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	pid_t pid;

	(void)what;
	if (fd < 0)
		return;
	set_limits(fd, PEER_LIMIT);
	if (!peer_is_root(fd, &pid)) {
		close(fd);
		return;
	}
	event_del(r->asked);
	r->caller = fd;
	r->request = event_new(m->base, fd, EV_READ, on_request, m);
	if (!r->request || event_add(r->request, &limit))
		close(release_caller(r));
}

/* Bound beside its place and moved there: whoever had it before is not asked any more. */
static int listen_at(struct sockaddr_un *address, unsigned connection)
{
	struct sockaddr_un beside;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), error = 0;

	set_address(address, connection, "");
	set_address(&beside, connection, ".new");
	if (fd < 0)
		return -errno;
	unlink(beside.sun_path);
	if (bind(fd, (struct sockaddr *)&beside, sizeof beside) || chmod(beside.sun_path, 0600) ||
	    listen(fd, 1) || rename(beside.sun_path, address->sun_path))
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int check_directory(void)
{
	struct stat st;

	if (mkdir(DIRECTORY, 0700) && errno != EEXIST)
		return -errno;
	if (lstat(DIRECTORY, &st))
		return -errno;
	return S_ISDIR(st.st_mode) && !st.st_uid && !(st.st_mode & 022) ? 0 : -EPERM;
}

int replace_open(struct master *m)
{
	struct replace *r = calloc(1, sizeof *r);
	int error = r ? check_directory() : -ENOMEM;

	if (error) {
		free(r);
		return error;
	}
	r->caller = r->peer = -1;
	r->listener = listen_at(&r->address, m->connection);
	if (r->listener < 0) {
		error = r->listener;
		free(r);
		return error;
	}
	m->replace = r;
	r->limit = evtimer_new(m->base, on_limit, m);
	r->asked = event_new(m->base, r->listener, EV_READ | EV_PERSIST, on_asked, m);
	if (r->limit && r->asked && !event_add(r->asked, NULL))
		return 0;
	replace_close(m);
	return -ENOMEM;
}

void replace_close(struct master *m)
{
	struct replace *r = m->replace;

	if (!r)
		return;
	unlink(r->address.sun_path);
	if (r->limit)
		forget_peer(r);
	if (r->caller >= 0)
		close(release_caller(r));
	if (r->asked)
		event_free(r->asked);
	if (r->limit)
		event_free(r->limit);
	close(r->listener);
	free(r);
	m->replace = NULL;
}

/* ---- the new one ---- */

static int fail(int error, char *why, size_t why_size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int fail(int error, char *why, size_t why_size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, why_size, format, ap);
	va_end(ap);
	return error;
}

static int converse(int fd, struct bundle *b, pid_t pid, char *why, size_t why_size)
{
	char word[WORD_MAX] = "it is no sheepfs of root's";
	int error = say(fd, REQUEST);

	/* who refuses at once has hung up by now, and said why */
	if (!error || error == -EPIPE)
		error = hear(fd, word);
	if (error)
		return fail(error, why, why_size,
		    "the sheepfs that serves it, process %d, does not answer: %s", (int)pid,
		    strerror(-error));
	if (strcmp(word, GO) != 0)
		return fail(-EBUSY, why, why_size,
		    "the sheepfs that serves it, process %d, cannot be replaced: %s", (int)pid,
		    word);
	set_limits(fd, GIVE_LIMIT);
	error = bundle_receive(b, fd);
	if (error)
		return fail(error, why, why_size,
		    "the sheepfs that serves it, process %d, did not hand it over: %s", (int)pid,
		    strerror(-error));
	return 0;
}

int replace_ask(struct bundle *b, unsigned connection, char *why, size_t why_size)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), error;
	struct sockaddr_un address;
	pid_t pid = 0;

	set_address(&address, connection, "");
	if (fd < 0)
		return fail(-errno, why, why_size, "no socket: %s", strerror(errno));
	set_limits(fd, 2 * PEER_LIMIT); /* somebody may have connected before us, and say nothing */
	if (connect(fd, (struct sockaddr *)&address, sizeof address))
		error = fail(-errno, why, why_size,
		    "there is no sheepfs to replace: nobody answers at %s (%s); without --replace "
		    "a dead mount is cleaned up and a new one made",
		    address.sun_path, strerror(errno));
	else if (!peer_is_root(fd, &pid))
		error =
		    fail(-EPERM, why, why_size, "who answers at %s is not root", address.sun_path);
	else
		error = converse(fd, b, pid, why, why_size);
	if (error)
		close(fd);
	else
		predecessor = fd;
	return error;
}

void replace_tell_front(pid_t pid)
{
	char word[WORD_MAX];

	if (predecessor < 0)
		return;
	snprintf(word, sizeof word, FRONT, (int)pid);
	say(predecessor, word);
}

bool replace_is_pending(void)
{
	return predecessor >= 0;
}

void replace_served(void)
{
	if (predecessor < 0)
		return;
	say(predecessor, SERVING);
	close(predecessor);
	predecessor = -1;
}
