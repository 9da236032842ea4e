/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deletion of a VDI: a volume that goes up as any other, but for a mount, to be deleted by its
 * worker (worker/deletion.h).
 *
 * So whatever dies meanwhile is met on the one road: the generation ends, the next one settles what
 * was asked, proves that it is the very VDI, and goes on; it is locked as long; what may still run
 * in the end is left for the next attempt.
 */
#ifndef SHEEPFS_MASTER_DELETION_H
#define SHEEPFS_MASTER_DELETION_H

#include "ipc/msg.h"

#include <stdbool.h>

struct command;
struct master;
struct volume;

/* Deletes what the command names; it is answered when that is over. */
void deletion_begin(struct master *m, struct command *c);

/* What it names is just being detached, and is waited for. */
bool deletion_must_wait(const struct command *c);

/* Is it a deletion that must not begin yet, for something of its volume, which is attached, is not
 * settled? */
bool deletion_is_held_up(struct volume *v);

/* Something that deletions may wait for is over. */
void deletion_look_again(struct master *m);

/* What has become of one that cannot go on; cut: as in struct volume. */
const char *deletion_fate(uint32_t cut);

/* Its generation is ready: it is given the order, unless something stands in the way. */
void deletion_ready(struct volume *v);

/* Some of it is done. */
void deletion_progressed(struct volume *v);

/* Its worker says how it ended. */
void deletion_answered(struct volume *v, const struct msg_answered *answer, const char *sentence);

/* Its worker ended before it said so: another one goes on. */
void deletion_interrupted(struct volume *v, const char *words);

/* Nobody wants it any more, its caller least of all, who is told at once: should we die before all
 * is over, nobody goes on with it. */
void deletion_abort(struct volume *v, uint32_t uid);

/* Nothing of it was done for too long. */
void deletion_is_late(struct volume *v);

/* Which VDI a deletion is of that has begun, for whoever may have to go on with it: its vid (0:
 * none has begun) and create_time. */
void deletion_before(const struct command *c, uint32_t *vid, uint64_t *created);

#endif
