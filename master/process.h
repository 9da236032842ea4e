/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A helper process: its birth, its conversation, its log and its death.
 *
 * What front.c, cluster.c and generation.c have in common.  It is over when it is dead, reaped, and
 * everything that it said has been handed out; a process that ends its conversation, or of which a
 * message is refused, is killed.  Never knows what is said.
 */
#ifndef SHEEPFS_MASTER_PROCESS_H
#define SHEEPFS_MASTER_PROCESS_H

#include "ipc/chan.h"
#include "master/reap.h"
#include "master/relay.h"

#include <stdbool.h>

#define PROCESS_WORDS_MAX 320

struct master;

struct process {
	bool lives; /* not over */
	struct child child;
	uid_t uid;         /* that it becomes */
	int status;        /* of wait(2), once child.pid is 0 */
	struct chan *chan; /* NULL: the conversation is over */
	struct relay *relay;
	struct event *patience;
	unsigned stopped;              /* how often in a row it was seen to be, heartbeat.c's */
	char label[256];               /* "worker NAME[pid]" */
	char blame[PROCESS_WORDS_MAX]; /* why we killed it; empty: we did not */
	char late[PROCESS_WORDS_MAX];  /* why we shall, when our patience ends */
	void (*message)(struct msg *m, void *arg);
	void (*ended)(const char *words, void *arg);
	void *arg;
};

struct process_plan {
	const char *path;        /* of the program; NULL: it is in the helpers' directory */
	const char *program;     /* its name, there and for ps(1) */
	const char *role, *name; /* argv[1] and argv[2], or NULL */
	enum kind kind;
	uid_t uid; /* that it becomes */
	void (*message)(struct msg *m, void *arg);
	/* It is over, for the reason that `words` tell; p->status may be asked. */
	void (*ended)(const char *words, void *arg);
	void *arg;
};

/*
 * Starts one, with its conversation in TALK_STARTING.  p is the caller's, zeroed or over.  Returns
 * 0 or -errno; then ended() is not called.
 */
int process_start(struct master *m, struct process *p, const struct process_plan *plan);

/* SIGKILL; it ends with these words.  Nothing when it does not live. */
void process_kill(struct process *p, const char *why);

/* What process_kill_later() said is not done. */
void process_spare(struct process *p);

/* The same in `milliseconds`, unless it is over by then or this is called again. */
void process_kill_later(struct process *p, unsigned milliseconds, const char *why);

#endif
