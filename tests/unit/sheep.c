/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls to a daemon over real sockets, whose other ends this test holds: order, partial input and
 * output, trimmed reads, lanes, and everything that a daemon must not say.
 */
#include "tests/unit/unit.h"

#include "worker/sheep.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEERS 4
#define LARGE (1U << 20)

struct rig {
	struct event_base *base;
	struct sheep *sheep;
	struct daemon *daemon;
	int peers[PEERS]; /* the daemon's ends, blocking */
	unsigned nr_peers;
	unsigned losses, stalls;
	enum exit_word word;
	char why[512];
	bool submitting;
};

struct told {
	struct call call;
	struct rig *rig;
	unsigned done;
	uint8_t small[512];
};

static unsigned order_of_completion;

static void on_lost(void *arg, enum exit_word word, const char *why)
{
	struct rig *r = arg;

	assert_false(r->submitting);
	r->losses++;
	r->word = word;
	snprintf(r->why, sizeof r->why, "%s", why);
}

static void on_stalled(void *arg)
{
	((struct rig *)arg)->stalls++;
}

static const struct sheep_calls sheep_calls = {.lost = on_lost, .stalled = on_stalled};

static void connect_peer(struct rig *r)
{
	int sv[2];
	char address[32];
	struct timeval patience = {5, 0};

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	setsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	r->peers[r->nr_peers++] = sv[1];
	snprintf(address, sizeof address, "peer:%u", r->nr_peers);
	assert_int_equal(sheep_add(r->sheep, sv[0], address), (int)r->nr_peers);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	order_of_completion = 0;
	r->base = event_base_new();
	r->sheep = sheep_open(r->base, &sheep_calls, r);
	assert_non_null(r->sheep);
	r->daemon = sheep_daemon(r->sheep);
	connect_peer(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	sheep_close(r->sheep);
	for (unsigned i = 0; i < r->nr_peers; i++)
		if (r->peers[i] >= 0)
			close(r->peers[i]);
	event_base_free(r->base);
	free(r);
	return 0;
}

static void turn(struct rig *r)
{
	for (int i = 0; i < 3; i++)
		event_base_loop(r->base, EVLOOP_NONBLOCK);
}

static void on_done(struct call *call)
{
	struct told *t = call->owner;

	t->done = ++order_of_completion;
}

static void submit(struct rig *r, struct call *call)
{
	r->submitting = true;
	daemon_submit(r->daemon, call);
	r->submitting = false;
}

static void read_of(
    struct told *t, struct rig *r, enum lane lane, uint32_t offset, void *to, size_t size)
{
	memset(t, 0, sizeof *t);
	t->rig = r;
	call_init(&t->call, SD_OP_READ_OBJ, lane, on_done, t);
	t->call.req.obj.oid = sd_data_oid(7, 1);
	t->call.req.obj.offset = offset;
	t->call.receive = to ? to : t->small;
	t->call.receive_size = size;
	submit(r, &t->call);
}

static void write_of(struct told *t, struct rig *r, enum lane lane, const void *from, size_t size)
{
	memset(t, 0, sizeof *t);
	t->rig = r;
	call_init(&t->call, SD_OP_WRITE_OBJ, lane, on_done, t);
	t->call.req.flags = SD_FLAG_WRITE;
	t->call.req.obj.oid = sd_data_oid(7, 1);
	t->call.send = from;
	t->call.send_size = size;
	submit(r, &t->call);
}

static void peer_take(struct rig *r, unsigned peer, void *to, size_t size)
{
	assert_int_equal(recv(r->peers[peer], to, size, MSG_WAITALL), size);
}

static struct sd_req peer_request(struct rig *r, unsigned peer)
{
	struct sd_req req;

	peer_take(r, peer, &req, sizeof req);
	return req;
}

static bool peer_has_something(struct rig *r, unsigned peer)
{
	struct pollfd p = {.fd = r->peers[peer], .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void peer_say(struct rig *r, unsigned peer, const void *bytes, size_t size)
{
	assert_int_equal(send(r->peers[peer], bytes, size, MSG_NOSIGNAL), size);
}

static struct sd_rsp answer_to(const struct sd_req *req, uint32_t data_length)
{
	struct sd_rsp rsp = {.opcode = req->opcode, .id = req->id, .data_length = data_length};

	return rsp;
}

static void fill(uint8_t *bytes, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

/* ---- the good daemon ---- */

static void test_pipelined_out_of_order(void **state)
{
	struct rig *r = *state;
	struct told t[3];
	struct sd_req req[3];
	uint8_t payload[512];

	for (unsigned i = 0; i < 3; i++)
		read_of(&t[i], r, LANE_CONTROL, 100 * i, NULL, 100 + i);
	assert_int_equal(sheep_in_flight(r->sheep), 3);
	assert_false(peer_has_something(r, 0)); /* a turn's calls go together */
	turn(r);
	assert_int_equal(recv(r->peers[0], req, sizeof req, 0), sizeof req);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(req[i].proto_ver, SD_PROTO_PUBLIC);
		assert_int_equal(req[i].opcode, SD_OP_READ_OBJ);
		assert_int_equal(req[i].epoch, 0);
		assert_int_equal(req[i].data_length, 100 + i);
		assert_int_equal(req[i].obj.offset, 100 * i);
		assert_true(req[i].id && req[i].id != req[(i + 1) % 3].id);
	}
	for (unsigned i = 3; i-- > 0;) {
		struct sd_rsp rsp = answer_to(&req[i], 100 + i);

		fill(payload, 100 + i, i);
		peer_say(r, 0, &rsp, sizeof rsp);
		peer_say(r, 0, payload, 100 + i);
	}
	turn(r);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(t[i].done, 3 - i);
		assert_int_equal(t[i].call.rsp.result, 0);
		fill(payload, 100 + i, i);
		assert_memory_equal(t[i].small, payload, 100 + i);
	}
	assert_int_equal(sheep_in_flight(r->sheep), 0);
	assert_int_equal(sheep_in_flight_peak(r->sheep), 3);
	assert_int_equal(r->losses, 0);
}

static void test_internal_operations_have_their_version(void **state)
{
	struct rig *r = *state;
	struct told t = {.rig = r};
	struct sd_req req;

	call_init(&t.call, SD_OP_STAT_CLUSTER, LANE_CONTROL, on_done, &t);
	t.call.receive = t.small;
	t.call.receive_size = 48;
	submit(r, &t.call);
	turn(r);
	req = peer_request(r, 0);
	assert_int_equal(req.proto_ver, SD_PROTO_INTERNAL);
	assert_int_equal(req.data_length, 48);
}

static void test_byte_by_byte(void **state)
{
	struct rig *r = *state;
	struct told t[2];
	struct {
		struct sd_rsp rsp;
		uint8_t payload[60];
	} answers[2];
	const uint8_t *bytes = (const uint8_t *)answers;

	for (unsigned i = 0; i < 2; i++)
		read_of(&t[i], r, LANE_CONTROL, 0, NULL, 60);
	turn(r);
	for (unsigned i = 0; i < 2; i++) {
		struct sd_req req = peer_request(r, 0);

		answers[i].rsp = answer_to(&req, 60);
		fill(answers[i].payload, 60, i);
	}
	for (size_t i = 0; i < sizeof answers; i++) {
		assert_int_equal(t[0].done, i >= sizeof answers[0] ? 1 : 0);
		peer_say(r, 0, bytes + i, 1);
		turn(r);
	}
	assert_int_equal(t[1].done, 2);
	assert_memory_equal(t[0].small, answers[0].payload, 60);
	assert_memory_equal(t[1].small, answers[1].payload, 60);
}

/* A payload that comes in pieces of every kind, with answers right behind it. */
static void test_large_payload_in_pieces(void **state)
{
	struct rig *r = *state;
	static uint8_t want[LARGE + 2 * sizeof(struct sd_rsp) + 10], got[LARGE];
	struct told large, small;
	struct sd_req req;
	struct sd_rsp rsp;
	size_t sent = 0, piece = 1;

	read_of(&large, r, LANE_CONTROL, 0, got, LARGE);
	read_of(&small, r, LANE_CONTROL, 0, NULL, 10);
	turn(r);
	req = peer_request(r, 0);
	rsp = answer_to(&req, LARGE);
	memcpy(want, &rsp, sizeof rsp);
	fill(want + sizeof rsp, LARGE, 3);
	req = peer_request(r, 0);
	rsp = answer_to(&req, 10);
	memcpy(want + sizeof rsp + LARGE, &rsp, sizeof rsp);
	fill(want + 2 * sizeof rsp + LARGE, 10, 4);
	while (sent < sizeof want) {
		size_t n = piece < sizeof want - sent ? piece : sizeof want - sent;

		peer_say(r, 0, want + sent, n);
		sent += n;
		piece = piece * 2 % 150001 + 1;
		turn(r);
	}
	assert_int_equal(large.done, 1);
	assert_int_equal(small.done, 2);
	assert_memory_equal(got, want + sizeof rsp, LARGE);
	assert_memory_equal(small.small, want + 2 * sizeof rsp + LARGE, 10);
	assert_int_equal(r->losses, 0);
}

static void test_trimmed_reads(void **state)
{
	static const struct {
		uint32_t at, length; /* of what comes, within a read of [1000, 1100) */
	} cases[] = {{1000, 0}, {1000, 40}, {1030, 40}, {1060, 40}, {1100, 0}, {0, 100}};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t place = cases[i].length == 100 ? 0 : cases[i].at - 1000;
		uint8_t want[100] = {0};
		struct told t;
		struct sd_req req;
		struct sd_rsp rsp;

		read_of(&t, r, LANE_CONTROL, 1000, NULL, 100);
		memset(t.small, 0xaa, sizeof t.small);
		turn(r);
		req = peer_request(r, 0);
		rsp = answer_to(&req, cases[i].length);
		rsp.obj.offset[0] = cases[i].at;
		fill(want + place, cases[i].length, i);
		peer_say(r, 0, &rsp, sizeof rsp);
		if (cases[i].length)
			peer_say(r, 0, want + place, cases[i].length);
		turn(r);
		assert_int_not_equal(t.done, 0);
		assert_memory_equal(t.small, want, 100);
		assert_int_equal(t.small[100], 0xaa);
		assert_int_equal(r->losses, 0);
	}
}

/* What comes with a failure is taken off the connection, as far as it was asked for. */
static void test_failures_with_payload(void **state)
{
	struct rig *r = *state;
	uint8_t payload[512];
	struct told failed, written, good;
	struct sd_rsp rsp;
	struct sd_req req;

	fill(payload, sizeof payload, 9);
	read_of(&failed, r, LANE_CONTROL, 0, NULL, 512);
	write_of(&written, r, LANE_CONTROL, payload, 300);
	read_of(&good, r, LANE_CONTROL, 0, NULL, 512);
	turn(r);
	req = peer_request(r, 0);
	rsp = answer_to(&req, 512);
	rsp.result = SD_RES_NO_OBJ;
	peer_say(r, 0, &rsp, sizeof rsp);
	peer_say(r, 0, payload, 512);
	req = peer_request(r, 0);
	assert_int_equal(req.data_length, 300);
	peer_take(r, 0, payload, 300);
	rsp = answer_to(&req, 300);
	rsp.result = SD_RES_EIO;
	peer_say(r, 0, &rsp, sizeof rsp);
	peer_say(r, 0, payload, 300);
	req = peer_request(r, 0);
	rsp = answer_to(&req, 512);
	peer_say(r, 0, &rsp, sizeof rsp);
	peer_say(r, 0, payload, 512);
	turn(r);
	assert_int_equal(failed.call.rsp.result, SD_RES_NO_OBJ);
	assert_int_equal(written.call.rsp.result, SD_RES_EIO);
	assert_int_equal(good.done, 3);
	assert_memory_equal(good.small, payload, 512);
	assert_int_equal(r->losses, 0);
}

/* Sending never stops receiving (rule 11), and what is sent late is sent whole. */
static void test_writes_that_find_no_room(void **state)
{
	enum { WRITES = 24 };
	struct rig *r = *state;
	static uint8_t payload[LARGE], got[LARGE];
	struct told read, writes[WRITES];
	struct sd_req req;
	struct sd_rsp rsp;

	fill(payload, LARGE, 5);
	read_of(&read, r, LANE_CONTROL, 0, NULL, 8);
	for (unsigned i = 0; i < WRITES; i++)
		write_of(&writes[i], r, LANE_CONTROL, payload + i, LARGE - i);
	turn(r);
	assert_true(writes[WRITES - 1].call.sent == 0);
	req = peer_request(r, 0);
	rsp = answer_to(&req, 8);
	peer_say(r, 0, &rsp, sizeof rsp);
	peer_say(r, 0, payload, 8);
	turn(r);
	assert_int_equal(read.done, 1);
	for (unsigned i = 0; i < WRITES; i++) {
		size_t taken = 0, size = LARGE - i;

		turn(r);
		req = peer_request(r, 0);
		assert_int_equal(req.data_length, size);
		while (taken < size) {
			ssize_t n = recv(r->peers[0], got + taken, size - taken, 0);

			assert_true(n > 0);
			taken += (size_t)n;
			turn(r);
		}
		assert_memory_equal(got, payload + i, size);
		rsp = answer_to(&req, 0);
		peer_say(r, 0, &rsp, sizeof rsp);
	}
	turn(r);
	assert_int_equal(writes[WRITES - 1].done, WRITES + 1);
	assert_int_equal(r->losses, 0);
}

static void test_many_calls_are_gathered(void **state)
{
	enum { CALLS = 700 };
	struct rig *r = *state;
	struct told *t = calloc(CALLS, sizeof *t);
	struct sd_req req;
	struct sd_rsp rsp;

	assert_non_null(t);
	for (unsigned i = 0; i < CALLS; i++)
		write_of(&t[i], r, LANE_CONTROL, "abcdefgh", 8);
	turn(r);
	for (unsigned i = 0; i < CALLS; i++) {
		char payload[8];

		req = peer_request(r, 0);
		peer_take(r, 0, payload, 8);
		assert_memory_equal(payload, "abcdefgh", 8);
		rsp = answer_to(&req, 0);
		peer_say(r, 0, &rsp, sizeof rsp);
		turn(r);
	}
	assert_int_equal(t[CALLS - 1].done, CALLS);
	assert_int_equal(sheep_in_flight(r->sheep), 0);
	assert_int_equal(sheep_in_flight_peak(r->sheep), CALLS);
	free(t);
}

static void on_done_again(struct call *call)
{
	struct told *t = call->owner;

	if (++t->done < 5)
		daemon_submit(t->rig->daemon, call);
}

static void test_submit_from_done(void **state)
{
	struct rig *r = *state;
	struct told t;
	uint32_t id = 0;

	read_of(&t, r, LANE_CONTROL, 0, NULL, 0);
	t.call.done = on_done_again;
	for (unsigned i = 0; i < 5; i++) {
		struct sd_req req;
		struct sd_rsp rsp;

		turn(r);
		req = peer_request(r, 0);
		assert_int_not_equal(req.id, id); /* a slot's next user has another id */
		id = req.id;
		rsp = answer_to(&req, 0);
		peer_say(r, 0, &rsp, sizeof rsp);
		turn(r);
	}
	assert_int_equal(t.done, 5);
}

static void test_lanes(void **state)
{
	struct rig *r = *state;
	static uint8_t payload[4096];
	struct told t[6];

	connect_peer(r);
	connect_peer(r);
	read_of(&t[0], r, LANE_DATA, 0, NULL, 8); /* none admitted: the control connection */
	turn(r);
	peer_request(r, 0);
	memset(&t[1], 0, sizeof t[1]);
	call_init(&t[1].call, SD_OP_READ_OBJ, LANE_NEW, on_done, &t[1]);
	t[1].call.connection = 2;
	submit(r, &t[1].call);
	turn(r);
	peer_request(r, 1);
	daemon_admit(r->daemon, 2);
	daemon_admit(r->daemon, 3);
	write_of(&t[2], r, LANE_DATA, payload, sizeof payload); /* 3 is idle, 2 has one call */
	read_of(&t[3], r, LANE_DATA, 0, NULL, 100);             /* 2 has fewer bytes now */
	read_of(&t[4], r, LANE_DATA, 0, NULL, 100);
	read_of(&t[5], r, LANE_CONTROL, 0, NULL, 8);
	turn(r);
	assert_int_equal(peer_request(r, 2).opcode, SD_OP_WRITE_OBJ);
	assert_int_equal(peer_request(r, 1).data_length, 100);
	assert_int_equal(peer_request(r, 1).data_length, 100);
	assert_int_equal(peer_request(r, 0).data_length, 8);
	peer_take(r, 2, payload, sizeof payload);
	for (unsigned i = 0; i < 3; i++)
		assert_false(peer_has_something(r, i));
}

/* ---- the bad daemon ---- */

/* Each spoils the answer to a read of [1000, 1100) and of nothing else. */
static void spoil_id(struct sd_rsp *rsp)
{
	rsp->id ^= 1;
}

static void spoil_id_serial(struct sd_rsp *rsp)
{
	rsp->id += 0x10000;
}

static void spoil_id_far(struct sd_rsp *rsp)
{
	rsp->id = 0xffffffff;
}

static void spoil_id_zero(struct sd_rsp *rsp)
{
	rsp->id = 0;
}

static void spoil_opcode(struct sd_rsp *rsp)
{
	rsp->opcode = SD_OP_WRITE_OBJ;
}

static void spoil_length_huge(struct sd_rsp *rsp)
{
	rsp->data_length = 0xfffffff0;
}

static void spoil_length_by_one(struct sd_rsp *rsp)
{
	rsp->data_length = 101;
}

static void spoil_failure_length(struct sd_rsp *rsp)
{
	rsp->result = SD_RES_EIO;
	rsp->data_length = 101;
}

static void spoil_short_before(struct sd_rsp *rsp)
{
	rsp->data_length = 50; /* an offset of 0 lies before what was asked for */
}

static void spoil_short_behind(struct sd_rsp *rsp)
{
	rsp->data_length = 50;
	rsp->obj.offset[0] = 1051;
}

static void spoil_short_wrap(struct sd_rsp *rsp)
{
	rsp->data_length = 50;
	rsp->obj.offset[0] = 0xffffffff;
	rsp->obj.offset[1] = 0xffffffff;
}

static void spoil_all(struct sd_rsp *rsp)
{
	fill((uint8_t *)rsp, sizeof *rsp, 0x5d);
}

static void test_lies(void **state)
{
	static void (*const spoil[])(struct sd_rsp *) = {spoil_id, spoil_id_serial, spoil_id_far,
	    spoil_id_zero, spoil_opcode, spoil_length_huge, spoil_length_by_one,
	    spoil_failure_length, spoil_short_before, spoil_short_behind, spoil_short_wrap,
	    spoil_all};

	(void)state;
	for (unsigned i = 0; i < sizeof spoil / sizeof spoil[0]; i++) {
		uint8_t payload[200] = {0};
		struct told t, good;
		struct sd_req req;
		struct sd_rsp rsp;
		struct rig *r;
		void *fresh;

		setup(&fresh);
		r = fresh;
		read_of(&t, r, LANE_CONTROL, 1000, NULL, 100);
		memset(t.small, 0xaa, sizeof t.small);
		turn(r);
		req = peer_request(r, 0);
		rsp = answer_to(&req, 100);
		spoil[i](&rsp);
		peer_say(r, 0, &rsp, sizeof rsp);
		peer_say(r, 0, payload, sizeof payload);
		turn(r);
		assert_int_equal(r->losses, 1);
		assert_int_equal(r->word, EXIT_DAEMON_LIES);
		assert_non_null(strstr(r->why, "peer:1"));
		assert_int_equal(t.done, 0);
		assert_int_equal(t.small[100], 0xaa);
		read_of(&good, r, LANE_CONTROL, 0, NULL, 8); /* forgotten, and nobody dies of it */
		turn(r);
		assert_false(peer_has_something(r, 0));
		assert_int_equal(r->losses, 1);
		teardown(&fresh);
	}
}

static void test_answered_twice(void **state)
{
	struct rig *r = *state;
	struct told t, other;
	struct sd_req req;
	struct sd_rsp rsp;

	read_of(&t, r, LANE_CONTROL, 0, NULL, 0);
	turn(r);
	req = peer_request(r, 0);
	rsp = answer_to(&req, 0);
	peer_say(r, 0, &rsp, sizeof rsp);
	turn(r);
	assert_int_equal(t.done, 1);
	read_of(&other, r, LANE_CONTROL, 0, NULL, 0); /* has its place now, and another id */
	turn(r);
	peer_say(r, 0, &rsp, sizeof rsp);
	turn(r);
	assert_int_equal(other.done, 0);
	assert_int_equal(r->word, EXIT_DAEMON_LIES);
}

static void test_answered_on_another_connection(void **state)
{
	struct rig *r = *state;
	struct told t;
	struct sd_req req;
	struct sd_rsp rsp;

	connect_peer(r);
	read_of(&t, r, LANE_CONTROL, 0, NULL, 0);
	turn(r);
	req = peer_request(r, 0);
	rsp = answer_to(&req, 0);
	peer_say(r, 1, &rsp, sizeof rsp);
	turn(r);
	assert_int_equal(t.done, 0);
	assert_int_equal(r->word, EXIT_DAEMON_LIES);
	assert_non_null(strstr(r->why, "peer:2"));
}

static void test_answered_before_it_was_sent(void **state)
{
	struct rig *r = *state;
	static uint8_t payload[8 * LARGE];
	struct told t;
	struct sd_req req;
	struct sd_rsp rsp;

	write_of(&t, r, LANE_CONTROL, payload, sizeof payload);
	turn(r);
	req = peer_request(r, 0);
	rsp = answer_to(&req, 0);
	peer_say(r, 0, &rsp, sizeof rsp);
	turn(r);
	assert_int_equal(t.done, 0);
	assert_int_equal(r->word, EXIT_DAEMON_LIES);
}

static void test_unasked_words(void **state)
{
	struct rig *r = *state;
	uint8_t garbage[100];

	fill(garbage, sizeof garbage, 77);
	peer_say(r, 0, garbage, sizeof garbage);
	turn(r);
	assert_int_equal(r->word, EXIT_DAEMON_LIES);
	assert_int_equal(r->losses, 1);
}

/* ---- the end of it ---- */

static void ends_after(struct rig *r, size_t bytes, unsigned done)
{
	struct {
		struct sd_rsp rsp;
		uint8_t payload[64];
	} answer = {.payload = {0}};
	struct told t;
	struct sd_req req;

	read_of(&t, r, LANE_CONTROL, 0, NULL, 64);
	turn(r);
	req = peer_request(r, 0);
	answer.rsp = answer_to(&req, 64);
	if (bytes)
		peer_say(r, 0, &answer, bytes);
	close(r->peers[0]);
	r->peers[0] = -1;
	turn(r);
	assert_int_equal(t.done, done);
	assert_int_equal(r->losses, 1);
	assert_int_equal(r->word, EXIT_DAEMON_LOST);
	assert_int_equal(!!strstr(r->why, "in the middle"), bytes && !done);
}

static void test_end_without_answer(void **state)
{
	ends_after(*state, 0, 0);
}

static void test_end_within_header(void **state)
{
	ends_after(*state, 20, 0);
}

static void test_end_within_payload(void **state)
{
	ends_after(*state, 80, 0);
}

static void test_end_behind_answer(void **state)
{
	ends_after(*state, 112, 1);
}

/* Submitting to a closed connection is told by the loop. */
static void test_end_before_submit(void **state)
{
	struct rig *r = *state;
	struct told t;

	close(r->peers[0]);
	r->peers[0] = -1;
	read_of(&t, r, LANE_CONTROL, 0, NULL, 8);
	assert_int_equal(r->losses, 0);
	turn(r);
	assert_int_equal(r->losses, 1);
	assert_int_equal(r->word, EXIT_DAEMON_LOST);
}

static double wait_for_loss(struct rig *r, double limit)
{
	struct timespec from, now;
	struct timeval step = {0, 100000};
	double waited = 0;

	clock_gettime(CLOCK_MONOTONIC, &from);
	while (!r->losses && waited < limit) {
		event_base_loopexit(r->base, &step);
		event_base_dispatch(r->base);
		clock_gettime(CLOCK_MONOTONIC, &now);
		waited =
		    (double)(now.tv_sec - from.tv_sec) + (double)(now.tv_nsec - from.tv_nsec) / 1e9;
	}
	return waited;
}

static void test_mute(void **state)
{
	struct rig *r = *state;
	struct told t;
	double waited;

	read_of(&t, r, LANE_CONTROL, 0, NULL, 8);
	wait_for_loss(r, 1.0);
	assert_int_equal(r->losses, 0);
	sheep_watch(r->sheep, SHEEP_STRICT);
	waited = wait_for_loss(r, 8.0);
	assert_int_equal(r->losses, 1);
	assert_int_equal(r->word, EXIT_DAEMON_MUTE);
	assert_true(waited > 4.5 && waited < 7.5);
}

/* So long the witness is answered, and nothing else. */
static void live_on(struct rig *r, unsigned milliseconds, int witness)
{
	const struct timeval step = {0, 50000};

	for (unsigned n = 0; n < milliseconds / 50; n++) {
		struct pollfd p = {.fd = witness, .events = POLLIN};
		struct sd_req req;
		struct sd_rsp rsp;

		event_base_loopexit(r->base, &step);
		event_base_dispatch(r->base);
		if (poll(&p, 1, 0) != 1)
			continue;
		assert_int_equal(recv(witness, &req, sizeof req, 0), sizeof req);
		rsp = answer_to(&req, 0);
		assert_int_equal(send(witness, &rsp, sizeof rsp, MSG_NOSIGNAL), sizeof rsp);
	}
}

/* It answers its witness and names, and ends no object I/O. */
static void test_stall(void **state)
{
	struct rig *r = *state;
	struct told t[2], name;
	struct sd_req req;
	struct sd_rsp rsp;
	int witness[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, witness), 0);
	assert_int_equal(sheep_add_witness(r->sheep, witness[0], "witness"), 0);
	sheep_watch(r->sheep, SHEEP_WITNESSED);
	sheep_watch_io(r->sheep, 1500);
	/* nothing is asked: nothing stalls */
	live_on(r, 2000, witness[1]);
	assert_int_equal(r->stalls, 0);
	for (unsigned i = 0; i < 2; i++)
		read_of(&t[i], r, LANE_DATA, 0, NULL, 0);
	turn(r);
	req = peer_request(r, 0);
	peer_request(r, 0);
	live_on(r, 1000, witness[1]);
	assert_int_equal(r->stalls, 0);
	/* one of them ends: it is slow, and goes on */
	rsp = answer_to(&req, 0);
	peer_say(r, 0, &rsp, sizeof rsp);
	live_on(r, 1000, witness[1]);
	assert_int_equal(t[0].done, 1);
	assert_int_equal(r->stalls, 0);
	/* that a name is found is no I/O */
	memset(&name, 0, sizeof name);
	call_init(&name.call, SD_OP_GET_CLUSTER_DEFAULT, LANE_CONTROL, on_done, &name);
	submit(r, &name.call);
	turn(r);
	req = peer_request(r, 0);
	rsp = answer_to(&req, 0);
	peer_say(r, 0, &rsp, sizeof rsp);
	live_on(r, 1500, witness[1]);
	assert_int_equal(name.done, 2);
	assert_int_equal(r->stalls, 1);
	/* again, but not at once; and it is not lost by that */
	live_on(r, 4000, witness[1]);
	assert_int_equal(r->stalls, 1);
	live_on(r, 2500, witness[1]);
	assert_int_equal(r->stalls, 2);
	assert_int_equal(r->losses, 0);
	close(witness[1]);
}

