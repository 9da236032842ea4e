/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The road up: from a command to a volume that callers can use.
 *
 * Targets are tried in order, and the list again after a pause, until the limit.  The order of
 * things: dial, worker, READY, placeholder, mount, generation and device to the front, INIT,
 * answer. What fails is undone by the road down (detach.c).
 */
#ifndef SHEEPFS_MASTER_ATTACH_H
#define SHEEPFS_MASTER_ATTACH_H

struct command;
struct master;
struct volume;

/* Attaches what the command names, and answers it. */
void attach_begin(struct master *m, struct command *c);

/* Its worker is READY. */
void attach_ready(struct volume *v);

/* Its worker ended before it was READY. */
void attach_worker_ended(struct volume *v, const char *words);

/* The front has read FUSE_INIT from its connection. */
void attach_init_received(struct volume *v);

/* The pause before the next try, or the wait for a lock of an earlier worker, is over. */
void attach_again(struct volume *v);

/* The limit is reached. */
void attach_is_late(struct volume *v);

#endif
