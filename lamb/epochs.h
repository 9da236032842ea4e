/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The history of membership: the file "epochs" in the store.
 *
 * Owns its text form.  It is replaced atomically and durably, and belongs to one format of the
 * store: that of another generation counts as none.
 */
#ifndef LAMB_EPOCHS_H
#define LAMB_EPOCHS_H

#include "lamb/shared.h"

#include <stdint.h>

#define EPOCHS_FILE "epochs"
#define EPOCHS_FILE_NEW "epochs.new"
#define EPOCHS_MAX 1000 /* that many are kept, the newest */

struct epoch {
	uint32_t number;
	uint32_t nr;   /* members */
	uint64_t time; /* when it began, seconds */
	struct member members[SHARED_SLOTS];
};

struct epochs {
	uint32_t nr;
	struct epoch *list; /* oldest first; owned */
};

/* 0, -ENOENT (none of that generation), -EBADMSG (damaged), -errno */
int epochs_read(int root, uint32_t generation, struct epochs *epochs);

/* Adds a copy in memory, leaving the oldest out beyond EPOCHS_MAX. 0 or -ENOMEM. */
int epochs_add(struct epochs *epochs, const struct epoch *epoch);

/* Durable when it returns 0. */
int epochs_write(int root, uint32_t generation, const struct epochs *epochs);

void epochs_free(struct epochs *epochs);

#endif
