/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Channels: see chan.h.
 *
 * Sending goes to the socket at once; what it has no room for waits in a queue of at most QUEUE_MAX
 * datagrams, each with its descriptors.  A turn hands out at most TURN_MAX messages, so that no
 * peer keeps the loop to itself.
 */
#include "ipc/chan.h"

#include "ipc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_MAX 1024
#define TURN_MAX 32

struct queued {
	STAILQ_ENTRY(queued) next;
	size_t size;
	unsigned nr_fds;
	int fds[MSG_FDS_MAX];
	uint8_t datagram[];
};

struct chan {
	int fd;
	struct msg_edge edge;
	struct event *readable;
	struct event *writable; /* pending while the queue is not empty */
	STAILQ_HEAD(, queued) queue;
	unsigned queued;
	const struct chan_calls *calls;
	void *arg;
	int failed;     /* -errno of a send, told from the loop */
	unsigned depth; /* callbacks under way */
	bool closed;    /* by its owner, while a callback is under way */
	bool over;      /* ended() was called */
};

static void close_fds(int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void queued_free(struct queued *q)
{
	close_fds(q->fds, q->nr_fds);
	free(q);
}

static void chan_free(struct chan *c)
{
	struct queued *q;

	while ((q = STAILQ_FIRST(&c->queue))) {
		STAILQ_REMOVE_HEAD(&c->queue, next);
		queued_free(q);
	}
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	close(c->fd);
	free(c);
}

/* Callbacks run between enter and leave; the last one out frees what was closed meanwhile. */
static void chan_enter(struct chan *c)
{
	c->depth++;
}

static void chan_leave(struct chan *c)
{
	if (--c->depth == 0 && c->closed)
		chan_free(c);
}

static void chan_over(struct chan *c, int error, const char *why)
{
	if (c->over || c->closed)
		return;
	c->over = true;
	event_del(c->readable);
	event_del(c->writable);
	c->calls->ended(c, error, why, c->arg);
}

static const char *send_words(int error)
{
	if (error == -ENOBUFS)
		return "the peer does not read what it is sent";
	return "sending failed";
}

/* Hands one datagram to the socket.  Returns 0, -EAGAIN or another -errno. */
static int transmit(int fd, const void *datagram, size_t size, const int *fds, unsigned nr_fds)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(MSG_FDS_MAX * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)datagram, size};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (nr_fds) {
		struct cmsghdr *c = &control.align;

		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	/* ECONNRESET is told once, when the peer left something unread; EPIPE from then on */
	do
		n = sendmsg(fd, &h, MSG_NOSIGNAL);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	return n < 0 ? -errno : 0;
}

/* Sends queued datagrams until the queue or the socket's room ends. */
static int flush_queue(struct chan *c)
{
	struct queued *q;

	while ((q = STAILQ_FIRST(&c->queue))) {
		int error = transmit(c->fd, q->datagram, q->size, q->fds, q->nr_fds);

		if (error)
			return error;
		STAILQ_REMOVE_HEAD(&c->queue, next);
		c->queued--;
		queued_free(q);
	}
	return 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct chan *c = arg;
	int error = c->failed ? c->failed : flush_queue(c);

	(void)fd;
	(void)what;
	if (error == -EAGAIN) {
		event_add(c->writable, NULL);
	} else if (error == -EPIPE) {
		c->failed = 0; /* the read side tells the end, after what still lies there */
	} else if (error) {
		chan_enter(c);
		chan_over(c, error, send_words(error));
		chan_leave(c);
	}
}

static void hand_out(struct chan *c, struct msg *m)
{
	if (log_debugging() && m->id != MSG_REQUESTS && m->id != MSG_ANSWERS) {
		char text[512];

		msg_describe(m, text, sizeof text);
		log_debug("received %s", text);
	}
	c->calls->message(c, m, c->arg);
	msg_drop_fds(m);
}

