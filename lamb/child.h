/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lamb as a child of sheepfs: who it is to be, where it listens, and the end, are told over a
 * conversation (descriptor 3).
 */
#ifndef LAMB_CHILD_H
#define LAMB_CHILD_H

#include <event2/event.h>
#include <stddef.h>

struct child {
	int listener;     /* the listening socket; the caller's */
	char store[4096]; /* as it is known outside, for words */
	struct chan *master;
	void (*end)(void *arg); /* finish, and end */
	void *arg;
};

/* Hears the first word, and becomes the user that it names, with the store as the root directory.
 * Exits when that cannot be. */
void child_begin(struct child *c, const char *store);

/* Loads the filter, says that it serves, and listens to sheepfs from now on. */
void child_serve(struct child *c, struct event_base *base);

/* It cannot serve: says why, and exits. */
_Noreturn void child_refuse(const char *why);

/* Everything is finished. */
_Noreturn void child_drained(struct child *c);

#endif
