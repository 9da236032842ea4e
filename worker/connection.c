/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection to the daemon: see connection.h.
 *
 * Sending: one sendmsg(2) carries all that fits, headers and payloads gathered from where they lie.
 * Never by MSG_ZEROCOPY: the payload lies in memory that others write.  Receiving: one recvmsg(2)
 * fills the rest of a payload in its place and whatever follows it into the buffer.  Reading never
 * pauses, whatever waits to be sent (rule 11).
 *
 * Nothing that a daemon says is believed: an answer must belong to a request that was sent whole on
 * this very connection, name its operation and carry no more than was asked for.
 */
#include "worker/connection.h"

#include "include/bounds.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_SIZE 65536
#define GATHER_MAX 64  /* pieces of memory in one sendmsg */
#define ROUNDS_MAX 8   /* receives or sends in one turn */
#define PROGRESS 65536 /* bytes of payload that count as a sign of life */

TAILQ_HEAD(call_queue, call);

struct connection {
	unsigned number;
	int fd;
	bool waiting; /* for room in the socket */
	bool shut;    /* the daemon takes no more; what it said may still lie there */
	bool stopped;
	char address[ADDRESS_TEXT_MAX + 1];
	const struct connection_calls *calls;
	void *arg;
	struct event *readable, *writable;
	struct call_queue unsent;
	uint64_t progress;
	size_t since_progress; /* bytes */
	struct call *call;     /* whose payload is being received */
	uint8_t *target;       /* where `wanted` bytes of it go */
	size_t wanted;
	size_t discard;    /* bytes behind them that nobody wants */
	size_t head, tail; /* what of the buffer has not been looked at */
	uint8_t buffer[BUFFER_SIZE];
};

uint64_t connection_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

__attribute__((format(printf, 3, 4))) static void fail(
    struct connection *c, enum exit_word word, const char *format, ...)
{
	char why[512];
	va_list ap;
	int n = snprintf(why, sizeof why, "the daemon at %s ", c->address);

	connection_stop(c);
	va_start(ap, format);
	vsnprintf(why + n, sizeof why - (size_t)n, format, ap);
	va_end(ap);
	c->calls->failed(c->arg, word, why);
}

/* ---- sending ---- */

static size_t call_size(const struct call *call)
{
	return sizeof call->req + call->send_size;
}

/* Gathers what is unsent, from call->sent on; returns the bytes, *count the pieces. */
static size_t gather(struct connection *c, struct iovec *pieces, unsigned *count)
{
	struct call *call;
	size_t total = 0;

	*count = 0;
	TAILQ_FOREACH (call, &c->unsent, queue) {
		size_t header = sizeof call->req;
		size_t in_payload = call->sent > header ? call->sent - header : 0;

		if (*count + 2 > GATHER_MAX)
			break;
		if (call->sent < header) {
			pieces[*count].iov_base = (uint8_t *)&call->req + call->sent;
			pieces[(*count)++].iov_len = header - call->sent;
		}
		if (call->send_size > in_payload) {
			pieces[*count].iov_base = (uint8_t *)(uintptr_t)call->send + in_payload;
			pieces[(*count)++].iov_len = call->send_size - in_payload;
		}
		total += call_size(call) - call->sent;
	}
	return total;
}

static void advance(struct connection *c, size_t sent)
{
	while (sent) {
		struct call *call = TAILQ_FIRST(&c->unsent);
		size_t part = call_size(call) - call->sent;

		if (part > sent)
			part = sent;
		call->sent += part;
		sent -= part;
		if (call->sent == call_size(call))
			TAILQ_REMOVE(&c->unsent, call, queue);
	}
}

