/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of I/O on each object: see range.h.
 *
 * Only objects that are busy are known, by a hash.  A range that finds nobody in its way costs a
 * look into the hash; a queue is searched only for writes, and when somebody waits.  An object
 * has at most one range of each request, so queues are short even where pieces are many.
 */
#include "worker/range.h"

#include "ipc/log.h"

#include <stdlib.h>

TAILQ_HEAD(range_queue, range);
LIST_HEAD(range_bucket, range_object);

struct range_object {
	LIST_ENTRY(range_object) link; /* of its bucket, or of the free ones */
	uint32_t object;
	unsigned running, waiting, writes; /* writes: running and waiting ones */
	bool creating;
	struct range_queue queue; /* as they came */
};

struct ranges {
	range_creates *creates;
	void *arg;
	struct range_queue ready;
	struct range_object *objects; /* `most` of them; from `untouched` on never used */
	unsigned most, untouched;
	struct range_bucket free;
	struct range_bucket *buckets;
	uint32_t mask;
};

static struct range_bucket *bucket_of(const struct ranges *r, uint32_t object)
{
	return &r->buckets[object & r->mask]; /* neighbours are busy together: they spread well */
}

static struct range_object *object_find(const struct ranges *r, uint32_t object)
{
	struct range_object *o;

	for (o = LIST_FIRST(bucket_of(r, object)); o && o->object != object;)
		o = LIST_NEXT(o, link);
	return o;
}

static struct range_object *object_make(struct ranges *r, uint32_t object)
{
	struct range_object *o = LIST_FIRST(&r->free);

	if (o)
		LIST_REMOVE(o, link);
	else if (r->untouched < r->most)
		o = &r->objects[r->untouched++];
	else
		bug("more than %u objects are busy", r->most);
	o->object = object;
	o->running = o->waiting = o->writes = 0;
	o->creating = false;
	TAILQ_INIT(&o->queue);
	LIST_INSERT_HEAD(bucket_of(r, object), o, link);
	return o;
}

/* Does an earlier write, running or waiting, overlap this one? */
static bool overlaps_earlier(const struct range *range)
{
	const struct range *e;

	for (e = TAILQ_FIRST(&range->at->queue); e != range; e = TAILQ_NEXT(e, next))
		if (e->write && (e->held || (e->first < range->end && range->first < e->end)))
			return true;
	return false;
}

static void start(struct ranges *r, struct range *range, bool creates)
{
	struct range_object *o = range->at;

	range->running = true;
	range->creates = creates;
	o->waiting--;
	o->running++;
	o->creating = creates;
	TAILQ_INSERT_TAIL(&r->ready, range, ready);
}

/* Starts what may start, in the order in which it came. */
static void wake(struct ranges *r, struct range_object *o)
{
	bool foreign = o->writes && r->creates(r->arg, o->object);
	struct range *range;

	for (range = TAILQ_FIRST(&o->queue); range; range = TAILQ_NEXT(range, next)) {
		if (o->creating || !o->waiting)
			return;
		if (range->running)
			continue;
		if (range->write && foreign) {
			if (!o->running && !range->held)
				start(r, range, true);
			return; /* whatever came later stays behind the create */
		}
		if (range->held)
			continue;
		if (!range->write || !overlaps_earlier(range))
			start(r, range, false);
	}
}

void range_enter(struct ranges *r, struct range *range)
{
	struct range_object *o = object_find(r, range->object);
	bool foreign;

	if (!o)
		o = object_make(r, range->object);
	range->at = o;
	range->running = false;
	range->creates = false;
	TAILQ_INSERT_TAIL(&o->queue, range, next);
	o->waiting++;
	o->writes += range->write;
	foreign = o->writes && r->creates(r->arg, o->object);
	if (o->creating || range->held)
		return;
	if (!range->write) {
		if (!foreign)
			start(r, range, false);
	} else if (foreign) {
		if (!o->running && o->waiting == 1)
			start(r, range, true);
	} else if (!overlaps_earlier(range)) {
		start(r, range, false);
	}
}

void range_let_go(struct ranges *r, struct range *range)
{
	if (!range->held)
		bug("a range of object %u is let go that was not held", range->object);
	range->held = false;
	wake(r, range->at);
}

struct range *range_next(struct ranges *r)
{
	struct range *range = TAILQ_FIRST(&r->ready);

	if (range)
		TAILQ_REMOVE(&r->ready, range, ready);
	return range;
}

void range_leave(struct ranges *r, struct range *range)
{
	struct range_object *o = range->at;

	if (!range->running)
		bug("a range of object %u leaves that did not run", range->object);
	TAILQ_REMOVE(&o->queue, range, next);
	o->running--;
	o->writes -= range->write;
	if (range->creates)
		o->creating = false;
	range->at = NULL;
	range->running = false;
	if (o->waiting) {
		wake(r, o);
	} else if (!o->running) {
		LIST_REMOVE(o, link);
		LIST_INSERT_HEAD(&r->free, o, link);
	}
}

bool range_busy(const struct ranges *r, uint32_t object)
{
	return object_find(r, object) != NULL;
}

struct ranges *range_open(unsigned most, range_creates *creates, void *arg)
{
	struct ranges *r = calloc(1, sizeof *r);
	uint32_t buckets = 64;

	if (!r)
		return NULL;
	while (buckets < most)
		buckets *= 2;
	r->creates = creates;
	r->arg = arg;
	r->most = most;
	r->mask = buckets - 1;
	TAILQ_INIT(&r->ready);
	LIST_INIT(&r->free);
	r->objects = calloc(most, sizeof *r->objects);
	r->buckets = calloc(buckets, sizeof *r->buckets);
	if (!r->objects || !r->buckets) {
		range_close(r);
		return NULL;
	}
	return r;
}

void range_close(struct ranges *r)
{
	if (!r)
		return;
	free(r->objects);
	free(r->buckets);
	free(r);
}
