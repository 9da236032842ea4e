/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cluster worker's orders against a simulated daemon: what is checked before anything is asked,
 * what is asked, one operation at a time, and what is said when the daemon is lost in the midst.
 */
#include "tests/unit/unit.h"

#include "worker/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_MAX 16

struct rig {
	struct daemon daemon; /* first */
	struct cluster *cluster;
	struct call *queue[QUEUE_MAX];
	unsigned queued;
	unsigned readies, refusals, answers, tables, drains;
	unsigned pieces, lasts; /* of the list of members */
	uint64_t cluster_ctime;
	bool busy, waiting;
	int error;
	uint64_t number;
	char sentence[SENTENCE_MAX];
	bool hold; /* what LOOKED tells is not answered */
	unsigned lookeds;
	uint32_t vid; /* that was told */
	unsigned dials, hang_ups;
	uint64_t dialled;
	char address[ADDRESS_TEXT_MAX];
	char text[4096]; /* of the latest table */
};

static void on_submit(struct daemon *d, struct call *call)
{
	struct rig *r = (struct rig *)d;

	assert_true(r->queued < QUEUE_MAX);
	r->queue[r->queued++] = call;
}

static void on_ready(void *arg, bool waiting)
{
	struct rig *r = arg;

	r->readies++;
	r->waiting = waiting;
}

static void on_refused(void *arg, int error, const char *sentence)
{
	struct rig *r = arg;

	r->refusals++;
	r->error = error;
	snprintf(r->sentence, sizeof r->sentence, "%s", sentence);
}

static void on_answer(void *arg, uint64_t number, int error, const char *sentence)
{
	struct rig *r = arg;

	r->answers++;
	r->number = number;
	r->error = error;
	snprintf(r->sentence, sizeof r->sentence, "%s", sentence);
}

static void on_looked(void *arg, uint64_t number, uint32_t vid)
{
	struct rig *r = arg;

	r->lookeds++;
	r->vid = vid;
	if (!r->hold)
		cluster_change(r->cluster, number);
}

static void on_table(void *arg, uint64_t number, int fd)
{
	struct rig *r = arg;

	ssize_t n = pread(fd, r->text, sizeof r->text - 1, 0); /* one file for all who share */

	assert_true(n >= 0);
	r->text[n] = 0;
	r->tables++;
	r->number = number;
	close(fd);
}

static void on_members(
    void *arg, uint64_t number, uint64_t cluster_ctime, const char *text, bool first, bool last)
{
	struct rig *r = arg;

	assert_int_equal(first, r->pieces == 0);
	assert_true(strlen(text) <= COMMAND_TEXT_MAX);
	r->pieces++;
	r->lasts += last;
	r->number = number;
	r->cluster_ctime = cluster_ctime;
	snprintf(r->text, sizeof r->text, "%s", text);
}

static void on_busy(void *arg, bool busy)
{
	struct rig *r = arg;

	assert_true(r->busy != busy);
	r->busy = busy;
}

static void on_drained(void *arg)
{
	((struct rig *)arg)->drains++;
}

static void on_dial(void *arg, uint64_t number, const char *address)
{
	struct rig *r = arg;

	r->dials++;
	r->dialled = number;
	snprintf(r->address, sizeof r->address, "%s", address);
}

static void on_hang_up(void *arg, uint64_t number)
{
	struct rig *r = arg;

	assert_true(number > 0);
	r->hang_ups++;
}

static uint64_t now(void)
{
	return 1;
}

static const struct cluster_calls calls = {.ready = on_ready,
    .refused = on_refused,
    .answer = on_answer,
    .looked = on_looked,
    .table = on_table,
    .members = on_members,
    .busy = on_busy,
    .drained = on_drained,
    .dial = on_dial,
    .hang_up = on_hang_up,
    .now = now};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	r->daemon.submit = on_submit;
	r->cluster = cluster_open(&r->daemon, &calls, r);
	assert_non_null(r->cluster);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	cluster_close(r->cluster);
	free(r);
	return 0;
}

/* Takes the oldest call, which must be `op`. */
static struct call *expect(struct rig *r, enum sd_op op)
{
	struct call *call = r->queue[0];

	assert_true(r->queued > 0);
	assert_int_equal(call->req.opcode, op);
	memmove(r->queue, r->queue + 1, --r->queued * sizeof call);
	return call;
}

static void reply(struct call *call, uint32_t result)
{
	memset(&call->rsp, 0, sizeof call->rsp);
	call->rsp.result = result;
	call->rsp.cluster_default.block_size_shift = SD_SHIFT_DEFAULT;
	if (call->req.opcode == SD_OP_NEW_VDI)
		call->rsp.vdi.vdi_id = 0x1234;
	if (call->req.opcode == SD_OP_READ_VDIS || call->req.opcode == SD_OP_READ_DEL_VDIS) {
		memset(call->receive, 0, call->receive_size);
		call->rsp.data_length = (uint32_t)call->receive_size;
	}
	call->done(call);
}

/* Answers a READ of a header. */
static void reply_header(struct call *call, const struct sd_inode_header *header)
{
	memset(&call->rsp, 0, sizeof call->rsp);
	assert_true(call->receive_size <= sizeof *header);
	memcpy(call->receive, header, call->receive_size);
	call->rsp.data_length = (uint32_t)call->receive_size;
	call->done(call);
}

static void reply_vid(struct call *call, uint32_t vid)
{
	memset(&call->rsp, 0, sizeof call->rsp);
	call->rsp.vdi.vdi_id = vid;
	call->done(call);
}

/* Takes the call that looks a new volume's name up, and says that there is none; then NEW_VDI's. */
static struct call *expect_new(struct rig *r)
{
	struct call *call = expect(r, SD_OP_GET_VDI_INFO);

	assert_int_equal(call->send_size, SD_NAME_SIZE + SD_TAG_SIZE);
	assert_string_equal((const char *)call->send + SD_NAME_SIZE, "");
	reply(call, SD_RES_NO_VDI);
	return expect(r, SD_OP_NEW_VDI);
}

