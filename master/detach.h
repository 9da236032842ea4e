/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The road down: from any state to nothing, and what happens when something dies under a volume.
 *
 * One road for every end: a command, a plain umount(8), an abort, an attach that failed, the stop
 * of sheepfs.  Each step is taken when the one before it is over: unmount, the kernel's word that
 * the connection ended, the worker's end, its lock, the placeholder, the answer.  No step waits
 * longer than its limit.
 */
#ifndef SHEEPFS_MASTER_DETACH_H
#define SHEEPFS_MASTER_DETACH_H

#include <stdbool.h>

struct command;
struct volume;

/* Detaches it unless it is in use, and answers the command. */
void detach_begin(struct volume *v, struct command *c);

/* Whether it was unmounted by hand and its connection has not ended yet: it is waited for, a
 * moment. */
bool detach_by_hand(struct volume *v);

/* It goes whoever uses it; its commands get this answer. */
__attribute__((format(printf, 3, 4))) void detach_after(
    struct volume *v, int error, const char *format, ...);

/* sheepfs stops: detaches it, in use or not; who uses it is named in the log. */
void detach_for_stop(struct volume *v);

/* The same when patience is over: nothing is finished any more. */
void detach_hurry(struct volume *v);

/* The mount of one that is on the road down was tried, with this outcome. */
void detach_mount_tried(struct volume *v, int error);

/* The kernel ended its connection: umount or abort. */
void detach_connection_ended(struct volume *v);

/* The front is gone, and with it every connection. */
void detach_front_ended(struct volume *v);

/* The front is gone and another one comes: its generation ends, for nobody knows what it was asked.
 */
void detach_front_lost(struct volume *v);

/* Its worker is dead. */
void detach_generation_ended(struct volume *v, const char *words);

/* Its lock cannot be released now, and no generation is sought for that any more. */
void detach_gives_up(struct volume *v);

/* A step takes too long. */
void detach_step_is_late(struct volume *v);

/* Takes the next step, if there is nothing to wait for. */
void detach_turn(struct volume *v);

#endif
