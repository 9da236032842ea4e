/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers: what has ended goes out, in the order of ending.
 *
 * Many go by one call.
 */
#include "lamb/connection.h"

#include "ipc/log.h"
#include "lamb/lamb.h"
#include "lamb/request.h"
#include "lamb/shared.h"
#include "lamb/store.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define SEND_AT (256U << 10) /* queued answers are sent when there are so many bytes */
#define SEND_VECTORS 128

static void drop_answers(struct connection *connection)
{
	while (connection->first) {
		struct request *request = connection->first;

		connection->first = request->next;
		connection_forget(request);
	}
	connection->last = &connection->first;
	connection->queued = connection->first_sent = 0;
}

void connection_stop_sending(struct connection *connection)
{
	drop_answers(connection);
	if (connection->blocked) {
		event_del(connection->writable);
		connection->blocked = false;
	}
}

/* Adds what of the answer was not sent yet. */
static unsigned add_vectors(const struct request *request, size_t sent, struct iovec *vector)
{
	unsigned nr = 0;

	if (sent < sizeof request->rsp) {
		vector[nr].iov_base = (uint8_t *)(uintptr_t)&request->rsp + sent;
		vector[nr++].iov_len = sizeof request->rsp - sent;
		sent = 0;
	} else {
		sent -= sizeof request->rsp;
	}
	if (request->rsp.data_length > sent) {
		vector[nr].iov_base = request->reply + sent;
		vector[nr++].iov_len = request->rsp.data_length - sent;
	}
	return nr;
}

/* The client has taken so many bytes. */
static void sent(struct connection *connection, size_t size)
{
	connection->queued -= size;
	connection->first_sent += size;
	while (connection->first) {
		struct request *request = connection->first;
		size_t whole = sizeof request->rsp + request->rsp.data_length;

		if (connection->first_sent < whole)
			break;
		connection->first_sent -= whole;
		connection->first = request->next;
		if (!connection->first)
			connection->last = &connection->first;
		connection_forget(request);
	}
}

/* Sends as many answers as fit one call. */
static ssize_t send_some(const struct connection *connection)
{
	struct iovec vectors[SEND_VECTORS];
	struct msghdr message = {.msg_iov = vectors};
	size_t skip = connection->first_sent;

	for (struct request *r = connection->first; r && message.msg_iovlen + 2 <= SEND_VECTORS;
	     r = r->next, skip = 0)
		message.msg_iovlen += add_vectors(r, skip, vectors + message.msg_iovlen);
	return sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void connection_send(struct connection *connection)
{
	while (connection->first && !connection->blocked) {
		ssize_t size = send_some(connection);

		if (size >= 0) {
			connection->moved = connection_now();
			sent(connection, (size_t)size);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			connection->blocked = true;
			event_add(connection->writable, NULL);
		} else if (errno == EPIPE || errno == ECONNRESET) {
			connection->deaf = true;
			connection_stop_sending(connection);
		} else if (errno != EINTR) {
			log_warning("a connection is closed: sending failed: %s", strerror(errno));
			connection_break(connection);
		}
	}
}

void gateway_answer(struct request *request)
{
	struct connection *connection = request->connection;
	struct sd_rsp *rsp = &request->rsp;

	rsp->opcode = request->req.opcode;
	rsp->epoch = atomic_load(&store_shared(request->lamb->store)->page->epoch);
	rsp->id = request->req.id;
	connection->in_flight--;
	connection_mark(connection);
	if (connection->ended || connection->deaf) {
		connection_forget(request);
		return;
	}
	if (!request->data_lent)
		free(request->data);
	request->data = NULL;
	request->next = NULL;
	*connection->last = request;
	connection->last = &request->next;
	connection->queued += sizeof *rsp + rsp->data_length;
	if (connection->queued >= SEND_AT)
		connection_send(connection);
}

void gateway_drop(struct request *request)
{
	struct connection *connection = request->connection;

	order_leave(&request->lamb->order, request);
	connection->in_flight--;
	connection_break(connection);
	connection_forget(request);
}
