/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A generation of a volume: one worker process, with its connections to one daemon.
 *
 * Owns the worker's process, its user, its data socket and arenas until the front has them, and the
 * dialling that it asks for.  Never decides what becomes of the volume: it tells (attach.c,
 * detach.c).
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

#define GENERATION_DIALS_MAX 16       /* at once */
#define GENERATION_CONNECTIONS_MAX 48 /* in its life */

struct volume;
struct generation;

struct generation_dial {
	struct generation *generation;
	struct dial *dial; /* NULL: none */
};

struct generation {
	uint32_t number; /* counts from 1 for each volume */
	struct volume *volume;
	struct process process;
	const struct target *target;
	uid_t uid;       /* 0: it has none */
	int fds[3];      /* for the front: data socket, `out`, `in`; -1: given away */
	uint32_t lock;   /* the vid whose lock it holds; 0: none, or it let go */
	uint32_t serial; /* of the connections that it was given */
	struct generation_dial dials[GENERATION_DIALS_MAX];
	bool is_ready;
	struct msg_ready ready;          /* what it said, once is_ready */
	char sentence[SENTENCE_MAX + 1]; /* of READY or REFUSED */
	int refused;                     /* the errno of its REFUSED; 0: it said none */
	bool elsewhere;
	bool draining;
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

/* Gives the front's descriptors away: data socket, `out`, `in`. */
void generation_take_fds(struct generation *g, int fds[3]);

/* It is READY and is to take a snapshot of its volume, whose tag stands in `name`; its answer goes
 * to snapshot_answered() with that number. */
void generation_snapshot(struct generation *g, uint64_t number, const struct name *name);

/* It is to finish and end; killed after `milliseconds`. Nothing when it does not live. */
void generation_drain(struct generation *g, unsigned milliseconds);

void generation_kill(struct generation *g, const char *why);

/* The front says that it misbehaved: it is killed, unless it is dying by itself. */
void generation_blame(struct generation *g, const char *why);

#endif
