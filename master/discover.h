/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discovery: members of the cluster are targets as well, behind those that people named
 * (config/discover).
 *
 * Owns the list of both, and asks the cluster worker every few seconds who the members are, so that
 * they are known when the daemon that knows them is gone.  What it says comes from a daemon and is
 * not trusted: only what nodes_permitted() permits is taken, none twice, TARGETS_MAX in all.  Who
 * has left is dropped when the members are told the next time; while nobody tells, they stay.
 */
#ifndef SHEEPFS_MASTER_DISCOVER_H
#define SHEEPFS_MASTER_DISCOVER_H

#include "master/master.h"

/* m->targets and m->conf are set.  Returns 0 or -ENOMEM. */
int discover_open(struct master *m);

/* Begins to ask, when the knob is on. */
void discover_start(struct master *m);

/* The knob or m->targets have changed: what was learnt before counts no more. */
void discover_forget(struct master *m);

/* All that may be tried: m->targets, then the members.  Another call here may change it. */
const struct target_list *discover_targets(const struct master *m);

/* Some or all of the members, "TARGET[,TARGET...]". */
void discover_take(struct master *m, const struct msg_members *told, const char *text);

/* The members that are targets, into text of TARGET_LIST_TEXT_MAX bytes.  Returns the creation time
 * of their cluster, 0: there are none. */
uint64_t discover_members(const struct master *m, char *text);

void discover_close(struct master *m);

#endif
