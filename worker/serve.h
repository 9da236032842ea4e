/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine of a volume's worker: requests of the front in, answers out.
 *
 * Owns begin() and the life of every request: it is cut into pieces, one an object; range.c says
 * when a piece may start, inode.c what it must do, and a request is answered when all its pieces
 * are done and, for writes, every object it touched lies under a barrier (rule 1).  Runs without
 * process, socket or clock: the daemon and the outer world are handed to it.
 */
#ifndef SHEEPFS_WORKER_SERVE_H
#define SHEEPFS_WORKER_SERVE_H

#include "include/words.h"
#include "ipc/arena.h"
#include "ipc/msg.h"
#include "worker/queue.h"
#include "worker/sheep.h"
#include "worker/vdi.h"

/* What the engine tells the world.  None of these may call back into the engine, but for
 * serve_request() from answer().  answer() may be told from inside serve_request(). */
struct serve_calls {
	void (*answer)(void *arg, uint64_t id, int error); /* 0 or -errno */
	void (*locked)(void *arg, uint32_t vid);           /* we hold this lock now; 0: no more */
	/* What the volume is in the cluster from now on. */
	void (*identified)(void *arg, const struct msg_identity *identity);
	void (*ready)(void *arg, const struct msg_ready *ready, const char *sentence);
	/* Attach cannot be done; elsewhere: another daemon may do better. */
	void (*refused)(void *arg, int error, bool elsewhere, const char *sentence);
	/*
	 * Nothing can be done under this generation any more; nothing is answered after it.
	 * EXIT_BAD_MESSAGE: the front broke its contract.  EXIT_VOLUME_CHANGED: READONLY, a name
	 * that leads elsewhere, an inode that is not ours any more: what has become of the volume
	 * is for the next generation to find out (rule 7).  EXIT_DAEMON_LIES: a connection
	 * leads to another cluster.  EXIT_DAEMON_LOST: an index write or a barrier failed, so that
	 * only a new generation, which reads the index afresh, can know what it holds.
	 * EXIT_DAEMON_STALLED: the daemon ends no I/O, and another one would.
	 */
	void (*ended)(void *arg, enum exit_word word, const char *why);
	void (*drained)(void *arg);
	/* serve_try_again() is due in a while: the cluster is disturbed, or waits for members. */
	void (*later)(void *arg);
	/* How serve_snapshot() ended: 0 or -errno. */
	void (*snapshotted)(void *arg, uint64_t number, int error, const char *sentence);
	/* serve_compare() with another daemon is wanted; again: so it was told before, and nothing
	 * has changed. */
	void (*stalled)(void *arg, bool again);
	/* The other daemon is not needed any more. */
	void (*compared)(void *arg);
	/* Some of what serve_delete() asked for is done; and how that ended: 0 or -errno. */
	void (*progressed)(void *arg);
	void (*deleted)(void *arg, uint64_t number, int error, const char *sentence);
};

struct serve_volume {
	const char *name; /* raw bytes, at most NAME_LENGTH_MAX; copied */
	const char *tag;  /* "" for none; copied */
	uint32_t snap_id; /* 0 for none */
	unsigned slots;
	bool object_cache; /* ask daemons before 1.0 to cache objects, and flush them (P 1.5, 9) */
	const struct vdi_identity *was; /* of an earlier generation; NULL is as all zero; copied */
	enum purpose purpose; /* for a deletion there are no requests, no index and no snapshot */
};

struct serve;

/*
 * Makes an engine for one volume.  `out` is read, `in` written; both, the daemon and the calls
 * outlive it.  NULL when memory is short.  Memory for all requests is allocated before READY.
 */
struct serve *serve_open(const struct serve_volume *volume, struct daemon *daemon,
    const struct arena *out, const struct arena *in, const struct serve_calls *calls, void *arg);

/*
 * begin(): proves identity, looks the name up and locks it, reads header and index; then ready() or
 * refused(); a lock is released before refused(), but one that an earlier generation took is kept.
 * The daemon has its control connection.  settled: nothing of earlier generations can run any more;
 * else what they were given and did not answer waits for serve_settled(), and so does whatever
 * concerns the same objects (rule 5).  died: see settle.h.
 */
void serve_begin(struct serve *s, bool settled, bool died);

/* Before serve_begin(): the cluster has forgotten the lock that an earlier generation had; if it is
 * locked now, it is by somebody else. */
void serve_lock_is_lost(struct serve *s);

/* Was the volume found locked, and that taken for the lock of an earlier generation? */
bool serve_lock_is_assumed(const struct serve *s);

/* Before serve_begin(): what the front asks again cannot be told from what is new.  After a
 * daemon's death (died) every object's first write gets its index entry written again. */
void serve_rewrite(struct serve *s);

/* Nothing of earlier generations can run any more. */
void serve_settled(struct serve *s, bool died);

/* The daemon has one more connection, 1..63: the engine proves where it leads, then admits it
 * (rule 6).  May come at any time after serve_begin(), also before READY.  One that the daemon
 * cannot prove now is left unused, with a line in the log. */
void serve_connected(struct serve *s, unsigned connection);

/*
 * A request of the front, already judged by msg_check(), between ready() and serve_drain().
 * Beyond the end is -EINVAL for a read and -ENOSPC for a write, a write to a snapshot -EROFS.  A
 * duplicate id, a slot that an unanswered request of the same direction has, a request before
 * READY or one flush too many end the generation (EXIT_BAD_MESSAGE).
 */
void serve_request(struct serve *s, const struct record_request *request);

/*
 * Takes a snapshot of the volume: writes that were accepted are finished, others wait; what it
 * holds is exactly what was answered before.  tag: NUL-padded, SD_TAG_SIZE bytes.  snapshotted()
 * follows, perhaps at once, unless the generation ends first.  One at a time.
 */
void serve_snapshot(struct serve *s, uint64_t number, const char *tag);

/*
 * Deletes the volume, after ready(), where that is the purpose: once.  deleted() follows, unless the
 * generation ends first.
 */
void serve_delete(struct serve *s, uint64_t number);

/*
 * Finish what was accepted, release the lock, then drained().  Before READY: gives up at once, but
 * a lock that was asked for is released first.  A request that comes later is answered
 * -ESHUTDOWN.
 */
void serve_drain(struct serve *s);

/* Asks again for what the cluster could not do when later() was told. */
void serve_try_again(struct serve *s);

/* The daemon answers, but ends no object I/O (sheep.h): whether it is the one to blame is found out
 * (compare.h). */
void serve_stalled(struct serve *s);

/* Is another daemon of use now, to compare ours with?  Then it may be given; compared() follows, or
 * ended(). */
bool serve_wants_comparison(const struct serve *s);
void serve_compare(struct serve *s, struct daemon *other);

/* That one is lost, and completes no calls. */
void serve_compare_lost(struct serve *s, const char *why);

/*
 * Another generation goes on: what the daemon was sent is finished, and answered where that answers
 * a request; nothing else is begun; the lock is kept.  Then drained().
 */
void serve_hand_over(struct serve *s);

/* Bytes of the volume that have objects, its own and inherited ones. */
uint64_t serve_allocated(const struct serve *s);

/* Not from inside a callback, and not before the daemon has forgotten all calls.  NULL is fine. */
void serve_close(struct serve *s);

#endif
