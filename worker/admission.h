/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admission: a new connection to the daemon proves where it leads before it carries data (rule 6).
 *
 * One proof is under way at a time.  Never decides what a connection is used for.
 */
#ifndef SHEEPFS_WORKER_ADMISSION_H
#define SHEEPFS_WORKER_ADMISSION_H

#include "worker/vdi.h"

#define ADMISSION_CONNECTIONS_MAX 64

struct admission {
	const struct vdi *vdi;
	struct daemon *daemon;
	/* A connection leads to somebody else's VDI or cluster: whoever misled one may have misled
	 * the others. */
	void (*failed)(void *arg, enum exit_word word, const char *why);
	void *arg;
	/* ---- its own; zero in the beginning ---- */
	bool open;         /* it is known where connections should lead */
	uint64_t unproved; /* connections, a bit each */
	bool proving;
	bool doubtful; /* it was closed since that began: it says nothing */
	struct vdi_proof proof;
};

/* Connection 1..63 is there; one that the daemon cannot prove is left unused, with a line in the
 * log. */
void admission_add(struct admission *a, unsigned connection);

/* It is known where connections should lead: those that wait are proved.  False: until further
 * notice it is not; what is under way is done again then. */
void admission_open(struct admission *a, bool open);

#endif
