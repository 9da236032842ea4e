/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation with the front: what it says goes to whoever it is for.
 *
 * Owns the front's process and the tree's FUSE_INIT.  Never decides about volumes or commands. What
 * is said to it while there is none is lost.
 */
#ifndef SHEEPFS_MASTER_FRONT_H
#define SHEEPFS_MASTER_FRONT_H

#include "master/master.h"

struct volume;

/* What the next front must know of the ones before. */
struct front_memory {
	uint32_t incarnation; /* how many-th it was */
	uint64_t started; /* when the first one was: what the tree's files show as their times */
	bool resend;      /* the kernel asks the next one what this one did not answer */
	pid_t pid;
	uint8_t init[INIT_REQUEST_MAX]; /* the kernel's FUSE_INIT for the tree */
	size_t init_size;               /* 0: it has not come yet */
};

/*
 * Starts it on the tree's device, which is owned from now on.  Returns 0 or -errno.
 *
 * When it dies another one goes on, if the kernel can ask it what this one did not answer: every
 * generation ends, the next front is told of all volumes, and what is asked again waits there for
 * the next generations.  One that dies early, time and again, is the last.
 */
int front_start(struct master *m, int device);

/* NULL: there is none, or its tree was not served yet. */
const struct front_memory *front_memory(const struct master *m);

/* NULL: there is no front yet, or none any more. */
struct process *front_process(const struct master *m);

/* In a new master: what the one before remembered, and the tree's device, which is owned from now
 * on.  Then front_start_next() goes on.  Returns 0 or -errno. */
int front_remember(struct master *m, int device, const struct front_memory *memory);

/* None runs and none will: frees it, and closes the tree's device. */
void front_forget(struct master *m);

/* Starts the one after the last, which is dead: volumes go on with it.  Returns 0 or -errno. */
int front_start_next(struct master *m);

/* Its conversation is alive. */
bool front_lives(const struct master *m);

/* The tree's connection has not ended yet. */
bool front_serves_tree(const struct master *m);

/* Attaches the volumes of the start, and then says that we serve, once the tree does and every lamb
 * of ours. */
void front_announce(struct master *m);

/* It knows the volumes: it may be given generations. */
bool front_takes(const struct master *m);

/* Its end was asked for: it is no failure, and the tree's connection ends with it. */
void front_kill(struct master *m, const char *why);

/* The same, and the connection goes on: another sheepfs is about to have it. */
void front_end_for_successor(struct master *m);

void front_answer(struct master *m, uint64_t number, int error, const char *sentence);
void front_answer_table(struct master *m, uint64_t number, int fd);

/* Shows a placeholder; gives it its device and `out`; gives it a generation's data socket and `in`.
 * Where it is not there yet, all of it is made good when it is. */
void front_add_volume(struct master *m, const struct volume *v);
void front_serve_volume(struct master *m, struct volume *v);
void front_start_generation(struct master *m, struct volume *v);
void front_set_limits(struct master *m);
void front_fail_volume(struct master *m, const struct volume *v, int error, const char *why);
void front_remove_volume(struct master *m, const struct volume *v);

#endif
