/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real daemon behind sheep.h: which connection carries a call, which id it has, and how long
 * its answer may take.
 *
 * What is submitted in one turn of the loop is sent at its end, so that a batch becomes one
 * sendmsg(2) a connection.  The first failure of any connection ends all of them: lost() is told
 * once, from the loop.  sheep_close() must not be called from inside lost() or done().
 *
 * Never looks into a payload; framing is connection.c's.
 */
#include "worker/sheep.h"

#include "include/bounds.h"
#include "ipc/log.h"
#include "worker/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INDEX_BITS 16
#define CHUNK_SLOTS 256 /* slots are made in chunks, when they are needed */
#define CHUNKS_MAX ((1U << INDEX_BITS) / CHUNK_SLOTS)
#define OVERDUE 5000    /* milliseconds */
#define TICK 500        /* milliseconds */
#define PROBE_WAIT 2000 /* milliseconds for the witness's answer */
#define WITNESS 0       /* its number as a connection */
#define NO_SLOT UINT32_MAX

/* The place of a call in flight.  Its id is index + uses << INDEX_BITS, so that an answer that
 * comes twice, or late, finds another number there. */
struct slot {
	struct call *call; /* NULL: free */
	unsigned connection;
	uint32_t uses;
	uint32_t next_free;
	uint64_t since; /* milliseconds */
};

/* What is outstanding on a connection. */
struct load {
	struct connection *connection;
	bool admitted;
	uint64_t bytes;
	unsigned calls;
};

struct sheep {
	struct daemon daemon; /* first: its functions find the rest by it */
	struct event_base *base;
	const struct sheep_calls *calls;
	void *arg;
	struct load loads[CONNECTIONS_MAX];
	unsigned nr_loads;
	struct load witness;
	struct call probe;
	bool probing;
	uint64_t probed_since; /* milliseconds */
	uint32_t epoch;        /* the highest that was shown */
	struct event *flush;   /* activated by the first submit of a turn */
	bool flush_due;
	struct event *tick;
	enum sheep_patience patience;
	uint64_t watched_since; /* milliseconds */
	uint64_t io_limit;      /* milliseconds; 0: none */
	uint64_t io_ended;      /* milliseconds: when object I/O last did */
	uint64_t stall_told;    /* milliseconds */
	bool over;              /* lost() was called: nothing completes any more */
	struct slot *chunks[CHUNKS_MAX];
	uint32_t nr_slots;
	uint32_t free_slot;
	unsigned peak;
	uint64_t answered, moved; /* calls, bytes, ever */
};

static struct load *load_of(struct sheep *s, unsigned number)
{
	return number == WITNESS ? &s->witness : &s->loads[number - 1];
}

/* ---- ids ---- */

static struct slot *slot_at(struct sheep *s, uint32_t index)
{
	return &s->chunks[index / CHUNK_SLOTS][index % CHUNK_SLOTS];
}

static void slot_free(struct sheep *s, uint32_t index)
{
	struct slot *slot = slot_at(s, index);

	slot->call = NULL;
	slot->next_free = s->free_slot;
	s->free_slot = index;
}

static void more_slots(struct sheep *s)
{
	uint32_t first = s->nr_slots;
	struct slot *chunk;

	if (first == CHUNKS_MAX * CHUNK_SLOTS)
		bug("%u calls to the daemon are in flight, and one more", first);
	chunk = calloc(CHUNK_SLOTS, sizeof *chunk);
	if (!chunk)
		fatal("no memory for calls to the daemon");
	s->chunks[first / CHUNK_SLOTS] = chunk;
	s->nr_slots += CHUNK_SLOTS;
	for (uint32_t i = s->nr_slots; i-- > first;)
		slot_free(s, i);
}

static uint32_t slot_take(struct sheep *s, unsigned connection, struct call *call)
{
	struct slot *slot;
	uint32_t index;

	if (s->free_slot == NO_SLOT)
		more_slots(s);
	index = s->free_slot;
	slot = slot_at(s, index);
	s->free_slot = slot->next_free;
	slot->call = call;
	slot->connection = connection;
	slot->since = connection_now();
	slot->uses = slot->uses % (UINT32_MAX >> INDEX_BITS) + 1; /* never 0 */
	return index | slot->uses << INDEX_BITS;
}

static uint32_t slot_index(uint32_t id)
{
	return id & ((1U << INDEX_BITS) - 1);
}

static struct call *on_find(void *arg, unsigned number, uint32_t id)
{
	struct sheep *s = arg;
	struct slot *slot = slot_index(id) < s->nr_slots ? slot_at(s, slot_index(id)) : NULL;

	if (!slot || slot->uses != id >> INDEX_BITS || slot->connection != number)
		return NULL;
	return slot->call;
}

/* ---- what connections tell ---- */

static bool is_io(const struct call *call)
{
	return call->req.opcode <= SD_OP_DISCARD_OBJ;
}

static bool is_waited_for(const struct call *call)
{
	return call->lane != LANE_WITNESS && call->lane != LANE_NEW;
}

