/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's FUSE interface: <linux/fuse.h>, and the few constants that are newer than the header
 * of Debian 12 (protocol 7.38).
 *
 * Never asks for a version: a feature is there when the kernel offers its bit in FUSE_INIT.
 */
#ifndef SHEEPFS_FRONT_KERNEL_H
#define SHEEPFS_FRONT_KERNEL_H

#include <linux/fuse.h>

/* MAP_SHARED of files opened with FOPEN_DIRECT_IO (Linux 6.6); a bit of flags2. */
#define KERNEL_DIRECT_IO_ALLOW_MMAP (UINT64_C(1) << 36)

/* What a front that died did not answer can be asked again (Linux 6.9); a bit of flags2. */
#define KERNEL_HAS_RESEND (UINT64_C(1) << 39)

/* What a WRITE has before its payload; every other hot request is shorter. */
#define KERNEL_HEAD_SIZE (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))

/* Replies with an error beyond this one are refused by the kernel or mean something to it alone. */
#define KERNEL_ERROR_MAX 133

#endif
