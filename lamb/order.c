/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of requests: see order.h.
 */
#include "lamb/order.h"

#include "lamb/request.h"

void order_init(struct order *order, void (*run)(struct request *request))
{
	*order = (struct order){.last = &order->first, .run = run};
}

void order_beside(struct order *order,
    bool (*admit)(void *argument, enum order_class order_class, bool first),
    void (*left)(void *argument, enum order_class order_class), void *argument)
{
	order->admit = admit;
	order->left = left;
	order->argument = argument;
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

/* Does nobody beside us object?  To be asked only of one that may run, and then enters. */
static bool is_admitted(const struct order *order, const struct request *request)
{
	enum order_class order_class = request->order_class;
	bool first = order_class == ORDER_WRITE ? !order->writing : !order->exclusive;

	return !order->admit || order->admit(order->argument, order_class, first);
}

bool order_enter(struct order *order, struct request *request)
{
	if (may_run(order, request, order->first && exclusive_waits(order)) &&
	    is_admitted(order, request)) {
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

		if (may_run(order, request, ahead) && is_admitted(order, request)) {
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
		order->run(request);
	}
	order->waking = false;
}

void order_leave(struct order *order, struct request *request)
{
	if (!request->ordered)
		return;
	request->ordered = false;
	if (request->order_class == ORDER_WRITE) {
		if (!--order->writing && order->left)
			order->left(order->argument, ORDER_WRITE);
	} else if (request->order_class == ORDER_EXCLUSIVE) {
		order->exclusive = false;
		order->ajar = false;
		if (order->left)
			order->left(order->argument, ORDER_EXCLUSIVE);
	}
	wake(order);
}

void order_retry(struct order *order)
{
	wake(order);
}

void order_ajar(struct order *order, bool ajar)
{
	order->ajar = ajar;
	if (ajar)
		wake(order);
}
