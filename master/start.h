/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What must be so before we begin: root, /dev/fuse, the helper programs, and a mount point that is
 * ours to use.
 *
 * Cleans up what an earlier sheepfs left mounted there.  Whatever may hang is an errand's.
 */
#ifndef SHEEPFS_MASTER_START_H
#define SHEEPFS_MASTER_START_H

#include "master/conf.h"

#include <limits.h>

/* Returns 0 with the mount point's true name, or -errno with a sentence in why. */
int start_check(const struct conf *c, char mountpoint[PATH_MAX], char *why, size_t why_size);

/* Room for many volumes: descriptors.  And for times when memory is short: locked memory, no
 * waiting for writeback, not the first to be killed; our children inherit that. */
void start_raise_limits(void);

/* The mount point, or a lamb's store, can only be reached by whoever may search every directory. */
bool start_needs_search(const struct conf *c, const char *mountpoint);

#endif
