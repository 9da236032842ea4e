/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * workerpeer's parts: the conversation with a worker (workerpeer.c) and the I/O that it does as the
 * front would (workerload.c).
 */
#ifndef SHEEPFS_TESTS_WORKERPEER_H
#define SHEEPFS_TESTS_WORKERPEER_H

#include "ipc/arena.h"
#include "ipc/chan.h"

#include <stdbool.h>
#include <sys/types.h>

#define SLOTS 64
#define PATIENCE 60.0 /* seconds that one command may take */

struct work {        /* of one slot */
	uint64_t id; /* 0: free */
	uint32_t op;
	uint64_t offset;
	uint32_t length;
};

struct peer {
	struct event_base *base;
	struct chan *master, *front;
	const char *daemon;
	bool volume;
	pid_t pid;
	struct arena out, in;
	struct event *log;
	int to_worker[3]; /* data socket, `out`, `in` */
	bool spoke, ready, drained, over;
	uint64_t size;
	unsigned answers;
	int last_error;
	uint64_t next_id;
	unsigned outstanding;
	uint64_t finished;
	struct work work[SLOTS];
	uint8_t *copy; /* what a load has written */
	unsigned failures;
};

_Noreturn void die(const char *what);
double now(void);

/* Counts a failure and prints the first ones. */
void wrong(struct peer *p, const char *what, uint64_t at);

/* One answer of the worker: its slot's work is over. */
void load_answered(struct peer *p, const struct record_answer *a);

/* Writes or compares a pattern; prints how it went. */
void load_pattern(struct peer *p, uint32_t op, uint64_t offset, uint64_t length, unsigned seed);

/* Random requests, `depth` at once, within the first `span` bytes; prints how it went.  bench: 4
 * KiB reads; else reads and writes of all sizes, compared with a copy in memory. */
void load_random(struct peer *p, double seconds, unsigned depth, uint64_t span, bool bench);

void load_flush(struct peer *p);

#endif
