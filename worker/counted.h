/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was counted of snapshots, whose indexes do not change any more: a table of thousands of VDIs
 * need not read them again.
 *
 * A snapshot is believed to be at rest REST after it was first seen: index writes that were under
 * way when it was taken may land in it for a moment (P 6.2); and for LAST, since one that is being
 * deleted is emptied before its name goes (P 3.6).  Bounded memory; what falls out is counted
 * again.
 */
#ifndef SHEEPFS_WORKER_COUNTED_H
#define SHEEPFS_WORKER_COUNTED_H

#include "include/sheepdog.h"

#include <stdbool.h>

#define COUNTED_REST 10000 /* milliseconds */
#define COUNTED_LAST 60000 /* milliseconds */

struct counted;

/* NULL when memory is short. */
struct counted *counted_open(void);

/* Are the numbers of this VDI known, at `now` in milliseconds of the clock of counted_keep()? */
bool counted_find(struct counted *c, const struct sd_inode_header *header, uint64_t now,
    uint64_t *own, uint64_t *shared);

/* They were counted, at `now` in milliseconds of any clock. Only snapshots are kept. */
void counted_keep(struct counted *c, const struct sd_inode_header *header, uint64_t now,
    uint64_t own, uint64_t shared);

/* NULL is fine. */
void counted_close(struct counted *c);

#endif
