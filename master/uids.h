/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which users the volumes' workers are: one each, out of a range.
 */
#ifndef SHEEPFS_MASTER_UIDS_H
#define SHEEPFS_MASTER_UIDS_H

#include <sys/types.h>

struct uids;

/* NULL when memory is short. */
struct uids *uids_open(uid_t first, uid_t last);

/* A user that no living worker is, or 0: all are in use.  The one that was free longest. */
uid_t uids_take(struct uids *u);

/* Its worker is dead. 0 is fine. */
void uids_give_back(struct uids *u, uid_t uid);

void uids_close(struct uids *u);

#endif
