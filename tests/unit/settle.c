/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settling over real sockets, whose other ends this test holds; the daemon that serves us is
 * simulated, and tells the history of its cluster.
 */
#include "tests/unit/unit.h"

#include "worker/settle.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEAD "10.0.0.1:7000"
#define OTHER "10.0.0.2:7000"
#define LINKS 3 /* of a past: the witness is the first */
#define EPOCHS_MAX 8

struct rig {
	struct daemon daemon; /* first */
	struct event_base *base;
	struct settle *settle;
	int peers[4][LINKS]; /* the daemons' ends, by past */
	unsigned settled[5], died[5];
	char sentence[1024];
	/* what the daemon that serves us tells */
	uint32_t result, epoch;
	unsigned nr_epochs;
	struct {
		uint32_t epoch;
		const char *nodes[3];
	} epochs[EPOCHS_MAX]; /* the newest first */
	uint64_t ctime;
	uint64_t age; /* of pasts to come */
	unsigned asked;
	/* visits */
	unsigned unsure, visited;
	char wanted[64];
};

static void on_settled(void *arg, uint32_t past, bool died, const char *sentence)
{
	struct rig *r = arg;

	r->settled[past]++;
	r->died[past] += died;
	snprintf(r->sentence, sizeof r->sentence, "%s", sentence);
}

static void on_unsure(void *arg, const char *address)
{
	struct rig *r = arg;

	r->unsure++;
	snprintf(r->wanted, sizeof r->wanted, "%s", address);
}

static void on_visited(void *arg)
{
	struct rig *r = arg;

	r->visited++;
}

static const struct settle_calls calls = {on_settled, on_unsure, on_visited};

static struct sd_node node_of(const char *address)
{
	struct sd_node n;
	char host[64];
	unsigned port;

	memset(&n, 0, sizeof n);
	assert_int_equal(sscanf(address, "%63[^:]:%u", host, &port), 2);
	assert_int_equal(inet_pton(AF_INET, host, n.nid.addr + 12), 1);
	n.nid.port = (uint16_t)port;
	return n;
}

static unsigned nodes_in(const struct rig *r, unsigned e)
{
	unsigned n = 0;

	while (n < 3 && r->epochs[e].nodes[n])
		n++;
	return n;
}

static void tell_history(struct rig *r, struct call *call)
{
	size_t room =
	    sizeof(struct sd_epoch_log) + call->req.cluster.nodes_nr * sizeof(struct sd_node);
	uint8_t *at = call->receive;

	for (unsigned e = 0; e < r->nr_epochs; e++, at += room) {
		struct sd_epoch_log log = {
		    .ctime = r->ctime, .epoch = r->epochs[e].epoch, .nr_nodes = nodes_in(r, e)};

		if (at + room > (uint8_t *)call->receive + call->receive_size)
			break;
		memcpy(at, &log, sizeof log);
		for (unsigned n = 0; n < log.nr_nodes && n < call->req.cluster.nodes_nr; n++) {
			struct sd_node node = node_of(r->epochs[e].nodes[n]);

			memcpy(at + sizeof log + n * sizeof node, &node, sizeof node);
		}
	}
	call->rsp.data_length = (uint32_t)(at - (uint8_t *)call->receive);
}

/* Answers at once. */
static void on_submit(struct daemon *d, struct call *call)
{
	struct rig *r = (struct rig *)d;

	memset(&call->rsp, 0, sizeof call->rsp);
	call->rsp.epoch = r->epoch;
	if (call->req.opcode == SD_OP_GET_NODE_LIST) {
		call->rsp.node.nr_nodes = nodes_in(r, 0);
		call->rsp.data_length = nodes_in(r, 0) * (uint32_t)sizeof(struct sd_node);
	} else {
		assert_int_equal(call->req.opcode, SD_OP_STAT_CLUSTER);
		r->asked++;
		call->rsp.result = r->result;
		tell_history(r, call);
	}
	call->done(call);
}

static void open_settle(struct rig *r, unsigned fence)
{
	r->settle = settle_open(r->base, &r->daemon, 1, fence, &calls, r);
	assert_non_null(r->settle);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	r->daemon.submit = on_submit;
	r->ctime = 1;
	r->base = event_base_new();
	memset(r->peers, -1, sizeof r->peers);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	settle_close(r->settle);
	for (unsigned p = 0; p < 4; p++)
		for (unsigned i = 0; i < LINKS; i++)
			if (r->peers[p][i] >= 0)
				close(r->peers[p][i]);
	event_base_free(r->base);
	free(r);
	return 0;
}

