/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the master keeps once it serves.
 */
#ifndef SHEEPFS_MASTER_JAIL_H
#define SHEEPFS_MASTER_JAIL_H

#include <stdbool.h>

/*
 * Gives up every capability but those in jail.c's table, and the gain of new ones.  search: the
 * mount point lies in a directory that root may not search by itself.  Returns 0 or -errno; then
 * the process must not go on.
 */
int jail_enter(bool search);

#endif
