/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of this room share: one struct front for the process, made by main.c.
 *
 * Never a place for what one file owns alone: open control files are control.c's, what is in flight
 * on a volume is that volume's.
 */
#ifndef SHEEPFS_FRONT_FRONT_H
#define SHEEPFS_FRONT_FRONT_H

#include "ipc/chan.h"

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <time.h>

struct front {
	struct event_base *base;
	struct chan *master;
	int master_fd;                /* its descriptor */
	struct session *tree;         /* NULL once the tree is unmounted */
	TAILQ_HEAD(, lookup) lookups; /* tree.c: of names that may be on their way to us */
	struct event *look_again;
	struct control *control;
	TAILQ_HEAD(, volume) volumes; /* by ascending number */
	struct volume *latest;        /* that had a request; NULL: none, or it is gone */
	uint8_t *scratch;             /* SESSION_SCRATCH_SIZE bytes, used within one request */
	unsigned io_timeout;          /* seconds that callers wait for I/O; 0: for ever */
	uint32_t incarnation;         /* how many-th front this is */
	uid_t owner_uid;              /* who all files belong to */
	gid_t owner_gid;
	struct timespec started;
};

#endif
