/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests of the front that are not answered: their records, ids and slots, in the order in
 * which they came.
 *
 * Judges what a front may ask for at all, and knows when a flush is due.  Never does anything about
 * a request.  Allocates only when it is opened.
 */
#ifndef SHEEPFS_WORKER_QUEUE_H
#define SHEEPFS_WORKER_QUEUE_H

#include "include/bounds.h"
#include "ipc/msg.h"

#include <stdbool.h>
#include <sys/queue.h>

#define QUEUE_FLUSHES_MAX 1024 /* unanswered flushes at a time; they need no slot */
#define QUEUE_HASH_SIZE 512U

struct request {
	TAILQ_ENTRY(request) accepted;
	STAILQ_ENTRY(request) next; /* of the finished, the held or the free ones */
	LIST_ENTRY(request) link;
	struct record_request r;
	unsigned left; /* pieces not done; serve.c's */
	int error;
};

STAILQ_HEAD(request_list, request);

struct queue {
	unsigned slots;
	struct request *requests;
	unsigned nr_requests, untouched, flushes;
	struct request_list free, finished;
	TAILQ_HEAD(, request) accepted; /* unanswered, as they came */
	LIST_HEAD(, request) ids[QUEUE_HASH_SIZE];
	bool slot_used[2][SLOTS_PER_VOLUME]; /* of `out` (0) and of `in` (1) */
};

/* An empty one for a volume with so many slots; returns false when memory is short. */
bool queue_open(struct queue *q, unsigned slots);
void queue_close(struct queue *q);

/* Why this request can be none, with `size` bytes for the sentence; NULL: it can. */
const char *queue_refuses(struct queue *q, const struct record_request *r, char *why, size_t size);

/* Takes it in; queue_refuses() had nothing against it. */
struct request *queue_accept(struct queue *q, const struct record_request *r);

/* It may be answered. */
void queue_finish(struct queue *q, struct request *request);

/* The oldest request, if it is a flush: everything that came before it is answered (rule 10). */
struct request *queue_due_flush(const struct queue *q);

/* The next one that is finished, or NULL. */
struct request *queue_finished(const struct queue *q);

/* It is being answered: its id and its slot are free. */
void queue_forget(struct queue *q, struct request *request);

static inline bool queue_is_empty(const struct queue *q)
{
	return TAILQ_EMPTY(&q->accepted);
}

#endif