static void create(struct rig *r, uint64_t number, const char *name, uint64_t size, uint32_t shift)
{
	struct msg_order order = {
	    .number = number, .size = size, .verb = VERB_CREATE, .shift = shift};

	memcpy(order.name, name, strlen(name));
	cluster_order(r->cluster, &order);
}

static void list(struct rig *r, uint64_t number)
{
	struct msg_order order = {.number = number, .verb = VERB_LIST};

	cluster_order(r->cluster, &order);
}

static void says(struct rig *r, uint64_t number, int error, const char *words)
{
	assert_int_equal(r->number, number);
	assert_int_equal(r->error, error);
	if (!strstr(r->sentence, words))
		fail_msg("\"%s\" is not in \"%s\"", words, r->sentence);
}

static void test_proof(void **state)
{
	static const struct {
		uint32_t first, second;
		int error;
		const char *words;
	} cases[] = {
	    {0, 0, 0, ""},
	    {0, SD_RES_WAIT_FOR_FORMAT, 0, ""}, /* it can tell that it waits */
	    {0, SD_RES_WAIT_FOR_JOIN, 0, ""},
	    {0, SD_RES_SHUTDOWN, -ESHUTDOWN, "shutting down"},
	    {0, SD_RES_VER_MISMATCH, -EPROTONOSUPPORT, "another version"},
	    {SD_RES_INVALID_PARMS, 0, -EINVAL, "INVALID_PARMS"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct rig *r;
		void *fresh;

		setup(&fresh);
		r = fresh;
		cluster_begin(r->cluster, "10.0.0.1:7000", 0);
		assert_true(r->busy);
		reply(expect(r, SD_OP_GET_CLUSTER_DEFAULT), cases[i].first);
		if (!cases[i].first)
			reply(expect(r, SD_OP_STAT_CLUSTER), cases[i].second);
		assert_false(r->busy);
		assert_int_equal(r->readies, cases[i].error == 0);
		assert_int_equal(r->waiting, !cases[i].error && cases[i].second != 0);
		assert_int_equal(r->refusals, cases[i].error != 0);
		assert_int_equal(r->error, cases[i].error);
		assert_non_null(strstr(r->sentence, cases[i].words));
		teardown(&fresh);
	}
}

static void test_create(void **state)
{
	struct rig *r = *state;
	struct call *call;

	create(r, 7, "disk", 2UL << 30, 0);
	reply(expect(r, SD_OP_GET_CLUSTER_DEFAULT), 0);
	call = expect_new(r);
	assert_int_equal(call->req.flags, SD_FLAG_WRITE);
	assert_int_equal(call->send_size, 256);
	assert_string_equal(call->send, "disk");
	assert_int_equal(call->req.vdi.vdi_size, 2UL << 30);
	assert_int_equal(call->req.vdi.block_size_shift, 22);
	assert_int_equal(call->req.vdi.snapid, 0);
	assert_int_equal(call->req.vdi.base_vdi_id, 0);
	assert_int_equal(call->req.vdi.copies, 0);
	reply(call, 0);
	says(r, 7, 0, "volume disk was created: 2.0 GB in objects of 4.0 MB, vid 1234");
	assert_false(r->busy);
	create(r, 8, "a b", 512, 20);
	call = expect_new(r);
	assert_int_equal(call->req.vdi.block_size_shift, 20);
	reply(call, SD_RES_VDI_EXIST);
	says(r, 8, -EEXIST, "volume a%20b was not created: a volume of that name exists");
	create(r, 9, "c", 512, 31);
	reply(expect_new(r), SD_RES_FULL_VDI);
	says(r, 9, -ENOSPC, "FULL_VDI");
	create(r, 10, "c", 512, 22);
	reply(expect_new(r), SD_RES_CLUSTER_ERROR);
	says(r, 10, -EIO, "look at vdi/list");
	create(r, 11, "c", 512, 0);
	reply(expect(r, SD_OP_GET_CLUSTER_DEFAULT), SD_RES_NETWORK_ERROR);
	says(r, 11, -EIO, "NETWORK_ERROR");
	assert_int_equal(r->answers, 5);
	assert_int_equal(r->queued, 0);
}

/* What cannot be is refused without a word to the daemon. */
static void test_create_refused(void **state)
{
	static const struct {
		const char *name;
		uint64_t size;
		uint32_t shift;
		int error;
		const char *words;
	} cases[] = {
	    {"", 512, 22, -EINVAL, "the name is empty"},
	    {"x", 0, 22, -EINVAL, "its size is 0"},
	    {"x", 1000, 22, -EINVAL, "the next one is 1024"},
	    {"x", 512, 11, -EINVAL, "2^11"},
	    {"x", (4UL << 40) + 512, 22, -EFBIG, "4.0 TB at most; it needs objects of 8.0 MB"},
	    {"x", 1UL << 51, 22, -EFBIG, "objects of 2.0 GB"},
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		create(r, i + 1, cases[i].name, cases[i].size, cases[i].shift);
		says(r, i + 1, cases[i].error, cases[i].words);
		assert_int_equal(r->queued, 0);
		assert_false(r->busy);
	}
	create(r, 20, "most", 4UL << 40, 22);
	reply(expect_new(r), 0);
	says(r, 20, 0, "4.0 TB");
	create(r, 21, "x", (4UL << 40) + 512, 0);
	reply(expect(r, SD_OP_GET_CLUSTER_DEFAULT), 0);
	says(r, 21, -EFBIG, "4.0 TB at most");
	assert_int_equal(r->queued, 0);
}

static void test_one_at_a_time(void **state)
{
	struct rig *r = *state;
	struct msg_release release = {.number = 4, .vid = 0x77};
	struct call *call;

	create(r, 1, "a", 512, 22);
	create(r, 2, "b", 512, 22);
	list(r, 3);
	list(r, 5);
	cluster_release(r->cluster, &release);
	call = expect(r, SD_OP_GET_VDI_INFO); /* the second creation waits, the others do not */
	reply(expect(r, SD_OP_READ_VDIS), 0);
	reply(expect(r, SD_OP_READ_DEL_VDIS), 0);
	assert_int_equal(r->tables, 1);
	assert_int_equal(r->number, 3);
	reply(call, SD_RES_NO_VDI);
	call = expect(r, SD_OP_RELEASE_VDI);
	assert_int_equal(call->req.vdi.base_vdi_id, 0x77);
	assert_int_equal(call->req.vdi.type, SD_LOCK_NORMAL);
	reply(call, 0);
	says(r, 4, 0, "the lock of vid 77 was released");
	reply(expect(r, SD_OP_READ_VDIS), 0);
	reply(expect(r, SD_OP_READ_DEL_VDIS), 0);
	assert_int_equal(r->number, 5);
	reply(expect(r, SD_OP_NEW_VDI), 0);
	says(r, 1, 0, "volume a was");
	reply(expect_new(r), 0);
	says(r, 2, 0, "volume b was");
	assert_false(r->busy);
	assert_int_equal(r->queued, 0);
}

static const struct sd_inode_header made = {
    .name = "a", .vdi_size = 512, .nr_copies = 2, .block_size_shift = 22, .vdi_id = 0x55};

/* Somebody who died may have created it: looks first. */
static void create_again(struct rig *r, uint64_t number)
{
	const struct msg_order order = {.number = number,
	    .size = 512,
	    .verb = VERB_CREATE,
	    .shift = 22,
	    .copies = 2,
	    .again = true,
	    .name = "a"};

	cluster_order(r->cluster, &order);
}

static void test_too_much_at_once(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 1; i <= 256; i++)
		create(r, i, "x", 512, 22);
	assert_int_equal(r->answers, 0);
	create(r, 257, "x", 512, 22);
	says(r, 257, -EBUSY, "nothing was changed");
	create_again(r, 258);
	says(r, 258, -EBUSY, "too much is asked of the cluster at once; look at vdi/list");
	assert_int_equal(r->queued, 1);
}