static void on_answered(void *arg, unsigned number, struct call *call)
{
	struct sheep *s = arg;
	struct load *load = load_of(s, number);

	slot_free(s, slot_index(call->id));
	load->bytes -= call->send_size + call->receive_size;
	load->calls--;
	if (is_waited_for(call))
		s->daemon.in_flight--;
	s->answered++;
	s->moved += call->send_size + call->receive_size;
	if (is_io(call))
		s->io_ended = connection_now();
	if (call->rsp.epoch > s->epoch && s->calls->epoch) {
		s->epoch = call->rsp.epoch;
		s->calls->epoch(s->arg, s->epoch);
	}
	call->done(call);
}

static void on_failed(void *arg, enum exit_word word, const char *why)
{
	struct sheep *s = arg;

	if (s->over)
		return;
	s->over = true;
	for (unsigned i = 0; i < s->nr_loads; i++)
		connection_stop(s->loads[i].connection);
	if (s->witness.connection)
		connection_stop(s->witness.connection);
	event_del(s->flush);
	event_del(s->tick);
	s->calls->lost(s->arg, word, why);
}

static const struct connection_calls connection_calls = {on_find, on_answered, on_failed};

/* ---- submitting ---- */

static void set_tick(struct sheep *s);

static bool busier(const struct load *a, const struct load *b)
{
	return a->bytes != b->bytes ? a->bytes > b->bytes : a->calls > b->calls;
}

static struct load *choose(struct sheep *s, const struct call *call)
{
	struct load *best = NULL;

	if (call->lane == LANE_WITNESS)
		return &s->witness;
	if (call->lane == LANE_NEW) {
		if (!call->connection || call->connection > s->nr_loads)
			bug("a call for connection %u of %u", call->connection, s->nr_loads);
		return &s->loads[call->connection - 1];
	}
	for (unsigned i = 1; call->lane == LANE_DATA && i < s->nr_loads; i++)
		if (s->loads[i].admitted && (!best || busier(best, &s->loads[i])))
			best = &s->loads[i];
	return best ? best : &s->loads[0];
}

static void on_submit(struct daemon *d, struct call *call)
{
	struct sheep *s = (struct sheep *)d;
	struct sd_req *req = &call->req;
	struct load *load;

	if (s->over)
		return;
	if (!s->nr_loads)
		bug("a call to a daemon without connections");
	if (call->send_size > UINT32_MAX || call->receive_size > UINT32_MAX)
		bug("a call with %zu and %zu bytes", call->send_size, call->receive_size);
	load = choose(s, call);
	call->id =
	    slot_take(s, load == &s->witness ? WITNESS : (unsigned)(load - s->loads) + 1, call);
	req->proto_ver = req->opcode < SD_OP_INTERNAL_FIRST ? SD_PROTO_PUBLIC : SD_PROTO_INTERNAL;
	req->epoch = 0;
	req->id = call->id;
	req->data_length =
	    (uint32_t)(req->flags & SD_FLAG_WRITE ? call->send_size : call->receive_size);
	load->bytes += call->send_size + call->receive_size;
	load->calls++;
	if (is_waited_for(call) && ++s->daemon.in_flight > s->peak)
		s->peak = s->daemon.in_flight;
	connection_queue(load->connection, call);
	if (!s->flush_due) {
		s->flush_due = true;
		event_active(s->flush, EV_WRITE, 0);
		set_tick(s);
	}
}

static void on_admit(struct daemon *d, unsigned connection)
{
	struct sheep *s = (struct sheep *)d;

	if (!connection || connection > s->nr_loads)
		bug("connection %u of %u is admitted", connection, s->nr_loads);
	s->loads[connection - 1].admitted = true;
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct sheep *s = arg;

	(void)fd;
	(void)what;
	s->flush_due = false;
	for (unsigned i = 0; i < s->nr_loads && !s->over; i++)
		connection_send(s->loads[i].connection);
	if (s->witness.connection && !s->over)
		connection_send(s->witness.connection);
}

/* ---- watching ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* An answer that waits behind others that still come is not overdue. */
static void look_strictly(struct sheep *s, uint64_t now)
{
	char why[256];

	for (uint32_t i = 0; i < s->nr_slots; i++) {
		struct slot *slot = slot_at(s, i);
		const struct connection *c;
		uint64_t since;

		if (!slot->call || slot->connection == WITNESS)
			continue;
		c = load_of(s, slot->connection)->connection;
		since = later(later(s->watched_since, slot->since), connection_progress(c));
		if (now - since < OVERDUE)
			continue;
		snprintf(why, sizeof why,
		    "the daemon at %s has not answered operation 0x%02x for %d seconds",
		    connection_address(c), slot->call->req.opcode, OVERDUE / 1000);
		on_failed(s, EXIT_DAEMON_MUTE, why);
		return;
	}
}

static void on_probe(struct call *call)
{
	struct sheep *s = call->owner;

	s->probing = false;
}

/* When the daemon last gave a sign of life, or was last asked for one. */
static uint64_t silent_since(const struct sheep *s)
{
	uint64_t since = later(s->watched_since, connection_progress(s->witness.connection));

	for (unsigned i = 0; i < s->nr_loads; i++)
		since = later(since, connection_progress(s->loads[i].connection));
	return since;
}

