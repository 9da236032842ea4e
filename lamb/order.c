/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of requests: see order.h.
 */
#include "lamb/order.h"

#include "lamb/request.h"

void order_init(struct order *order)
{
	*order = (struct order){.last = &order->first};
}

/* May it run, given that the requests before it in the queue wait (ahead: a waiting EXCLUSIVE)? */
static bool may_run(const struct order *order, const struct request *request, bool ahead)
{
	switch (request->order_class) {
	case ORDER_FREE:
		return true;
	case ORDER_LOOKUP:
		return !order->exclusive;
	case ORDER_WRITE:
		return order->exclusive ? order->ajar : !ahead;
	case ORDER_EXCLUSIVE:
		return !order->exclusive && !order->writing && !ahead;
	}
	return false;
}

static bool exclusive_waits(const struct order *order)
{
	for (const struct request *r = order->first; r; r = r->next)
		if (r->order_class == ORDER_EXCLUSIVE)
			return true;
	return false;
}

static void enter(struct order *order, struct request *request)
{
	request->ordered = true;
	if (request->order_class == ORDER_WRITE)
		order->writing++;
	else if (request->order_class == ORDER_EXCLUSIVE)
		order->exclusive = true;
}

bool order_enter(struct order *order, struct request *request)
{
	if (may_run(order, request, order->first && exclusive_waits(order))) {
		enter(order, request);
		return true;
	}
	request->next = NULL;
	*order->last = request;
	order->last = &request->next;
	return false;
}

/* Takes the first waiting request that may run out of the queue. */
static struct request *next_runnable(struct order *order)
{
	bool ahead = false;

	for (struct request **link = &order->first; *link; link = &(*link)->next) {
		struct request *request = *link;

		if (may_run(order, request, ahead)) {
			*link = request->next;
			if (!*link)
				order->last = link;
			return request;
		}
		ahead = ahead || request->order_class == ORDER_EXCLUSIVE;
	}
	return NULL;
}

/* A request that runs may end at once and come here again: only the outermost call wakes. */
static void wake(struct order *order)
{
	struct request *request;

	if (order->waking)
		return;
	order->waking = true;
	while (order->first && (request = next_runnable(order))) {
		enter(order, request);
		request->op->run(request);
	}
	order->waking = false;
}

void order_leave(struct order *order, struct request *request)
{
	if (!request->ordered)
		return;
	request->ordered = false;
	if (request->order_class == ORDER_WRITE) {
		order->writing--;
	} else if (request->order_class == ORDER_EXCLUSIVE) {
		order->exclusive = false;
		order->ajar = false;
	}
	wake(order);
}

void order_ajar(struct order *order, bool ajar)
{
	order->ajar = ajar;
	if (ajar)
		wake(order);
}
