/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The config file's text, if nobody but root can have written it.
 *
 * The file says what root executes: on the way to it every directory, every symbolic link and the
 * file itself must be root's, and closed to the writing of others.  Never knows what a line means.
 */
#ifndef SHEEPFS_MASTER_CONFFILE_H
#define SHEEPFS_MASTER_CONFFILE_H

#include <stddef.h>

/* Returns 0 with its text, NUL-terminated and the caller's to free, or -errno with a sentence in
 * why. */
int conffile_read(const char *path, char **text, char *why, size_t why_size);

#endif