static void test_drain(void **state)
{
	struct rig *r = *state;

	create(r, 1, "a", 512, 22);
	create(r, 2, "b", 512, 22);
	cluster_drain(r->cluster);
	says(r, 2, -ESHUTDOWN, "nothing was changed");
	assert_int_equal(r->drains, 0);
	create(r, 3, "c", 512, 22);
	says(r, 3, -ESHUTDOWN, "nothing was changed");
	reply(expect_new(r), 0);
	says(r, 1, 0, "volume a was created");
	assert_int_equal(r->drains, 1);
}

static void test_drain_idle(void **state)
{
	struct rig *r = *state;

	cluster_drain(r->cluster);
	assert_int_equal(r->drains, 1);
}

/* Nothing changes the cluster before it is recorded that this comes next. */
static void test_looked(void **state)
{
	struct rig *r = *state;
	struct call *call;

	r->hold = true;
	create(r, 1, "a", 512, 22);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_VDI);
	assert_int_equal(r->lookeds, 1);
	assert_int_equal(r->vid, 0);
	assert_int_equal(r->queued, 0);
	cluster_change(r->cluster, 2); /* another one's */
	assert_int_equal(r->queued, 0);
	cluster_change(r->cluster, 1);
	call = expect(r, SD_OP_NEW_VDI);
	cluster_change(r->cluster, 1); /* once is enough */
	assert_int_equal(r->queued, 0);
	reply(call, 0);
	says(r, 1, 0, "volume a was created");
	/* there is one already */
	create(r, 2, "a", 512, 22);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x1234);
	says(r, 2, -EEXIST, "volume a was not created: a volume of that name exists");
	assert_int_equal(r->lookeds, 1);
	/* the daemon was lost in the meantime */
	create(r, 3, "b", 512, 22);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_VDI);
	cluster_lost(r->cluster, "it is gone");
	says(r, 3, -EINPROGRESS, "volume b was not created: it is gone");
	cluster_change(r->cluster, 3);
	assert_int_equal(r->queued, 0);
}

static void test_create_again(void **state)
{
	struct msg_order any = {.size = 512, .verb = VERB_CREATE, .again = true, .name = "a"};
	struct sd_inode_header other = made;
	struct rig *r = *state;

	/* it was created */
	create_again(r, 1);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x55);
	reply_header(expect(r, SD_OP_READ_OBJ), &made);
	says(r, 1, 0, "volume a was created: 0.0 MB in objects of 4.0 MB, vid 55");
	/* it was not */
	create_again(r, 2);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_VDI);
	reply(expect_new(r), 0);
	says(r, 2, 0, "volume a was created");
	/* it is, between the look and the second NEW_VDI */
	create_again(r, 3);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_VDI);
	reply(expect_new(r), SD_RES_VDI_EXIST);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x55);
	reply_header(expect(r, SD_OP_READ_OBJ), &made);
	says(r, 3, 0, "volume a was created");
	/* and is deleted again */
	create_again(r, 4);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_VDI);
	reply(expect_new(r), SD_RES_VDI_EXIST);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_VDI);
	says(r, 4, -EEXIST, "a volume of that name exists");
	assert_int_equal(r->lookeds, 0);
	assert_int_equal(r->queued, 0);
	/* what is found is not what was asked for */
	for (unsigned i = 0; i < 8; i++) {
		other = made;
		other.vdi_size += i == 0;
		other.nr_copies += i == 1;
		other.block_size_shift += i == 2;
		other.parent_vdi_id += i == 3;
		other.snap_ctime += i == 4;
		other.copy_policy += i == 5;
		other.vdi_id += i == 6;
		other.name[0] += i == 7;
		create_again(r, 10 + i);
		reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x55);
		reply_header(expect(r, SD_OP_READ_OBJ), &other);
		says(r, 10 + i, -EEXIST, "a volume of that name exists");
	}
	/* nor what a daemon cannot mean */
	for (unsigned i = 0; i < 2; i++) {
		create_again(r, 30 + i);
		reply_vid(expect(r, SD_OP_GET_VDI_INFO), i ? SD_NR_VDIS : 0);
		says(r, 30 + i, -EIO, "may have been created: the daemon says that it is vid");
	}
	other = made;
	other.block_size_shift = 200;
	any.number = 32;
	cluster_order(r->cluster, &any);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x55);
	reply_header(expect(r, SD_OP_READ_OBJ), &other);
	says(r, 32, -EEXIST, "a volume of that name exists");
	create_again(r, 20);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x55);
	reply(expect(r, SD_OP_READ_OBJ), SD_RES_EIO);
	says(r, 20, -EIO, "may have been created, but vid 55 cannot be read to prove it (EIO)");
	/* a refusal says nothing about what was before */
	create_again(r, 22);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_WAIT_FOR_JOIN);
	says(r, 22, -EAGAIN,
	    "whether it had been created before that is not known, look at vdi/list");
	create_again(r, 23);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_VDI);
	reply(expect_new(r), SD_RES_VDI_WRITE);
	says(r, 23, -EIO, "whether it had been created before that is not known");
	/* the daemon is lost before it has told */
	create_again(r, 21);
	expect(r, SD_OP_GET_VDI_INFO);
	cluster_lost(r->cluster, "it is gone");
	says(r, 21, -EINPROGRESS, "may have been created or not, look at vdi/list");
}

