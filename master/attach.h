/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The road up: from a command to a volume that callers can use.
 *
 * The first generation is sought (seek.h) until the limit.  The order of things: dial, worker,
 * READY, placeholder, mount, device and generation to the front, INIT, answer. What fails is undone
 * by the road down (detach.c).
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

/* The front has read FUSE_INIT from its connection. */
void attach_init_received(struct volume *v);

/* A volume that had failed goes on, or has failed again: the command that asked is answered. */
void attach_revived(struct volume *v);
void attach_failed(struct volume *v, const char *why);

/* The limit is reached. */
void attach_is_late(struct volume *v);

#endif
