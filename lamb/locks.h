/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDI locks (P 6.3, 6.4), and which VDIs are only marked deleted (P 2.3).
 *
 * Owns the file "locks" of the store, which all nodes read and write: what is known of a vid as
 * long as any of them lives, and no longer.  The holder is always a node, never a client; a lock
 * outlives its holder, but a shared one does not.  Stricter than upstream: a shared lock is one
 * node's as well, since nobody here keeps several clients' inodes coherent.  Belongs to the loop.
 */
#ifndef LAMB_LOCKS_H
#define LAMB_LOCKS_H

#include "include/sheepdog.h"

#include <stdbool.h>
#include <stdint.h>

struct locks;
struct shared;

/* Forgets everything: nobody lives here. 0 or -errno. */
int locks_prepare(int root);

/* Opens the file; 0 or -errno. */
int locks_open(int root, struct shared *shared, struct locks **locks);
void locks_free(struct locks *locks);

/* Forgets everything: the store was formatted. */
void locks_clear(struct locks *locks);

/* 0, -EBUSY (it is locked already, whatever the type) or -errno. */
int locks_take(struct locks *locks, uint32_t vid, enum sd_lock_type type);

/* A lock of another type stays, and a shared one of another node. */
void locks_release(struct locks *locks, uint32_t vid, enum sd_lock_type type);

/* With the slot of the node that holds it, when it is locked. */
enum sd_lock_state locks_state(struct locks *locks, uint32_t vid, uint32_t *owner);

void locks_mark_deleted(struct locks *locks, uint32_t vid);
bool locks_is_deleted(struct locks *locks, uint32_t vid);

#endif
