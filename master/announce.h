/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Going to the background, and the one line that says why not.
 *
 * Owns the terminal until the mount serves.  Never logs what happens later.
 */
#ifndef SHEEPFS_MASTER_ANNOUNCE_H
#define SHEEPFS_MASTER_ANNOUNCE_H

#include <stdbool.h>

/*
 * With `background`, forks: the parent waits and never returns, it exits with 0 when
 * announce_served() is called, else with 1.  Returns 0 or -errno in the process that goes on.
 */
int announce_open(bool background);

/* The log is open, and does not go to the terminal. */
void announce_log_is_elsewhere(void);

/* The mount serves: the parent ends, the terminal is let go of. */
void announce_served(void);

/* Says a line to the person who started us, if that was not done yet, and to the log. */
__attribute__((format(printf, 1, 2))) void announce_failed(const char *format, ...);

#endif
