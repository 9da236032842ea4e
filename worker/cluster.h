/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cluster worker's work: proves that the daemon serves a cluster, and does what concerns the
 * cluster and not one attached volume.
 *
 * Owns the queue of orders.  One VDI operation is in flight at a time, one vdi/list and one of the
 * other tables, which is given to all who waited for it when it was begun.  An operation looks
 * whether it can be done, and whether an earlier worker has done it, tells that, and does it when
 * that is recorded (rule 9).  Runs without process, socket or clock: the daemon and the outer world
 * are handed to it.
 */
#ifndef SHEEPFS_WORKER_CLUSTER_H
#define SHEEPFS_WORKER_CLUSTER_H

#include "ipc/msg.h"
#include "worker/sheep.h"

struct cluster_calls {
	/* waiting: for its format or for members; it can only tell of itself. */
	void (*ready)(void *arg, bool waiting);
	/* This daemon cannot be used; another one may do better. */
	void (*refused)(void *arg, int error, const char *sentence);
	/* How an order ended: 0 or -errno, and a sentence for the one who gave it. */
	void (*answer)(void *arg, uint64_t number, int error, const char *sentence);
	/* Nothing stands in the way of this order: cluster_change() lets it change the cluster.
	 * vid: what a later worker has to know of it, should this one die. */
	void (*looked)(void *arg, uint64_t number, uint32_t vid);
	/* How an order for a table ended well: fd is owned by the callee; others may share its
	 * file, and its offset. */
	void (*table)(void *arg, uint64_t number, int fd);
	/* Members of the cluster, whose creation time that is, for an order of cluster_learn(), as
	 * targets are typed, with commas between them; in pieces, and with the last one it is done.
	 */
	void (*members)(void *arg, uint64_t number, uint64_t cluster_ctime, const char *text,
	    bool first, bool last);
	/* Whether answers of the daemon are awaited, at every change. */
	void (*busy)(void *arg, bool busy);
	void (*drained)(void *arg);
	/* Please connect to another node, whose address is written as a target: answered by
	 * cluster_node_connected() or cluster_node_failed(), not before this returns. */
	void (*dial)(void *arg, uint64_t number, const char *address);
	/* That connection is not needed any more; called from inside its own callback, too. */
	void (*hang_up)(void *arg, uint64_t number);
	uint64_t (*now)(void); /* milliseconds of the monotonic clock */
};

struct cluster;

/* NULL when memory is short; daemon and calls outlive it. */
struct cluster *cluster_open(struct daemon *daemon, const struct cluster_calls *calls, void *arg);

/* Asks the daemon who it is: ready() or refused().  It has its control connection, which leads to
 * `address`; copied.  cluster_ctime: of the cluster that it must be of; 0: any. */
void cluster_begin(struct cluster *c, const char *address, uint64_t cluster_ctime);

/* What became of dial(): the node, which answers until hang_up(), or why it cannot be asked. */
void cluster_node_connected(struct cluster *c, uint64_t number, struct daemon *node);
void cluster_node_failed(struct cluster *c, uint64_t number, const char *why);

/* Orders; each is answered once.  VERB_CREATE, _SNAPSHOT and _CLONE of volumes that are not
 * attached here, and tables. */
void cluster_order(struct cluster *c, const struct msg_order *order);

/* What looked() told is recorded. */
void cluster_change(struct cluster *c, uint64_t number);

/* Releases the lock that somebody dead held on a vid. */
void cluster_release(struct cluster *c, const struct msg_release *release);

/* Learns the members of the cluster: members(), or answer() with the reason. */
void cluster_learn(struct cluster *c, uint64_t number);

/* Finishes what is in flight, answers what was not begun with -ESHUTDOWN, then drained(). */
void cluster_drain(struct cluster *c);

/* The daemon is lost: answers every order, saying what is known of its outcome; -EINPROGRESS where
 * another daemon can tell, or do, more. */
void cluster_lost(struct cluster *c, const char *why);

/* NULL is fine. */
void cluster_close(struct cluster *c);

#endif
