/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index alone: which entries one index write covers, what gathers while all runs are in
 * flight, what a barrier confirms, and what ends a generation.
 */
#include "worker/inode.h"

#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VID 0x1234U
#define CALLS_MAX 64

/* A daemon that keeps calls until the test answers them. */
struct keeper {
	struct daemon daemon;
	struct call *calls[CALLS_MAX];
	unsigned nr_calls;
	struct vdi vdi;
	struct inode *inode;
	struct inode_write writes[256];
	unsigned confirmed;
	int loaded; /* 1: not yet */
	enum exit_word word;
};

static void on_submit(struct daemon *d, struct call *call)
{
	struct keeper *k = (struct keeper *)d;

	assert_true(k->nr_calls < CALLS_MAX);
	k->calls[k->nr_calls++] = call;
}

static void on_loaded(void *arg, int error, bool elsewhere, const char *sentence)
{
	(void)elsewhere;
	assert_non_null(sentence);
	((struct keeper *)arg)->loaded = error;
}

static void on_confirmed(void *arg, struct inode_write *w)
{
	assert_non_null(w);
	((struct keeper *)arg)->confirmed++;
}

static void on_moved(void *arg)
{
	inode_turn(((struct keeper *)arg)->inode);
}

static void on_failed(void *arg, enum exit_word word, const char *why)
{
	assert_non_null(why);
	((struct keeper *)arg)->word = word;
}

static const struct inode_calls calls = {on_loaded, on_confirmed, on_moved, on_failed};

static void keeper_open(struct keeper *k, uint32_t objects)
{
	memset(k, 0, sizeof *k);
	k->daemon.submit = on_submit;
	k->vdi.vid = VID;
	k->vdi.size = (uint64_t)objects << 22;
	k->vdi.shift = 22;
	strcpy(k->vdi.block.name, "v");
	strcpy(k->vdi.shown, "v");
	k->loaded = 1;
	k->inode = inode_open(&k->vdi, 256, &k->daemon, &calls, k);
	assert_non_null(k->inode);
}

/* Takes call n out and answers it. */
static void answer(struct keeper *k, unsigned n, uint32_t result, uint32_t vid)
{
	struct call *call = k->calls[n];

	memmove(&k->calls[n], &k->calls[n + 1], (--k->nr_calls - n) * sizeof k->calls[0]);
	memset(&call->rsp, 0, sizeof call->rsp);
	call->rsp.result = result;
	call->rsp.vdi.vdi_id = vid;
	call->done(call);
}

static void created(struct keeper *k, uint32_t idx)
{
	inode_created(k->inode, &k->writes[idx], idx);
	inode_turn(k->inode);
}

static void is_index_write(const struct keeper *k, unsigned n, uint32_t first, uint32_t entries)
{
	const struct call *call = k->calls[n];

	assert_true(n < k->nr_calls);
	assert_int_equal(call->req.opcode, SD_OP_WRITE_OBJ);
	assert_int_equal(call->req.flags, SD_FLAG_WRITE);
	assert_true(call->req.obj.oid == sd_inode_oid(VID));
	assert_int_equal(call->req.obj.offset, SD_INODE_INDEX_OFFSET + 4 * first);
	assert_int_equal(call->send_size, 4 * entries);
	for (uint32_t e = 0; e < entries; e++)
		assert_int_equal(((const uint32_t *)call->send)[e], VID);
}

static void is_barrier(const struct keeper *k, unsigned n)
{
	assert_true(n < k->nr_calls);
	assert_int_equal(k->calls[n]->req.opcode, SD_OP_GET_VDI_INFO);
	assert_int_equal(k->calls[n]->lane, LANE_CONTROL);
	assert_int_equal(k->calls[n]->req.vdi.snapid, 0);
}

static void runs_gather_and_never_bridge(void **state)
{
	static const uint32_t late[] = {50, 52, 51, 53, 57, 56, 11, 60};
	struct keeper k;

	(void)state;
	keeper_open(&k, 100);
	for (uint32_t n = 0; n < 4; n++)
		created(&k, 10 + 2 * n);
	assert_int_equal(k.nr_calls, 4);
	for (uint32_t n = 0; n < 4; n++)
		is_index_write(&k, n, 10 + 2 * n, 1);
	for (unsigned n = 0; n < 8; n++)
		created(&k, late[n]); /* all runs are in flight: these gather */
	assert_int_equal(k.nr_calls, 4);
	answer(&k, 0, SD_RES_SUCCESS, 0);
	assert_int_equal(k.nr_calls, 5);
	is_index_write(&k, 3, 50, 4); /* the oldest, with its neighbours on both sides */
	is_barrier(&k, 4);
	answer(&k, 0, SD_RES_SUCCESS, 0);
	is_index_write(&k, 4, 56, 2);
	answer(&k, 0, SD_RES_SUCCESS, 0);
	is_index_write(&k, 4, 11, 1); /* 10 and 12 are written: not again */
	inode_close(k.inode);
}