/* A creation that was sent may have happened; what was not sent has not. */
static void test_lost(void **state)
{
	struct rig *r = *state;

	create(r, 1, "a", 512, 22);
	expect_new(r);
	cluster_lost(r->cluster, "the daemon at x closed the connection");
	says(r, 1, -EINPROGRESS, "volume a may have been created or not, look at vdi/list");
	says(r, 1, -EINPROGRESS, "the daemon at x closed");
	assert_int_equal(r->answers, 1);
	assert_int_equal(r->drains, 0);
}

static void test_lost_with_much_to_do(void **state)
{
	struct rig *r = *state;

	list(r, 1);
	list(r, 2);
	create(r, 3, "a", 512, 0);
	create(r, 4, "b", 512, 0);
	cluster_lost(r->cluster, "it is gone");
	assert_int_equal(r->answers, 4);
	says(r, 4, -EINPROGRESS, "it is gone; nothing was changed"); /* it had not begun */
}

/* ---- clones, copies, snapshots of volumes that are not attached ---- */

static void make_node(struct sd_node *n, uint8_t last, uint16_t port, uint16_t vnodes)
{
	memset(n, 0, sizeof *n);
	n->nid.addr[12] = 10;
	n->nid.addr[15] = last;
	n->nid.port = port;
	n->nr_vnodes = vnodes;
	n->zone = last;
}

/* Answers GET_NODE_LIST with 10.0.0.1 to 10.0.0.count, port 7000; the last is a gateway. */
static void reply_nodes(struct rig *r, unsigned count, uint32_t epoch)
{
	struct call *call = expect(r, SD_OP_GET_NODE_LIST);
	struct sd_node *nodes = call->receive;

	assert_int_equal(call->receive_size, SD_NODE_LIST_SIZE);
	memset(&call->rsp, 0, sizeof call->rsp);
	for (unsigned i = 0; i < count; i++)
		make_node(&nodes[i], (uint8_t)(i + 1), 7000, i + 1 < count ? 128 : 0);
	call->rsp.node.nr_nodes = count;
	call->rsp.data_length = count * (uint32_t)sizeof *nodes;
	call->rsp.epoch = epoch;
	call->done(call);
}

static const struct msg_order ec_order = {.number = 1,
    .size = 512,
    .verb = VERB_CREATE,
    .shift = 22,
    .copies = 6,
    .policy = 0x22,
    .name = "ec"};

static void test_copies(void **state)
{
	struct rig *r = *state;
	struct call *call;

	cluster_order(r->cluster, &ec_order);
	reply_nodes(r, 5, 1);
	call = expect_new(r);
	assert_int_equal(call->req.vdi.copies, 6);
	assert_int_equal(call->req.vdi.copy_policy, 0x22);
	assert_int_equal(call->req.vdi.store_policy, 0);
	reply(call, SD_RES_VDI_WRITE);
	says(r, 1, -EIO, "too few nodes for its copies");
}

/* An erasure code needs a zone for each data strip: gateways and second nodes of one make none. */
static void test_too_few_zones(void **state)
{
	struct rig *r = *state;
	struct call *call;
	struct sd_node *nodes;

	cluster_order(r->cluster, &ec_order);
	reply_nodes(r, 4, 1);
	says(r, 1, -EINVAL, "copies=4:2 needs 4 nodes in zones of their own");
	says(r, 1, -EINVAL, "the cluster has 3; node/list");
	cluster_order(r->cluster, &ec_order);
	nodes = r->queue[0]->receive;
	call = expect(r, SD_OP_GET_NODE_LIST);
	memset(&call->rsp, 0, sizeof call->rsp);
	for (unsigned i = 0; i < 6; i++)
		make_node(&nodes[i], (uint8_t)(1 + i / 2), 7000, 128);
	call->rsp.node.nr_nodes = 6;
	call->rsp.data_length = 6 * sizeof *nodes;
	call->done(call);
	says(r, 1, -EINVAL, "the cluster has 3; node/list");
	/* one that does not run says so itself */
	cluster_order(r->cluster, &ec_order);
	reply(expect(r, SD_OP_GET_NODE_LIST), SD_RES_WAIT_FOR_FORMAT);
	reply(expect_new(r), SD_RES_WAIT_FOR_FORMAT);
	says(r, 1, -ENXIO, "waits to be formatted");
	/* nothing of it is left when the daemon is lost */
	cluster_order(r->cluster, &ec_order);
	cluster_lost(r->cluster, "it is gone");
	says(r, 1, -EINPROGRESS, "volume ec was not created: it is gone");
}

