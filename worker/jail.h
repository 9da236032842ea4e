/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's jail: the one step from a freshly started program to one that can only talk.
 */
#ifndef SHEEPFS_WORKER_JAIL_H
#define SHEEPFS_WORKER_JAIL_H

#include "include/kinds.h"

#include <sys/types.h>

/*
 * Confines this process for good: an empty root, the given user, no capability, the system calls of
 * jail.c's table for its kind (KIND_VOLUME or KIND_CLUSTER).  Everything that needs more must
 * have been done before.  Returns 0 or -errno; then the process must not go on.
 */
int jail_enter(enum kind kind, uid_t uid, gid_t gid);

#endif
