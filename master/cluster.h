/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cluster worker: tables, and what concerns volumes that are not attached.
 *
 * Owns its process, the dialling for it and the orders that it is to do.  It is started when it is
 * needed; when it ends, the next one is given the orders that it had, and looks what became of them.
 */
#ifndef SHEEPFS_MASTER_CLUSTER_H
#define SHEEPFS_MASTER_CLUSTER_H

#include "master/master.h"

struct command;

/* Makes what keeps track of it, without starting it.  Returns 0 or -ENOMEM. */
int cluster_open(struct master *m);

/* Tries each target once, so that the first order need not wait. */
void cluster_start(struct master *m);

/* Has a command (VERB_CREATE, VERB_LIST) done, and answers it. */
void cluster_order(struct master *m, struct command *c);

typedef void cluster_done(int error, const char *sentence, void *arg);

/* Has the lock of a vid released; done() is called from the loop.  Returns 0, or -errno: then it is
 * not. */
int cluster_release(struct master *m, uint32_t vid, cluster_done *done, void *arg);

/* Has the members of the cluster told to discover_take(), then done(); the same. */
int cluster_learn(struct master *m, cluster_done *done, void *arg);

/* There are other targets: orders to come are done through them. */
void cluster_elsewhere(struct master *m);

/* Ends it; stop_turn() is called when it is gone. */
void cluster_stop(struct master *m);
void cluster_kill(struct master *m, const char *why);

/* After cluster_stop(): there is no end after all. */
void cluster_go_on(struct master *m);
bool cluster_lives(const struct master *m);
struct process *cluster_process(const struct master *m);

void cluster_close(struct master *m);

#endif
