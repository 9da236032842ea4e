/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sheepfs --replace MOUNTPOINT: one sheepfs takes the place of another without a service manager.
 *
 * Owns the socket over which they speak, in a directory that only root can reach, and checks who is
 * at its other end.  The old one hands over (handover.h), sends its descriptors and its state, and
 * ends when the new one says that it serves; if that one dies before, it goes on itself.
 */
#ifndef SHEEPFS_MASTER_REPLACE_H
#define SHEEPFS_MASTER_REPLACE_H

#include "master/bundle.h"
#include "master/master.h"

/* Lets others ask for our place, from now on.  Returns 0 or -errno. */
int replace_open(struct master *m);
void replace_close(struct master *m);

/*
 * Asks the sheepfs that serves the tree with this connection for its place, and waits for its
 * descriptors.  Returns 0, or -errno with a sentence in why: then it goes on as before.
 */
int replace_ask(struct bundle *b, unsigned connection, char *why, size_t why_size);

/* What the one whose place we take must know: our front, should we die; that we serve. */
void replace_tell_front(pid_t pid);
void replace_served(void);

/* It does not know yet that we serve: it goes on when we end, and nothing is ours to unmount. */
bool replace_is_pending(void);

#endif
