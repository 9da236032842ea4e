/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of requests: what may run beside what.
 *
 * Cluster operations run one at a time, first come first served (P 2.1).  An EXCLUSIVE request
 * (NEW_VDI, DEL_VDI, format) runs with no object write under way, so that a snapshot holds exactly
 * the writes acknowledged before it.  A LOOKUP waits for a running EXCLUSIVE one only: that is the
 * barrier of P 6.2.  A WRITE also queues behind a waiting EXCLUSIVE one, which else might
 * never run.  Reads and tables are FREE.  Other nodes are somebody else's affair (exclusion.h), who
 * is asked last.  Belongs to the loop; never does I/O.
 */
#ifndef LAMB_ORDER_H
#define LAMB_ORDER_H

#include <stdbool.h>

struct request;

enum order_class { ORDER_FREE, ORDER_LOOKUP, ORDER_WRITE, ORDER_EXCLUSIVE };

struct order {
	unsigned writing;
	bool exclusive;
	bool ajar; /* the exclusive one lets writes pass (fault knob snapshot-pause) */
	bool waking;
	void (*run)(struct request *request);
	bool (*admit)(void *argument, enum order_class order_class, bool first);
	void (*left)(void *argument, enum order_class order_class);
	void *argument;
	struct request *first, **last; /* waiting */
};

/* run() is called for a request that may run at last, having waited. */
void order_init(struct order *order, void (*run)(struct request *request));

/*
 * admit() is asked before a request enters, `first` telling that none of its class is in: false
 * lets it wait until order_retry().  left() is told when the last WRITE or the EXCLUSIVE one has
 * left.
 */
void order_beside(struct order *order,
    bool (*admit)(void *argument, enum order_class order_class, bool first),
    void (*left)(void *argument, enum order_class order_class), void *argument);

/* True: run it now, and call order_leave() once.  False: order_leave() of another calls run(). */
bool order_enter(struct order *order, struct request *request);

/* The request has ended; runs what may run now. */
void order_leave(struct order *order, struct request *request);

/* What admit() has refused is asked for again. */
void order_retry(struct order *order);

/* While ajar, writes pass the running exclusive request. */
void order_ajar(struct order *order, bool ajar);

#endif
