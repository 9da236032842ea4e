/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dialling: see dial.h.
 */
#include "master/dial.h"

#include "master/notify.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A peer that vanished without a word is noticed after 10 + 3 * 5 seconds of silence. */
#define KEEPALIVE_IDLE 10
#define KEEPALIVE_INTERVAL 5
#define KEEPALIVE_COUNT 3

/* Bytes that wait to be sent to a daemon on this host.  A longer queue, which the kernel would make
 * of it, falls out of the processor's cache before it is read; on a way through a network it has to
 * be as long as that is. */
#define LOCAL_SEND_BUFFER (512 * 1024)

struct dial {
	int fd;    /* -1: there is none */
	int error; /* 0: connected, -EINPROGRESS: not yet, another -errno */
	struct event *event;
	void (*done)(int fd, void *arg);
	void *arg;
};

struct ends {
	struct sockaddr_storage here, there;
};

static bool find_ends(int fd, struct ends *e)
{
	socklen_t here = sizeof e->here, there = sizeof e->there;

	memset(e, 0, sizeof *e);
	return !getsockname(fd, (struct sockaddr *)&e->here, &here) &&
	       !getpeername(fd, (struct sockaddr *)&e->there, &there) &&
	       e->here.ss_family != AF_UNIX && e->here.ss_family == e->there.ss_family;
}

/* Connecting to a local port that nobody listens on may reach ourselves. */
static bool reached_ourselves(int fd)
{
	struct ends e;

	return find_ends(fd, &e) && !memcmp(&e.here, &e.there, sizeof e.here);
}

static bool is_local(int fd)
{
	struct sockaddr_in *here, *there;
	struct ends e;

	if (!find_ends(fd, &e))
		return false;
	if (e.here.ss_family == AF_INET6)
		return !memcmp(&((struct sockaddr_in6 *)&e.here)->sin6_addr,
		    &((struct sockaddr_in6 *)&e.there)->sin6_addr, sizeof(struct in6_addr));
	here = (struct sockaddr_in *)&e.here;
	there = (struct sockaddr_in *)&e.there;
	return here->sin_addr.s_addr == there->sin_addr.s_addr;
}

static int outcome(int fd)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		return -errno;
	if (!error && reached_ourselves(fd))
		error = ECONNREFUSED;
	return -error;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	void (*done)(int, void *) = d->done;
	void *done_arg = d->arg;
	int error = d->error;

	(void)fd;
	if (error == -EINPROGRESS)
		error = what & EV_TIMEOUT ? -ETIMEDOUT : outcome(d->fd);
	if (!error) {
		const int buffer = LOCAL_SEND_BUFFER;
		int connected = d->fd;

		if (is_local(connected))
			setsockopt(connected, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
		d->fd = -1;
		dial_cancel(d);
		done(connected, done_arg);
	} else {
		dial_cancel(d);
		done(error, done_arg);
	}
}

static void set_options(int fd)
{
	static const struct {
		int level, option, value;
	} options[] = {
	    {IPPROTO_TCP, TCP_NODELAY, 1},
	    {SOL_SOCKET, SO_KEEPALIVE, 1},
	    {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE},
	    {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL},
	    {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
	};

	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof(int));
}

static int begin(const struct target *t, int *fd)
{
	*fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	if (t->address.ss_family != AF_UNIX)
		set_options(*fd);
	if (connect(*fd, (const struct sockaddr *)&t->address, t->size))
		return -errno;
	return reached_ourselves(*fd) ? -ECONNREFUSED : 0;
}

struct dial *dial_start(struct event_base *base, const struct target *target, unsigned milliseconds,
    void (*done)(int fd, void *arg), void *arg)
{
	struct timeval limit = {milliseconds / 1000, (milliseconds % 1000) * 1000};
	struct dial *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->done = done;
	d->arg = arg;
	d->error = begin(target, &d->fd);
	d->event = event_new(base, d->fd, d->error == -EINPROGRESS ? EV_WRITE : 0, on_event, d);
	if (!d->event) {
		dial_cancel(d);
		return NULL;
	}
	if (d->error == -EINPROGRESS)
		event_add(d->event, &limit);
	else
		event_active(d->event, EV_WRITE, 0);
	return d;
}

/* What systemd's filter does not let out vanishes without an error. */
const char *dial_words(int error)
{
	if (error == -ETIMEDOUT && notify_is_service())
		return "Connection timed out; does IPAddressAllow= of the unit name it?";
	return strerror(-error);
}

bool dial_found_nobody(int error)
{
	return error == -ECONNREFUSED || error == -ENOENT;
}

void dial_cancel(struct dial *d)
{
	if (!d)
		return;
	if (d->event)
		event_free(d->event);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}
