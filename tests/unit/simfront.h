/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's outer world in unit tests: arenas, the front's table of what is unanswered, and what
 * the engine told.  Judges that every request is answered once and that a flush is answered last.
 */
#ifndef SHEEPFS_TESTS_SIMFRONT_H
#define SHEEPFS_TESTS_SIMFRONT_H

#include "tests/unit/simdaemon.h"
#include "worker/serve.h"

#define FRONT_REQUESTS 256
#define FRONT_DELETION 99 /* the number of every serve_delete() */

struct front_request {
	struct record_request r;
	bool unanswered;
	uint64_t order; /* the how many-th it was */
	uint64_t began; /* for the test */
	uint32_t write; /* for the test */
};

struct front {
	struct sim *sim;
	struct serve *serve;
	struct arena out, in;
	struct front_request requests[FRONT_REQUESTS];
	bool slot_used[2][SLOTS_PER_VOLUME];
	uint64_t sent;
	unsigned unanswered;
	void (*on_answer)(struct front *f, struct front_request *q, int error);
	void *arg;
	void (*on_snapshot)(struct front *f, int error);
	bool object_cache;       /* for the next engine */
	struct vdi_identity now; /* what the engine says that it is */
	bool handing_over;       /* the engine was told to */
	struct vdi_identity
	    was;              /* what the next engine is told of the one before; vid 0: nothing */
	bool unsettled, died; /* how the next one begins */
	bool lock_is_lost, rewrite;
	enum purpose purpose; /* of the next engine */
	/* what the engine told */
	unsigned snapshots; /* answers to serve_snapshot() */
	uint64_t snapshot_number;
	int snapshot_error;
	unsigned progress, deletions; /* what serve_delete() came to */
	int deletion_error;
	int error; /* of the latest answer */
	struct msg_ready ready;
	unsigned stalls, comparisons; /* that were wanted; that were over */
	unsigned laters;              /* how often it asked to be told to try again */
	bool is_ready, refused, elsewhere, ended, drained;
	enum exit_word word;
	int refusal;
	uint32_t locked;
	char sentence[SENTENCE_MAX];
};

void front_open(struct front *f, struct sim *sim);
/* The engine dies with all that it knew; the arenas stay, and nobody waits any more. */
void front_crash(struct front *f);
/* The engine dies; those who wait go on waiting, and the next engine is given what they asked for
 * by front_resume().  f->was is what the dead one was. */
void front_kill_engine(struct front *f);
void front_resume(struct front *f);
void front_close(struct front *f);

/* Makes an engine and lets it begin. */
void front_start(struct front *f, const char *name, const char *tag, uint32_t snap_id);

/* The same, until it is ready or has refused. */
void front_begin(struct front *f, const char *name, const char *tag, uint32_t snap_id);

/* Takes a place and a slot for a request; NULL when there is none. */
struct front_request *front_take(
    struct front *f, enum request_op op, uint64_t offset, uint32_t length);
uint8_t *front_slot(struct front *f, const struct front_request *q);
void front_send(struct front *f, struct front_request *q);

/* One request alone, until it is answered; its errno. */
int front_read(struct front *f, uint64_t offset, uint32_t length, void *data);
int front_write(struct front *f, uint64_t offset, uint32_t length, const void *data);
int front_flush(struct front *f);

#endif
