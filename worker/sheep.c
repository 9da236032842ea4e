/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real daemon behind sheep.h: its connections, the ids of what is in flight on them, and the
 * framing (P 1).
 *
 * Sending: what is submitted waits for the end of the loop's turn, then one sendmsg(2) carries all
 * that fits, headers and payloads gathered from where they lie.  Never by MSG_ZEROCOPY: the payload
 * lies in memory that others write.  Receiving: one recvmsg(2) fills the rest of a payload in its
 * place and whatever follows it into the connection's buffer.  Reading never pauses, whatever
 * waits to be sent (rule 11).
 *
 * Nothing that a daemon says is believed: an answer must belong to a request that was sent whole on
 * that very connection, name its operation and carry no more than was asked for.  The first
 * violation ends everything.  lost() comes from the loop only, and once; sheep_close() must not
 * be called from inside lost() or done().
 */
#include "worker/sheep.h"

#include "include/bounds.h"
#include "ipc/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 32
#define CHUNK_SLOTS 256 /* ids are handed out from chunks of this many, made when needed */
#define CHUNKS_MAX 256
#define INDEX_BITS 16
#define BUFFER_SIZE 65536
#define GATHER_MAX 64  /* pieces of memory in one sendmsg */
#define ROUNDS_MAX 8   /* receives or sends of one connection in one turn */
#define OVERDUE 5000   /* milliseconds */
#define TICK 500       /* milliseconds */
#define PROGRESS 65536 /* bytes of payload that count as a sign of life */
#define NO_SLOT UINT32_MAX

_Static_assert(CHUNK_SLOTS *CHUNKS_MAX == 1 << INDEX_BITS, "every index has its chunk");

/* The place of a call in flight.  Its id is index + uses << INDEX_BITS, so that an answer that
 * comes twice, or late, finds another number there. */
struct slot {
	struct call *call; /* NULL: free */
	struct connection *connection;
	uint64_t since; /* milliseconds */
	uint32_t uses;
	uint32_t next_free;
};

struct connection {
	struct sheep *sheep;
	unsigned number;
	int fd;
	bool admitted;
	bool waiting; /* for room in the socket */
	bool shut;    /* the daemon takes no more; what it said may still lie there */
	char address[ADDRESS_TEXT_MAX + 1];
	struct event *readable, *writable;
	TAILQ_HEAD(, call) unsent;
	uint64_t bytes; /* outstanding */
	unsigned calls;
	/* receiving */
	uint64_t progress; /* when it last gave a sign of life */
	size_t since_progress;
	struct call *call; /* whose payload is being received */
	uint8_t *target;   /* where `wanted` bytes of it go */
	size_t wanted;
	size_t discard;    /* bytes behind them that nobody wants */
	size_t head, tail; /* what of the buffer has not been looked at */
	uint8_t buffer[BUFFER_SIZE];
};

struct sheep {
	struct daemon daemon; /* first: the daemon's functions come back from it */
	struct event_base *base;
	const struct sheep_calls *calls;
	void *arg;
	struct connection *connections[CONNECTIONS_MAX];
	unsigned nr_connections;
	struct event *flush; /* activated by the first submit of a turn */
	bool flush_due;
	struct event *tick;
	bool watching;
	bool over; /* lost() was called: nothing completes any more */
	uint64_t watched_since;
	struct slot *chunks[CHUNKS_MAX];
	uint32_t nr_slots;
	uint32_t free_slot;
	unsigned in_flight, peak;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void stop_events(struct sheep *s)
{
	for (unsigned i = 0; i < s->nr_connections; i++) {
		event_del(s->connections[i]->readable);
		event_del(s->connections[i]->writable);
	}
	event_del(s->flush);
	event_del(s->tick);
}

/* Ends this daemon: from the loop only. */
__attribute__((format(printf, 3, 4))) static void sheep_fail(
    struct sheep *s, enum exit_word word, const char *format, ...)
{
	char why[512];
	va_list ap;

