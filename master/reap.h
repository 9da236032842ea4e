/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reaping: whoever started a child hears how it ended.
 *
 * Owns SIGCHLD, the list of living children, and the right to kill one that is another user.  Never
 * decides what an end means.
 */
#ifndef SHEEPFS_MASTER_REAP_H
#define SHEEPFS_MASTER_REAP_H

#include <event2/event.h>
#include <sys/queue.h>
#include <sys/types.h>

/* A living child, inside what belongs to its owner. */
struct child {
	LIST_ENTRY(child) link;
	pid_t pid; /* 0: none is watched */
	void (*ended)(int status, void *arg);
	void *arg;
};

/* Begins to listen for SIGCHLD.  Returns 0 or -ENOMEM. */
int reap_open(struct event_base *base);
void reap_close(void);

/* ended() is called once, from the loop, with the status of wait(2); c->pid is 0 by then. */
void reap_watch(struct child *c, pid_t pid, void (*ended)(int status, void *arg), void *arg);

/* Until reap_as(0): processes of that user, as of root, can be killed, and of nobody else. */
void reap_as(uid_t uid);

/* Its end will not be told any more; it is reaped all the same. */
void reap_forget(struct child *c);

#endif
