/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A simulated daemon: a struct daemon whose cluster is memory.
 *
 * A call that is submitted waits; sim_step() executes one of them, or gives an executed one its
 * answer, as a seeded random scheduler likes: no order is promised, as none is by a real one
 * (P 1.1).  Everything submitted is judged against the rules of the engine at once, and a breach
 * fails the test.  done() is called by sim_step() alone.
 *
 * Also simulated: snapshots by the engine, which may have nothing in flight then; locks, faults, a
 * cluster that is not there, a snapshot by somebody else with its lost-allocation race (P 6.2), and
 * DEL_VDI, which leaves a VDI whose index is not empty (P 2.3).
 */
#ifndef SHEEPFS_TESTS_SIMDAEMON_H
#define SHEEPFS_TESTS_SIMDAEMON_H

#include "worker/sheep.h"

#define SIM_CTIME UINT64_C(0x5f00000000000001)
#define SIM_INDEX_MAX 65536 /* entries a simulated index has */

struct sim_vdi {
	struct sd_inode_header header;
	uint32_t index[SIM_INDEX_MAX];
	bool locked;
	struct sim_vdi *next;
};

struct sim_call;
struct sim_object;

struct sim {
	struct daemon daemon;
	uint64_t random;
	/* ---- the cluster; tests may change it ---- */
	uint64_t ctime;
	uint16_t flags;
	uint32_t status;      /* what STAT_CLUSTER says */
	uint32_t name_status; /* what LOCK_VDI and GET_VDI_INFO say before they look */
	uint32_t working;     /* vid of the working VDI */
	struct sim_vdi *vdis;
	unsigned faults;       /* data operations of 1000 that fail */
	unsigned index_faults; /* index writes of 1000 that fail */
	unsigned name_faults;  /* lookups of 1000 that fail */
	uint32_t next_result;  /* of the next data operation, once; 0: none */
	uint64_t stray_ctime;  /* new connections lead to this cluster; 0: to ours */
	bool lenient;          /* objects may be missing: the test took them away */
	bool frozen;           /* nothing is executed or answered */
	uint32_t new_result;   /* of the next NEW_VDI; 0: it succeeds */
	bool new_works;        /* and it is executed whatever it says */
	bool steals_lock;      /* somebody else locks the successor of a snapshot at once */
	uint32_t flush_result; /* of FLUSH_VDI */
	bool again;     /* an earlier engine's requests are done again: names are looked at twice */
	bool rewriting; /* index entries may be written again: a daemon died */
	bool deleting;  /* the engine is to delete a VDI, and does nothing else */
	bool recycles;  /* DEL_VDI leaves no inode */
	bool late_entry; /* somebody writes the first entry just before DEL_VDI; with recycles: once
			  */
	uint32_t del_result; /* of the next DEL_VDI; 0: it succeeds */
	bool del_works;      /* and it is executed whatever it says */
	/* ---- what happened ---- */
	unsigned submitted, peak, creates, index_writes, index_entries, barriers, admitted, reads;
	unsigned deletions, renames;         /* DEL_VDI executed; names in headers overwritten */
	unsigned snapshots, flushes, cached; /* cached: data operations with SD_FLAG_CACHE */
	/* ---- its own ---- */
	struct sim_call **calls;
	unsigned in_flight, room, index_in_flight, lookups_in_flight;
	uint64_t clock;
	uint64_t barrier_since; /* when the latest answered lookup of the name was submitted */
	bool snapshotting;
	uint32_t copy[SIM_INDEX_MAX];
	uint8_t created[SIM_INDEX_MAX];  /* by the engine of today: enum in simdaemon.c */
	uint64_t indexed[SIM_INDEX_MAX]; /* when its index write succeeded */
	struct sim_object *objects[4096];
};

struct sim *sim_open(uint64_t seed);
void sim_close(struct sim *sim);

/* The next random number below n. */
uint32_t sim_random(struct sim *sim, uint32_t n);

/* Makes a VDI; snap_ctime 0 is a working one, which the name leads to then. */
struct sim_vdi *sim_make_vdi(struct sim *sim, uint32_t vid, const char *name, const char *tag,
    uint64_t size, unsigned shift);
struct sim_vdi *sim_vdi(struct sim *sim, uint32_t vid);

/* Writes into the object, which is made when there is none; as another client would. */
void sim_put(
    struct sim *sim, uint32_t vid, uint32_t idx, uint64_t at, const void *data, size_t size);
/* Reads what a volume holds at this place, through the vid's index. */
void sim_get(struct sim *sim, uint32_t vid, uint64_t at, void *data, size_t size);
void sim_remove(struct sim *sim, uint32_t vid, uint32_t idx);
bool sim_exists(struct sim *sim, uint32_t vid, uint32_t idx);

/* Executes or answers something.  False when nothing is in flight, or nothing may go on. */
bool sim_step(struct sim *sim);
void sim_run(struct sim *sim);

/* The client died: what is in flight is executed or not, and forgotten. */
void sim_crash(struct sim *sim);

/* The client died, and what it had in flight lives on: it is executed some day, and answered to
 * nobody (P 6.6). */
void sim_orphan(struct sim *sim);
/* All of that is executed now: the past is settled. */
void sim_settle(struct sim *sim);

/* A snapshot by somebody else: begun, then ended; lookups wait for its end. */
void sim_snapshot_begin(struct sim *sim);
void sim_snapshot_end(struct sim *sim);

/* Were data of this object ever created by the engine of today, and does a lookup of the name that
 * was sent after its index write prove it?  True for objects that it did not create. */
bool sim_confirmed(const struct sim *sim, uint32_t idx);

#endif
