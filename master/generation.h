/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A generation of a volume: one worker process, with its connections to one daemon.
 *
 * Owns the worker's process, its user, its data socket and `in` until the front has them, the
 * dialling that it asks for, and duplicates of its connections: what a dead worker had asked for
 * may still run, and becomes a past of its volume (past.h).  Never decides what becomes of the
 * volume: it tells (seek.c, detach.c).
 */
#ifndef SHEEPFS_MASTER_GENERATION_H
#define SHEEPFS_MASTER_GENERATION_H

#include "ipc/name.h"
#include "master/dial.h"
#include "master/process.h"
#include "master/target.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GENERATION_DIALS_MAX 16 /* at once */

struct volume;
struct generation;

struct generation_dial {
	struct generation *generation;
	struct dial *dial; /* NULL: none */
};

/* Another target, to which its worker is, or was, given a connection. */
struct generation_other {
	struct generation *generation;
	struct dial *dial; /* NULL: none is being made */
	struct target target;
	unsigned count; /* of how many that was the latest */
};

struct generation {
	uint32_t number; /* counts from 1 for each volume */
	struct volume *volume;
	struct process process;
	struct target target;
	uid_t uid;                 /* 0: it has none */
	int fds[2];                /* for the front: data socket, `in`; -1: given away */
	uint32_t serial;           /* of the connections that it was given */
	int kept[CONNECTIONS_MAX]; /* duplicates of them, the witness first */
	unsigned nr_kept;
	uint32_t epoch; /* the highest that its daemon showed */
	struct generation_dial dials[GENERATION_DIALS_MAX];
	struct generation_other compared, visited; /* other.c's */
	bool settles_all;                          /* it begins nothing before that */
	bool is_ready;
	uint64_t since;                  /* milliseconds: when it was ready */
	struct msg_ready ready;          /* what it said, once is_ready */
	char sentence[SENTENCE_MAX + 1]; /* of READY or REFUSED */
	int refused;                     /* the errno of its REFUSED; 0: it said none */
	bool elsewhere;
	bool draining, handing_over;
	bool orphaned;       /* its front died */
	bool innocent;       /* what we killed it for is no request's doing */
	uint64_t ping, pong; /* numbers of the latest */
	uint64_t pinged;     /* milliseconds */
	uint64_t used;       /* milliseconds of processor time, then */
	unsigned in_flight;  /* calls to its daemon, when it last said that it lives */
};

/*
 * Starts the next generation of a volume on a connected descriptor, which is owned from now on. The
 * one before is over.  Returns 0 or -errno.
 */
int generation_start(struct volume *v, const struct target *target, int fd);

static inline bool generation_lives(const struct generation *g)
{
	return g->process.lives;
}

/* Sees to it that the volume has both ends of an `out`; generations to come are given the read-only
 * one.  Returns 0 or -errno. */
int generation_make_out(struct volume *v);

/* Gives the front's descriptors away: data socket, `in`. */
void generation_take_fds(struct generation *g, int fds[2]);

/* Milliseconds on the monotonic clock. */
uint64_t generation_now(void);

/* Another generation will go on: it finishes what its daemon was sent, keeps the lock and ends;
 * killed after `milliseconds`. */
void generation_hand_over(struct generation *g, unsigned milliseconds);

/* Tells it that the daemon at this address will never run again. */
void generation_fence(struct generation *g, const char *address);

/* Asks it to say that it lives; g->pong becomes g->ping. */
void generation_ping(struct generation *g);

/* May something that it asked its daemon for still run once it is dead?  One that never served, or
 * only read, has changed nothing. */
bool generation_may_leave(const struct generation *g);

/* May a request of a caller have been the end of it?  Of a dead one. */
bool generation_may_blame(const struct generation *g);

/* It is READY and is to take a snapshot of its volume, whose tag stands in `name`; its answer goes
 * to snapshot_answered() with that number. */
void generation_snapshot(struct generation *g, uint64_t number, const struct name *name);

/* It is READY and is to delete its volume, which is its purpose; its answer goes to
 * deletion_answered(). */
void generation_delete(struct generation *g, uint64_t number);

/* It is to finish and end; killed after `milliseconds`. Nothing when it does not live. */
void generation_drain(struct generation *g, unsigned milliseconds);

void generation_kill(struct generation *g, const char *why);

/* The front says that it misbehaved: it is killed, unless it is dying by itself. */
void generation_blame(struct generation *g, const char *why);

#endif
