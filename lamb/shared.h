/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the nodes of one store share in memory: the file "nodes", mapped by each of them.
 *
 * Owns its layout, and the locks on its bytes.  The page lives as long as any node does; the
 * first one begins it anew.  Every lock is the kernel's, on an open file description, and ends with
 * its process: a lock that can be taken is the only proof of a death.  What a dead node left in the
 * page is judged under the lock that it had.  Lock order: exclusive, members, stripe, notice; all
 * but the exclusive one are held for a few calls and never while waiting for a client or a peer.
 * Safe from every thread but for the members' lock, which is the loop's.
 */
#ifndef LAMB_SHARED_H
#define LAMB_SHARED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARED_FILE "nodes"
#define SHARED_SLOTS 64
#define SHARED_NOTICES 256
#define SHARED_VERSIONS 32768U
#define SHARED_LOCKS 32768U
#define SHARED_STRIPES 256U

/* A node, as the epochs record it. Two are the same when all but the zone is. */
struct member {
	uint8_t addr[16]; /* as struct sd_node_id; zero: all addresses, or a unix socket only */
	uint16_t port;    /* 0: a unix socket only */
	uint16_t pad;
	uint32_t path; /* hash of the unix socket's path, when there is nothing else */
	uint32_t zone; /* number of its slot */
};

struct shared_slot {
	_Alignas(64) struct member member; /* stays after a death: locks name their owner by it */
	uint32_t joined;                   /* the how-manieth node that was; 0: never used */
	_Atomic uint32_t lives;            /* joined and not found dead */
	_Atomic uint32_t writing;          /* object writes are under way */
};

struct shared_page {
	uint32_t version;
	uint32_t joined;                            /* nodes so far */
	_Atomic uint32_t epoch;                     /* the newest that is recorded */
	_Atomic uint32_t stopping;                  /* a client has shut the cluster down */
	_Atomic uint32_t exclusive;                 /* a cluster operation runs, or died in there */
	uint64_t restart_until;                     /* see members.c */
	_Atomic uint64_t changes;                   /* notices so far */
	_Atomic uint32_t notices[SHARED_NOTICES];   /* the last ones: vids, or 0 for everything */
	struct shared_slot slots[SHARED_SLOTS];     /* written under the members' lock */
	_Atomic uint64_t locks[SHARED_LOCKS];       /* see locks.c */
	_Atomic uint32_t versions[SHARED_VERSIONS]; /* see shared_change_begin() */
};

struct shared {
	struct shared_page *page;
	uint32_t slot; /* ours */
	int fd, operation_fd, waiter_fd;
	pthread_mutex_t notice; /* a lock of the file does not part threads */
	pthread_mutex_t stripes[SHARED_STRIPES];
};

/* Begins the page anew: nobody else may serve the store. 0 or -errno. */
int shared_prepare(int root);

/* Maps the page. 0, -EPROTONOSUPPORT (another version made it) or -errno. */
int shared_open(int root, struct shared **shared);
void shared_close(struct shared *shared);

/* The lock of who is a member; only from the loop. */
void shared_lock_members(struct shared *shared);
void shared_unlock_members(struct shared *shared);

/* The short lock of notices and of page->locks. */
void shared_lock_notices(struct shared *shared);
void shared_unlock_notices(struct shared *shared);

/* Takes slot as ours for the life of this process; false: somebody lives there. */
bool shared_take_slot(struct shared *shared, uint32_t slot);

/* True: the node of that slot, another one, lives. */
bool shared_slot_lives(const struct shared *shared, uint32_t slot);

/* The lock of cluster operations, for the operation itself and, apart, for who waits for its end.
 */
enum shared_hand { SHARED_OPERATION, SHARED_WAITER };
void shared_wait_exclusive(struct shared *shared, enum shared_hand hand);
void shared_leave_exclusive(struct shared *shared, enum shared_hand hand);

/* Tells every node, this one too, that the VDI, or with 0 everything, is to be read again. */
void shared_notice(struct shared *shared, uint32_t vid);

/* Where in page->versions the object's is. */
static inline uint32_t shared_version_index(uint64_t oid)
{
	return (oid * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (SHARED_VERSIONS - 1);
}

/*
 * Between the two the object's name may come to mean another file.  Its version is odd meanwhile,
 * and stays so if we die: what was opened at an odd version must not be kept.  The lock
 * of the object's stripe is taken by the first, and still held after the second.
 */
void shared_change_begin(struct shared *shared, uint64_t oid);
void shared_change_end(struct shared *shared, uint64_t oid);

/* Whoever died between the two has left an odd version: objects may be kept open again. */
void shared_mend_versions(struct shared *shared);

/* The lock alone, against others who read, change and write that object. */
void shared_lock_object(struct shared *shared, uint64_t oid);
void shared_unlock_object(struct shared *shared, uint64_t oid);

#endif
