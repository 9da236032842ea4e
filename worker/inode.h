/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of an attached volume: whose objects it consists of, and how a new one becomes part of
 * it for good.
 *
 * A write that created its object goes the way of rule 1: its entry is dirty, then under an index
 * write, then written, then under a barrier, then confirmed.  Rule 3: an index write covers a run
 * of neighbouring dirty entries and nothing else, no entry twice; RUNS_MAX disjoint ones may be
 * in flight, and what becomes dirty meanwhile gathers into longer runs.  One barrier, a lookup of
 * the name, is in flight; it confirms what was written before it was sent.
 *
 * Never touches a data object, never repeats an index write but for inode_again(), never writes an
 * entry of a snapshot.
 */
#ifndef SHEEPFS_WORKER_INODE_H
#define SHEEPFS_WORKER_INODE_H

#include "worker/vdi.h"

struct inode_write;
TAILQ_HEAD(inode_writes, inode_write);

/* A write whose data are in place and whose object is not confirmed.  The memory is the
 * caller's, all of it is inode.c's from inode_created() or inode_held() to confirmed(). */
struct inode_write {
	uint32_t idx;
	bool dirty;
	TAILQ_ENTRY(inode_write) next; /* of those in the same state, or of the followers */
	LIST_ENTRY(inode_write) link;
	struct inode_writes followers; /* other writes to the object that this one created */
};

struct inode_calls {
	/* error 0: the index is known; else a sentence, and whether another daemon may do better.
	 */
	void (*loaded)(void *arg, int error, bool elsewhere, const char *sentence);
	/* The write's object lies under a barrier: it may be answered.  Must not call inode.c but
	 * for what only asks. */
	void (*confirmed)(void *arg, struct inode_write *w);
	/* Something has become possible: inode_turn() is due. */
	void (*moved)(void *arg);
	/*
	 * The generation is over.  EXIT_VOLUME_CHANGED: the name leads elsewhere, or the inode is
	 * gone.  EXIT_DAEMON_LOST: an index write or a barrier failed; what the index holds is not
	 * known, and only a new generation that reads it afresh can tell.
	 */
	void (*failed)(void *arg, enum exit_word word, const char *why);
};

struct inode;

/*
 * Makes the index of a VDI that is open (vdi.h), with room for `writes` unconfirmed ones, and
 * allocates all it will ever need; pages of entries that are zero cost no memory.  NULL when
 * memory is short.  v, daemon and calls outlive it.
 */
struct inode *inode_open(const struct vdi *v, unsigned writes, struct daemon *daemon,
    const struct inode_calls *calls, void *arg);

/* Reads the index, then loaded(). */
void inode_load(struct inode *i);

/* The vid that holds object idx; 0: nobody, it reads as zeros (P 5). */
uint32_t inode_entry(const struct inode *i, uint32_t idx);

/* Is the object ours, so that a write does not create it? */
bool inode_owned(const struct inode *i, uint32_t idx);

/* Bytes of the volume that have objects, its own and inherited ones. */
uint64_t inode_allocated(const struct inode *i);

/* A write has created object idx, which is ours from now on; confirmed() follows. */
void inode_created(struct inode *i, struct inode_write *w, uint32_t idx);

/* A write to object idx, ours, was done again after the death of a daemon that may have left the
 * index's copies different (P 6.5): its entry is written again; confirmed() follows.  The name has
 * led to our vid since that was settled. */
void inode_again(struct inode *i, struct inode_write *w, uint32_t idx);

/* A write to object idx, ours, is done.  Returns true when the object is not confirmed: then
 * confirmed() follows. */
bool inode_held(struct inode *i, struct inode_write *w, uint32_t idx);

/* Its VDI (vdi.h) has another vid now and continues the old one with the same index (P 6.2): what
 * was ours is inherited.  Nothing is unconfirmed. */
void inode_succeed(struct inode *i);

/* Sends index writes and the barrier, as far as they are due.  After moved(),
 * inode_created() and inode_held(). */
void inode_turn(struct inode *i);

/* A call that reads entry idx again, into *entry (P 5: after an unexpected NO_OBJ). */
void inode_call_entry(struct call *call, const struct inode *i, uint32_t idx, uint32_t *entry,
    void (*done)(struct call *), void *owner);

/* Believes what that call brought.  An unconfirmed entry is known better here and stays.  Returns
 * 0, or -EIO for an entry that cannot be. */
int inode_reread(struct inode *i, uint32_t idx, uint32_t entry);

/* NULL is fine. */
void inode_close(struct inode *i);

#endif