static const struct sd_inode_header base = {.name = "disk",
    .tag = "t",
    .create_time = 5,
    .vdi_size = 3UL << 30,
    .copy_policy = 0x11,
    .nr_copies = 3,
    .block_size_shift = 20,
    .snap_id = 1,
    .vdi_id = 0x77};

static void clone_begin(struct rig *r)
{
	const struct msg_order order = {
	    .number = 1, .verb = VERB_CLONE, .name = "disk", .tag = "t", .other = "new one"};
	struct call *call;

	cluster_order(r->cluster, &order);
	call = expect(r, SD_OP_GET_VDI_INFO);
	assert_string_equal(call->send, "disk");
	assert_string_equal((const char *)call->send + SD_NAME_SIZE, "t");
	reply_vid(call, 0x77);
}

static void test_clone(void **state)
{
	struct sd_inode_header source = base;
	struct rig *r = *state;
	struct call *call;

	source.snap_ctime = 9;
	clone_begin(r);
	call = expect(r, SD_OP_READ_OBJ);
	assert_true(call->req.obj.oid == sd_inode_oid(0x77));
	reply_header(call, &source);
	call = expect_new(r);
	assert_string_equal(call->send, "new one");
	assert_int_equal(call->req.vdi.base_vdi_id, 0x77);
	assert_int_equal(call->req.vdi.snapid, 0);
	assert_int_equal(call->req.vdi.vdi_size, source.vdi_size);
	assert_int_equal(call->req.vdi.copies, 3);
	assert_int_equal(call->req.vdi.copy_policy, 0x11);
	assert_int_equal(call->req.vdi.block_size_shift, 20);
	reply(call, 0);
	says(
	    r, 1, 0, "volume new%20one was created, a clone of snapshot disk@t: 3.0 GB in objects");
}

/* Whoever cloned may have died: whose parent is that snapshot is the clone. */
static void test_clone_again(void **state)
{
	const struct msg_order order = {.number = 1,
	    .verb = VERB_CLONE,
	    .name = "disk",
	    .tag = "t",
	    .other = "a",
	    .again = true,
	    .vid = 0x77};
	struct sd_inode_header clone = made, source = base;
	struct rig *r = *state;
	struct call *call;

	clone.vdi_size = 3UL << 30;
	clone.parent_vdi_id = 0x77;
	cluster_order(r->cluster, &order);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x55);
	reply_header(expect(r, SD_OP_READ_OBJ), &clone);
	says(r, 1, 0, "volume a was created, a clone of snapshot disk@t: 3.0 GB in objects");
	clone.parent_vdi_id = 0x76;
	cluster_order(r->cluster, &order);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x55);
	reply_header(expect(r, SD_OP_READ_OBJ), &clone);
	says(r, 1, -EEXIST, "a volume of that name exists");
	/* there is none: from the beginning */
	source.snap_ctime = 9;
	cluster_order(r->cluster, &order);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_VDI);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x77);
	reply_header(expect(r, SD_OP_READ_OBJ), &source);
	call = expect_new(r);
	assert_int_equal(call->req.vdi.base_vdi_id, 0x77);
	reply(call, 0);
	says(r, 1, 0, "volume a was created");
}

static void test_clone_refused(void **state)
{
	struct sd_inode_header source = base;
	struct rig *r = *state;

	clone_begin(r); /* not a snapshot */
	reply_header(expect(r, SD_OP_READ_OBJ), &source);
	says(r, 1, -EINVAL, "disk@t is no snapshot");
	source.snap_ctime = 9;
	source.store_policy = 1;
	clone_begin(r);
	reply_header(expect(r, SD_OP_READ_OBJ), &source);
	says(r, 1, -EOPNOTSUPP, "hyper volume");
	source.store_policy = 0;
	source.block_size_shift = 64;
	clone_begin(r);
	reply_header(expect(r, SD_OP_READ_OBJ), &source);
	says(r, 1, -EINVAL, "disk@t has objects of 2^64 bytes");
	source.block_size_shift = 20;
	strcpy(source.name, "other");
	clone_begin(r);
	reply_header(expect(r, SD_OP_READ_OBJ), &source);
	says(r, 1, -EIO, "another volume's");
	clone_begin(r);
	reply(expect(r, SD_OP_READ_OBJ), SD_RES_NO_OBJ);
	says(r, 1, -EIO, "NO_OBJ");
	assert_int_equal(r->queued, 0);
}

static void test_clone_of_nothing(void **state)
{
	const struct msg_order order = {
	    .number = 2, .verb = VERB_CLONE, .name = "disk", .snap_id = 7, .other = "new"};
	struct rig *r = *state;
	struct call *call;

	cluster_order(r->cluster, &order);
	call = expect(r, SD_OP_GET_VDI_INFO);
	assert_int_equal(call->req.vdi.snapid, 7);
	reply(call, SD_RES_NO_TAG);
	says(r, 2, -ENOENT, "there is no snapshot disk@7");
}

/* Up to the point where it is recorded that the cluster is to be changed. */
static void snapshot_looks(struct rig *r, const struct sd_inode_header *header)
{
	const struct msg_order order = {
	    .number = 3, .verb = VERB_SNAPSHOT, .name = "disk", .tag = "monday"};
	struct call *call;

	cluster_order(r->cluster, &order);
	call = expect(r, SD_OP_GET_VDI_INFO);
	assert_string_equal((const char *)call->send + SD_NAME_SIZE, "monday");
	reply(call, SD_RES_NO_TAG);
	call = expect(r, SD_OP_GET_VDI_INFO);
	assert_string_equal((const char *)call->send + SD_NAME_SIZE, "");
	reply_vid(call, 0x77);
	reply_header(expect(r, SD_OP_READ_OBJ), header);
}

