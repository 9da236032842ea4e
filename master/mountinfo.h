/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is mounted where, from /proc/self/mountinfo alone: no path is touched, so nothing here waits
 * for a file system.
 */
#ifndef SHEEPFS_MASTER_MOUNTINFO_H
#define SHEEPFS_MASTER_MOUNTINFO_H

#include <stdbool.h>

#define MOUNTINFO_FILE "/proc/self/mountinfo"
#define MOUNTINFO_TYPE "fuse.sheepfs" /* of all mounts of ours */

struct mountinfo {
	int id;
	unsigned device; /* minor number of the device: a FUSE connection's number */
	char type[64];
	char source[256]; /* cut, if longer */
	unsigned nested;  /* mounts below it */
};

/*
 * The topmost mount at exactly `target`, as `file` tells.  Returns 0, -ENOENT when nothing is
 * mounted there, or another -errno.
 */
int mountinfo_find(const char *file, const char *target, struct mountinfo *found);

/* Calls each() with every mount of ours below `target`.  Returns 0 or -errno. */
int mountinfo_each_below(const char *file, const char *target,
    void (*each)(const char *path, unsigned device, void *arg), void *arg);

/* Whether a mount of ours with this connection is listed anywhere. */
bool mountinfo_lists(const char *file, unsigned connection);

#endif