/* Sends one handful; false when it must wait for room, or cannot go on. */
static bool send_some(struct connection *c)
{
	struct iovec pieces[GATHER_MAX];
	struct msghdr h = {.msg_iov = pieces};
	unsigned count;
	size_t total = gather(c, pieces, &count);
	ssize_t n;

	h.msg_iovlen = count;
	do
		n = sendmsg(c->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
		c->shut = true; /* reading tells the end, after what still lies there */
		return false;
	}
	if (n < 0 && errno != EAGAIN) {
		fail(c, EXIT_DAEMON_LOST, "takes no requests: %s", strerror(errno));
		return false;
	}
	if (n > 0)
		advance(c, (size_t)n);
	return n == (ssize_t)total;
}

void connection_send(struct connection *c)
{
	unsigned rounds = ROUNDS_MAX;

	if (c->waiting || c->shut || c->stopped)
		return;
	while (!TAILQ_EMPTY(&c->unsent))
		if (!rounds-- || !send_some(c))
			break;
	if (TAILQ_EMPTY(&c->unsent) || c->shut || c->stopped)
		return;
	c->waiting = true;
	event_add(c->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)fd;
	(void)what;
	c->waiting = false;
	connection_send(c);
}

void connection_queue(struct connection *c, struct call *call)
{
	call->sent = 0;
	TAILQ_INSERT_TAIL(&c->unsent, call, queue);
}

/* ---- receiving ---- */

static uint64_t rsp_offset(const struct sd_rsp *rsp)
{
	return rsp->obj.offset[0] | (uint64_t)rsp->obj.offset[1] << 32;
}

/* An answer that leaves out what is zero at the ends of a read (P 1.4). */
static bool trimmed(const struct call *call)
{
	return call->req.opcode == SD_OP_READ_OBJ && call->rsp.result == SD_RES_SUCCESS &&
	       call->rsp.data_length < call->receive_size;
}

/* Where in the caller's buffer the payload begins. */
static size_t payload_place(const struct call *call)
{
	return trimmed(call) ? (size_t)(rsp_offset(&call->rsp) - call->req.obj.offset) : 0;
}

/* The most that may follow an answer: a failure may bring what was asked for (P 1.3). */
static size_t payload_most(const struct call *call)
{
	if (call->rsp.result != SD_RES_SUCCESS && call->receive_size < call->req.data_length)
		return call->req.data_length;
	return call->receive_size;
}

/* Does what was not left out of a read lie within what was asked for? */
static bool placed_well(const struct call *call)
{
	uint64_t from = call->req.obj.offset, at = rsp_offset(&call->rsp);

	return !trimmed(call) ||
	       (at >= from && at - from <= call->receive_size - call->rsp.data_length);
}

/* Judges the header of an answer and makes its payload's place known. */
static void answer_began(struct connection *c, const struct sd_rsp *rsp)
{
	struct call *call = c->calls->find(c->arg, c->number, rsp->id);

	if (!call || call->sent < call_size(call)) {
		fail(c, EXIT_DAEMON_LIES, "answered a request that it was not sent (id 0x%x)",
		    rsp->id);
		return;
	}
	if (rsp->opcode != call->req.opcode) {
		fail(c, EXIT_DAEMON_LIES, "answered operation 0x%02x as if it were 0x%02x",
		    call->req.opcode, rsp->opcode);
		return;
	}
	call->rsp = *rsp;
	if (rsp->data_length > payload_most(call)) {
		fail(c, EXIT_DAEMON_LIES,
		    "answered operation 0x%02x with %u bytes where %zu were asked for", rsp->opcode,
		    rsp->data_length, payload_most(call));
		return;
	}
	if (!placed_well(call)) {
		fail(c, EXIT_DAEMON_LIES,
		    "answered a read of %zu bytes at %u with %u bytes at %llu", call->receive_size,
		    call->req.obj.offset, rsp->data_length, (unsigned long long)rsp_offset(rsp));
		return;
	}
	c->call = call;
	c->wanted = rsp->data_length < call->receive_size ? rsp->data_length : call->receive_size;
	c->discard = rsp->data_length - c->wanted;
	c->target = c->wanted ? (uint8_t *)call->receive + payload_place(call) : NULL;
}