static int add_link(
    struct rig *r, uint32_t past, uint32_t epoch, bool witness, int fd, const char *address)
{
	const struct msg_past said = {
	    .past = past, .epoch = epoch, .witness = witness, .age = r->age};

	return settle_add(r->settle, &said, fd, address);
}

static void add_past(struct rig *r, uint32_t past, uint32_t epoch, const char *address)
{
	for (unsigned i = 0; i < LINKS; i++) {
		int sv[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		r->peers[past][i] = sv[1];
		assert_int_equal(add_link(r, past, epoch, i == 0, sv[0], address), 0);
	}
}

static void hang_up(struct rig *r, unsigned past, unsigned link)
{
	close(r->peers[past][link]);
	r->peers[past][link] = -1;
}

static void turn(struct rig *r)
{
	for (int i = 0; i < 5; i++)
		event_base_loop(r->base, EVLOOP_NONBLOCK);
}

/* Lets time go by until that past is settled, at most. */
static void run(struct rig *r, unsigned past, double seconds)
{
	struct timespec now;
	double end;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = (double)now.tv_sec + (double)now.tv_nsec / 1e9 + seconds;
	do {
		turn(r);
		poll(NULL, 0, 10);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!r->settled[past] && (double)now.tv_sec + (double)now.tv_nsec / 1e9 < end);
}

/* The question that lies at the witness's other end. */
static struct sd_req question(struct rig *r, unsigned past)
{
	struct sd_req req;

	assert_int_equal(recv(r->peers[past][0], &req, sizeof req, MSG_DONTWAIT), sizeof req);
	assert_int_equal(req.opcode, SD_OP_GET_CLUSTER_DEFAULT);
	assert_int_equal(req.data_length, 0);
	assert_int_not_equal(req.id, 0);
	return req;
}

static void silent(struct rig *r, unsigned past)
{
	char byte;

	assert_int_equal(recv(r->peers[past][0], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void answer(struct rig *r, unsigned past, uint32_t id)
{
	struct sd_rsp rsp = {.opcode = SD_OP_GET_CLUSTER_DEFAULT, .id = id};

	assert_int_equal(write(r->peers[past][0], &rsp, sizeof rsp), sizeof rsp);
	turn(r);
}

/* ---- a daemon that lives ---- */

static void ends_and_the_witness(void **state)
{
	struct rig *r = *state;
	char bytes[100] = "the answers that nobody waits for any more";

	open_settle(r, 60);
	add_past(r, 1, 5, DEAD);
	assert_false(settle_is_over(r->settle));
	settle_begin(r->settle);
	turn(r);
	/* it is told that nothing more comes, but on the witness */
	assert_int_equal(recv(r->peers[1][1], bytes, 1, MSG_DONTWAIT), 0);
	assert_int_equal(recv(r->peers[1][2], bytes, 1, MSG_DONTWAIT), 0);
	silent(r, 1);
	assert_int_equal(write(r->peers[1][1], bytes, sizeof bytes), sizeof bytes);
	hang_up(r, 1, 1);
	turn(r);
	silent(r, 1); /* one is not ended */
	hang_up(r, 1, 2);
	turn(r);
	assert_int_equal(r->settled[1], 0); /* an end alone proves nothing */
	answer(r, 1, question(r, 1).id);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 0);
	assert_non_null(strstr(r->sentence, DEAD));
	assert_true(settle_is_over(r->settle));
}

/* What the dead generation had asked the witness is answered first, and not in one piece. */
static void the_witness_in_mid_answer(void **state)
{
	struct rig *r = *state;
	struct sd_rsp old = {.opcode = SD_OP_GET_CLUSTER_DEFAULT, .id = 7}, rsp;
	uint8_t *bytes = (uint8_t *)&rsp;
	uint32_t id;

	open_settle(r, 60);
	add_past(r, 1, 5, DEAD);
	assert_int_equal(write(r->peers[1][0], (uint8_t *)&old + 13, sizeof old - 13), 35);
	settle_begin(r->settle);
	hang_up(r, 1, 1);
	hang_up(r, 1, 2);
	turn(r);
	id = question(r, 1).id;
	assert_int_equal(write(r->peers[1][0], &old, sizeof old), sizeof old);
	turn(r);
	assert_int_equal(r->settled[1], 0);
	rsp = (struct sd_rsp){.opcode = SD_OP_GET_CLUSTER_DEFAULT, .id = id};
	for (size_t i = 0; i < sizeof rsp; i += 16) {
		assert_int_equal(r->settled[1], 0);
		assert_int_equal(write(r->peers[1][0], bytes + i, 16), 16);
		turn(r);
	}
	assert_int_equal(r->settled[1], 1);
}

static void another_answer_is_none(void **state)
{
	struct rig *r = *state;
	uint32_t id;

	open_settle(r, 60);
	add_past(r, 1, 5, DEAD);
	settle_begin(r->settle);
	hang_up(r, 1, 1);
	hang_up(r, 1, 2);
	turn(r);
	id = question(r, 1).id;
	answer(r, 1, id + 1);
	assert_int_equal(r->settled[1], 0);
	answer(r, 1, id);
	assert_int_equal(r->settled[1], 1);
}

static void pasts_are_independent(void **state)
{
	struct rig *r = *state;

	open_settle(r, 60);
	add_past(r, 1, 5, DEAD);
	add_past(r, 2, 5, OTHER);
	settle_begin(r->settle);
	hang_up(r, 2, 1);
	hang_up(r, 2, 2);
	turn(r);
	answer(r, 2, question(r, 2).id);
	assert_int_equal(r->settled[2], 1);
	assert_int_equal(r->settled[1], 0);
	assert_false(settle_is_over(r->settle));
}

static void too_much_is_refused(void **state)
{
	struct rig *r = *state;
	int sv[2];

	open_settle(r, 60);
	for (uint32_t past = 1; past <= 10; past++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		close(sv[1]);
		assert_int_equal(add_link(r, past, 1, true, sv[0], DEAD), past <= 8 ? 0 : -ENOMEM);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	close(sv[1]);
	assert_int_equal(add_link(r, 1, 1, true, sv[0], DEAD), -EEXIST);
}

/* ---- one that died ---- */

static void dies(struct rig *r)
{
	add_past(r, 1, 5, DEAD);
	settle_begin(r->settle);
	for (unsigned i = 0; i < LINKS; i++)
		hang_up(r, 1, i);
	turn(r);
	assert_int_equal(r->settled[1], 0);
}

static void serve_cluster(struct rig *r, uint32_t epoch)
{
	r->epoch = epoch;
	settle_served(r->settle, OTHER);
	run(r, 1, 0.6);
}

static void add_old_epoch(struct rig *r)
{
	r->nr_epochs = 1;
	r->epochs[0].epoch = 5;
	r->epochs[0].nodes[0] = DEAD;
	r->epochs[0].nodes[1] = OTHER;
}

static void the_cluster_went_on(void **state)
{
	struct rig *r = *state;

	open_settle(r, 60);
	dies(r);
	/* nobody has noticed yet */
	add_old_epoch(r);
	serve_cluster(r, 5);
	assert_int_equal(r->settled[1], 0);
	assert_true(r->asked > 1);
	r->nr_epochs = 2;
	r->epochs[1] = r->epochs[0];
	r->epochs[0].epoch = 6;
	r->epochs[0].nodes[0] = OTHER;
	r->epochs[0].nodes[1] = NULL;
	serve_cluster(r, 6);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 1);
}

/* It left and has come back: an epoch between tells. */
static void it_came_back_meanwhile(void **state)
{
	struct rig *r = *state;

	open_settle(r, 60);
	dies(r);
	r->nr_epochs = 3;
	r->epochs[2].epoch = 5;
	r->epochs[2].nodes[0] = OTHER;
	r->epochs[2].nodes[1] = DEAD;
	r->epochs[1].epoch = 6;
	r->epochs[1].nodes[0] = OTHER;
	r->epochs[0].epoch = 7;
	r->epochs[0].nodes[0] = OTHER;
	r->epochs[0].nodes[1] = DEAD;
	serve_cluster(r, 7);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 1);
	assert_false(settle_cluster_restarted(r->settle));
}

/* A later epoch alone proves nothing: somebody else may have left. */
static void others_left(void **state)
{
	struct rig *r = *state;

	open_settle(r, 60);
	dies(r);
	r->nr_epochs = 2;
	r->epochs[1].epoch = 5;
	r->epochs[1].nodes[0] = OTHER;
	r->epochs[1].nodes[1] = DEAD;
	r->epochs[1].nodes[2] = "10.0.0.3:7000";
	r->epochs[0].epoch = 6;
	r->epochs[0].nodes[0] = OTHER;
	r->epochs[0].nodes[1] = DEAD;
	serve_cluster(r, 6);
	assert_int_equal(r->settled[1], 0);
	/* nor does a cluster that never knew it by that address */
	r->epochs[1].nodes[1] = r->epochs[0].nodes[1] = "10.0.0.9:7000";
	serve_cluster(r, 6);
	assert_int_equal(r->settled[1], 0);
}

static void a_cluster_that_waits_tells_nothing(void **state)
{
	struct rig *r = *state;

	open_settle(r, 60);
	dies(r);
	add_old_epoch(r);
	r->result = SD_RES_WAIT_FOR_JOIN;
	r->epoch = 5;
	settle_served(r->settle, DEAD);
	run(r, 1, 0.6);
	assert_int_equal(r->settled[1], 0);
	assert_true(settle_concerns_server(r->settle));
	assert_false(settle_cluster_restarted(r->settle));
	/* all of it is back, as it was: everybody was restarted */
	r->result = SD_RES_SUCCESS;
	run(r, 1, 2);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 1);
	assert_true(settle_cluster_restarted(r->settle));
}

/* ---- who serves where it did is asked, too ---- */

/* Ours knows nothing, and that one is wanted. */
static void is_unsure(struct rig *r)
{
	open_settle(r, 60);
	dies(r);
	add_old_epoch(r);
	serve_cluster(r, 5);
	run(r, 1, 0.6);
	assert_int_equal(r->settled[1], 0);
	assert_true(r->unsure > 0);
	assert_string_equal(r->wanted, DEAD);
	assert_true(settle_wants(r->settle, DEAD));
	assert_false(settle_wants(r->settle, OTHER));
}

static void visit(struct rig *r)
{
	r->visited = 0;
	settle_visit(r->settle, &r->daemon, DEAD);
	assert_int_equal(r->visited, 1);
}

static void its_successor_serves(void **state)
{
	struct rig *r = *state;

	is_unsure(r);
	visit(r);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 1);
	assert_true(settle_cluster_restarted(r->settle));
	assert_false(settle_wants(r->settle, DEAD));
}