static void test_results(void **state)
{
	(void)state;
	assert_int_equal(sheep_errno(SD_RES_SUCCESS), 0);
	assert_int_equal(sheep_errno(SD_RES_VDI_LOCKED), -EBUSY);
	assert_int_equal(sheep_errno(SD_RES_NO_SPACE), -ENOSPC);
	assert_int_equal(sheep_errno(0x12345), -EIO);
	assert_string_equal(sheep_result_name(SD_RES_NO_OBJ), "NO_OBJ");
	assert_string_equal(sheep_result_name(0x12345), "an unknown result");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_pipelined_out_of_order),
	    TEST(test_internal_operations_have_their_version),
	    TEST(test_byte_by_byte),
	    TEST(test_large_payload_in_pieces),
	    TEST(test_trimmed_reads),
	    TEST(test_failures_with_payload),
	    TEST(test_writes_that_find_no_room),
	    TEST(test_many_calls_are_gathered),
	    TEST(test_submit_from_done),
	    TEST(test_lanes),
	    cmocka_unit_test(test_lies),
	    TEST(test_answered_twice),
	    TEST(test_answered_on_another_connection),
	    TEST(test_answered_before_it_was_sent),
	    TEST(test_unasked_words),
	    TEST(test_end_without_answer),
	    TEST(test_end_within_header),
	    TEST(test_end_within_payload),
	    TEST(test_end_behind_answer),
	    TEST(test_end_before_submit),
	    TEST(test_mute),
	    TEST(test_stall),
	    cmocka_unit_test(test_results),
	};

	return cmocka_run_group_tests_name("sheep", tests, NULL, NULL);
}
