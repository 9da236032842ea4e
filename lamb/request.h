/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of one request: begun by the gateway, run by its operation, finished once.
 */
#ifndef LAMB_REQUEST_H
#define LAMB_REQUEST_H

#include "lamb/lamb.h"

/* One operation. run() is called in the loop, in its order, and sees to request_finish(). */
struct op {
	uint8_t opcode;
	uint8_t force;   /* served while the cluster waits for members (P 2.1) */
	uint8_t payload; /* needs SD_FLAG_WRITE; else INVALID_PARMS */
	enum order_class order_class;
	const char *name; /* as the fault knobs call it */
	void (*run)(struct request *request);
};

/* The operation of that code, or NULL. */
const struct op *request_op(uint8_t opcode);

/* The operation of that name or number ("read", "0x02"), or NULL. */
const struct op *request_op_named(const char *name);

/* A complete request has come: checks version and opcode, asks the fault knobs, runs it in order.
 */
void request_begin(struct request *request);

/* Runs a request that has entered the order. */
void request_run(struct request *request);

/* Goes on with a request that a fault knob had held. */
void request_release(struct request *request);

/* Ends the request with an SD_RES_*; it must not be touched afterwards. */
void request_finish(struct request *request, uint32_t result);

/* Like request_finish(), from 0 or -errno of the store. */
void request_finish_error(struct request *request, int error);

/* The SD_RES_* for 0 or -errno of the store. */
uint32_t request_result(int error);

/*
 * Runs request->work in the pool and request->done in the loop.  Payload that was lent is copied
 * first.  On lack of memory the request is finished with NO_MEM.
 */
void request_defer(
    struct request *request, void (*work)(struct request *), void (*done)(struct request *));

/* Makes lent payload the request's own; false (and nothing done) on lack of memory. */
bool request_keep(struct request *request);

/* A zeroed reply of `size` bytes, rsp.data_length set; NULL on lack of memory. */
void *request_reply(struct request *request, uint32_t size);

/* Zeroed per-operation state, freed with the request; NULL on lack of memory. */
void *request_state(struct request *request, size_t size);

/* Frees it and what it owns (the gateway, once answered). */
void request_free(struct request *request);

#endif
