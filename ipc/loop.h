/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop of a process on the data path.
 *
 * While exactly one request is in flight the loop waits for its answer awake, for at most
 * LOOP_AWAKE: between processors a sleep and a wake-up cost more than such an answer takes.  It
 * gives the processor to whoever wants it all the while, and stops to hope where answers take
 * longer.
 */
#ifndef SHEEPFS_IPC_LOOP_H
#define SHEEPFS_IPC_LOOP_H

#include <event2/event.h>
#include <stdbool.h>

#define LOOP_AWAKE 50000 /* nanoseconds */

/* How many requests are in flight. */
typedef unsigned loop_in_flight(void *arg);

/* Dispatches events for ever; in_flight() is asked between two turns. */
_Noreturn void loop_run(struct event_base *base, loop_in_flight *in_flight, void *arg);

#endif
