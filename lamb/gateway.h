/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections: requests in, answers out (P 1).
 *
 * Owns the sockets, their buffers and the account of bytes in flight.  A connection is read only
 * while its account, and that of all together, has room; answers are sent as the client takes them.
 * So nobody makes lamb allocate without bound, and a client that does not read stops nobody else:
 * while others wait for room, connections that have not moved for some seconds are closed. After a
 * half-close everything that was sent still runs, answers not yet sent are dropped, and the socket
 * is closed when the last request has ended.  Never knows what a request means.
 */
#ifndef LAMB_GATEWAY_H
#define LAMB_GATEWAY_H

#include "include/sheepdog.h"

#include <stdbool.h>

struct gateway;
struct lamb;
struct request;

struct gateway *gateway_new(struct lamb *lamb); /* NULL on lack of memory */

/* Accepts on the listening, non-blocking socket (taken). 0 or -ENOMEM. */
int gateway_listen(struct gateway *gateway, int fd);

/* Queues the answer. The request is the gateway's from now on. */
void gateway_answer(struct request *request);

/* Closes the request's connection, as a fault knob wants it; the request has ended. */
void gateway_drop(struct request *request);

/*
 * Sends what has been queued, and goes on reading where there is room again.  To be called at the
 * end of every event handler that may have ended a request.
 */
void gateway_settle(struct gateway *gateway);

/* No more requests are taken; ended(lamb) is called once all that were taken are answered. */
void gateway_stop(struct gateway *gateway, void (*ended)(struct lamb *lamb));

/* Closes everything at once. */
void gateway_free(struct gateway *gateway);

/* The address at which the request's client reached us; false when it is not an IP address. */
bool gateway_local(const struct request *request, struct sd_node_id *node);

#endif
