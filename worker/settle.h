/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settling (rule 5; P 6.7): when is it sure that nothing which an earlier generation asked of a
 * daemon can run any more?
 *
 * A past is a daemon with the connections that a dead generation had to it: its witness and the
 * others.  The others are half-closed and read to their ends; when the witness answers after that,
 * every request on them has ended.  When the daemon's process has died, the cluster must have
 * noticed, and shows a later epoch without the dead one; or all of it was restarted: then the dead
 * one's successor serves at its address, and is missing in no epoch.  The daemon that serves us is
 * asked, and that successor.  Of a daemon that is neither reached nor proved dead nothing is known
 * until somebody says so, or the fence's time is over.
 *
 * Owns the inherited descriptors.  Never knows what was asked over them.
 */
#ifndef SHEEPFS_WORKER_SETTLE_H
#define SHEEPFS_WORKER_SETTLE_H

#include "ipc/msg.h"
#include "worker/sheep.h"

struct settle_calls {
	/*
	 * This past is settled; the sentence tells how that is known.  died: its process died, or
	 * is said to have; copies of an unanswered write may differ for good, and it must be
	 * written again whatever a read shows (P 6.5).
	 */
	void (*settled)(void *arg, uint32_t past, bool died, const char *sentence);
	/* The daemon at this address died, and ours cannot tell what became of its cluster:
	 * somebody who serves there again is welcome (settle_visit()).  From time to time. */
	void (*unsure)(void *arg, const char *address);
	/* That one is not needed any more. */
	void (*visited)(void *arg);
};

struct settle;

/* daemon: the one that serves us, asked once settle_served() was called.  cluster_ctime: of the
 * cluster that it was; what another tells counts for nothing.  fence_timeout: seconds, 0: for ever.
 * NULL when memory is short. */
struct settle *settle_open(struct event_base *base, struct daemon *daemon, uint64_t cluster_ctime,
    unsigned fence_timeout, const struct settle_calls *calls, void *arg);

/* A connection of a past, owned from now on (also on failure); a past's witness comes first, and
 * once.  address is its daemon's, copied.  Returns 0 or -errno. */
int settle_add(struct settle *s, const struct msg_past *past, int fd, const char *address);

/* Begins with all of them; settled() comes from the loop. */
void settle_begin(struct settle *s);

/* The daemon that serves us can be asked, and this is its address; copied. */
void settle_served(struct settle *s, const char *address);

/* Is a past not settled whose daemon had the address of the one that serves us?  If it died, all of
 * the cluster may have been restarted, and that is soon known. */
bool settle_concerns_server(const struct settle *s);

/* Is a daemon at that address of use now?  Then it may be asked, and visited() follows; also after
 * settle_visit_lost(): it is lost, and completes no calls. */
bool settle_wants(const struct settle *s, const char *address);
void settle_visit(struct settle *s, struct daemon *daemon, const char *address);
void settle_visit_lost(struct settle *s);

/* Has the whole cluster been restarted since?  Then it has forgotten its locks (P 6.3). */
bool settle_cluster_restarted(const struct settle *s);

/* The daemon at this address will never run again, somebody says. */
void settle_fence(struct settle *s, const char *address);

/* Is nothing left that is not settled? */
bool settle_is_over(const struct settle *s);

/* NULL is fine. */
void settle_close(struct settle *s);

#endif
