/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lamb may do when it is a child of sheepfs.
 */
#ifndef LAMB_JAIL_H
#define LAMB_JAIL_H

#include <sys/types.h>

/* Makes the folder `store` the root directory, all there is, and becomes that user, without any
 * capability.  Threads may be started still.  Returns 0 or -errno. */
int jail_enter(const char *store, uid_t uid, gid_t gid);

/* Everything is open and every thread runs: no more of them, and only the calls of the table. */
int jail_close(void);

#endif
