/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands: what callers wrote to control files, from the front's COMMAND to our ANSWER.
 *
 * Owns the record of each while it is pending, and their order: two commands on one name run one
 * after the other.  What a command does is attach.c's, detach.c's and cluster.c's.
 */
#ifndef SHEEPFS_MASTER_COMMAND_H
#define SHEEPFS_MASTER_COMMAND_H

#include "ipc/msg.h"
#include "ipc/name.h"
#include "master/master.h"

struct command {
	TAILQ_ENTRY(command) link;
	struct master *master;
	uint64_t number; /* the kernel's; 0: our own, at the start */
	enum verb verb;
	bool running;     /* else it waits for another one on this name */
	bool again;       /* an earlier master, or cluster worker, may have done it */
	uint32_t vid;     /* of the VDI whose snapshot, clone or end that was to be, then */
	uint64_t created; /* its create_time, of one that was to be deleted */
	bool looked;      /* the cluster worker had looked, and may have done it */
	struct name name;
	char shown[NAME_SHOWN_SIZE];
	uint64_t size;
	uint32_t shift, copies, policy;
	bool set;          /* a knob's new value is `size` */
	struct name other; /* the volume that a clone makes; empty: none */
	uint32_t uid;
	char *text; /* what was written, where it is for the master to read; NULL */
};

/* How a change ended.  When the front or we die before its caller is told, the kernel asks for it
 * again. */
struct result {
	STAILQ_ENTRY(result) next;
	uint64_t number;
	bool unfinished; /* the master before us had begun it */
	bool looked;     /* unfinished: as in struct command */
	uint32_t vid;
	uint64_t created;
	int error;
	char sentence[];
};

/* Does it change volumes: is it done once, whoever dies? */
static inline bool command_is_change(const struct command *c)
{
	return c->verb >= VERB_MOUNT && c->verb <= VERB_DELETE;
}

/* Is it answered by a table, and changes nothing? */
static inline bool command_is_table(const struct command *c)
{
	return c->verb >= VERB_LIST && c->verb <= VERB_NODE_INFO;
}

/* A COMMAND came: records it and runs it, or answers why not. */
void command_receive(struct master *m, const struct msg *message);

/* Attaches a volume of the start, for nobody: startup_answered() is called when that is over. */
void command_attach(struct master *m, const struct name *name);

/* Answers it with an errno (0 or negative) and a sentence; the command is gone then.  NULL is fine:
 * the sentence goes to the log only. */
__attribute__((format(printf, 3, 4))) void command_answer(
    struct command *c, int error, const char *format, ...);

/* Answers it with a table, whose descriptor is owned from now on; the command is gone then. */
void command_answer_table(struct command *c, int fd);

/* What a command may have waited for is over. */
void command_run_waiting(struct master *m);

/* sheepfs is about to end: answers all that have not begun. */
void command_refuse_waiting(struct master *m);

/* The cluster worker is about to do it, with this vid: should it die, or we, the next one looks
 * first. */
void command_record(struct command *c, uint32_t vid);

/* Is it a change that may have been done, or half of it? */
bool command_may_be_done(const struct command *c);

/* None has begun and is not answered. */
bool command_none_runs(const struct master *m);

/* What the master before us had done, or begun. */
void command_remember(struct master *m, uint64_t number, int error, const char *sentence);
void command_remember_unfinished(
    struct master *m, uint64_t number, uint32_t vid, uint64_t created, bool looked);

/* The master ends. */
void command_forget_results(struct master *m);

#endif
