/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pieces: the part of a request that concerns one object, from its place in that object's order to
 * the moment when it may be answered.
 *
 * Owns what is asked of the daemon for a piece (P 5): READ, WRITE, CREATE, or CREATE with
 * copy-on-write, and the doubt when an object that should be there is not (rule 6).  range.c says
 * when a piece may run, inode.c whose object it is and when a write is confirmed (rule 1).
 *
 * A write that an earlier generation did not answer waits in its place until that past is settled
 * (rule 5); then its index entry is read again, under a barrier, and it runs from rule 1.
 */
#ifndef SHEEPFS_WORKER_PIECE_H
#define SHEEPFS_WORKER_PIECE_H

#include "ipc/msg.h"
#include "worker/inode.h"

struct piece_calls {
	/* A piece of this request is done: 0 or -errno.  The callee only takes note. */
	void (*done)(void *arg, void *request, int error);
	/* Something has become possible: piece_turn() is due. */
	void (*moved)(void *arg);
	/* The generation is over (serve.h). */
	void (*failed)(void *arg, enum exit_word word, const char *why);
	/* A piece rests until piece_try_again(), which is due in a while. */
	void (*rests)(void *arg);
};

struct pieces;

/* Room for the pieces of `slots` reads and as many writes; allocates all it will ever need.  With
 * object_cache daemons before 1.0 are asked to use theirs (P 1.5).  NULL when memory is short.
 * Everything that is given outlives it. */
struct pieces *piece_open(const struct vdi *v, struct inode *inode, unsigned slots,
    bool object_cache, struct daemon *daemon, const struct piece_calls *calls, void *arg);

/* Unconfirmed writes there can be at a time, for inode_open(). */
unsigned piece_writes(const struct vdi *v, unsigned slots);

/*
 * Accepts bytes [first, first + size) of an object for `request`; `slot` is where they are, or go
 * to.  again: an earlier generation was given it; REQUEST_HOLDS only while those are unsettled, and
 * it ends with EIO.  Returns false when it is done already: a hole was read, and done() does not
 * follow.
 */
bool piece_add(struct pieces *ps, void *request, bool write, enum request_again again,
    uint32_t object, uint64_t first, size_t size, uint8_t *slot);

/* Before any piece: once a daemon has died every object's first write gets its index entry written
 * again.  Returns false when memory is short. */
bool piece_rewrite(struct pieces *ps);

/* Before any piece: earlier generations are not settled. */
void piece_unsettled(struct pieces *ps);

/* They are.  died: a daemon of theirs died (settle.h): what is written again gets its index entry
 * written again, too. */
void piece_settled(struct pieces *ps, bool died);

/* inode.c confirmed a write. */
void piece_confirmed(struct pieces *ps, struct inode_write *w);

/* What rests is asked for again: the cluster was disturbed, or waits for members (P 7). */
void piece_try_again(struct pieces *ps);

/* Starts all that may run, and looks into what is doubtful. */
void piece_turn(struct pieces *ps);

/* While held, no new doubt is looked into: what the name leads to is about to change by our own
 * doing.  piece_turn() is due after the end of it. */
void piece_hold(struct pieces *ps, bool held);

/* Is no doubt being looked into? */
bool piece_is_sure(const struct pieces *ps);

/* Nothing is told any more. */
void piece_stop(struct pieces *ps);

/* NULL is fine. */
void piece_close(struct pieces *ps);

#endif
