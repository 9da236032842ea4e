/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the supervisor knows, as tables: status/workers and status/failovers.
 *
 * Owns the list of the latest failovers.  A table is one consistent moment.
 */
#ifndef SHEEPFS_MASTER_STATUS_H
#define SHEEPFS_MASTER_STATUS_H

#include "ipc/msg.h"
#include "ipc/name.h"
#include "master/master.h"

#include <time.h>

struct volume;

struct failover {
	STAILQ_ENTRY(failover) next;
	time_t when;
	uint64_t pause; /* milliseconds */
	uint32_t generation;
	char shown[NAME_SHOWN_SIZE];
	char target[ADDRESS_TEXT_MAX];
	char why[];
};

/* A volume goes on with another generation, after `pause` milliseconds without one.  why: what
 * ended the one before. */
void status_note_failover(struct volume *v, uint64_t pause, const char *why);

/* One that the master before us noted. */
void status_remember(struct master *m, const struct failover *noted, const char *why);

/* A sealed memfd with the table VERB_WORKERS or VERB_FAILOVERS, which is the caller's; or -errno.
 */
int status_table(struct master *m, enum verb verb);

void status_forget_all(struct master *m);

#endif
