/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store's own description: the file "config" in its directory.
 *
 * Owns its text form and version.  It is replaced atomically and durably, and names the directory
 * that holds the objects: a format is complete when "config" names the new one.
 */
#ifndef LAMB_META_H
#define LAMB_META_H

#include <stdint.h>

#define META_FILE "config"
#define META_FILE_NEW "config.new"

struct meta {
	uint32_t generation; /* objects are in "obj.<generation>" */
	uint32_t epoch;
	uint64_t ctime;     /* of the format: seconds << 32 | nanoseconds */
	uint64_t formatted; /* when epoch 1 began, seconds */
	uint32_t flags;     /* enum sd_cluster_flag */
	uint32_t copies;
	uint32_t copy_policy;
	uint32_t shift; /* default block_size_shift */
};

/* Returns 0, -ENOENT (no such file), -EPROTONOSUPPORT (other version), -EBADMSG (not ours), -errno
 */
int meta_read(int directory, struct meta *meta);

/* Durable when it returns 0. */
int meta_write(int directory, const struct meta *meta);

#endif
