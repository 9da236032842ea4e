/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the supervisor knows, as tables: status/workers and status/failovers.
 *
 * Owns the list of the latest failovers.  A table is one consistent moment.
 */
#ifndef SHEEPFS_MASTER_STATUS_H
#define SHEEPFS_MASTER_STATUS_H

#include "ipc/msg.h"
#include "master/master.h"

struct volume;

/* A volume goes on with another generation, after `pause` milliseconds without one.  why: what
 * ended the one before. */
void status_note_failover(struct volume *v, uint64_t pause, const char *why);

/* A sealed memfd with the table VERB_WORKERS or VERB_FAILOVERS, which is the caller's; or -errno.
 */
int status_table(struct master *m, enum verb verb);

void status_forget_all(struct master *m);

#endif
