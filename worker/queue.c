/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unanswered requests: see queue.h.
 */
#include "worker/queue.h"

#include "ipc/log.h"

#include <stdio.h>
#include <stdlib.h>

static struct request *find(struct queue *q, uint64_t id)
{
	struct request *request;

	for (request = LIST_FIRST(&q->ids[id % QUEUE_HASH_SIZE]); request && request->r.id != id;)
		request = LIST_NEXT(request, link);
	return request;
}

static bool *slot_of(struct queue *q, const struct record_request *r)
{
	return r->op == REQUEST_FLUSH ? NULL : &q->slot_used[r->op == REQUEST_READ][r->slot];
}

const char *queue_refuses(struct queue *q, const struct record_request *r, char *why, size_t size)
{
	bool flush = r->op == REQUEST_FLUSH;

	if (find(q, r->id))
		snprintf(why, size, "the front sent request %llu twice", (unsigned long long)r->id);
	else if (flush && q->flushes == QUEUE_FLUSHES_MAX)
		snprintf(
		    why, size, "the front sent more than %d flushes at a time", QUEUE_FLUSHES_MAX);
	else if (!flush && r->slot >= q->slots)
		snprintf(why, size, "the front named slot %u of %u", r->slot, q->slots);
	else if (!flush && *slot_of(q, r))
		snprintf(why, size, "the front used slot %u twice", r->slot);
	else
		return NULL;
	return why;
}

struct request *queue_accept(struct queue *q, const struct record_request *r)
{
	struct request *request = STAILQ_FIRST(&q->free);

	if (request)
		STAILQ_REMOVE_HEAD(&q->free, next);
	else if (q->untouched < q->nr_requests)
		request = &q->requests[q->untouched++];
	else
		bug("more than %u requests are unanswered", q->nr_requests);
	request->r = *r;
	request->left = 1;
	request->error = 0;
	TAILQ_INSERT_TAIL(&q->accepted, request, accepted);
	LIST_INSERT_HEAD(&q->ids[r->id % QUEUE_HASH_SIZE], request, link);
	if (r->op == REQUEST_FLUSH)
		q->flushes++;
	else
		*slot_of(q, r) = true;
	return request;
}

void queue_finish(struct queue *q, struct request *request)
{
	STAILQ_INSERT_TAIL(&q->finished, request, next);
}

struct request *queue_due_flush(const struct queue *q)
{
	struct request *request = TAILQ_FIRST(&q->accepted);

	return request && request->r.op == REQUEST_FLUSH ? request : NULL;
}

struct request *queue_finished(const struct queue *q)
{
	return STAILQ_FIRST(&q->finished);
}

void queue_forget(struct queue *q, struct request *request)
{
	if (request == STAILQ_FIRST(&q->finished))
		STAILQ_REMOVE_HEAD(&q->finished, next);
	if (request->r.op == REQUEST_FLUSH)
		q->flushes--;
	else
		*slot_of(q, &request->r) = false;
	TAILQ_REMOVE(&q->accepted, request, accepted);
	LIST_REMOVE(request, link);
	STAILQ_INSERT_HEAD(&q->free, request, next);
}

bool queue_open(struct queue *q, unsigned slots)
{
	q->slots = slots;
	q->nr_requests = 2 * slots + QUEUE_FLUSHES_MAX;
	q->requests = calloc(q->nr_requests, sizeof *q->requests);
	STAILQ_INIT(&q->free);
	STAILQ_INIT(&q->finished);
	TAILQ_INIT(&q->accepted);
	return q->requests != NULL;
}

void queue_close(struct queue *q)
{
	free(q->requests);
	q->requests = NULL;
}
