/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Relays: what a child writes to its descriptor 2 goes to our log, line by line, under its name.
 *
 * Owns the reading end of the pipe.  A child that floods is cut to a rate; it never holds us up
 * and never makes us remember more than a line.
 */
#ifndef SHEEPFS_MASTER_RELAY_H
#define SHEEPFS_MASTER_RELAY_H

#include <event2/event.h>

struct relay;

/*
 * Relays lines "<level>text" from fd, which it owns from now on (also on failure), with
 * "label: " before them.  NULL when memory is short.
 */
struct relay *relay_open(struct event_base *base, int fd, const char *label);

/* Relays what still lies in the pipe, and ends. NULL is fine. */
void relay_close(struct relay *r);

#endif
