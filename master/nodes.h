/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other nodes of the cluster than the targets: the cluster worker asks for a connection to one, for
 * node/info, and with config/discover they become targets (discover.h).
 *
 * The list of nodes comes from the daemon and is not trusted: only what --nodes permits is dialled.
 * Without it that is what lies in the network (/24, or /64 of IPv6) of a target that people named
 * and has that target's port; beside a target on this host's loopback, any port there.
 */
#ifndef SHEEPFS_MASTER_NODES_H
#define SHEEPFS_MASTER_NODES_H

#include "master/master.h"

struct nodes;

/* NULL when memory is short. */
struct nodes *nodes_open(const struct master *m);

/* Dials the address, if it may be, and answers NODE or NODE_FAILED over *chan, unless that is NULL
 * by then. */
void nodes_dial(struct nodes *n, struct chan *const *chan, uint64_t number, const char *address);

/* The cluster worker is gone: nobody waits for any. */
void nodes_forget(struct nodes *n);

/* May an address that a daemon named be dialled? */
bool nodes_permitted(const struct master *m, const struct target *node);

/* NULL is fine. */
void nodes_close(struct nodes *n);

#endif
