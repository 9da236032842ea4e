/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections: see gateway.h.
 *
 * Owns the listening sockets and the list of connections.
 */
#include "lamb/gateway.h"

#include "ipc/log.h"
#include "lamb/connection.h"
#include "lamb/lamb.h"
#include "lamb/request.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STALLED_SECONDS 5

struct listener {
	struct listener *next;
	struct event *event;
	int fd;
};

static void settle(struct connection *connection)
{
	const struct gateway *gateway = connection->gateway;

	if (connection->waiting && !gateway->stopping)
		connection_take(connection);
	if (!connection->ended)
		connection_send(connection);
	connection_set_reading(
	    connection, !connection->ended && !connection->waiting && !gateway->stopping);
	if (connection->in_flight)
		return;
	if (connection->ended && !connection->waiting)
		connection_free(connection);
	else if (gateway->stopping && !connection->first)
		connection_free(connection);
}

void gateway_settle(struct gateway *gateway)
{
	while (gateway->dirty) {
		struct connection *connection = gateway->dirty;

		gateway->dirty = connection->next_dirty;
		connection->dirty = false;
		settle(connection);
	}
	if (gateway->stopping && !gateway->connections && gateway->ended_cb) {
		void (*ended_cb)(struct lamb * lamb) = gateway->ended_cb;

		gateway->ended_cb = NULL;
		ended_cb(gateway->lamb);
	}
}

/* There is no room for somebody: whoever keeps bytes without moving them must go. */
static void on_patrol(evutil_socket_t fd, short what, void *argument)
{
	static const struct timeval second = {1, 0};
	struct gateway *gateway = argument;
	uint64_t now = connection_now();

	(void)fd;
	(void)what;
	for (struct connection *c = gateway->connections; c; c = c->next) {
		if (!c->held || c->in_flight || c->moved + STALLED_SECONDS > now ||
		    gateway->held < GATEWAY_HELD_MAX / 2)
			continue;
		log_warning("a client neither reads nor writes and keeps %llu bytes others wait "
			    "for: its connection is closed",
		    (unsigned long long)c->held);
		connection_set_waiting(c, false);
		connection_break(c);
	}
	gateway_settle(gateway);
	if (gateway->nr_waiting)
		event_add(gateway->patrol, &second);
}

static void on_connection(evutil_socket_t listener, short what, void *argument)
{
	static const struct timeval second = {1, 0};
	struct gateway *gateway = argument;
	int fd;

	(void)what;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		connection_new(gateway, fd);
	if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
		return;
	log_warning("no more connections can be accepted: %s", strerror(errno));
	for (struct listener *l = gateway->listeners; l; l = l->next)
		event_del(l->event);
	event_add(gateway->retry, &second);
}

static void on_retry(evutil_socket_t fd, short what, void *argument)
{
	struct gateway *gateway = argument;

	(void)fd;
	(void)what;
	for (struct listener *l = gateway->listeners; l; l = l->next)
		event_add(l->event, NULL);
}

struct gateway *gateway_new(struct lamb *lamb)
{
	struct gateway *gateway = calloc(1, sizeof *gateway);

	if (!gateway)
		return NULL;
	gateway->lamb = lamb;
	gateway->retry = event_new(lamb->base, -1, 0, on_retry, gateway);
	gateway->patrol = event_new(lamb->base, -1, 0, on_patrol, gateway);
	return gateway;
}

int gateway_listen(struct gateway *gateway, int fd)
{
	struct listener *listener = calloc(1, sizeof *listener);

	if (!listener)
		return -ENOMEM;
	listener->fd = fd;
	listener->event =
	    event_new(gateway->lamb->base, fd, EV_READ | EV_PERSIST, on_connection, gateway);
	listener->next = gateway->listeners;
	gateway->listeners = listener;
	return listener->event && !event_add(listener->event, NULL) ? 0 : -ENOMEM;
}

static void stop_listening(struct gateway *gateway)
{
	event_del(gateway->retry);
	while (gateway->listeners) {
		struct listener *listener = gateway->listeners;

		gateway->listeners = listener->next;
		event_free(listener->event);
		close(listener->fd);
		free(listener);
	}
}

void gateway_stop(struct gateway *gateway, void (*ended)(struct lamb *lamb))
{
	gateway->stopping = true;
	gateway->ended_cb = ended;
	stop_listening(gateway);
	for (struct connection *c = gateway->connections; c; c = c->next)
		connection_mark(c);
	gateway_settle(gateway);
}

void gateway_free(struct gateway *gateway)
{
	stop_listening(gateway);
	while (gateway->connections)
		connection_free(gateway->connections);
	event_free(gateway->retry);
	event_free(gateway->patrol);
	free(gateway);
}

bool gateway_local(const struct request *request, struct sd_node_id *node)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof address;

	if (getsockname(request->connection->fd, (struct sockaddr *)&address, &size))
		return false;
	if (address.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&address;

		memcpy(node->addr + 12, &in->sin_addr, 4);
		node->port = ntohs(in->sin_port);
		return true;
	}
	if (address.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;

		memcpy(node->addr, &in6->sin6_addr, 16);
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
			memset(node->addr, 0, 12);
		node->port = ntohs(in6->sin6_port);
		return true;
	}
	return false;
}
