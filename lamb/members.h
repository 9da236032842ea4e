/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who the nodes of the store's cluster are (P 2.5, 6.5).
 *
 * Owns joining, the finding of deaths, and the epoch.  A member is a process that holds its slot's
 * lock, which the kernel releases when it dies and never before: a stopped node is still a member,
 * and no time that passes makes one dead.  The epoch rises by one, durably and with its time,
 * whenever the living members are others than those of the newest epoch.  Belongs to the loop.
 */
#ifndef LAMB_MEMBERS_H
#define LAMB_MEMBERS_H

#include "include/sheepdog.h"
#include "lamb/epochs.h"
#include "lamb/shared.h"

#include <stdbool.h>
#include <stddef.h>

struct members;

/*
 * This process becomes the node `self`, whose zone is set.  `root` is the store's directory and
 * stays the caller's.  Returns 0, or -errno with a sentence for a person in why, where the store is
 * called `shown`.
 */
int members_join(struct shared *shared, int root, const char *shown, const struct member *self,
    struct members **members, char *why, size_t why_size);

/* The process' end is what ends its membership. */
void members_free(struct members *members);

/* Finds deaths and raises the epoch where it must rise; true when somebody has died. */
bool members_look(struct members *members);

/* The store was formatted: its epoch is 1 again. */
void members_format(struct members *members);

/* Those that live, by address and port; room for SHARED_SLOTS. Returns how many. */
uint32_t members_list(const struct members *members, struct member *list);

/* Its address as the node list and the locks say it. */
struct sd_node_id members_node_id(const struct member *member);

/* True: it is this process. */
bool members_is_self(const struct members *members, const struct member *member);

/* As epochs_read(), of the store's present format. */
int members_epochs(const struct members *members, struct epochs *epochs);

#endif