	if (s->over)
		return;
	s->over = true;
	stop_events(s);
	va_start(ap, format);
	vsnprintf(why, sizeof why, format, ap);
	va_end(ap);
	s->calls->lost(s->arg, word, why);
}

/* ---- ids ---- */

static struct slot *slot_at(struct sheep *s, uint32_t index)
{
	return &s->chunks[index / CHUNK_SLOTS][index % CHUNK_SLOTS];
}

static void more_slots(struct sheep *s)
{
	unsigned chunk = s->nr_slots / CHUNK_SLOTS;

	if (chunk == CHUNKS_MAX)
		bug("more than %u calls to the daemon in flight", s->nr_slots);
	s->chunks[chunk] = calloc(CHUNK_SLOTS, sizeof *s->chunks[chunk]);
	if (!s->chunks[chunk])
		fatal("no memory for calls to the daemon");
	for (unsigned i = CHUNK_SLOTS; i-- > 0;) {
		struct slot *slot = &s->chunks[chunk][i];

		slot->next_free = s->free_slot;
		s->free_slot = s->nr_slots + i;
	}
	s->nr_slots += CHUNK_SLOTS;
}

static void slot_take(struct connection *c, struct call *call)
{
	struct sheep *s = c->sheep;
	struct slot *slot;
	uint32_t index;

	if (s->free_slot == NO_SLOT)
		more_slots(s);
	index = s->free_slot;
	slot = slot_at(s, index);
	s->free_slot = slot->next_free;
	slot->call = call;
	slot->connection = c;
	slot->since = now_ms();
	slot->uses = slot->uses % ((1U << (32 - INDEX_BITS)) - 1) + 1; /* never 0, nor an id of 0 */
	call->id = index | slot->uses << INDEX_BITS;
}

static struct slot *slot_find(struct sheep *s, uint32_t id)
{
	uint32_t index = id & ((1U << INDEX_BITS) - 1);
	struct slot *slot = index < s->nr_slots ? slot_at(s, index) : NULL;

	return slot && slot->call && slot->uses == id >> INDEX_BITS ? slot : NULL;
}

static void slot_free(struct sheep *s, uint32_t id)
{
	uint32_t index = id & ((1U << INDEX_BITS) - 1);
	struct slot *slot = slot_at(s, index);

	slot->call = NULL;
	slot->next_free = s->free_slot;
	s->free_slot = index;
}

/* ---- sending ---- */

static size_t call_size(const struct call *call)
{
	return sizeof call->req + call->send_size;
}

/* Gathers what is unsent, from call->sent on; returns the bytes, *count the pieces. */
static size_t gather(struct connection *c, struct iovec *pieces, unsigned *count)
{
	struct call *call;
	size_t total = 0;

	*count = 0;
	TAILQ_FOREACH(call, &c->unsent, queue)
	{
		size_t in_payload = 0;

		if (*count + 2 > GATHER_MAX)
			break;
		if (call->sent < sizeof call->req) {
			pieces[*count].iov_base = (uint8_t *)&call->req + call->sent;
			pieces[(*count)++].iov_len = sizeof call->req - call->sent;
		} else {
			in_payload = call->sent - sizeof call->req;
		}
		if (call->send_size > in_payload) {
			pieces[*count].iov_base = (uint8_t *)(uintptr_t)call->send + in_payload;
			pieces[(*count)++].iov_len = call->send_size - in_payload;
		}
		total += call_size(call) - call->sent;
	}
	return total;
}

static void advance(struct connection *c, size_t sent)
{
	while (sent) {
		struct call *call = TAILQ_FIRST(&c->unsent);
		size_t part = call_size(call) - call->sent;

		if (part > sent)
			part = sent;
		call->sent += part;
		sent -= part;
		if (call->sent == call_size(call))
			TAILQ_REMOVE(&c->unsent, call, queue);
	}
}

static void wait_for_room(struct connection *c)
{
	c->waiting = true;
	event_add(c->writable, NULL);
}

static void connection_send(struct connection *c)
{
	struct iovec pieces[GATHER_MAX];
	struct msghdr h = {.msg_iov = pieces};

	for (unsigned round = 0; !TAILQ_EMPTY(&c->unsent); round++) {
		unsigned count;
		size_t total = gather(c, pieces, &count);
		ssize_t n;

		h.msg_iovlen = count;
		n = round < ROUNDS_MAX ? sendmsg(c->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
			c->shut =
			    true; /* the end is told by reading, after what still lies there */
			return;
		}
		if (n < 0 && errno != EAGAIN) {
			sheep_fail(c->sheep, EXIT_DAEMON_LOST,
			    "sending to the daemon at %s failed: %s", c->address, strerror(errno));
			return;
		}
		if (n > 0)
			advance(c, (size_t)n);
		if (n < (ssize_t)total) {
			wait_for_room(c);
			return;
		}
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)fd;
	(void)what;
	c->waiting = false;
	connection_send(c);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct sheep *s = arg;

	(void)fd;
	(void)what;
	s->flush_due = false;
	for (unsigned i = 0; i < s->nr_connections && !s->over; i++) {
		struct connection *c = s->connections[i];

		if (!c->waiting && !c->shut)
			connection_send(c);
	}
}

static bool busier(const struct connection *a, const struct connection *b)
{
	return a->bytes != b->bytes ? a->bytes > b->bytes : a->calls > b->calls;
}

static struct connection *choose(struct sheep *s, const struct call *call)
{
	struct connection *best = NULL;

