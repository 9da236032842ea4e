/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads for what may wait for a disk.
 *
 * Owns the threads, the queue of requests whose work() waits to run, and the way back: done() of
 * each is called in the loop.  Knows nothing of what the work is.
 */
#ifndef LAMB_POOL_H
#define LAMB_POOL_H

struct event_base;
struct pool;
struct request;

/*
 * Starts `threads` threads, with all signals blocked.  after(argument) is called in the loop after
 * each batch of done().  Returns 0 or -errno.
 */
int pool_start(struct event_base *base, unsigned threads, void (*after)(void *argument),
    void *argument, struct pool **pool);

/* Queues request->work, then request->done. The request must not be touched until then. */
void pool_run(struct pool *pool, struct request *request);

/* Ends the threads once the queue is empty; done() is not called any more. */
void pool_stop(struct pool *pool);

#endif
