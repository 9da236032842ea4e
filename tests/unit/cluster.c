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
#include <unistd.h>

#define QUEUE_MAX 16

struct rig {
	struct daemon daemon; /* first */
	struct cluster *cluster;
	struct call *queue[QUEUE_MAX];
	unsigned queued;
	unsigned readies, refusals, answers, tables, drains;
	bool busy;
	int error;
	uint64_t number;
	char sentence[SENTENCE_MAX];
};

static void on_submit(struct daemon *d, struct call *call)
{
	struct rig *r = (struct rig *)d;

	assert_true(r->queued < QUEUE_MAX);
	r->queue[r->queued++] = call;
}

static void on_ready(void *arg)
{
	((struct rig *)arg)->readies++;
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

static void on_table(void *arg, uint64_t number, int fd)
{
	struct rig *r = arg;

	r->tables++;
	r->number = number;
	close(fd);
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

static const struct cluster_calls calls = {
    on_ready, on_refused, on_answer, on_table, on_busy, on_drained};

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
	    {0, SD_RES_WAIT_FOR_FORMAT, -ENXIO, "waits to be formatted"},
	    {0, SD_RES_WAIT_FOR_JOIN, -EAGAIN, "other nodes"},
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
		cluster_begin(r->cluster);
		assert_true(r->busy);
		reply(expect(r, SD_OP_GET_CLUSTER_DEFAULT), cases[i].first);
		if (!cases[i].first)
			reply(expect(r, SD_OP_STAT_CLUSTER), cases[i].second);
		assert_false(r->busy);
		assert_int_equal(r->readies, cases[i].error == 0);
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
	call = expect(r, SD_OP_NEW_VDI);
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
	call = expect(r, SD_OP_NEW_VDI);
	assert_int_equal(call->req.vdi.block_size_shift, 20);
	reply(call, SD_RES_VDI_EXIST);
	says(r, 8, -EEXIST, "volume a%20b was not created: a volume of that name exists");
	create(r, 9, "c", 512, 31);
	reply(expect(r, SD_OP_NEW_VDI), SD_RES_FULL_VDI);
	says(r, 9, -ENOSPC, "FULL_VDI");
	create(r, 10, "c", 512, 22);
	reply(expect(r, SD_OP_NEW_VDI), SD_RES_CLUSTER_ERROR);
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
	reply(expect(r, SD_OP_NEW_VDI), 0);
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
	call = expect(r, SD_OP_NEW_VDI); /* the second creation waits, the others do not */
	reply(expect(r, SD_OP_READ_VDIS), 0);
	reply(expect(r, SD_OP_READ_DEL_VDIS), 0);
	assert_int_equal(r->tables, 1);
	assert_int_equal(r->number, 3);
	reply(call, 0);
	says(r, 1, 0, "volume a was");
	call = expect(r, SD_OP_RELEASE_VDI);
	assert_int_equal(call->req.vdi.base_vdi_id, 0x77);
	assert_int_equal(call->req.vdi.type, SD_LOCK_NORMAL);
	reply(call, 0);
	says(r, 4, 0, "the lock of vid 77 was released");
	reply(expect(r, SD_OP_READ_VDIS), 0);
	reply(expect(r, SD_OP_READ_DEL_VDIS), 0);
	assert_int_equal(r->number, 5);
	reply(expect(r, SD_OP_NEW_VDI), 0);
	says(r, 2, 0, "volume b was");
	assert_false(r->busy);
	assert_int_equal(r->queued, 0);
}

static void test_too_much_at_once(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 1; i <= 256; i++)
		create(r, i, "x", 512, 22);
	assert_int_equal(r->answers, 0);
	create(r, 257, "x", 512, 22);
	says(r, 257, -EBUSY, "nothing was changed");
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
	reply(expect(r, SD_OP_NEW_VDI), 0);
	says(r, 1, 0, "volume a was created");
	assert_int_equal(r->drains, 1);
}

static void test_drain_idle(void **state)
{
	struct rig *r = *state;

	cluster_drain(r->cluster);
	assert_int_equal(r->drains, 1);
}

/* A creation that was sent may have happened; what was not sent has not. */
static void test_lost(void **state)
{
	struct rig *r = *state;

	create(r, 1, "a", 512, 22);
	cluster_lost(r->cluster, "the daemon at x closed the connection");
	says(r, 1, -EIO, "volume a may have been created or not, look at vdi/list");
	says(r, 1, -EIO, "the daemon at x closed");
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
	says(r, 4, -EIO, "it is gone; nothing was changed"); /* it had not begun */
}

/* ---- clones, copies, snapshots of volumes that are not attached ---- */

static void test_copies(void **state)
{
	struct rig *r = *state;
	struct msg_order order = {.number = 1,
	    .size = 512,
	    .verb = VERB_CREATE,
	    .shift = 22,
	    .copies = 6,
	    .policy = 0x22,
	    .name = "ec"};
	struct call *call;

	cluster_order(r->cluster, &order);
	call = expect(r, SD_OP_NEW_VDI);
	assert_int_equal(call->req.vdi.copies, 6);
	assert_int_equal(call->req.vdi.copy_policy, 0x22);
	assert_int_equal(call->req.vdi.store_policy, 0);
	reply(call, SD_RES_VDI_WRITE);
	says(r, 1, -EIO, "too few nodes for its copies");
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
	call = expect(r, SD_OP_NEW_VDI);
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

/* Up to the point where the cluster is changed. */
static struct call *snapshot_begin_order(struct rig *r, const struct sd_inode_header *header)
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
	return expect(r, SD_OP_WRITE_OBJ);
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

static void test_snapshot_lost(void **state)
{
	struct sd_inode_header old = base;
	struct rig *r = *state;

	snapshot_begin_order(r, &old);
	cluster_lost(r->cluster, "it is gone");
	says(r, 3, -EIO, "snapshot disk@monday may have been taken or not, look at vdi/list");
	assert_int_equal(r->answers, 1);
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
	    TEST(test_lost),
	    TEST(test_lost_with_much_to_do),
	    TEST(test_copies),
	    TEST(test_clone),
	    TEST(test_clone_refused),
	    TEST(test_clone_of_nothing),
	    TEST(test_snapshot),
	    TEST(test_snapshot_of_another),
	    TEST(test_snapshot_lost),
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
