/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the rooms of lamb share: the daemon as a whole, and one request.
 *
 * Thread rule, for all of lamb: tables (vdi, locks, meta, connections) belong to the loop's thread.
 * A pool thread runs a request's `work` and touches only that request and the store, whose
 * functions are safe from every thread.
 */
#ifndef LAMB_LAMB_H
#define LAMB_LAMB_H

#include "include/sheepdog.h"
#include "lamb/meta.h"
#include "lamb/order.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct event_base;
struct exclusion;
struct fault;
struct gateway;
struct members;
struct op;
struct pool;
struct store;
struct vdi_table;

struct lamb {
	struct event_base *base;
	struct store *store;
	struct meta meta;
	struct vdi_table *vdis;
	struct members *members;
	struct exclusion *exclusion;
	uint64_t news_seen; /* notices of the shared page, see news.h */
	struct order order;
	struct pool *pool;
	struct fault *fault;
	struct gateway *gateway;
	uint64_t counters[15]; /* answered by STAT, in its order */
	int32_t log_level;
};

struct request {
	struct request *next; /* in the one list that holds it: order, pool, fault or output */
	struct lamb *lamb;
	struct connection *connection;
	const struct op *op; /* NULL until known */
	struct sd_req req;   /* as it came */
	struct sd_rsp rsp;   /* rsp.data_length bytes of `reply` follow it */
	uint8_t *data;       /* the payload, req.data_length bytes, or NULL */
	uint8_t *reply;      /* owned */
	void *state;         /* owned by the operation, freed with the request */
	size_t charged;      /* bytes held in the connection's account */
	enum order_class order_class;
	bool ordered;   /* has entered the order and must leave it */
	bool data_lent; /* data lies in the receive buffer: only valid while begin() runs */
	bool released;  /* a fault knob held it and let it go: not asked again */
	int error;      /* of work(): 0 or -errno */
	void (*work)(struct request *request); /* in a pool thread */
	void (*done)(struct request *request); /* in the loop, after work */
};

#endif
