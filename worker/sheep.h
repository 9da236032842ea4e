/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls to the daemon.
 *
 * struct daemon is what the rest of the worker sees of it: something to which a call can be
 * submitted.  sheep.c is the real one, over connected descriptors; unit tests have a simulated one.
 * A generation talks to one daemon and never outlives a connection to it: when one
 * is lost, mute or lying, the daemon's owner is told once (struct sheep_calls) and no call
 * completes any more.
 *
 * Knows framing, ids and connections (P 1); nothing of volumes.
 */
#ifndef SHEEPFS_WORKER_SHEEP_H
#define SHEEPFS_WORKER_SHEEP_H

#include "include/sheepdog.h"
#include "include/words.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* Which connections may carry a call. */
enum lane {
	LANE_CONTROL, /* the first connection: names, barriers, tables; never waits behind data */
	LANE_DATA, /* the least loaded admitted one; the control connection while there is none */
	LANE_WITNESS, /* the witness, which carries nothing but probes */
	LANE_NEW, /* exactly connection `connection`, admitted or not: to prove where it leads */
};

/*
 * One request and its answer.  The caller owns the memory, keeps it and the buffers in place from
 * daemon_submit() until done(), and fills everything above the line.  req.proto_ver, req.epoch,
 * req.id and req.data_length are filled in by the daemon: data_length is `send_size` when
 * req.flags has SD_FLAG_WRITE, else `receive_size`.
 */
struct call {
	struct sd_req req;
	enum lane lane;
	unsigned connection; /* for LANE_NEW */
	const void
	    *send; /* payload, send_size bytes; the memory may change until sent, not after */
	size_t send_size;
	void *receive; /* where an answer's payload goes, at most receive_size bytes */
	size_t receive_size;
	/* rsp is valid, rsp.result may be any; on success of a READ_OBJ the buffer is filled to
	 * receive_size (trimmed answers are completed with zeros, P 1.4).  Other operations:
	 * rsp.data_length bytes of it.  May submit new calls. */
	void (*done)(struct call *call);
	void *owner;
	/* ---- filled by the daemon ---- */
	struct sd_rsp rsp;
	TAILQ_ENTRY(call) queue;
	size_t sent;
	uint32_t id;
};

struct daemon {
	/* calls that were submitted and have not completed, but for those on LANE_NEW, whose
	 * outcome nobody has to wait for; for reading */
	unsigned in_flight;
	void (*submit)(struct daemon *d, struct call *call);
	/* Connection n has proved where it leads (rule 6): LANE_DATA may use it. */
	void (*admit)(struct daemon *d, unsigned connection);
};

static inline void daemon_submit(struct daemon *d, struct call *call)
{
	d->submit(d, call);
}

static inline void daemon_admit(struct daemon *d, unsigned connection)
{
	d->admit(d, connection);
}

/* Prepares a call: zeroed but for these. */
void call_init(
    struct call *call, enum sd_op op, enum lane lane, void (*done)(struct call *), void *owner);

/* What to do about a result that is no success (P 7). */
enum sheep_remedy {
	SHEEP_FINAL,     /* an error for the caller */
	SHEEP_LATER,     /* the cluster is disturbed or waits: the same, a little later */
	SHEEP_ELSEWHERE, /* this daemon is about to go */
};

enum sheep_remedy sheep_remedy(uint32_t result);

/* errno of a daemon's result (P 7), 0 for success; and its name in the protocol, for logs. */
int sheep_errno(uint32_t result);
const char *sheep_result_name(uint32_t result);

struct sheep_calls {
	/* The daemon is of no use any more: EXIT_DAEMON_LOST, _MUTE or _LIES, and a sentence that
	 * names its address and what happened. */
	void (*lost)(void *arg, enum exit_word word, const char *why);
	/* May be NULL: the daemon has shown this epoch, the highest so far. */
	void (*epoch)(void *arg, uint32_t epoch);
	/* May be NULL: see sheep_watch_io(). */
	void (*stalled)(void *arg);
};

struct sheep;

/* A daemon without connections yet.  NULL when memory is short. */
struct sheep *sheep_open(struct event_base *base, const struct sheep_calls *calls, void *arg);

/* The struct daemon to submit calls to. */
struct daemon *sheep_daemon(struct sheep *s);

/* Adds connected descriptor fd, owned from now on; the first one is the control connection and is
 * admitted at once.  address is copied, for words.  Returns the connection's number (1, 2, ...) or
 * -errno. */
int sheep_add(struct sheep *s, int fd, const char *address);

/* The witness: connected to the same daemon before all others (P 6.7).  Returns 0 or -errno. */
int sheep_add_witness(struct sheep *s, int fd, const char *address);

/* How long the daemon may be silent while calls are in flight. */
enum sheep_patience {
	SHEEP_PATIENT, /* for ever */
	SHEEP_STRICT,  /* attach, tables: an answer that is overdue by 5 s makes it mute */
	/* A slow cluster is no dead daemon (P 6.5): after 5 s without a byte the witness is asked;
	 * the daemon is mute when that is not answered within 2 s. */
	SHEEP_WITNESSED,
};

void sheep_watch(struct sheep *s, enum sheep_patience patience);

/* From now on, while it is SHEEP_WITNESSED: stalled() is told when object I/O is in flight for
 * `milliseconds` and none has ended in that time, though the daemon is not mute; and again every 5
 * s as long as that lasts. */
void sheep_watch_io(struct sheep *s, unsigned milliseconds);

/* Calls in flight as above, those that were ever answered and the bytes of their payload, and the
 * most that were in flight at once. */
unsigned sheep_in_flight(const struct sheep *s);
uint64_t sheep_answered(const struct sheep *s);
uint64_t sheep_moved(const struct sheep *s);
unsigned sheep_in_flight_peak(const struct sheep *s);

/* Closes all connections; calls in flight are forgotten, not completed. NULL is fine. */
void sheep_close(struct sheep *s);

#endif