/* Then the name still leads to the volume; the tag's call. */
static struct call *snapshot_goes_on(struct rig *r)
{
	struct call *call = expect(r, SD_OP_GET_VDI_INFO);

	assert_string_equal((const char *)call->send + SD_NAME_SIZE, "");
	reply_vid(call, 0x77);
	return expect(r, SD_OP_WRITE_OBJ);
}

static struct call *snapshot_begin_order(struct rig *r, const struct sd_inode_header *header)
{
	snapshot_looks(r, header);
	return snapshot_goes_on(r);
}

static void test_snapshot(void **state)
{
	struct sd_inode_header old = base, successor = base;
	struct rig *r = *state;
	struct call *call = snapshot_begin_order(r, &old);

	assert_true(call->req.obj.oid == sd_inode_oid(0x77));
	assert_int_equal(call->req.obj.offset, 256);
	assert_int_equal(call->send_size, 256);
	assert_string_equal(call->send, "monday");
	reply(call, 0);
	call = expect(r, SD_OP_NEW_VDI);
	assert_int_equal(call->req.vdi.snapid, 1);
	assert_int_equal(call->req.vdi.base_vdi_id, 0x77);
	assert_int_equal(call->req.vdi.copies, 3);
	assert_int_equal(call->req.vdi.copy_policy, 0x11);
	reply_vid(call, 0x78);
	successor.vdi_id = 0x78;
	successor.parent_vdi_id = 0x77;
	successor.create_time = old.snap_ctime = 99;
	reply_header(expect(r, SD_OP_READ_OBJ), &successor);
	reply_header(expect(r, SD_OP_READ_OBJ), &old);
	says(r, 3, 0,
	    "snapshot disk@monday was taken: it is vid 77, and the volume goes on as vid 78");
	assert_false(r->busy);
}

/* The pair that came of it is not the one that was meant. */
static void test_snapshot_of_another(void **state)
{
	struct sd_inode_header old = base, successor = base;
	struct rig *r = *state;

	reply(snapshot_begin_order(r, &old), 0);
	reply_vid(expect(r, SD_OP_NEW_VDI), 0x79);
	successor.parent_vdi_id = 0x77;
	successor.create_time = 100;
	old.snap_ctime = 99;
	reply_header(expect(r, SD_OP_READ_OBJ), &successor);
	reply_header(expect(r, SD_OP_READ_OBJ), &old);
	says(r, 3, -ESTALE, "may not be what it should");
}

/* Whoever took it may have died: it is looked for, and never taken twice. */
static void test_snapshot_again(void **state)
{
	const struct msg_order order = {.number = 3,
	    .verb = VERB_SNAPSHOT,
	    .name = "disk",
	    .tag = "monday",
	    .again = true,
	    .vid = 0x77};
	struct sd_inode_header old = base;
	struct rig *r = *state;
	struct call *call;

	r->hold = true;
	snapshot_looks(r, &old);
	assert_int_equal(r->lookeds, 1);
	assert_int_equal(r->vid, 0x77);
	assert_int_equal(r->queued, 0);
	cluster_change(r->cluster, 3);
	reply(snapshot_goes_on(r), 0);
	reply(expect(r, SD_OP_NEW_VDI), SD_RES_VDI_WRITE);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_VDI);
	says(r, 3, -EIO, "failed half-way");

	/* somebody else took one while the record was made */
	snapshot_looks(r, &old);
	cluster_change(r->cluster, 3);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x78);
	says(r, 3, -EAGAIN, "was not taken: somebody else changed the volume");
	snapshot_looks(r, &old);
	cluster_change(r->cluster, 3);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_WAIT_FOR_FORMAT);
	says(r, 3, -ENXIO, "was not taken: the volume cannot be looked up: WAIT_FOR_FORMAT");

	cluster_order(r->cluster, &order);
	call = expect(r, SD_OP_GET_VDI_INFO);
	assert_string_equal((const char *)call->send + SD_NAME_SIZE, "monday");
	reply_vid(call, 0x77);
	says(r, 3, 0, "snapshot disk@monday was taken: it is vid 77");
	cluster_order(r->cluster, &order);
	reply_vid(expect(r, SD_OP_GET_VDI_INFO), 0x78);
	says(r, 3, -EEXIST, "there is one of that tag");
	cluster_order(r->cluster, &order);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_NO_TAG);
	says(r, 3, -EIO, "order no other before that one has ended");
	cluster_order(r->cluster, &order);
	reply(expect(r, SD_OP_GET_VDI_INFO), SD_RES_WAIT_FOR_JOIN);
	says(r, 3, -EAGAIN, "may have been taken or not, look at vdi/list");
	assert_int_equal(r->queued, 0);
}

static void test_snapshot_lost(void **state)
{
	struct sd_inode_header old = base;
	struct rig *r = *state;

	snapshot_begin_order(r, &old);
	cluster_lost(r->cluster, "it is gone");
	says(r, 3, -EINPROGRESS,
	    "snapshot disk@monday may have been taken or not, look at vdi/list");
	assert_int_equal(r->answers, 1);
}

/* ---- tables of nodes ---- */

static void table(struct rig *r, enum verb verb)
{
	const struct msg_order order = {.number = 9, .verb = verb};

	setenv("TZ", "UTC", 1);
	tzset();
	cluster_order(r->cluster, &order);
}

static void test_node_list(void **state)
{
	struct rig *r = *state;

	table(r, VERB_NODE_LIST);
	reply_nodes(r, 2, 1);
	assert_string_equal(r->text, "  Id   Host:Port         V-Nodes       Zone\n"
				     "   0   10.0.0.1:7000       \t128          1\n"
				     "   1   10.0.0.2:7000       \t 0          2\n");
	table(r, VERB_NODE_LIST);
	reply_nodes(r, 0, 1);
	says(r, 9, -EAGAIN, "no active sheep");
}

