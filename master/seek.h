/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The search for a volume's next generation: a target that takes a connection, and a worker that
 * becomes ready on it.  The first one on the road up (attach.h), and every later one, whatever
 * ended the one before.
 *
 * Which target, and after which pause, policy.c says; what becomes of the volume meanwhile is its
 * state's.  Never gives up by itself but where the policy does.
 */
#ifndef SHEEPFS_MASTER_SEEK_H
#define SHEEPFS_MASTER_SEEK_H

struct volume;

/* From the first target of the list, at once. */
void seek_begin(struct volume *v);

/* Its generation is over: what ended it decides what is tried next.  words: why, for people. */
void seek_after(struct volume *v, const char *words);

/* The pause before the next try, or the wait for a lock of an earlier worker, is over. */
void seek_again(struct volume *v);

/* There are other targets: whatever it has is left for them. */
void seek_elsewhere(struct volume *v);

/* Its generation is ready. */
void seek_ready(struct volume *v);

/* A front has been told of the volume, and takes generations. */
void seek_front_takes(struct volume *v);

/* Nothing is tried any more. */
void seek_stop(struct volume *v);

#endif
