/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection: see connection.h.
 *
 * Owns the receive buffer, the cutting of what was received into requests, and their accounts.
 */
#include "lamb/connection.h"

#include "ipc/log.h"
#include "lamb/lamb.h"
#include "lamb/request.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RECEIVE_SIZE (256U << 10)
#define SEND_BUFFER (512 << 10) /* a longer queue falls out of the processor's cache */
#define PAYLOAD_MAX (64U << 20) /* of one request, or of one answer that is read from an object */
#define DRAIN_MAX (256U << 20)  /* more than that is no request: the connection is closed */
#define REQUEST_COST 512U       /* what a request costs beside its bytes */
#define CONNECTION_HELD_MAX (16U << 20) /* one request alone may be larger */

uint64_t connection_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

void connection_mark(struct connection *connection)
{
	if (connection->dirty)
		return;
	connection->dirty = true;
	connection->next_dirty = connection->gateway->dirty;
	connection->gateway->dirty = connection;
}

void connection_set_reading(struct connection *connection, bool reading)
{
	if (connection->reading == reading)
		return;
	connection->reading = reading;
	if (reading)
		event_add(connection->readable, NULL);
	else
		event_del(connection->readable);
}

void connection_set_waiting(struct connection *connection, bool waiting)
{
	static const struct timeval second = {1, 0};
	struct gateway *gateway = connection->gateway;

	if (connection->waiting == waiting)
		return;
	connection->waiting = waiting;
	gateway->nr_waiting += waiting ? 1 : -1U;
	if (waiting && gateway->nr_waiting == 1)
		event_add(gateway->patrol, &second);
	else if (!gateway->nr_waiting)
		event_del(gateway->patrol);
}

/* Gives the request's bytes back, and wakes who waits for them. */
void connection_forget(struct request *request)
{
	struct connection *connection = request->connection;
	struct gateway *gateway = connection->gateway;

	connection->held -= request->charged;
	gateway->held -= request->charged;
	if (connection->waiting)
		connection_mark(connection);
	if (gateway->starved && gateway->held <= GATEWAY_HELD_MAX / 4 * 3) {
		gateway->starved = false;
		for (struct connection *c = gateway->connections; c; c = c->next)
			if (c->waiting)
				connection_mark(c);
	}
	request_free(request);
}

void connection_break(struct connection *connection)
{
	connection->broken = connection->ended = true;
	connection_stop_sending(connection);
	connection_mark(connection);
}

void connection_free(struct connection *connection)
{
	struct gateway *gateway = connection->gateway;

	connection_set_waiting(connection, false);
	if (connection->incoming)
		connection_forget(connection->incoming);
	connection_stop_sending(connection);
	if (connection->dirty) {
		struct connection **link = &gateway->dirty;

		while (*link != connection)
			link = &(*link)->next_dirty;
		*link = connection->next_dirty;
	}
	*connection->link = connection->next;
	if (connection->next)
		connection->next->link = connection->link;
	event_free(connection->readable);
	event_free(connection->writable);
	close(connection->fd);
	free(connection->buffer);
	free(connection);
}

/* What a request will cost while it is in flight. */
static uint64_t cost(const struct sd_req *req)
{
	return REQUEST_COST + (req->data_length < PAYLOAD_MAX ? req->data_length : PAYLOAD_MAX);
}

/* One request of each connection always has room. */
static bool has_room(const struct connection *connection, uint64_t bytes)
{
	if (!connection->held)
		return true;
	if (connection->gateway->held + bytes > GATEWAY_HELD_MAX) {
		connection->gateway->starved = true;
		return false;
	}
	return connection->held + bytes <= CONNECTION_HELD_MAX;
}

static struct request *make_request(struct connection *connection, const struct sd_req *req)
{
	struct request *request = calloc(1, sizeof *request);

	if (!request)
		fatal("out of memory for a request");
	request->lamb = connection->gateway->lamb;
	request->connection = connection;
	request->req = *req;
	request->charged = cost(req);
	connection->held += request->charged;
	connection->gateway->held += request->charged;
	return request;
}

static void begin(struct connection *connection, struct request *request)
{
	connection->in_flight++;
	request_begin(request);
}

/* Refuses the request; its payload, still to come, is thrown away. */
static void refuse(struct connection *connection, const struct sd_req *req, uint32_t payload)
{
	struct request *request = make_request(connection, req);

	log_debug("request 0x%02x with data_length %u refused", req->opcode, req->data_length);
	connection->drain = payload;
	connection->in_flight++;
	request_finish(request, SD_RES_INVALID_PARMS);
}

