/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume, as the front knows it: its name, its generation and the road of its requests.
 *
 * Owns the data socket, the arenas, the table of requests in flight and the batches in both
 * directions.  What its one file looks like is file.c's; where its name stands is tree.c's.  Never
 * trusts an answer, never waits, never looks at payload.
 */
#ifndef SHEEPFS_FRONT_VOLUME_H
#define SHEEPFS_FRONT_VOLUME_H

#include "front/front.h"
#include "front/request.h"
#include "front/session.h"
#include "front/waiting.h"
#include "ipc/arena.h"

/* What stat(2) says about it, and what is true of it whatever its generation. */
struct volume_face {
	uint64_t size;      /* bytes */
	uint64_t allocated; /* bytes */
	bool read_only;
	bool page_cache; /* opens are cached by the kernel, written through */
	mode_t mode;     /* permission bits */
	uid_t uid;
	gid_t gid;
	struct timespec atime, mtime, ctime;
	time_t truncate_told; /* when a refused truncate was last logged */
};

struct volume {
	TAILQ_ENTRY(volume) link;
	struct front *front;
	uint32_t number;     /* the master's, never used twice */
	uint32_t generation; /* 0: none yet */
	uint64_t node;       /* of its placeholder, the same whenever this name is shown */
	char name[SHOWN_NAME_MAX + 1];
	bool listed; /* its FUSE_INIT is answered */
	bool ended;  /* its connection was there and is not any more */
	int error;   /* it failed: what every caller gets; 0 */
	struct volume_face face;
	struct session *session;            /* NULL: not yet, or not any more */
	struct chan *worker;                /* the data socket; NULL: not yet, or not any more */
	struct arena out, in;               /* `in`: the generation's */
	uint32_t present[SLOTS_PER_VOLUME]; /* of each slot of `out` (session.h) */
	struct request_table table;
	struct waiting_list waiting; /* for a slot: empty while one is free */
	bool singly;                 /* one request at a time, for some worker died of one */
	unsigned nr_batch;
	struct record_request batch[BATCH_MAX];
	STAILQ_HEAD(, request) replies; /* answered; the kernel is told in the next turns */
	size_t turn_bytes;              /* of payload given to the kernel in this turn */
	struct event *reply_turn;
	struct event *expiry; /* pending while callers wait and do so for a limited time */
	struct event *idle;   /* pending while `out` may hold pages */
	bool active;          /* since the idle event was set */
};

/* Shows a placeholder.  Returns 0, or -EEXIST when the number or the name is there, -ENOMEM. */
int volume_add(struct front *f, uint32_t number, const char *name, bool read_only);

/* NULL: there is none. */
struct volume *volume_by_number(const struct front *f, uint32_t number);
struct volume *volume_by_name(const struct front *f, const char *name);
struct volume *volume_by_node(const struct front *f, uint64_t node);

/* Its own FUSE device and its `out` are there, owned from now on (also on failure).  init: the
 * FUSE_INIT that an earlier front had, or nothing (size 0).  Requests wait for the first
 * generation. Returns 0 or -errno; -EEXIST: it has them already. */
int volume_serve(struct volume *v, int device, int out, const struct msg_serve_volume *what,
    const void *init, size_t init_size);

/*
 * A generation begins, with data socket and `in`; the descriptors are owned from now on (also on
 * failure).  The worker of the one before is dead: what it still said counts; then the new one is
 * given all that is unanswered.  blame: a request may have been its end.  Returns 0 or -errno.
 */
int volume_start(struct volume *v, uint32_t generation, bool blame, int socket, int in);

/* Everything in flight and everything to come gets `error`, until a generation is started again: it
 * is given what is not known to have been done. */
void volume_fail(struct volume *v, int error);

/* How long callers wait for I/O from now on, in seconds; 0: for ever. */
void volume_set_io_timeout(struct front *f, unsigned seconds);

/* Forgets it. */
void volume_remove(struct volume *v);

#endif
