/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdi/list, byte for byte, from a simulated cluster that answers in any order: plain, snapshot,
 * clone, erasure-coded, large, hyper, damaged, vanished.
 */
#include "tests/unit/unit.h"

#include "worker/format.h"
#include "worker/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_MAX 64
#define VDIS_MAX 3000
#define LEAVES 3

struct fake_vdi {
	uint32_t vid;
	uint32_t result; /* of every read */
	struct sd_inode_header header;
	uint32_t *index; /* entries (0..nr_index), the rest is zero */
	uint32_t nr_index;
	uint8_t *tree; /* what lies at 4664 instead, tree_size bytes */
	size_t tree_size;
};

struct fake {
	struct daemon daemon; /* first */
	struct table_world world;
	struct call *queue[QUEUE_MAX];
	unsigned queued, peak, reads;
	uint8_t used[SD_VDI_BITMAP_SIZE], deleted[SD_VDI_BITMAP_SIZE];
	uint32_t bitmap_result;
	struct fake_vdi *vdis;
	unsigned nr_vdis;
	uint8_t *leaves[LEAVES]; /* btree objects of vid 0x500 */
	size_t leaf_size;
	unsigned ends;
	int error;
	int fd;
	char sentence[256];
	char *text;
};

static uint64_t clock_now;

static uint64_t now(void)
{
	return clock_now;
}

static void on_submit(struct daemon *d, struct call *call)
{
	struct fake *f = (struct fake *)d;

	assert_true(f->queued < QUEUE_MAX);
	f->queue[f->queued++] = call;
	if (f->queued > f->peak)
		f->peak = f->queued;
}

static void on_table(void *arg, int error, int fd, const char *sentence)
{
	struct fake *f = arg;

	f->ends++;
	f->error = error;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = fd;
	snprintf(f->sentence, sizeof f->sentence, "%s", sentence);
}

/* Copies what of [at, at + size) of `from` lies within the read. */
static void overlay(const struct call *call, uint32_t at, const void *from, size_t size)
{
	uint32_t begin = call->req.obj.offset, end = begin + (uint32_t)call->receive_size;
	uint32_t low = begin > at ? begin : at;
	uint32_t high = end < at + size ? end : at + (uint32_t)size;

	if (low < high)
		memcpy((uint8_t *)call->receive + (low - begin), (const uint8_t *)from + (low - at),
		    high - low);
}

static void read_inode(struct fake *f, struct call *call, uint32_t vid)
{
	for (unsigned i = 0; i < f->nr_vdis; i++) {
		struct fake_vdi *v = &f->vdis[i];

		if (v->vid != vid)
			continue;
		call->rsp.result = v->result;
		overlay(call, 0, &v->header, sizeof v->header);
		overlay(call, SD_INODE_INDEX_OFFSET, v->index, v->nr_index * 4UL);
		overlay(call, SD_INODE_INDEX_OFFSET, v->tree, v->tree_size);
		return;
	}
	call->rsp.result = SD_RES_NO_OBJ;
}

static void answer(struct fake *f, struct call *call)
{
	uint64_t oid = call->req.obj.oid;

	memset(&call->rsp, 0, sizeof call->rsp);
	memset(call->receive, 0, call->receive_size);
	call->rsp.data_length = (uint32_t)call->receive_size;
	if (call->req.opcode == SD_OP_READ_VDIS || call->req.opcode == SD_OP_READ_DEL_VDIS) {
		assert_int_equal(call->receive_size, SD_VDI_BITMAP_SIZE);
		memcpy(call->receive, call->req.opcode == SD_OP_READ_VDIS ? f->used : f->deleted,
		    SD_VDI_BITMAP_SIZE);
		call->rsp.result = f->bitmap_result;
	} else {
		assert_int_equal(call->req.opcode, SD_OP_READ_OBJ);
		f->reads++;
		if (oid & SD_OID_INODE) {
			assert_true(
			    call->req.obj.offset + call->receive_size <= SD_INODE_GREF_OFFSET);
			read_inode(f, call, sd_oid_vid(oid));
		} else {
			assert_true(oid & SD_OID_BTREE);
			assert_true((oid & 0xffffffff) < LEAVES);
			assert_true(
			    call->req.obj.offset + call->receive_size <= SD_BTREE_NODE_SIZE);
			overlay(call, 0, f->leaves[oid & 0xffffffff], f->leaf_size);
		}
	}
	call->done(call);
}

