/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The target lamb:/store: the embedded sheep as a child of ours.
 *
 * Owns each lamb's process, its listening socket and its store's folder until it has it: made when
 * it is missing, handed over to lamb's user when it was another's.  The socket stays open over a
 * lamb's death: who connects meanwhile waits for the next one.  Never reads or writes a byte of
 * what is said over it.
 */
#ifndef SHEEPFS_MASTER_LAMB_H
#define SHEEPFS_MASTER_LAMB_H

#include "master/master.h"

/*
 * Prepares every lamb target of the configuration, while there is privilege: the folder, its owner,
 * the socket; fills in the targets' addresses.  Returns 0, or -errno with a sentence in why.
 */
int lamb_prepare(struct conf *c, char *why, size_t why_size);

/* Makes what keeps track of them, without starting one.  Returns 0 or -ENOMEM. */
int lamb_open(struct master *m);

/* Starts them all. */
void lamb_start(struct master *m);

/* Does every one serve? */
bool lamb_all_serve(const struct master *m);

/* Tells them to finish; stop_turn() is called when one is gone. */
void lamb_stop(struct master *m);
void lamb_kill(struct master *m, const char *why);
bool lamb_lives(const struct master *m);

/* The process of the nth, or NULL: there are fewer. */
struct process *lamb_process(const struct master *m, unsigned n);

void lamb_close(struct master *m);

#endif