static void reply_space(struct call *call, uint64_t size, uint64_t unused)
{
	memset(&call->rsp, 0, sizeof call->rsp);
	memcpy(call->rsp.node.store_size, &size, sizeof size);
	memcpy(call->rsp.node.store_free, &unused, sizeof unused);
	call->done(call);
}

static void test_node_info(void **state)
{
	struct rig *r = *state;

	cluster_begin(r->cluster, "10.0.0.1:7000", 0);
	reply(expect(r, SD_OP_GET_CLUSTER_DEFAULT), 0);
	reply(expect(r, SD_OP_STAT_CLUSTER), 0);
	table(r, VERB_NODE_INFO);
	reply_nodes(r, 3, 1);
	/* our own daemon is asked as it is, the others over connections of their own */
	assert_int_equal(r->dials, 2);
	assert_string_equal(r->address, "10.0.0.3:7000");
	reply_space(expect(r, SD_OP_STAT_SHEEP), 100UL << 30, 25UL << 30);
	cluster_node_failed(r->cluster, r->dialled - 1, "no route to it");
	cluster_node_failed(r->cluster, r->dialled - 1, "said twice");
	assert_int_equal(r->queued, 0);
	cluster_node_connected(r->cluster, r->dialled, &r->daemon);
	reply_space(expect(r, SD_OP_STAT_SHEEP), 0, 0);
	assert_int_equal(r->hang_ups, 1);
	reply(expect(r, SD_OP_READ_VDIS), 0);
	reply(expect(r, SD_OP_READ_DEL_VDIS), 0);
	assert_string_equal(r->text, "Id\tSize\tUsed\tAvail\tUse%\n"
				     " 0\t100 GB\t75 GB\t25 GB\t 75%\n"
				     " 1\t0.0 MB\t0.0 MB\t0.0 MB\t  0%\n"
				     "Total\t100 GB\t75 GB\t25 GB\t 75%\n\n"
				     "Total virtual image size\t0.0 MB\n");
	assert_false(r->busy);
}

/* ---- members ---- */

static void reply_ctime(struct call *call, uint32_t result, uint64_t ctime)
{
	const struct sd_epoch_log log = {.ctime = ctime, .epoch = 1};

	memset(&call->rsp, 0, sizeof call->rsp);
	assert_int_equal(call->receive_size, sizeof log);
	memcpy(call->receive, &log, sizeof log);
	call->rsp.result = result;
	call->rsp.data_length = sizeof log;
	call->done(call);
}

static void test_members(void **state)
{
	struct rig *r = *state;

	cluster_learn(r->cluster, 5);
	reply_ctime(expect(r, SD_OP_STAT_CLUSTER), 0, 77);
	reply_nodes(r, 2, 1);
	assert_int_equal(r->pieces, 1);
	assert_int_equal(r->lasts, 1);
	assert_int_equal(r->number, 5);
	assert_int_equal(r->cluster_ctime, 77);
	assert_string_equal(r->text, "10.0.0.1:7000,10.0.0.2:7000");
	assert_int_equal(r->answers, 0);
	assert_false(r->busy);
	/* more than a message holds */
	r->pieces = r->lasts = 0;
	cluster_learn(r->cluster, 6);
	reply_ctime(expect(r, SD_OP_STAT_CLUSTER), 0, 77);
	reply_nodes(r, 600, 1);
	assert_int_equal(r->pieces, 3);
	assert_int_equal(r->lasts, 1);
	assert_false(r->busy);
	/* a table of nodes does not hold it up */
	table(r, VERB_NODE_INFO);
	cluster_learn(r->cluster, 7);
	reply_nodes(r, 0, 1);
	expect(r, SD_OP_STAT_CLUSTER);
	cluster_lost(r->cluster, "it is gone");
	says(r, 7, -EIO, "it is gone");
}

static void test_members_that_are_not_told(void **state)
{
	struct rig *r = *state;

	cluster_learn(r->cluster, 5);
	reply_ctime(expect(r, SD_OP_STAT_CLUSTER), SD_RES_WAIT_FOR_FORMAT, 0);
	says(r, 5, -EAGAIN, "does not tell which cluster");
	cluster_learn(r->cluster, 6);
	reply_ctime(expect(r, SD_OP_STAT_CLUSTER), 0, 77);
	reply(expect(r, SD_OP_GET_NODE_LIST), SD_RES_VER_MISMATCH);
	says(r, 6, -EPROTONOSUPPORT, "VER_MISMATCH");
	cluster_learn(r->cluster, 7);
	reply_ctime(expect(r, SD_OP_STAT_CLUSTER), 0, 77);
	reply_nodes(r, 0, 1);
	says(r, 7, -EAGAIN, "no active sheep");
	assert_int_equal(r->pieces, 0);
	assert_false(r->busy);
}

/* A daemon that another one named must be of the same cluster. */
static void test_another_cluster(void **state)
{
	struct rig *r = *state;

	cluster_begin(r->cluster, "10.0.0.1:7000", 77);
	reply(expect(r, SD_OP_GET_CLUSTER_DEFAULT), 0);
	reply_ctime(expect(r, SD_OP_STAT_CLUSTER), 0, 78);
	assert_int_equal(r->refusals, 1);
	assert_int_equal(r->error, -ESTALE);
	cluster_begin(r->cluster, "10.0.0.1:7000", 77);
	reply(expect(r, SD_OP_GET_CLUSTER_DEFAULT), 0);
	reply_ctime(expect(r, SD_OP_STAT_CLUSTER), 0, 77);
	assert_int_equal(r->readies, 1);
}

/* More nodes than are asked at once: each is asked once. */
static void test_many_nodes(void **state)
{
	struct rig *r = *state;

	table(r, VERB_NODE_INFO);
	reply_nodes(r, 50, 1);
	assert_int_equal(r->dials, 16);
	for (unsigned i = 1; i <= 50; i++)
		cluster_node_failed(r->cluster, i, "nobody is there");
	assert_int_equal(r->dials, 50);
	reply(expect(r, SD_OP_READ_VDIS), 0);
	reply(expect(r, SD_OP_READ_DEL_VDIS), 0);
	says(r, 9, -EHOSTUNREACH, "no node tells its space");
}