/* Answers everything, the newest first or the oldest first. */
static void answer_all(struct fake *f, bool newest)
{
	while (f->queued) {
		struct call *call = f->queue[newest ? f->queued - 1 : 0];

		if (!newest)
			memmove(f->queue, f->queue + 1, (f->queued - 1) * sizeof f->queue[0]);
		f->queued--;
		answer(f, call);
	}
}

static struct fake_vdi *add(
    struct fake *f, uint32_t vid, const char *name, uint64_t size, uint8_t shift)
{
	struct fake_vdi *v = &f->vdis[f->nr_vdis++];

	assert_true(f->nr_vdis <= VDIS_MAX);
	f->used[vid / 8] |= (uint8_t)(1 << vid % 8);
	v->vid = vid;
	snprintf(v->header.name, sizeof v->header.name, "%s", name);
	v->header.vdi_size = size;
	v->header.block_size_shift = shift;
	v->header.nr_copies = 1;
	v->header.snap_id = 1;
	v->header.vdi_id = vid;
	v->header.create_time = UINT64_C(1795360516) << 32 | 123; /* 2026-11-22 15:15:16 UTC */
	return v;
}

static void set_index(
    struct fake_vdi *v, uint32_t entries, uint32_t from, uint32_t to, uint32_t vid)
{
	if (!v->index) {
		v->index = calloc(entries, 4);
		assert_non_null(v->index);
		v->nr_index = entries;
	}
	for (uint32_t i = from; i < to; i++)
		v->index[i] = vid;
}

static int setup(void **state)
{
	struct fake *f = calloc(1, sizeof *f);

	assert_non_null(f);
	setenv("TZ", "UTC", 1);
	tzset();
	f->daemon.submit = on_submit;
	f->vdis = calloc(VDIS_MAX, sizeof *f->vdis);
	assert_non_null(f->vdis);
	f->fd = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fake *f = *state;

	for (unsigned i = 0; i < f->nr_vdis; i++) {
		free(f->vdis[i].index);
		free(f->vdis[i].tree);
	}
	for (unsigned i = 0; i < LEAVES; i++)
		free(f->leaves[i]);
	if (f->fd >= 0)
		close(f->fd);
	free(f->vdis);
	free(f->text);
	free(f);
	return 0;
}

static const char *list(struct fake *f, bool newest)
{
	struct stat st;

	f->world.daemon = &f->daemon;
	f->world.now = now;
	f->ends = 0;
	assert_non_null(table_make(VERB_LIST, &f->world, on_table, f));
	answer_all(f, newest);
	assert_int_equal(f->ends, 1);
	if (f->error)
		return NULL;
	assert_int_equal(fstat(f->fd, &st), 0);
	free(f->text);
	f->text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(f->text);
	assert_int_equal(read(f->fd, f->text, (size_t)st.st_size), st.st_size); /* from byte 0 */
	return f->text;
}

#define HEAD                                                                                       \
	"  Name        Id    Size    Used  Shared    Creation time   VDI id  Copies  Tag   Block " \
	"Size Shift\n"

static void test_sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
	    {0, "0.0 MB"},
	    {512 << 10, "0.5 MB"},
	    {4 << 20, "4.0 MB"},
	    {10 << 20, "10 MB"},
	    {(64 << 20) + (1 << 19), "64 MB"},
	    {1023 << 20, "1023 MB"},
	    {1 << 30, "1.0 GB"},
	    {UINT64_C(75) << 30, "75 GB"},
	    {UINT64_C(4) << 40, "4.0 TB"},
	    {UINT64_C(1) << 51, "2.0 PB"},
	    {UINT64_MAX, "16 EB"},
	};
	char text[FORMAT_SIZE_MAX];

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_string_equal(format_size(cases[i].bytes, text), cases[i].text);
}