/*
 * Takes one request from `at`, of which `size` bytes are there.  Returns the bytes used, or 0 when
 * it must come again: with more bytes, or once there is room.
 */
static size_t take_request(struct connection *connection, uint8_t *at, size_t size)
{
	struct request *request;
	struct sd_req req;
	uint32_t payload;

	if (size < sizeof req)
		return 0;
	memcpy(&req, at, sizeof req);
	payload = req.flags & SD_FLAG_WRITE ? req.data_length : 0;
	if (payload > DRAIN_MAX) {
		log_info("a client sent a request of %u bytes: its connection is closed", payload);
		connection_break(connection);
		return 0;
	}
	if (req.data_length > PAYLOAD_MAX) {
		refuse(connection, &req, payload);
		return sizeof req;
	}
	if (!has_room(connection, cost(&req))) {
		connection_set_waiting(connection, true);
		return 0;
	}
	request = make_request(connection, &req);
	size -= sizeof req;
	if (payload > size) {
		request->data = malloc(payload);
		if (!request->data)
			fatal("out of memory for %u bytes of payload", payload);
		memcpy(request->data, at + sizeof req, size);
		connection->incoming = request;
		connection->incoming_filled = size;
		return sizeof req + size;
	}
	if (payload) {
		request->data = at + sizeof req;
		request->data_lent = true;
	}
	begin(connection, request);
	return sizeof req + payload;
}

void connection_take(struct connection *connection)
{
	size_t used = 0;

	connection_set_waiting(connection, false);
	while (!connection->incoming && !connection->broken) {
		size_t there = connection->received - used, n;

		if (connection->drain) {
			n = there < connection->drain ? there : (size_t)connection->drain;
			connection->drain -= n;
		} else {
			n = take_request(connection, connection->buffer + used, there);
		}
		used += n;
		if (!n)
			break;
	}
	connection->received -= used;
	memmove(connection->buffer, connection->buffer + used, connection->received);
}

static void take_payload(struct connection *connection, size_t size)
{
	struct request *request = connection->incoming;

	connection->incoming_filled += size;
	if (connection->incoming_filled == request->req.data_length) {
		connection->incoming = NULL;
		begin(connection, request);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
	struct connection *connection = argument;
	struct gateway *gateway = connection->gateway;
	struct iovec vectors[2];
	size_t wanted = 0;
	int nr = 0;
	ssize_t size;

	(void)what;
	if (connection->incoming) {
		wanted = connection->incoming->req.data_length - connection->incoming_filled;
		vectors[nr].iov_base = connection->incoming->data + connection->incoming_filled;
		vectors[nr++].iov_len = wanted;
	}
	vectors[nr].iov_base = connection->buffer + connection->received;
	vectors[nr++].iov_len = RECEIVE_SIZE - connection->received;
	size = readv(fd, vectors, nr);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	connection_mark(connection);
	if (size <= 0) {
		connection->ended = true;
		connection_stop_sending(connection);
	} else {
		size_t payload = (size_t)size < wanted ? (size_t)size : wanted;

		connection->moved = connection_now();
		connection->received += (size_t)size - payload;
		if (payload)
			take_payload(connection, payload);
		connection_take(connection);
	}
	gateway_settle(gateway);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
	struct connection *connection = argument;

	(void)fd;
	(void)what;
	connection->blocked = false;
	connection_mark(connection);
	gateway_settle(connection->gateway);
}

void connection_new(struct gateway *gateway, int fd)
{
	struct connection *connection = calloc(1, sizeof *connection);
	const int one = 1, buffer = SEND_BUFFER;

	if (!connection)
		fatal("out of memory for a connection");
	connection->buffer = malloc(RECEIVE_SIZE);
	connection->gateway = gateway;
	connection->fd = fd;
	connection->last = &connection->first;
	connection->readable =
	    event_new(gateway->lamb->base, fd, EV_READ | EV_PERSIST, on_readable, connection);
	connection->writable =
	    event_new(gateway->lamb->base, fd, EV_WRITE, on_writable, connection);
	if (!connection->buffer || !connection->readable || !connection->writable)
		fatal("out of memory for a connection");
	if (!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)) /* not on unix sockets */
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
	connection->moved = connection_now();
	connection->next = gateway->connections;
	if (connection->next)
		connection->next->link = &connection->next;
	connection->link = &gateway->connections;
	gateway->connections = connection;
	connection_set_reading(connection, true);
}