/* Who waited when a table was begun gets the same; who came later gets a later one. */
static void test_shared(void **state)
{
	const struct msg_order late = {.number = 10, .verb = VERB_NODE_LIST};
	struct rig *r = *state;

	for (unsigned i = 0; i < 3; i++)
		table(r, VERB_NODE_INFO);
	for (unsigned i = 0; i < 20; i++)
		table(r, VERB_NODE_LIST);
	reply_nodes(r, 0, 1); /* node/info ends, for the first; the other two share the next */
	assert_int_equal(r->answers, 1);
	reply_nodes(r, 0, 1);
	assert_int_equal(r->answers, 3);
	cluster_order(r->cluster, &late);
	reply_nodes(r, 1, 1);
	assert_int_equal(r->tables, 17); /* as many as may share one */
	reply_nodes(r, 2, 1);
	assert_int_equal(r->tables, 21);
	assert_int_equal(r->queued, 0);
	assert_non_null(strstr(r->text, "10.0.0.2"));
	assert_false(r->busy);
}

/* The reason why there is no table is told to all of them; so is the loss of the daemon. */
static void test_shared_and_lost(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 4; i++)
		table(r, VERB_NODE_LIST);
	reply_nodes(r, 1, 1);
	assert_int_equal(r->tables, 1);
	reply_nodes(r, 0, 1);
	assert_int_equal(r->answers, 3);
	says(r, 9, -EAGAIN, "no active sheep");
	for (unsigned i = 0; i < 3; i++)
		table(r, VERB_NODE_LIST);
	cluster_lost(r->cluster, "it is gone");
	assert_int_equal(r->answers, 6);
	says(r, 9, -EIO, "it is gone");
}

static void reply_history(struct call *call, uint32_t epochs, uint32_t nodes, uint32_t result)
{
	uint8_t *at = call->receive;

	memset(&call->rsp, 0, sizeof call->rsp);
	call->rsp.result = result;
	for (uint32_t e = epochs; e; e--) {
		struct sd_epoch_log log = {.ctime = UINT64_C(1795360824) << 32,
		    .time = 1795360824 + e * 60,
		    .epoch = e,
		    .nr_nodes = e == epochs ? nodes : 1};

		memcpy(at, &log, sizeof log);
		at += sizeof log;
		for (uint32_t n = 0; n < call->req.cluster.nodes_nr;
		     n++, at += sizeof(struct sd_node))
			make_node((struct sd_node *)(void *)at, (uint8_t)(n + 1), 7000, 128);
	}
	call->rsp.data_length = (uint32_t)(at - (uint8_t *)call->receive);
	assert_true(call->rsp.data_length <= call->receive_size);
	call->done(call);
}

static void test_cluster_info(void **state)
{
	struct rig *r = *state;
	struct call *call;

	table(r, VERB_CLUSTER_INFO);
	reply_nodes(r, 1, 2);
	call = expect(r, SD_OP_STAT_CLUSTER);
	assert_int_equal(call->receive_size, 2 * (48 + 80));
	call->rsp.epoch = 2;
	call->rsp.result = SD_RES_BUFFER_SMALL; /* an earlier epoch had more nodes */
	call->done(call);
	call = expect(r, SD_OP_STAT_CLUSTER);
	assert_int_equal(call->req.cluster.nodes_nr, 2);
	reply_history(call, 2, 2, 0);
	assert_string_equal(r->text,
	    "Cluster status: running, auto-recovery enabled\n\n"
	    "Cluster created at Sun Nov 22 15:20:24 2026\n\n"
	    "Epoch Time           Version [Host:Port:V-Nodes,,,]\n"
	    "2026-11-22 15:22:24      2 [10.0.0.1:7000:128, 10.0.0.2:7000:128]\n"
	    "2026-11-22 15:21:24      1 [10.0.0.1:7000:128]\n");
}

static void test_cluster_that_waits(void **state)
{
	struct rig *r = *state;

	table(r, VERB_CLUSTER_INFO);
	reply_nodes(r, 1, 0);
	reply_history(expect(r, SD_OP_STAT_CLUSTER), 0, 0, SD_RES_WAIT_FOR_FORMAT);
	assert_string_equal(r->text, "Cluster status: Waiting for cluster to be formatted\n\n");
	table(r, VERB_CLUSTER_INFO);
	reply_nodes(r, 1, 1);
	reply_history(expect(r, SD_OP_STAT_CLUSTER), 1, 1, SD_RES_WAIT_FOR_JOIN);
	assert_non_null(
	    strstr(r->text, "Waiting for other nodes to join cluster\n\nCluster created"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_proof),
	    TEST(test_create),
	    TEST(test_create_refused),
	    TEST(test_one_at_a_time),
	    TEST(test_too_much_at_once),
	    TEST(test_drain),
	    TEST(test_drain_idle),
	    TEST(test_looked),
	    TEST(test_create_again),
	    TEST(test_lost),
	    TEST(test_lost_with_much_to_do),
	    TEST(test_node_list),
	    TEST(test_node_info),
	    TEST(test_members),
	    TEST(test_members_that_are_not_told),
	    TEST(test_another_cluster),
	    TEST(test_many_nodes),
	    TEST(test_shared),
	    TEST(test_shared_and_lost),
	    TEST(test_cluster_info),
	    TEST(test_cluster_that_waits),
	    TEST(test_copies),
	    TEST(test_too_few_zones),
	    TEST(test_clone),
	    TEST(test_clone_again),
	    TEST(test_clone_refused),
	    TEST(test_clone_of_nothing),
	    TEST(test_snapshot),
	    TEST(test_snapshot_of_another),
	    TEST(test_snapshot_again),
	    TEST(test_snapshot_lost),
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