/* The table of the protocol's own example. */
static void test_as_dog_prints_it(void **state)
{
	struct fake *f = *state;
	struct fake_vdi *v = add(f, 0x1ec8c, "a", 64 << 20, 22);

	v->header.snap_ctime = 1;
	snprintf(v->header.tag, sizeof v->header.tag, "snap1");
	set_index(v, 16, 0, 3, 0x1ec8c);
	v = add(f, 0x1ec8d, "a", 64 << 20, 22);
	v->header.snap_id = 2;
	v->header.parent_vdi_id = 0x1ec8c;
	set_index(v, 16, 0, 2, 0x1ec8c);
	set_index(v, 16, 2, 3, 0x1ec8d);
	v = add(f, 0x1f1a5, "b", 64 << 20, 22);
	v->header.parent_vdi_id = 0x1ec8c;
	set_index(v, 16, 0, 3, 0x1ec8c);
	v = add(f, 0x3933f9, "ec", 64 << 20, 22);
	v->header.copy_policy = 1 << 4 | 1;
	assert_string_equal(list(f, false), HEAD
	    "s a            1   64 MB   12 MB  0.0 MB 2026-11-22 15:15    1ec8c      1         "
	    "snap1  22\n"
	    "  a            0   64 MB  4.0 MB  8.0 MB 2026-11-22 15:15    1ec8d      "
	    "1                22\n"
	    "c b            0   64 MB  0.0 MB   12 MB 2026-11-22 15:15    1f1a5      "
	    "1                22\n"
	    "  ec           0   64 MB  0.0 MB  0.0 MB 2026-11-22 15:15   3933f9    "
	    "2:1                22\n");
}

static void test_empty_cluster(void **state)
{
	assert_string_equal(list(*state, false), HEAD);
}

/* Deleted, vanished while it was read, unreadable: no row; the others have theirs. */
static void test_what_has_no_row(void **state)
{
	struct fake *f = *state;
	const char *text;

	add(f, 1, "first", 0, 22);
	add(f, 2, "", 0, 22); /* an inode without a name */
	add(f, 3, "gone", 0, 22)->result = SD_RES_NO_OBJ;
	add(f, 4, "torn", 0, 22)->result = SD_RES_EIO;
	add(f, 5, "dead", 0, 22);
	f->deleted[0] |= 1 << 5;
	add(f, 0xffffff, "last", 0, 22);
	text = list(f, false);
	assert_non_null(strstr(text, "first"));
	assert_non_null(strstr(text, " ffffff "));
	assert_null(strstr(text, "gone"));
	assert_null(strstr(text, "torn"));
	assert_null(strstr(text, "dead"));
	assert_int_equal(f->reads, 5);
}

static void test_strange_names(void **state)
{
	struct fake *f = *state;
	const char *text;

	memset(add(f, 1, "x", 0, 22)->header.name, 'n', SD_NAME_SIZE); /* never terminated */
	add(f, 2, "a b\ts c", 0, 22);
	add(f, 3, "50%@home/x", 0, 22);
	text = list(f, false);
	/* as they are: dog does the same */
	assert_non_null(strstr(text, "\n  a b\ts c  "));
	assert_non_null(strstr(text, "\n  50%@home/x "));
}

/* A snapshot's index is read until it has been at rest for a while, then its header only; all
 * others are counted each time. */
