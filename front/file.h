/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one file of a volume's own file system: what it looks like, and every operation on it but
 * reading, writing and fsync.  It behaves as a block device does: its size is the volume's.
 *
 * Never sends anything to the worker.
 */
#ifndef SHEEPFS_FRONT_FILE_H
#define SHEEPFS_FRONT_FILE_H

#include "front/volume.h"

/* The face of a new volume: nobody's but the owner's. */
void file_init(struct volume *v, bool read_only);

/* The operations for session_open(); the session's owner is the struct volume. */
const struct fuse_lowlevel_ops *file_ops(void);

#endif