/* The dead one had not shown the latest epoch. */
static void its_successor_serves_in_a_later_epoch(void **state)
{
	struct rig *r = *state;

	is_unsure(r);
	r->nr_epochs = 2;
	r->epochs[1] = r->epochs[0];
	r->epoch = r->epochs[0].epoch = 6;
	visit(r);
	assert_int_equal(r->settled[1], 1);
	assert_true(settle_cluster_restarted(r->settle));
}

static void its_successor_knows_too_little(void **state)
{
	struct rig *r = *state;

	is_unsure(r);
	/* an epoch is missing, in which it may have been missed */
	r->nr_epochs = 2;
	r->epochs[1] = r->epochs[0];
	r->epoch = r->epochs[0].epoch = 7;
	visit(r);
	/* its cluster waits for others */
	add_old_epoch(r);
	r->epoch = 5;
	r->result = SD_RES_WAIT_FOR_JOIN;
	visit(r);
	/* it is of another cluster */
	r->result = SD_RES_SUCCESS;
	r->ctime = 2;
	visit(r);
	assert_int_equal(r->settled[1], 0);
	assert_true(settle_wants(r->settle, DEAD));
}

static void its_successor_was_missed(void **state)
{
	struct rig *r = *state;

	is_unsure(r);
	r->nr_epochs = 3;
	r->epochs[2] = r->epochs[1] = r->epochs[0];
	r->epochs[1].epoch = 6;
	r->epochs[1].nodes[0] = OTHER;
	r->epochs[1].nodes[1] = NULL;
	r->epoch = r->epochs[0].epoch = 7;
	visit(r);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 1);
	assert_false(settle_cluster_restarted(r->settle));
}

