/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cluster operations beside those of other nodes: see exclusion.h.
 *
 * Whoever has the lock sets page->exclusive and waits until no living node's slot says "writing"; a
 * writer says so first and looks at page->exclusive then.  So one of the two sees the other.
 * page->exclusive without the lock's holder is what a death left.
 */
#include "lamb/exclusion.h"

#include "ipc/log.h"
#include "lamb/lamb.h"
#include "lamb/news.h"
#include "lamb/ops.h"
#include "lamb/pool.h"
#include "lamb/request.h"
#include "lamb/shared.h"
#include "lamb/store.h"
#include "lamb/vdi.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct exclusion {
	struct lamb *lamb;
	struct shared *shared;
	bool seeking; /* our operation waits for the lock and for writers */
	bool ours;    /* it has it */
	bool waiting; /* `job` waits for the lock, or has it */
	bool mend, mend_again;
	struct request job; /* nobody's, only for the pool */
};

/* Completes what a death left half done, with the lock. */
static int mend(struct store *store)
{
	struct vdi_table *table = vdi_table_new();
	struct meta meta;
	int error;

	if (!table)
		return -ENOMEM;
	error = store_follow(store, &meta);
	if (!error)
		error = vdi_table_load(table, store);
	if (!error)
		error = vdi_table_mend(table, store);
	vdi_table_free(table);
	return error;
}

static void mend_if_needed(struct shared *shared, struct store *store, bool asked)
{
	int error;

	if (!asked && !atomic_load(&shared->page->exclusive))
		return;
	error = mend(store);
	if (error)
		log_error("what a node left half done when it died cannot be completed: %s",
		    strerror(-error));
	shared_mend_versions(shared);
	shared_notice(shared, 0);
	atomic_store(&shared->page->exclusive, 0);
}

static void wait_work(struct request *job)
{
	struct exclusion *exclusion = job->lamb->exclusion;

	shared_wait_exclusive(exclusion->shared, SHARED_WAITER);
	mend_if_needed(exclusion->shared, job->lamb->store, exclusion->mend);
}

static void start_waiting(struct exclusion *exclusion);

/* Still with the lock, or the next operation of another node might always be quicker. */
static void wait_done(struct request *job)
{
	struct exclusion *exclusion = job->lamb->exclusion;

	exclusion->waiting = exclusion->mend = false;
	order_retry(&job->lamb->order);
	shared_leave_exclusive(exclusion->shared, SHARED_WAITER);
	if (exclusion->mend_again) {
		exclusion->mend_again = false;
		exclusion->mend = true;
		start_waiting(exclusion);
	}
}

static void start_waiting(struct exclusion *exclusion)
{
	exclusion->waiting = true;
	exclusion->job.lamb = exclusion->lamb;
	exclusion->job.work = wait_work;
	exclusion->job.done = wait_done;
	pool_run(exclusion->lamb->pool, &exclusion->job);
}

void exclusion_mend(struct exclusion *exclusion)
{
	if (exclusion->waiting) {
		exclusion->mend_again = true;
		return;
	}
	exclusion->mend = true;
	start_waiting(exclusion);
}

/* An operation of another node runs: its end is waited for. */
static bool is_shut(struct exclusion *exclusion)
{
	if (exclusion->ours)
		return false;
	if (!exclusion->waiting && atomic_load(&exclusion->shared->page->exclusive))
		start_waiting(exclusion);
	return exclusion->waiting && atomic_load(&exclusion->shared->page->exclusive);
}

static bool admit(void *argument, enum order_class order_class, bool first)
{
	struct exclusion *exclusion = argument;
	struct shared *shared = exclusion->shared;
	_Atomic uint32_t *writing = &shared->page->slots[shared->slot].writing;

	if (order_class == ORDER_WRITE && first)
		atomic_store(writing, 1);
	if ((order_class != ORDER_WRITE && order_class != ORDER_LOOKUP) || !is_shut(exclusion))
		return true;
	if (order_class == ORDER_WRITE && first)
		atomic_store(writing, 0);
	return false;
}

static void left(void *argument, enum order_class order_class)
{
	struct exclusion *exclusion = argument;
	struct shared *shared = exclusion->shared;

	if (order_class == ORDER_WRITE) {
		atomic_store(&shared->page->slots[shared->slot].writing, 0);
	} else if (exclusion->ours) {
		exclusion->ours = false;
		atomic_store(&shared->page->exclusive, 0);
		shared_leave_exclusive(shared, SHARED_OPERATION);
	}
}

struct exclusion *exclusion_new(struct lamb *lamb)
{
	struct exclusion *exclusion = calloc(1, sizeof *exclusion);

	if (!exclusion)
		return NULL;
	exclusion->lamb = lamb;
	exclusion->shared = store_shared(lamb->store);
	order_beside(&lamb->order, admit, left, exclusion);
	return exclusion;
}

void exclusion_free(struct exclusion *exclusion)
{
	free(exclusion);
}

int exclusion_load(struct lamb *lamb)
{
	struct shared *shared = store_shared(lamb->store);
	int error;

	shared_wait_exclusive(shared, SHARED_OPERATION);
	error = news_load(lamb);
	if (!error)
		error = vdi_table_mend(lamb->vdis, lamb->store);
	if (!error && atomic_load(&shared->page->exclusive)) {
		shared_notice(shared, 0);
		atomic_store(&shared->page->exclusive, 0);
	}
	shared_leave_exclusive(shared, SHARED_OPERATION);
	return error;
}

/* Until no other node writes. */
static void drain(const struct shared *shared)
{
	static const struct timespec turn = {0, 200 * 1000};

	for (uint32_t i = 0; i < SHARED_SLOTS; i++) {
		const struct shared_slot *slot = &shared->page->slots[i];

		if (i == shared->slot)
			continue;
		while (atomic_load(&slot->lives) && atomic_load(&slot->writing) &&
		       shared_slot_lives(shared, i))
			nanosleep(&turn, NULL);
	}
}

static void begin_work(struct request *request)
{
	struct shared *shared = request->lamb->exclusion->shared;

	shared_wait_exclusive(shared, SHARED_OPERATION);
	mend_if_needed(shared, request->lamb->store, false);
	atomic_store(&shared->page->exclusive, 1);
	drain(shared);
}

static void begin_done(struct request *request)
{
	struct exclusion *exclusion = request->lamb->exclusion;

	news_follow(request->lamb);
	exclusion->seeking = false;
	exclusion->ours = true;
	request->op->run(request);
}

void exclusion_begin(struct request *request)
{
	request->lamb->exclusion->seeking = true;
	request_defer(request, begin_work, begin_done);
}

bool exclusion_is_ours(const struct exclusion *exclusion)
{
	return exclusion->ours;
}

bool exclusion_is_busy(const struct exclusion *exclusion)
{
	return exclusion->waiting || exclusion->seeking;
}