/* At most so many messages; 0: all. */
static void receive(struct chan *c, unsigned most)
{
	const char *why;
	struct msg m;
	int n = 1;

	chan_enter(c);
	for (unsigned turn = 0; (!most || turn < most) && !c->closed; turn++) {
		n = msg_receive(c->fd, &c->edge, &m, &why);
		if (n <= 0)
			break;
		hand_out(c, &m);
	}
	if (!c->closed && c->calls->idle)
		c->calls->idle(c, c->arg);
	if (n == 0)
		chan_over(c, 0, "the peer ended the conversation");
	else if (n < 0 && n != -EAGAIN)
		chan_over(c, n, n == -EBADMSG ? why : "receiving failed");
	chan_leave(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	receive(arg, TURN_MAX);
}

void chan_exhaust(struct chan *c)
{
	if (!c->over && !c->closed)
		receive(c, 0);
}

struct chan *chan_open(struct event_base *base, int fd, enum kind self, enum kind peer,
    enum talk talk, const struct chan_calls *calls, void *arg)
{
	struct chan *c = calloc(1, sizeof *c);

	if (!c) {
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->edge = (struct msg_edge){.self = self, .peer = peer, .talk = talk};
	c->calls = calls;
	c->arg = arg;
	STAILQ_INIT(&c->queue);
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE, on_writable, c);
	if (!c->readable || !c->writable || evutil_make_socket_nonblocking(fd) ||
	    event_add(c->readable, NULL)) {
		chan_free(c);
		return NULL;
	}
	return c;
}

void chan_close(struct chan *c)
{
	if (!c || c->closed)
		return;
	c->closed = true;
	event_del(c->readable);
	event_del(c->writable);
	if (!c->depth)
		chan_free(c);
}

void chan_talk(struct chan *c, enum talk talk)
{
	c->edge.talk = talk;
}

void chan_linger(struct chan *c, int milliseconds)
{
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};

	while (flush_queue(c) == -EAGAIN)
		if (poll(&p, 1, milliseconds) <= 0)
			return;
}

/* The conversation cannot go on: told from the loop, never from inside chan_send(). */
static int chan_fail(struct chan *c, int error)
{
	c->failed = error;
	event_active(c->writable, EV_WRITE, 0);
	return error;
}

static int enqueue(
    struct chan *c, const uint8_t *datagram, size_t size, const int *fds, unsigned nr_fds)
{
	struct queued *q;

	if (c->queued >= QUEUE_MAX)
		return -ENOBUFS;
	q = malloc(sizeof *q + size);
	if (!q)
		return -ENOBUFS;
	q->size = size;
	q->nr_fds = nr_fds;
	for (unsigned i = 0; i < nr_fds; i++)
		q->fds[i] = fds[i];
	memcpy(q->datagram, datagram, size);
	STAILQ_INSERT_TAIL(&c->queue, q, next);
	c->queued++;
	event_add(c->writable, NULL);
	return 0;
}

int chan_send(struct chan *c, enum msg_id id, uint32_t volume, uint32_t generation,
    const void *payload, const void *tail, size_t tail_size, const int *fds)
{
	uint8_t datagram[sizeof(struct msg_head) + sizeof(union msg_body) + MSG_TAIL_SIZE];
	size_t payload_size = msg_payload_size(id);
	size_t size = sizeof(struct msg_head) + payload_size + tail_size;
	unsigned nr_fds = msg_descriptors(id);
	struct msg_head head = {.id = (uint16_t)id,
	    .size = (uint32_t)(payload_size + tail_size),
	    .volume = volume,
	    .generation = generation};
	int error;

	if (tail_size > msg_tail_max(id))
		bug("%s with a tail of %zu bytes", msg_name(id), tail_size);
	memcpy(datagram, &head, sizeof head);
	memcpy(datagram + sizeof head, payload, payload_size);
	if (tail_size)
		memcpy(datagram + sizeof head + payload_size, tail, tail_size);
	if (c->over || c->closed || c->failed)
		error = -EPIPE;
	else if (c->queued)
		error = -EAGAIN;
	else
		error = transmit(c->fd, datagram, size, fds, nr_fds);
	if (error == -EAGAIN || error == -ETOOMANYREFS) {
		error = enqueue(c, datagram, size, fds, nr_fds);
		if (!error)
			return 0; /* the queue owns the descriptors */
	}
	for (unsigned i = 0; i < nr_fds; i++)
		close(fds[i]);
	if (error && error != -EPIPE)
		return chan_fail(c, error);
	return error;
}