static void test_what_cannot_change_is_remembered(void **state)
{
	struct fake *f = *state;
	struct fake_vdi *v = add(f, 7, "large", UINT64_C(8192) << 22, 22);
	unsigned before;

	f->world.counted = counted_open();
	v->header.snap_ctime = 5;
	set_index(v, 8192, 0, 5000, 7);
	v = add(f, 8, "large", UINT64_C(8192) << 22, 22);
	set_index(v, 8192, 0, 5000, 7);
	for (unsigned i = 0; i < 3; i++) {
		before = f->reads;
		assert_non_null(strstr(list(f, false), "large        1   32 GB   20 GB"));
		assert_int_equal(f->reads - before, 4); /* first and a piece, of both */
		set_index(&f->vdis[0], 8192, 0, 5000, 7);
		clock_now += COUNTED_REST / 2 + 1;
	}
	set_index(&f->vdis[0], 8192, 0, 5000, 0); /* what it may not do; so it is not looked at */
	set_index(&f->vdis[1], 8192, 0, 5000, 0);
	before = f->reads;
	assert_non_null(strstr(list(f, false), "large        1   32 GB   20 GB"));
	assert_non_null(strstr(f->text, "large        0   32 GB  0.0 MB  0.0 MB"));
	assert_int_equal(f->reads - before, 3);
	clock_now += COUNTED_LAST; /* but it may be emptied, to be deleted */
	assert_non_null(strstr(list(f, false), "large        1   32 GB  0.0 MB"));
	set_index(&f->vdis[0], 8192, 0, 5000, 7);
	assert_non_null(strstr(list(f, false), "large        1   32 GB  0.0 MB"));
	f->vdis[0].header.create_time++; /* another VDI by the same number */
	assert_non_null(strstr(list(f, false), "large        1   32 GB   20 GB"));
	counted_close(f->world.counted);
}

/* An index of several pieces, and the last, half object counts. */
static void test_large_volume(void **state)
{
	struct fake *f = *state;
	struct fake_vdi *v = add(f, 9, "large", (UINT64_C(30000) << 22) - 1, 22);
	const char *text;

	set_index(v, 40000, 0, 40000, 9); /* what lies behind the size is not looked at */
	set_index(v, 40000, 1000, 1100, 8);
	set_index(v, 40000, 20000, 20001, 0);
	text = list(f, false);
	/* 29899 own, 100 shared objects of 4 MiB */
	assert_non_null(strstr(text, " 117 GB  117 GB  400 MB "));
	assert_int_equal(f->reads, 1 + 4);
}

static void test_absurd_headers(void **state)
{
	struct fake *f = *state;
	struct fake_vdi *v = add(f, 1, "wide", UINT64_MAX, 255);
	const char *text;

	set_index(v, 1024, 0, 1024, 1);
	add(f, 2, "huge", UINT64_MAX, 0)->header.nr_copies = 255;
	add(f, 3, "treeless", UINT64_MAX, 22)->header.store_policy = 1;
	text = list(f, false);
	assert_non_null(strstr(text, "wide         0   16 EB  0.0 MB"));
	assert_non_null(strstr(text, "huge         0   16 EB  0.0 MB"));
	assert_non_null(strstr(text, "treeless     0   16 EB  0.0 MB"));
}

static void put_head(uint8_t *node, uint16_t depth, uint32_t entries)
{
	uint16_t magic = 0x6274;

	memcpy(node, &magic, 2);
	memcpy(node + 2, &depth, 2);
	memcpy(node + 4, &entries, 4);
}

static void put_entries(uint8_t *node, uint32_t entries, uint32_t own, uint32_t vid)
{
	put_head(node, 1, entries);
	for (uint32_t i = 0; i < entries; i++) {
		uint32_t pair[2] = {i * 3, i < own ? vid : 0};

		memcpy(node + 8 + 8 * i, pair, 8);
	}
}

