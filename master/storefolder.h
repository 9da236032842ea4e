/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The folder of a lamb's store, before lamb has it: it is there, is a store or empty, and belongs
 * to lamb's user, with all that is in it.
 *
 * Never follows a symbolic link inside of it, never leaves its file system, and touches nothing
 * that is not a store.
 */
#ifndef SHEEPFS_MASTER_STOREFOLDER_H
#define SHEEPFS_MASTER_STOREFOLDER_H

#include <stddef.h>
#include <sys/types.h>

/* Makes the folder `path` when it is missing, and hands it over to `uid` (as user and group).
 * Returns 0, or -errno with a sentence in why. */
int storefolder_prepare(const char *path, uid_t uid, char *why, size_t why_size);

#endif
