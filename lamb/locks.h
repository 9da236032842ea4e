/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDI locks (P 6.3, 6.4), and which VDIs are only marked deleted (P 2.3).
 *
 * Owns the shared page's table of them, which all nodes read and write: what is known of a vid as
 * long as any node lives, and no longer.  The holder is always a node, never a client; a lock
 * outlives its holder, but a shared one does not.  Stricter than upstream: a shared lock is one
 * node's as well, since nobody here keeps several clients' inodes coherent.  Safe beside other
 * nodes.
 */
#ifndef LAMB_LOCKS_H
#define LAMB_LOCKS_H

#include "include/sheepdog.h"

#include <stdbool.h>
#include <stdint.h>

struct shared;

/* Forgets everything: the store was formatted. */
void locks_clear(struct shared *shared);

/* The node of that slot is dead: its shared locks end. */
void locks_bury(struct shared *shared, uint32_t slot);

/* 0, -EBUSY (it is locked already, whatever the type) or -ENOSPC (too many are). */
int locks_take(struct shared *shared, uint32_t vid, enum sd_lock_type type);

/* A lock of another type stays, and a shared one of another node. */
void locks_release(struct shared *shared, uint32_t vid, enum sd_lock_type type);

/* When it is locked *owner is the slot of the node that holds it. */
enum sd_lock_state locks_state(const struct shared *shared, uint32_t vid, uint32_t *owner);

void locks_mark_deleted(struct shared *shared, uint32_t vid);
bool locks_is_deleted(const struct shared *shared, uint32_t vid);

#endif
