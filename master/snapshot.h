/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots of attached volumes: the volume's own worker takes them, in order with its I/O.
 *
 * Owns the order that was given and the wait for its answer.  Those of volumes that are not
 * attached are the cluster worker's (cluster.c).
 */
#ifndef SHEEPFS_MASTER_SNAPSHOT_H
#define SHEEPFS_MASTER_SNAPSHOT_H

#include "ipc/msg.h"

struct command;
struct volume;

/* Has the volume's worker take the snapshot that the command names, and answers it.  The volume is
 * VOLUME_READY and no snapshot of it is being taken. */
void snapshot_begin(struct volume *v, struct command *c);

/* The vid of the volume whose snapshot a command wants, before it is taken; of one that is not
 * attached what the cluster worker told, else 0. */
uint32_t snapshot_vid_before(const struct command *c);

/* The worker's answer. */
void snapshot_answered(struct volume *v, const struct msg_answered *answer, const char *sentence);

/* The worker is dead.  The next one looks whether the snapshot was taken, before it takes it. */
void snapshot_worker_ended(struct volume *v, const char *words);

/* The next worker is ready. */
void snapshot_resume(struct volume *v);

/* There will be no next worker: what became of the snapshot is not known. */
void snapshot_lost(struct volume *v, const char *words);

/* The volume goes; nothing is answered. */
void snapshot_forget(struct volume *v);

#endif
