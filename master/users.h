/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who uses a mount: the loop devices on it and the processes that hold files of it, from /proc and
 * /sys alone.  Of other people's processes only those can be seen whose /proc entries are readable
 * without CAP_SYS_PTRACE.  Reads many files: for an errand, never for the loop.
 */
#ifndef SHEEPFS_MASTER_USERS_H
#define SHEEPFS_MASTER_USERS_H

#include <stddef.h>

/*
 * Writes "/dev/loop0, process 17 (qemu)" into text, empty when nobody is found.  path: what a loop
 * device says its file is; mount_id: of /proc/self/mountinfo.
 */
void users_find(const char *path, int mount_id, char *text, size_t size);

#endif
