/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bundle: descriptors by name, as one sheepfs leaves them to the next.
 *
 * Owns each until it is taken.  Two roads bring one: the service manager at our start (notify.h
 * gave it to keep), and a socket from the sheepfs that we replace.  Never knows what a name means.
 */
#ifndef SHEEPFS_MASTER_BUNDLE_H
#define SHEEPFS_MASTER_BUNDLE_H

#include "master/notify.h"

struct bundle_item {
	char name[NOTIFY_NAME_MAX];
	int fd; /* -1: taken */
};

struct bundle {
	struct bundle_item *items;
	unsigned count;
};

/* Adds fd, which is owned from now on, also on failure.  Returns 0, -ENOMEM or -ENAMETOOLONG. */
int bundle_add(struct bundle *b, const char *name, int fd);

/* Gives the descriptor of that name away; -ENOENT when there is none. */
int bundle_take(struct bundle *b, const char *name);

/* Closes what was not taken.  Returns how many. */
unsigned bundle_close(struct bundle *b);

/* What the service manager kept; empty when it kept nothing.  Returns 0 or -errno. */
int bundle_from_service(struct bundle *b);

/*
 * One message for each over a SEQPACKET socket, blocking; and all of them again, until the peer's
 * last word.  Returns 0 or -errno: -EPIPE when the peer ended before it.
 */
int bundle_send(const struct bundle *b, int socket);
int bundle_receive(struct bundle *b, int socket);

#endif