static void barrier_covers_what_was_written_before_it(void **state)
{
	struct inode_write other, later;
	struct keeper k;

	(void)state;
	keeper_open(&k, 100);
	created(&k, 1);
	assert_true(inode_owned(k.inode, 1));
	assert_int_equal(inode_allocated(k.inode), 4 << 20);
	answer(&k, 0, SD_RES_SUCCESS, 0);
	is_barrier(&k, 0);
	created(&k, 3);
	answer(&k, 1, SD_RES_SUCCESS, 0); /* written after the barrier went out */
	assert_int_equal(k.nr_calls, 1);
	assert_true(inode_held(k.inode, &other, 1));
	assert_false(inode_held(k.inode, &later, 2));
	assert_int_equal(k.confirmed, 0);
	answer(&k, 0, SD_RES_SUCCESS, VID);
	assert_int_equal(k.confirmed, 2); /* the creator of 1 and the other write to it */
	assert_false(inode_held(k.inode, &later, 1));
	is_barrier(&k, 0);
	answer(&k, 0, SD_RES_SUCCESS, VID);
	assert_int_equal(k.confirmed, 3);
	assert_int_equal(k.nr_calls, 0);
	inode_close(k.inode);
}

static void ends(void **state)
{
	static const struct {
		bool index_write;
		uint32_t result, vid;
		enum exit_word word;
	} cases[] = {
	    {true, SD_RES_EIO, 0, EXIT_DAEMON_LOST},
	    {true, SD_RES_NO_OBJ, 0, EXIT_VOLUME_CHANGED},
	    {false, SD_RES_NETWORK_ERROR, 0, EXIT_DAEMON_LOST},
	    {false, SD_RES_NO_VDI, 0, EXIT_VOLUME_CHANGED},
	    {false, SD_RES_SUCCESS, VID + 1, EXIT_VOLUME_CHANGED},
	};

	(void)state;
	for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
		struct keeper k;

		keeper_open(&k, 100);
		created(&k, 1);
		if (!cases[n].index_write)
			answer(&k, 0, SD_RES_SUCCESS, 0);
		answer(&k, 0, cases[n].result, cases[n].vid);
		assert_int_equal(k.word, cases[n].word);
		assert_int_equal(k.confirmed, 0);
		inode_close(k.inode);
	}
}

static void an_entry_is_read_again(void **state)
{
	struct keeper k;

	(void)state;
	keeper_open(&k, 100);
	created(&k, 1);
	assert_int_equal(inode_reread(k.inode, 1, 0), 0); /* unconfirmed: known better here */
	assert_true(inode_owned(k.inode, 1));
	assert_int_equal(inode_reread(k.inode, 2, 77), 0);
	assert_int_equal(inode_entry(k.inode, 2), 77);
	assert_int_equal(inode_allocated(k.inode), 8 << 20);
	assert_int_equal(inode_reread(k.inode, 2, SD_NR_VDIS), -EIO);
	assert_int_equal(inode_reread(k.inode, 2, 0), 0);
	assert_int_equal(inode_allocated(k.inode), 4 << 20);
	inode_close(k.inode);
}

/* Only the entries that the size needs are read, in bounded pieces. */
static void loading(void **state)
{
	struct keeper k;

	(void)state;
	keeper_open(&k, 70000);
	inode_load(k.inode);
	assert_int_equal(k.calls[0]->req.obj.offset, SD_INODE_INDEX_OFFSET);
	assert_int_equal(k.calls[0]->receive_size, 65536 * 4);
	memset(k.calls[0]->receive, 0, 65536 * 4);
	((uint32_t *)k.calls[0]->receive)[5000] = 9;
	answer(&k, 0, SD_RES_SUCCESS, 0);
	assert_int_equal(k.calls[0]->req.obj.offset, SD_INODE_INDEX_OFFSET + 65536 * 4);
	assert_int_equal(k.calls[0]->receive_size, (70000 - 65536) * 4);
	memset(k.calls[0]->receive, 0, (70000 - 65536) * 4);
	((uint32_t *)k.calls[0]->receive)[70000 - 65536 - 1] = VID;
	answer(&k, 0, SD_RES_SUCCESS, 0);
	assert_int_equal(k.loaded, 0);
	assert_int_equal(inode_entry(k.inode, 5000), 9);
	assert_true(inode_owned(k.inode, 69999));
	assert_int_equal(inode_allocated(k.inode) >> 22, 2);
	inode_close(k.inode);
}

static long resident_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	long size = 0, resident = 0;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%ld %ld", &size, &resident), 2);
	fclose(statm);
	return resident;
}

/* The largest index there is, 1024 pages: all of it zeros but for one page. */
static void zeros_cost_no_memory(void **state)
{
	struct keeper k;
	long before = 0, after = 0;

	(void)state;
	keeper_open(&k, 1 << 20);
	inode_load(k.inode);
	for (int n = 0; n < 16; n++) {
		memset(k.calls[0]->receive, 0, k.calls[0]->receive_size);
		if (n == 7)
			((uint32_t *)k.calls[0]->receive)[99] = VID;
		if (n == 1)
			before = resident_pages();
		if (n == 15)
			after = resident_pages();
		answer(&k, 0, SD_RES_SUCCESS, 0);
	}
	assert_int_equal(k.loaded, 0);
	assert_true(inode_owned(k.inode, 7 * 65536 + 99));
	if (after - before > 200) /* the kernel counts in lumps; 832 would be all */
		fail_msg("an empty index costs %ld pages", after - before);
	inode_close(k.inode);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(runs_gather_and_never_bridge),
	    cmocka_unit_test(barrier_covers_what_was_written_before_it),
	    cmocka_unit_test(ends),
	    cmocka_unit_test(an_entry_is_read_again),
	    cmocka_unit_test(loading),
	    cmocka_unit_test(zeros_cost_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