static void hold(struct daemon *d, struct call *call)
{
	(void)d;
	(void)call;
}

static void a_visit_may_be_lost(void **state)
{
	struct rig *r = *state;
	struct daemon silent = {.submit = hold};

	is_unsure(r);
	settle_visit(r->settle, &silent, DEAD);
	assert_false(settle_wants(r->settle, DEAD));
	r->unsure = 0;
	run(r, 1, 0.8);
	assert_int_equal(r->unsure, 0);
	assert_int_equal(r->visited, 0);
	settle_visit_lost(r->settle);
	assert_int_equal(r->visited, 1);
	run(r, 1, 0.8);
	assert_true(r->unsure > 0);
	visit(r);
	assert_int_equal(r->settled[1], 1);
}

/* ---- and others ---- */

static void a_reset_is_a_death_when_the_witness_is_gone(void **state)
{
	struct rig *r = *state;
	char byte = 'x';

	open_settle(r, 60);
	add_past(r, 1, 5, DEAD);
	settle_begin(r->settle);
	/* closed with unread bytes: the other side gets a reset */
	assert_int_equal(recv(r->peers[1][1], &byte, 1, MSG_DONTWAIT), 0);
	hang_up(r, 1, 1);
	hang_up(r, 1, 2);
	turn(r);
	question(r, 1);
	hang_up(r, 1, 0);
	turn(r);
	assert_int_equal(r->settled[1], 0);
	r->nr_epochs = 2;
	r->epochs[1].epoch = 5;
	r->epochs[1].nodes[0] = DEAD;
	r->epochs[0].epoch = 6;
	r->epochs[0].nodes[0] = OTHER;
	serve_cluster(r, 6);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 1);
}

