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

/* Each returns 0, or -errno with a sentence in why.  Who we are and what we need: */
int start_check_environment(const struct conf *c, char *why, size_t why_size);

/* The mount point's true name; nothing is asked of what is mounted there. */
int start_resolve(const char *typed, char mountpoint[PATH_MAX], char *why, size_t why_size);

/* Nothing is mounted there, once dead mounts of ours are cleaned up. */
int start_check_mountpoint(const char *mountpoint, char *why, size_t why_size);

/* Kills that process, if it is one that calls itself `name`, and comes back when it is dead, or
 * after seconds with a line in the log. */
void start_await_end(pid_t pid, const char *name);

/* Room for many volumes: descriptors.  And for times when memory is short: locked memory, no
 * waiting for writeback, not the first to be killed; our children inherit that. */
void start_raise_limits(void);

/* The mount point, or a lamb's store, can only be reached by whoever may search every directory. */
bool start_needs_search(const struct conf *c, const char *mountpoint);

#endif
