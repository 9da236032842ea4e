/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that wait for a slot: see waiting.h.
 */
#include "front/waiting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void waiting_init(struct waiting_list *l)
{
	STAILQ_INIT(&l->list);
	l->bytes = 0;
}

int waiting_full(const struct waiting_list *l)
{
	return l->bytes >= WAITING_BYTES_MAX;
}

const struct waiting *waiting_first(const struct waiting_list *l)
{
	return STAILQ_FIRST(&l->list);
}

int waiting_add(struct waiting_list *l, uint64_t unique, uint64_t since, uint32_t op,
    uint64_t offset, uint32_t length, const void *payload)
{
	size_t cost = sizeof(struct waiting) + (payload ? length : 0);
	struct waiting *w = malloc(cost);

	if (!w)
		return -ENOMEM;
	w->unique = unique;
	w->since = since;
	w->op = op;
	w->offset = offset;
	w->length = length;
	w->cost = cost;
	if (payload)
		memcpy(w->payload, payload, length);
	STAILQ_INSERT_TAIL(&l->list, w, next);
	l->bytes += cost;
	return 0;
}

struct waiting *waiting_take(struct waiting_list *l)
{
	struct waiting *w = STAILQ_FIRST(&l->list);

	if (!w)
		return NULL;
	STAILQ_REMOVE_HEAD(&l->list, next);
	l->bytes -= w->cost;
	return w;
}