/* ---- one of which nothing is known ---- */

static void the_fence(void **state)
{
	struct rig *r = *state;

	open_settle(r, 1);
	add_past(r, 1, 5, DEAD);
	settle_begin(r->settle);
	run(r, 1, 0.5);
	assert_int_equal(r->settled[1], 0);
	run(r, 1, 5);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 1);
	assert_non_null(strstr(r->sentence, "may overwrite"));
}

static void no_fence(void **state)
{
	struct rig *r = *state;

	open_settle(r, 0);
	add_past(r, 1, 5, DEAD);
	settle_begin(r->settle);
	run(r, 1, 1.5);
	assert_int_equal(r->settled[1], 0);
	/* until somebody says so */
	settle_fence(r->settle, OTHER);
	assert_int_equal(r->settled[1], 0);
	settle_fence(r->settle, DEAD);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 1);
}

/* A slow one that answers its witness is reached: the fence is not for it. */
/* A process that died has no open connection: a lone end of the witness proves nothing. */
static void the_witness_alone_is_no_death(void **state)
{
	struct rig *r = *state;

	open_settle(r, 60);
	add_past(r, 1, 5, DEAD);
	add_old_epoch(r);
	r->epoch = 5;
	settle_begin(r->settle);
	settle_served(r->settle, DEAD);
	hang_up(r, 1, 0);
	run(r, 1, 1);
	assert_int_equal(r->settled[1], 0);
	for (unsigned i = 1; i < LINKS; i++)
		hang_up(r, 1, i);
	run(r, 1, 1);
	assert_int_equal(r->settled[1], 1);
}

/* Generation after generation: it is one fence. */
static void the_fence_is_as_old_as_the_past(void **state)
{
	struct rig *r = *state;

	open_settle(r, 60);
	r->age = 59500;
	dies(r);
	run(r, 1, 1.5);
	assert_int_equal(r->settled[1], 0); /* it may answer now */
	run(r, 1, 1.5);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 1);
	assert_non_null(strstr(r->sentence, "--fence-timeout"));
}

/* ... but one that is known to live is waited for, however long. */
static void an_old_past_of_a_living_daemon_has_no_fence(void **state)
{
	struct rig *r = *state;

	open_settle(r, 60);
	r->age = 100000;
	add_past(r, 1, 5, DEAD);
	settle_begin(r->settle);
	turn(r);
	answer(r, 1, question(r, 1).id);
	run(r, 1, 3);
	assert_int_equal(r->settled[1], 0);
	for (unsigned i = 1; i < LINKS; i++)
		hang_up(r, 1, i);
	turn(r);
	answer(r, 1, question(r, 1).id);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 0);
}

static void a_slow_daemon_is_waited_for(void **state)
{
	struct rig *r = *state;

	open_settle(r, 7);
	add_past(r, 1, 5, DEAD);
	settle_begin(r->settle);
	run(r, 1, 5.5);
	answer(r, 1, question(r, 1).id);
	assert_int_equal(r->settled[1], 0);
	run(r, 1, 2.5); /* past the first seven seconds */
	assert_int_equal(r->settled[1], 0);
	hang_up(r, 1, 1);
	hang_up(r, 1, 2);
	turn(r);
	answer(r, 1, question(r, 1).id);
	assert_int_equal(r->settled[1], 1);
	assert_int_equal(r->died[1], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	    TEST(ends_and_the_witness),
	    TEST(the_witness_in_mid_answer),
	    TEST(another_answer_is_none),
	    TEST(pasts_are_independent),
	    TEST(too_much_is_refused),
	    TEST(the_cluster_went_on),
	    TEST(it_came_back_meanwhile),
	    TEST(others_left),
	    TEST(a_cluster_that_waits_tells_nothing),
	    TEST(its_successor_serves),
	    TEST(its_successor_serves_in_a_later_epoch),
	    TEST(its_successor_knows_too_little),
	    TEST(its_successor_was_missed),
	    TEST(a_visit_may_be_lost),
	    TEST(a_reset_is_a_death_when_the_witness_is_gone),
	    TEST(the_fence),
	    TEST(no_fence),
	    TEST(the_witness_alone_is_no_death),
	    TEST(the_fence_is_as_old_as_the_past),
	    TEST(an_old_past_of_a_living_daemon_has_no_fence),
	    TEST(a_slow_daemon_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