static void test_hyper_volumes(void **state)
{
	struct fake *f = *state;
	struct fake_vdi *v = add(f, 0x400, "flat", UINT64_C(8) << 40, 22);
	const char *text;

	v->header.store_policy = 1;
	v->tree_size = 8 + 8 * 6000;
	v->tree = calloc(1, v->tree_size);
	assert_non_null(v->tree);
	put_entries(v->tree, 6000, 5120, 0x400); /* 20 GB */
	v = add(f, 0x500, "deep", UINT64_C(8) << 40, 22);
	v->header.store_policy = 1;
	v->tree_size = 8 + 16 * LEAVES;
	v->tree = calloc(1, v->tree_size);
	assert_non_null(v->tree);
	put_head(v->tree, 2, LEAVES);
	f->leaf_size = 8 + 8 * 10000;
	for (unsigned i = 0; i < LEAVES; i++) {
		uint64_t oid = SD_OID_BTREE | UINT64_C(0x500) << 32 | i;

		memcpy(v->tree + 8 + 16 * i + 8, &oid, 8);
		f->leaves[i] = calloc(1, f->leaf_size);
		assert_non_null(f->leaves[i]);
		put_entries(f->leaves[i], 10000, 2560 * (i + 1), 0x500); /* 10, 20, 30 GB */
	}
	v = add(f, 0x600, "lying", UINT64_C(8) << 40, 22); /* its leaf is somebody's data */
	v->header.store_policy = 1;
	v->tree_size = 8 + 16;
	v->tree = calloc(1, v->tree_size);
	assert_non_null(v->tree);
	put_head(v->tree, 2, 1);
	text = list(f, true);
	assert_non_null(strstr(text, "flat         0  8.0 TB   20 GB"));
	assert_non_null(strstr(text, "deep         0  8.0 TB   60 GB"));
	assert_null(strstr(text, "lying"));
}

/* Rows in the order of vids, whatever the order of answers; a bounded number in flight. */
static void test_thousands(void **state)
{
	struct fake *f = *state;
	const char *row;
	char name[32];

	for (unsigned i = 0; i < VDIS_MAX; i++) {
		snprintf(name, sizeof name, "v%05u", i);
		add(f, 1 + i * 5000, name, 64 << 20, 22);
	}
	row = strchr(list(f, true), '\n') + 1;
	for (unsigned i = 0; i < VDIS_MAX; i++) {
		snprintf(name, sizeof name, "  v%05u ", i);
		assert_memory_equal(row, name, strlen(name));
		row = strchr(row, '\n') + 1;
	}
	assert_string_equal(row, "");
	assert_int_equal(f->peak, 32);
	assert_int_equal(f->reads, VDIS_MAX);
}

static void test_sealed(void **state)
{
	struct fake *f = *state;

	list(f, false);
	assert_int_equal(
	    fcntl(f->fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL),
	    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
}

static void test_bitmaps_refused(void **state)
{
	struct fake *f = *state;

	f->bitmap_result = SD_RES_INVALID_PARMS;
	assert_null(list(f, false));
	assert_int_equal(f->error, -EINVAL);
	assert_int_equal(f->fd, -1);
	assert_non_null(strstr(f->sentence, "INVALID_PARMS"));
}

/* A cluster that stops in the middle: one clear error, after every call has come back. */
static void test_cluster_stops(void **state)
{
	struct fake *f = *state;

	for (unsigned i = 0; i < 100; i++)
		add(f, 1 + i, "x", 0, 22)->result = i < 50 ? 0 : SD_RES_SHUTDOWN;
	assert_null(list(f, true));
	assert_int_equal(f->error, -ESHUTDOWN);
	assert_int_equal(f->queued, 0);
	assert_non_null(strstr(f->sentence, "SHUTDOWN"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sizes),
	    TEST(test_as_dog_prints_it),
	    TEST(test_empty_cluster),
	    TEST(test_what_has_no_row),
	    TEST(test_strange_names),
	    TEST(test_what_cannot_change_is_remembered),
	    TEST(test_large_volume),
	    TEST(test_absurd_headers),
	    TEST(test_hyper_volumes),
	    TEST(test_thousands),
	    TEST(test_sealed),
	    TEST(test_bitmaps_refused),
	    TEST(test_cluster_stops),
	};

	return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
