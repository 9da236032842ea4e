/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections to other nodes than a worker's daemon: each for one question and for a moment.
 *
 * Owns them from the master's word until whoever asked needs them no more: a table (nodelist.h), or
 * the comparison of two daemons (compare.h).
 */
#ifndef SHEEPFS_WORKER_NODES_H
#define SHEEPFS_WORKER_NODES_H

#include "worker/sheep.h"

struct nodes_calls {
	/* The node is lost, or has said nothing for 2 s; nodes_hang_up() follows, or was. */
	void (*failed)(void *arg, uint64_t number, const char *why);
};

struct node_links;

/* NULL when memory is short. */
struct node_links *nodes_open(struct event_base *base, const struct nodes_calls *calls, void *arg);

/* A connected descriptor, owned from now on.  Returns whom to ask, or NULL. */
struct daemon *nodes_add(struct node_links *n, uint64_t number, int fd, const char *address);

/* It is closed, a moment later: this may be called from inside its own callback. */
void nodes_hang_up(struct node_links *n, uint64_t number);

#endif
