/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every size and count that two programs must agree on.
 */
#ifndef SHEEPFS_BOUNDS_H
#define SHEEPFS_BOUNDS_H

#define NAME_LENGTH_MAX 255 /* bytes of a VDI name or tag, without the NUL */
#define NAME_FIELD_SIZE 256 /* the same with the NUL */

#define SLOT_SIZE (1U << 20) /* bytes: the largest READ or WRITE */
#define SLOTS_PER_VOLUME 80  /* slots in each of a volume's two arenas */
#define VOLUME_MAX_BACKGROUND                                                                      \
	64           /* asynchronous requests the kernel may leave with us; the other              \
		      * slots are for synchronous callers, which it does not count */
#define BATCH_MAX 64 /* requests or answers in one message */

#define COMMAND_TEXT_MAX 4096       /* bytes of one write to a control file */
#define SENTENCE_MAX 1024           /* bytes of one human answer */
#define ADDRESS_TEXT_MAX 128        /* bytes of a daemon's address as text */
#define INIT_REQUEST_MAX 256        /* bytes of a FUSE_INIT request */
#define SHOWN_NAME_MAX 1023         /* bytes of an encoded name: the kernel's limit for FUSE */
#define VOLUME_SIZE_MAX (1UL << 51) /* bytes: 2^20 objects of 2^31 */
#define COPIES_MAX 31               /* copies of an object, or data and parity strips together */
#define OBJECT_SHIFT_MIN 12
#define OBJECT_SHIFT_MAX 31

#define LAMB_STORE_MAGIC "lamb store " /* what the file "config" of a lamb's store begins with */

#define CONNECTIONS_MAX 32 /* of one generation to its daemon, its witness included */
#define PASTS_MAX 8        /* daemons of a volume that are not settled */

#define CONTROL_FD 3 /* a child's conversation with its master */

#endif