	if (call->lane == LANE_NEW) {
		if (!call->connection || call->connection > s->nr_connections)
			bug("a call for connection %u of %u", call->connection, s->nr_connections);
		return s->connections[call->connection - 1];
	}
	for (unsigned i = 1; call->lane == LANE_DATA && i < s->nr_connections; i++) {
		struct connection *c = s->connections[i];

		if (c->admitted && (!best || busier(best, c)))
			best = c;
	}
	return best ? best : s->connections[0];
}

static void daemon_submits(struct daemon *d, struct call *call)
{
	struct sheep *s = (struct sheep *)d;
	struct connection *c;

	if (s->over)
		return; /* nothing completes any more */
	if (!s->nr_connections)
		bug("a call to a daemon without connections");
	if (call->send_size > UINT32_MAX || call->receive_size > UINT32_MAX)
		bug("a call with %zu and %zu bytes", call->send_size, call->receive_size);
	c = choose(s, call);
	slot_take(c, call);
	call->req.proto_ver =
	    call->req.opcode < SD_OP_INTERNAL_FIRST ? SD_PROTO_PUBLIC : SD_PROTO_INTERNAL;
	call->req.epoch = 0;
	call->req.id = call->id;
	if (call->req.flags & SD_FLAG_WRITE)
		call->req.data_length = (uint32_t)call->send_size;
	else
		call->req.data_length = (uint32_t)call->receive_size;
	call->sent = 0;
	c->bytes += call->send_size + call->receive_size;
	c->calls++;
	if (++s->in_flight > s->peak)
		s->peak = s->in_flight;
	TAILQ_INSERT_TAIL(&c->unsent, call, queue);
	if (!s->flush_due) {
		s->flush_due = true;
		event_active(s->flush, EV_WRITE, 0);
	}
}

static void daemon_admits(struct daemon *d, unsigned connection)
{
	struct sheep *s = (struct sheep *)d;

	if (!connection || connection > s->nr_connections)
		bug("connection %u of %u is admitted", connection, s->nr_connections);
	s->connections[connection - 1]->admitted = true;
}

/* ---- receiving ---- */

static uint64_t rsp_offset(const struct sd_rsp *rsp)
{
	return rsp->obj.offset[0] | (uint64_t)rsp->obj.offset[1] << 32;
}

/* May this answer leave parts of the buffer out, because they are zero (P 1.4)? */
static bool is_read(const struct call *call)
{
	return call->req.opcode == SD_OP_READ_OBJ && call->rsp.result == SD_RES_SUCCESS;
}

/* Where in the caller's buffer the payload of a (perhaps trimmed) read begins. */
static size_t payload_place(const struct call *call)
{
	if (!is_read(call) || call->rsp.data_length == call->receive_size)
		return 0;
	return (size_t)(rsp_offset(&call->rsp) - call->req.obj.offset);
}

/* A trimmed read must lie within what was asked for. */
static bool placed_well(const struct call *call)
{
	uint64_t from = call->req.obj.offset, at = rsp_offset(&call->rsp);

	if (!is_read(call) || call->rsp.data_length == call->receive_size)
		return true;
	return at >= from && at - from <= call->receive_size - call->rsp.data_length;
}

static void answer_ended(struct connection *c)
{
	struct sheep *s = c->sheep;
	struct call *call = c->call;

	c->call = NULL;
	if (is_read(call) && call->rsp.data_length < call->receive_size) {
		size_t place = payload_place(call), end = place + call->rsp.data_length;

		memset(call->receive, 0, place);
		memset((uint8_t *)call->receive + end, 0, call->receive_size - end);
	}
	slot_free(s, call->id);
	c->bytes -= call->send_size + call->receive_size;
	c->calls--;
	s->in_flight--;
	call->done(call);
}

/* Judges the header of an answer and makes its payload's place known. */
static void answer_began(struct connection *c, const struct sd_rsp *rsp)
{
	struct sheep *s = c->sheep;
	struct slot *slot = slot_find(s, rsp->id);
	struct call *call = slot && slot->connection == c ? slot->call : NULL;
	size_t most;

	if (!call || call->sent < call_size(call)) {
		sheep_fail(s, EXIT_DAEMON_LIES,
		    "the daemon at %s answered a request that it was not sent (id 0x%x)",
		    c->address, rsp->id);
		return;
	}
	if (rsp->opcode != call->req.opcode) {
		sheep_fail(s, EXIT_DAEMON_LIES,
		    "the daemon at %s answered operation 0x%02x as if it were 0x%02x", c->address,
		    call->req.opcode, rsp->opcode);
		return;
	}
	call->rsp = *rsp;
	most = call->receive_size;
	if (rsp->result != SD_RES_SUCCESS && most < call->req.data_length)
		most = call->req.data_length; /* a failure may bring what was asked for (P 1.3) */
	if (rsp->data_length > most || !placed_well(call)) {
		sheep_fail(s, EXIT_DAEMON_LIES,
		    "the daemon at %s answered operation 0x%02x with %u bytes at %llu where %zu "
		    "were asked for",
		    c->address, rsp->opcode, rsp->data_length, (unsigned long long)rsp_offset(rsp),
		    call->receive_size);
		return;
	}
	c->call = call;
	c->wanted = rsp->data_length < call->receive_size ? rsp->data_length : call->receive_size;
	c->discard = rsp->data_length - c->wanted;
	c->target = c->wanted ? (uint8_t *)call->receive + payload_place(call) : NULL;
}

static void alive(struct connection *c)
{
	c->progress = now_ms();
	c->since_progress = 0;
}

/* Takes what lies in the buffer: headers, small payloads, the beginning of large ones. */
static void parse(struct connection *c)
{
	while (!c->sheep->over) {
		size_t n = c->tail - c->head, part;
		struct sd_rsp rsp;

		if (!c->call) {
			if (n < sizeof rsp)
				break;
			memcpy(&rsp, c->buffer + c->head, sizeof rsp);
			c->head += sizeof rsp;
			answer_began(c, &rsp);
			continue;
		}
		part = n < c->wanted ? n : c->wanted;
		if (part) {
			memcpy(c->target, c->buffer + c->head, part);
			c->target += part;
			c->wanted -= part;
			c->head += part;
		}
		part = n - part < c->discard ? n - part : c->discard;
		c->discard -= part;
		c->head += part;
		if (c->wanted || c->discard)
			break;
		alive(c);
		answer_ended(c);
	}
	memmove(c->buffer, c->buffer + c->head, c->tail - c->head);
	c->tail -= c->head;
	c->head = 0;
}

static void took(struct connection *c, size_t n)
{
	size_t part = n < c->wanted ? n : c->wanted;

	if (part) {
		c->target += part;
		c->wanted -= part;
	}
	c->tail += n - part;
	if (c->call)
		c->since_progress += n;
	if (c->since_progress >= PROGRESS)
		alive(c);
	parse(c);
}

static void ended(struct connection *c, int error)
{
	bool midst = c->call || c->tail;

	sheep_fail(c->sheep, EXIT_DAEMON_LOST, "the daemon at %s %s%s%s%s", c->address,
	    error ? "was lost" : "closed the connection",
	    midst ? " in the middle of an answer" : "", error ? ": " : "",
	    error ? strerror(error) : "");
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)what;
	for (unsigned round = 0; round < ROUNDS_MAX && !c->sheep->over; round++) {
		struct iovec pieces[2] = {
		    {c->target, c->wanted},
		    {c->buffer + c->tail, sizeof c->buffer - c->tail},
		};
		struct msghdr h = {
		    .msg_iov = c->wanted ? pieces : pieces + 1, .msg_iovlen = c->wanted ? 2 : 1};
		size_t room = pieces[0].iov_len + pieces[1].iov_len;
		ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			ended(c, n < 0 ? errno : 0);
			return;
		}
		took(c, (size_t)n);
		if ((size_t)n < room)
			return;
	}
}

