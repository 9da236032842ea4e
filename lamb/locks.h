/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDI locks (P 6.3, 6.4).
 *
 * Owns who holds which vid.  The holder is always the daemon, never a client: in a cluster of one
 * node a lock is held or not, and is forgotten when the daemon ends.  Belongs to the loop.
 */
#ifndef LAMB_LOCKS_H
#define LAMB_LOCKS_H

#include "include/sheepdog.h"

#include <stdbool.h>
#include <stdint.h>

struct locks;

struct locks *locks_new(void); /* NULL on lack of memory */
void locks_free(struct locks *locks);
void locks_clear(struct locks *locks);

/* False: it is locked already, whatever the type. */
bool locks_take(struct locks *locks, uint32_t vid, enum sd_lock_type type);

/* A lock of another type stays. */
void locks_release(struct locks *locks, uint32_t vid, enum sd_lock_type type);

enum sd_lock_state locks_state(const struct locks *locks, uint32_t vid);

#endif