/* Has a call been in flight for so long? */
static bool any_waits(struct sheep *s, uint64_t now, uint64_t limit, bool io)
{
	for (uint32_t i = 0; i < s->nr_slots; i++) {
		struct slot *slot = slot_at(s, i);

		if (slot->call && slot->connection != WITNESS && now - slot->since >= limit &&
		    (!io || is_io(slot->call)))
			return true;
	}
	return false;
}

static void look_with_witness(struct sheep *s, uint64_t now)
{
	char why[256];

	if (s->probing && now - s->probed_since >= PROBE_WAIT) {
		snprintf(why, sizeof why,
		    "the daemon at %s has said nothing for %d seconds, and its witness does not "
		    "answer",
		    connection_address(s->witness.connection), (OVERDUE + PROBE_WAIT) / 1000);
		on_failed(s, EXIT_DAEMON_MUTE, why);
	} else if (!s->probing && s->daemon.in_flight && now - silent_since(s) >= OVERDUE &&
		   any_waits(s, now, OVERDUE, false)) {
		s->probing = true;
		s->probed_since = now;
		call_init(&s->probe, SD_OP_GET_CLUSTER_DEFAULT, LANE_WITNESS, on_probe, s);
		on_submit(&s->daemon, &s->probe);
	}
}

static void look_at_io(struct sheep *s, uint64_t now)
{
	if (!s->io_limit || now - later(s->watched_since, s->io_ended) < s->io_limit ||
	    now - s->stall_told < OVERDUE || !any_waits(s, now, s->io_limit, true))
		return;
	s->stall_told = now;
	s->calls->stalled(s->arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct sheep *s = arg;

	(void)fd;
	(void)what;
	if (s->patience == SHEEP_STRICT)
		look_strictly(s, connection_now());
	else if (s->witness.connection)
		look_with_witness(s, connection_now());
	if (s->patience == SHEEP_WITNESSED && !s->over)
		look_at_io(s, connection_now());
	/* an idle one is not woken for nothing; the next call sets it again */
	if (!s->over && !s->daemon.in_flight && !s->probing)
		event_del(s->tick);
}

static void set_tick(struct sheep *s)
{
	const struct timeval interval = {TICK / 1000, TICK % 1000 * 1000};

	if (s->patience != SHEEP_PATIENT && !event_pending(s->tick, EV_TIMEOUT, NULL) &&
	    event_add(s->tick, &interval))
		fatal("no timer for the daemon");
}

void sheep_watch(struct sheep *s, enum sheep_patience patience)
{
	if (patience == s->patience || s->over)
		return;
	s->patience = patience;
	s->watched_since = connection_now();
	if (patience == SHEEP_PATIENT)
		event_del(s->tick);
	else
		set_tick(s);
}

void sheep_watch_io(struct sheep *s, unsigned milliseconds)
{
	s->io_limit = milliseconds;
}

/* ---- from birth to end ---- */

struct sheep *sheep_open(struct event_base *base, const struct sheep_calls *calls, void *arg)
{
	struct sheep *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->daemon = (struct daemon){.submit = on_submit, .admit = on_admit};
	s->base = base;
	s->calls = calls;
	s->arg = arg;
	s->free_slot = NO_SLOT;
	s->flush = event_new(base, -1, 0, on_flush, s);
	s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
	if (!s->flush || !s->tick) {
		sheep_close(s);
		return NULL;
	}
	return s;
}

struct daemon *sheep_daemon(struct sheep *s)
{
	return &s->daemon;
}

int sheep_add(struct sheep *s, int fd, const char *address)
{
	struct load *load = &s->loads[s->nr_loads];

	if (s->nr_loads == CONNECTIONS_MAX) {
		close(fd);
		return -EMFILE;
	}
	load->connection =
	    connection_open(s->base, fd, s->nr_loads + 1, address, &connection_calls, s);
	if (!load->connection)
		return -ENOMEM;
	load->admitted = s->nr_loads++ == 0;
	return (int)s->nr_loads;
}

int sheep_add_witness(struct sheep *s, int fd, const char *address)
{
	if (s->witness.connection) {
		close(fd);
		return -EEXIST;
	}
	s->witness.connection =
	    connection_open(s->base, fd, WITNESS, address, &connection_calls, s);
	return s->witness.connection ? 0 : -ENOMEM;
}

unsigned sheep_in_flight(const struct sheep *s)
{
	return s->daemon.in_flight;
}

uint64_t sheep_answered(const struct sheep *s)
{
	return s->answered;
}

uint64_t sheep_moved(const struct sheep *s)
{
	return s->moved;
}

unsigned sheep_in_flight_peak(const struct sheep *s)
{
	return s->peak;
}

void sheep_close(struct sheep *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->nr_loads; i++)
		connection_close(s->loads[i].connection);
	connection_close(s->witness.connection);
	for (uint32_t i = 0; i < CHUNKS_MAX && s->chunks[i]; i++)
		free(s->chunks[i]);
	if (s->flush)
		event_free(s->flush);
	if (s->tick)
		event_free(s->tick);
	free(s);
}