/* ---- watching ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct sheep *s = arg;
	uint64_t now = now_ms();

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < s->nr_slots; i++) {
		struct slot *slot = slot_at(s, i);
		uint64_t since = slot->since;

		if (!slot->call)
			continue;
		if (since < slot->connection->progress)
			since = slot->connection->progress;
		if (since < s->watched_since)
			since = s->watched_since;
		if (now - since < OVERDUE)
			continue;
		sheep_fail(s, EXIT_DAEMON_MUTE,
		    "the daemon at %s has not answered operation 0x%02x for %d seconds",
		    slot->connection->address, slot->call->req.opcode, OVERDUE / 1000);
		return;
	}
}

void sheep_watch(struct sheep *s, bool watch)
{
	struct timeval interval = {TICK / 1000, TICK % 1000 * 1000};

	if (watch == s->watching || s->over)
		return;
	s->watching = watch;
	s->watched_since = now_ms();
	if (!watch)
		event_del(s->tick);
	else if (event_add(s->tick, &interval))
		fatal("no timer for the daemon");
}

/* ---- from birth to end ---- */

struct sheep *sheep_open(struct event_base *base, const struct sheep_calls *calls, void *arg)
{
	struct sheep *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->daemon = (struct daemon){daemon_submits, daemon_admits};
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

static void connection_free(struct connection *c)
{
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	close(c->fd);
	free(c);
}

int sheep_add(struct sheep *s, int fd, const char *address)
{
	struct connection *c = s->nr_connections < CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;

	if (!c) {
		close(fd);
		return s->nr_connections < CONNECTIONS_MAX ? -ENOMEM : -EMFILE;
	}
	c->sheep = s;
	c->fd = fd;
	TAILQ_INIT(&c->unsent);
	snprintf(c->address, sizeof c->address, "%s", address);
	c->readable = event_new(s->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(s->base, fd, EV_WRITE, on_writable, c);
	if (!c->readable || !c->writable || event_add(c->readable, NULL)) {
		connection_free(c);
		return -ENOMEM;
	}
	c->progress = now_ms();
	s->connections[s->nr_connections++] = c;
	c->number = s->nr_connections;
	c->admitted = c->number == 1;
	return (int)c->number;
}

unsigned sheep_in_flight(const struct sheep *s)
{
	return s->in_flight;
}

unsigned sheep_in_flight_peak(const struct sheep *s)
{
	return s->peak;
}

void sheep_close(struct sheep *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->nr_connections; i++)
		connection_free(s->connections[i]);
	for (unsigned i = 0; i < CHUNKS_MAX && s->chunks[i]; i++)
		free(s->chunks[i]);
	if (s->flush)
		event_free(s->flush);
	if (s->tick)
		event_free(s->tick);
	free(s);
}
