/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mounting and unmounting, and the line in /run/mount/utab.
 *
 * Everything that takes a path below our own mounts is an errand's work (errand.h), to be run in a
 * child; the others say so.  Never decides what is mounted or ended.
 */
#ifndef SHEEPFS_MASTER_MOUNT_H
#define SHEEPFS_MASTER_MOUNT_H

#include "include/bounds.h"

#include <limits.h>
#include <stdbool.h>

/* Opens /dev/fuse.  Returns a descriptor or -errno. */
int mount_open_device(void);

/*
 * Mounts the tree of `device` on the directory `target`, which is not ours yet: may be called by
 * the master itself.  Returns 0 or -errno.
 */
int mount_tree(int device, const char *target);

/* The road to a volume's file; -ENAMETOOLONG when there can be none. */
int mount_volume_path(const char *mountpoint, const char *shown, char path[PATH_MAX]);

struct mount_volume_order {
	char path[PATH_MAX];
	char source[PATH_MAX]; /* the mount's first column */
	bool read_only;
};

/* Errand: mounts the FUSE device `keep` over the file `path`. arg: struct mount_volume_order. */
int mount_volume_work(const void *arg, int keep, char *text);

struct mount_end_order {
	char path[PATH_MAX];
	int mount_id; /* to find its users by */
	bool lazy;    /* it goes now, whoever uses it */
};

/* Errand: unmounts.  -EBUSY, with the users in text as far as they can be seen. */
int mount_end_work(const void *arg, int keep, char *text);

/* Errand: statvfs(3) of a path (arg: char *), to see whether somebody answers there. */
int mount_probe_work(const void *arg, int keep, char *text);

/* Errand: the absolute name of a path (arg: char *) without symbolic links; what is mounted there
 * is not asked. */
int mount_resolve_work(const void *arg, int keep, char *text);

/* Errand: -ENOTDIR when a path (arg: char *) is no directory. */
int mount_directory_work(const void *arg, int keep, char *text);

/* Errand: whether a path (arg: char *) can be reached without being allowed to search every
 * directory: -EACCES if not. */
int mount_reach_work(const void *arg, int keep, char *text);

/* Errands: write or remove the line in utab that makes umount(8) call umount.sheepfs. arg: the
 * mount point; the master's process number goes with it. */
int mount_enter_utab_work(const void *arg, int keep, char *text);
int mount_leave_utab_work(const void *arg, int keep, char *text);

/* The process number in that line, 0 when there is none. */
int mount_served_by(const char *target);

#endif
