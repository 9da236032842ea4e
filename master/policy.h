/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What follows the end of a generation: a pure function of what ended it and of what happened
 * before.
 *
 * The first restart is immediate, later ones wait longer and longer; a daemon that is lost leads to
 * the next target, and nothing leads back but the end of the list.  Only workers that die before
 * they could serve, and clusters that do not have our volume any more, make a volume fail: daemons
 * that are gone are waited for.  No system call, no clock.
 */
#ifndef SHEEPFS_MASTER_POLICY_H
#define SHEEPFS_MASTER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum policy_cause {
	POLICY_WORKER,   /* it crashed, lied or hung */
	POLICY_DAEMON,   /* refused, lost, mute; or it could not be reached */
	POLICY_STRANGER, /* the daemon does not have our volume, or another cluster */
	POLICY_CHANGED,  /* the volume goes on as another VDI, perhaps */
	POLICY_MOVED,    /* it was told to make way for another target */
	POLICY_REFUSED,  /* no daemon can do better */
};

/* All zero in the beginning. */
struct policy_history {
	unsigned daemons;   /* in a row: targets that were of no use */
	unsigned strangers; /* in a row: targets that do not have it */
	unsigned workers;   /* in a row: workers that died soon after they had begun to serve */
	unsigned unready;   /* in a row: workers that died before */
};

struct policy_event {
	enum policy_cause cause;
	bool was_ready;
	uint64_t served;  /* milliseconds since it was ready */
	unsigned targets; /* in the list */
};

struct policy_choice {
	bool fail;        /* nothing is tried any more */
	unsigned delay;   /* milliseconds before the next try */
	bool next_target; /* else the same one */
};

struct policy_choice policy_choose(const struct policy_event *e, struct policy_history *h);

#endif
