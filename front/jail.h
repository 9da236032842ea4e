/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front's jail.
 */
#ifndef SHEEPFS_FRONT_JAIL_H
#define SHEEPFS_FRONT_JAIL_H

#include <sys/types.h>

/* Gives up everything that is not listed in jail.c, for good.  Returns 0 or -errno; then the
 * process must end. */
int jail_enter(uid_t uid, gid_t gid);

#endif
