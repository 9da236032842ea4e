/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection to the daemon: requests out, answers in (P 1).
 *
 * Owns the descriptor, its events, what waits to be sent and the answer that is being received.
 * Knows neither which connection is chosen nor how ids are made: sheep.c does.
 */
#ifndef SHEEPFS_WORKER_CONNECTION_H
#define SHEEPFS_WORKER_CONNECTION_H

#include "worker/sheep.h"

struct connection;

struct connection_calls {
	/* The call in flight that has this id, or NULL.  number: the connection that asks. */
	struct call *(*find)(void *arg, unsigned number, uint32_t id);
	/* The answer to a call is whole and in its place. */
	void (*answered)(void *arg, unsigned number, struct call *call);
	/* The connection is of no use any more; told from the loop, perhaps more than once. */
	void (*failed)(void *arg, enum exit_word word, const char *why);
};

/* Makes connection `number` of connected descriptor fd, owned from now on (also on failure). NULL
 * when memory is short.  address is copied, for words. */
struct connection *connection_open(struct event_base *base, int fd, unsigned number,
    const char *address, const struct connection_calls *calls, void *arg);

/* Queues a call whose header is complete; it is sent by the next connection_send(). */
void connection_queue(struct connection *c, struct call *call);

/* Sends what is queued as far as there is room; the rest follows by itself. From the loop only. */
void connection_send(struct connection *c);

/* Neither sends nor receives nor calls back any more. */
void connection_stop(struct connection *c);

/* Milliseconds on the monotonic clock when it last gave a sign of life: an answer ended, or a
 * good part of a large one came. */
uint64_t connection_progress(const struct connection *c);

const char *connection_address(const struct connection *c);

/* That clock. */
uint64_t connection_now(void);

/* Not from inside a callback of this connection.  NULL is fine. */
void connection_close(struct connection *c);

#endif
