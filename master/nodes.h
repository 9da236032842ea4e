/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other nodes of the cluster than the targets: the cluster worker asks for a connection to one, for
 * node/info.
 *
 * The list of nodes comes from the daemon and is not trusted: only what --nodes permits is dialled.
 * Without it that is what lies in the network (/24, or /64 of IPv6) of a target and has that
 * target's port; beside a target on this host's loopback, any port there.
 */
#ifndef SHEEPFS_MASTER_NODES_H
#define SHEEPFS_MASTER_NODES_H

#include "ipc/chan.h"
#include "master/conf.h"

struct nodes;

/* NULL when memory is short.  conf outlives it. */
struct nodes *nodes_open(struct event_base *base, const struct conf *conf);

/* Dials the address, if it may be, and answers NODE or NODE_FAILED over *chan, unless that is NULL
 * by then. */
void nodes_dial(struct nodes *n, struct chan *const *chan, uint64_t number, const char *address);

/* The cluster worker is gone: nobody waits for any. */
void nodes_forget(struct nodes *n);

/* May the cluster worker be given a connection to this address? */
bool nodes_permitted(const struct conf *conf, const struct target *node);

/* NULL is fine. */
void nodes_close(struct nodes *n);

#endif
