/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection, and the account of all of them: what the files of the gateway share.
 *
 * connection.c receives, answers.c sends, gateway.c accepts, wakes and closes; nobody else includes
 * this.  A connection is marked dirty when it may have something to send, to take or to end, and
 * only gateway_settle() looks at dirty ones and frees: everybody else may keep a pointer meanwhile.
 */
#ifndef LAMB_CONNECTION_H
#define LAMB_CONNECTION_H

#include "lamb/gateway.h"

#include <stddef.h>
#include <stdint.h>

#define GATEWAY_HELD_MAX (UINT64_C(512) << 20)

struct event;
struct listener;

struct connection {
	struct connection *next, **link; /* all of them */
	struct connection *next_dirty;
	struct gateway *gateway;
	struct event *readable, *writable;
	int fd;
	bool dirty;
	bool reading;       /* readable is added */
	bool waiting;       /* there is no room in the accounts */
	bool blocked;       /* writable is added: the client does not take more */
	bool ended;         /* EOF or error was read: nothing is sent any more */
	bool deaf;          /* sending failed; what was sent to us still runs */
	bool broken;        /* to be closed once nothing is in flight; nothing more is taken */
	uint32_t in_flight; /* requests begun and not ended */
	uint64_t held;      /* bytes */
	uint64_t moved;     /* when bytes last went in or out, seconds */
	uint64_t drain;     /* bytes of a refused payload still to come */
	struct request *incoming; /* its payload is not complete */
	size_t incoming_filled;
	struct request *first, **last; /* answers to send */
	size_t queued;                 /* their bytes, less what was sent */
	size_t first_sent;             /* bytes of the first */
	size_t received;               /* bytes in buffer */
	uint8_t *buffer;               /* RECEIVE_SIZE */
};

struct gateway {
	struct lamb *lamb;
	struct listener *listeners;
	struct connection *connections;
	struct connection *dirty;
	struct event *retry;  /* accepting again after the descriptors ran out */
	struct event *patrol; /* while connections wait for room */
	uint64_t held;
	bool starved; /* a connection waits for room in the account of all */
	unsigned nr_waiting;
	bool stopping;
	void (*ended_cb)(struct lamb *lamb);
};

/* Begins to serve the socket fd (taken). */
void connection_new(struct gateway *gateway, int fd);

/* Nothing of it may be in flight. */
void connection_free(struct connection *connection);

/* Begins every request that has come and for which there is room. */
void connection_take(struct connection *connection);

/* Sends as many answers as the client takes. */
void connection_send(struct connection *connection);

/* Nothing can be said to the client any more; what it sent is still read and run. */
void connection_stop_sending(struct connection *connection);

/* It is closed once nothing is in flight, and nothing more is taken. */
void connection_break(struct connection *connection);

void connection_mark(struct connection *connection);
void connection_set_reading(struct connection *connection, bool reading);
void connection_set_waiting(struct connection *connection, bool waiting);

/* Frees the request, and gives its bytes back to those who wait for them. */
void connection_forget(struct request *request);

/* Seconds of a clock that never goes back. */
uint64_t connection_now(void);

#endif