static void alive(struct connection *c)
{
	c->progress = connection_now();
	c->since_progress = 0;
}

static void answer_ended(struct connection *c)
{
	struct call *call = c->call;

	c->call = NULL;
	alive(c);
	if (trimmed(call)) {
		size_t place = payload_place(call), end = place + call->rsp.data_length;

		memset(call->receive, 0, place);
		memset((uint8_t *)call->receive + end, 0, call->receive_size - end);
	}
	c->calls->answered(c->arg, c->number, call);
}

/* Takes what the buffer has of a payload; true when the payload is whole. */
static bool take_payload(struct connection *c)
{
	size_t n = c->tail - c->head;
	size_t part = n < c->wanted ? n : c->wanted;

	if (part) {
		memcpy(c->target, c->buffer + c->head, part);
		c->target += part;
		c->wanted -= part;
		c->head += part;
		n -= part;
	}
	part = n < c->discard ? n : c->discard;
	c->discard -= part;
	c->head += part;
	return !c->wanted && !c->discard;
}

/* Takes what lies in the buffer: headers, small payloads, the beginning of large ones. */
static void parse(struct connection *c)
{
	struct sd_rsp rsp;

	while (!c->stopped) {
		if (c->call) {
			if (!take_payload(c))
				break;
			answer_ended(c);
		} else if (c->tail - c->head >= sizeof rsp) {
			memcpy(&rsp, c->buffer + c->head, sizeof rsp);
			c->head += sizeof rsp;
			answer_began(c, &rsp);
		} else {
			break;
		}
	}
	memmove(c->buffer, c->buffer + c->head, c->tail - c->head);
	c->tail -= c->head;
	c->head = 0;
}

/* n bytes came: first those wanted at the target, the others in the buffer. */
static void took(struct connection *c, size_t n)
{
	size_t part = n < c->wanted ? n : c->wanted;

	if (part) {
		c->target += part;
		c->wanted -= part;
	}
	c->tail += n - part;
	if (c->call)
		c->since_progress += n;
	if (c->since_progress >= PROGRESS)
		alive(c);
	parse(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;
	const char *where = "";

	(void)what;
	for (unsigned round = 0; round < ROUNDS_MAX && !c->stopped; round++) {
		struct iovec pieces[2] = {
		    {c->target, c->wanted},
		    {c->buffer + c->tail, sizeof c->buffer - c->tail},
		};
		struct msghdr h = {.msg_iov = pieces, .msg_iovlen = 2};
		size_t room = pieces[0].iov_len + pieces[1].iov_len;
		ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (c->call || c->tail)
			where = " in the middle of an answer";
		if (n < 0)
			fail(c, EXIT_DAEMON_LOST, "was lost%s: %s", where, strerror(errno));
		else if (!n)
			fail(c, EXIT_DAEMON_LOST, "closed the connection%s", where);
		else
			took(c, (size_t)n);
		if (n < (ssize_t)room)
			return;
	}
}

/* ---- from birth to end ---- */

struct connection *connection_open(struct event_base *base, int fd, unsigned number,
    const char *address, const struct connection_calls *calls, void *arg)
{
	struct connection *c = calloc(1, sizeof *c);

	if (!c) {
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->number = number;
	c->calls = calls;
	c->arg = arg;
	TAILQ_INIT(&c->unsent);
	snprintf(c->address, sizeof c->address, "%s", address);
	c->progress = connection_now();
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE, on_writable, c);
	if (!c->readable || !c->writable || event_add(c->readable, NULL)) {
		connection_close(c);
		return NULL;
	}
	return c;
}

void connection_stop(struct connection *c)
{
	c->stopped = true;
	event_del(c->readable);
	event_del(c->writable);
}

uint64_t connection_progress(const struct connection *c)
{
	return c->progress;
}

const char *connection_address(const struct connection *c)
{
	return c->address;
}

void connection_close(struct connection *c)
{
	if (!c)
		return;
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	close(c->fd);
	free(c);
}
