/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of what is in flight: see request.h.
 *
 * An id is a serial number with its slot in the low bits, so that an answer is found without a
 * search; it is still compared as a whole.
 */
#include "front/request.h"

#include "ipc/log.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#define SLOT_BITS 8
#define SLOT_MASK ((UINT64_C(1) << SLOT_BITS) - 1)

_Static_assert(SLOTS_PER_VOLUME <= SLOT_MASK + 1, "a slot fits into an id");

void request_start(struct request_table *t, unsigned slots)
{
	t->slots = slots;
	t->nr_free = slots;
	for (unsigned i = 0; i < slots; i++) {
		t->free[i] = (uint16_t)(slots - 1 - i);
		t->requests[i] = (struct request){.slot = i};
	}
}

int request_next_slot(const struct request_table *t)
{
	return t->nr_free ? t->free[t->nr_free - 1] : -1;
}

struct request *request_begin(
    struct request_table *t, uint64_t unique, uint32_t op, uint64_t offset, uint32_t length)
{
	int slot = request_next_slot(t);
	struct request *r;

	if (slot < 0)
		bug("a request of %" PRIu32 " bytes has no slot", length);
	t->nr_free--;
	r = &t->requests[slot];
	r->id = ++t->serial << SLOT_BITS | (uint64_t)slot;
	r->unique = unique;
	r->generation = 0;
	r->op = op;
	r->offset = offset;
	r->length = length;
	r->deaths = 0;
	r->told = r->condemned = false;
	r->answered = false;
	r->error = 0;
	return r;
}

static int compare(const void *a, const void *b)
{
	const struct request *x = *(struct request *const *)a, *y = *(struct request *const *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

unsigned request_unanswered(struct request_table *t, struct request *list[SLOTS_PER_VOLUME])
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->slots; i++) {
		struct request *r = &t->requests[i];

		if (r->id && !r->answered)
			list[n++] = r;
	}
	qsort(list, n, sizeof *list, compare);
	return n;
}

struct request *request_find(struct request_table *t, uint64_t id, uint32_t generation)
{
	uint64_t slot = id & SLOT_MASK;
	struct request *r;

	if (!id || slot >= t->slots)
		return NULL;
	r = &t->requests[slot];
	return r->id == id && r->generation == generation && !r->answered ? r : NULL;
}

void request_end(struct request_table *t, struct request *r)
{
	if (!r->id)
		bug("slot %" PRIu32 " is freed twice", r->slot);
	r->id = 0;
	t->free[t->nr_free++] = (uint16_t)r->slot;
}

unsigned request_in_flight(const struct request_table *t)
{
	return t->slots - t->nr_free;
}
