/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lamb's VDI table: vids, lookup, and what a start completes; and the order of requests.
 */
#include "tests/unit/unit.h"

#include "lamb/order.h"
#include "lamb/request.h"
#include "lamb/store.h"
#include "lamb/vdi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sd_inode_header header(const char *name, uint32_t vid, uint32_t snap_id)
{
	struct sd_inode_header h = {.vdi_id = vid,
	    .snap_id = snap_id,
	    .block_size_shift = 22,
	    .nr_copies = 1,
	    .create_time = 1000 + vid};

	strcpy(h.name, name);
	return h;
}

/* The vectors of P 4.1. */
static void test_hash(void **state)
{
	char longest[SD_NAME_SIZE];

	(void)state;
	memset(longest, 'x', 255);
	longest[255] = 0;
	assert_int_equal(vdi_hash("a"), 0x01ec8c);
	assert_int_equal(vdi_hash("b"), 0x01f1a5);
	assert_int_equal(vdi_hash("t1"), 0x6a5e16);
	assert_int_equal(vdi_hash("sfs"), 0xd9dd4d);
	assert_int_equal(vdi_hash(longest), 0x99c7bf);
}

static void test_lookup(void **state)
{
	struct vdi_table *table = vdi_table_new();
	struct sd_inode_header h = header("a", 0x01ec8c, 1);
	struct vdi *vdi;

	(void)state;
	assert_int_equal(vdi_lookup(table, "a", "", 0, &vdi), SD_RES_NO_VDI);
	assert_int_equal(vdi_free_vid(table, "a"), 0x01ec8c);
	assert_int_equal(vdi_put(table, &h), 0);
	assert_int_equal(vdi_free_vid(table, "a"), 0x01ec8d);
	assert_int_equal(vdi_lookup(table, "a", "", 0, &vdi), 0);
	assert_int_equal(vdi->vid, 0x01ec8c);
	assert_int_equal(vdi_lookup(table, "a", "", 1, &vdi), SD_RES_NO_TAG); /* the working one */
	strcpy(h.tag, "one");
	h.snap_ctime = 5;
	assert_int_equal(vdi_put(table, &h), 0);
	assert_int_equal(vdi_lookup(table, "a", "", 0, &vdi), SD_RES_NO_VDI);
	h = header("a", 0x01ec8d, 2);
	h.parent_vdi_id = 0x01ec8c;
	assert_int_equal(vdi_put(table, &h), 0);
	assert_int_equal(vdi_lookup(table, "a", "", 0, &vdi), 0);
	assert_int_equal(vdi->vid, 0x01ec8d);
	assert_false(vdi->had_child);
	assert_int_equal(vdi_lookup(table, "a", "one", 0, &vdi), 0);
	assert_int_equal(vdi->vid, 0x01ec8c);
	assert_true(vdi->had_child);
	assert_int_equal(vdi_lookup(table, "a", "", 1, &vdi), 0);
	assert_int_equal(vdi_lookup(table, "a", "none", 1, &vdi), 0); /* either suffices */
	assert_int_equal(vdi_lookup(table, "a", "none", 0, &vdi), SD_RES_NO_TAG);
	assert_int_equal(vdi_lookup(table, "b", "none", 0, &vdi), SD_RES_NO_VDI);
	assert_int_equal(vdi_highest_snap_id(table, "a"), 2);
	/* of two snapshots with one tag the newer */
	strcpy(h.tag, "one");
	h.snap_ctime = 6;
	assert_int_equal(vdi_put(table, &h), 0);
	assert_int_equal(vdi_lookup(table, "a", "one", 0, &vdi), 0);
	assert_int_equal(vdi->vid, 0x01ec8d);
	vdi_table_free(table);
}

/* A deleted vid is never given again; a mark alone leaves the name. */
static void test_deleted(void **state)
{
	struct vdi_table *table = vdi_table_new();
	struct sd_inode_header h = header("a", 0x01ec8c, 1);
	struct vdi *vdi;

	(void)state;
	assert_int_equal(vdi_put(table, &h), 0);
	vdi_mark_deleted(table, vdi_find(table, 0x01ec8c), false);
	assert_int_equal(vdi_lookup(table, "a", "", 0, &vdi), 0);
	assert_true(table->deleted[0x01ec8c / 8] & 1 << 0x01ec8c % 8);
	vdi_mark_deleted(table, vdi, true);
	assert_int_equal(vdi_lookup(table, "a", "", 0, &vdi), SD_RES_NO_VDI);
	assert_int_equal(vdi_free_vid(table, "a"), 0x01ec8d);
	assert_true(table->used[0x01ec8c / 8] & 1 << 0x01ec8c % 8);
	vdi_table_free(table);
}

/* The run of a name goes on at 1 behind the last vid. */
static void test_wrap(void **state)
{
	struct vdi_table *table = vdi_table_new();
	uint32_t hash = vdi_hash("a");
	struct sd_inode_header h;
	struct vdi *vdi;

	(void)state;
	for (uint32_t vid = hash; vid < SD_NR_VDIS; vid++)
		table->used[vid / 8] |= (uint8_t)(1 << vid % 8);
	assert_int_equal(vdi_free_vid(table, "a"), 1);
	h = header("a", SD_NR_VDIS - 1, 1);
	h.snap_ctime = 3;
	assert_int_equal(vdi_put(table, &h), 0);
	h = header("a", 1, 2);
	assert_int_equal(vdi_put(table, &h), 0);
	assert_int_equal(vdi_lookup(table, "a", "", 0, &vdi), 0);
	assert_int_equal(vdi->vid, 1);
	memset(table->used, 0xff, SD_VDI_BITMAP_SIZE);
	assert_int_equal(vdi_free_vid(table, "a"), 0);
	vdi_table_free(table);
}

static void put_inode(struct store *store, const struct sd_inode_header *h)
{
	const struct store_recipe recipe = {.oid = sd_inode_oid(h->vdi_id),
	    .size = SD_INODE_SIZE,
	    .data = h,
	    .data_size = sizeof *h};

	assert_int_equal(store_create(store, &recipe), 0);
}

/* A death between the making of a snapshot's two halves is completed at the start. */
static void test_half_snapshot(void **state)
{
	char path[] = "/tmp/lamb-unit.XXXXXX", command[64], why[600];
	struct meta meta = {.generation = 1, .epoch = 1, .copies = 1, .shift = 22};
	struct sd_inode_header old = header("a", 0x01ec8c, 1), new = header("a", 0x01ec8d, 2);
	struct vdi_table *table = vdi_table_new();
	struct store *store;
	uint64_t time;

	(void)state;
	assert_non_null(mkdtemp(path));
	assert_int_equal(store_open(path, path, true, &meta, &store, why, sizeof why), 0);
	new.parent_vdi_id = 0x01ec8c;
	put_inode(store, &old);
	put_inode(store, &new);
	assert_int_equal(vdi_table_load(table, store), 0);
	assert_int_equal(vdi_table_mend(table, store), 0);
	assert_int_equal(vdi_find(table, 0x01ec8c)->snap_ctime, new.create_time);
	assert_int_equal(vdi_find(table, 0x01ec8d)->snap_ctime, 0);
	assert_true(vdi_find(table, 0x01ec8c)->had_child);
	assert_int_equal(store_read(store, sd_inode_oid(0x01ec8c), &time, 8, 520), 0);
	assert_int_equal(time, new.create_time);
	vdi_table_free(table);
	store_close(store);
	snprintf(command, sizeof command, "rm -rf '%s'", path);
	assert_int_equal(system(command), 0);
}

static unsigned ran;

static void run(struct request *request)
{
	(void)request;
	ran++;
}

static void test_order(void **state)
{
	struct request write1 = {.order_class = ORDER_WRITE}, write2 = write1;
	struct request lookup = {.order_class = ORDER_LOOKUP};
	struct request exclusive = {.order_class = ORDER_EXCLUSIVE}, second = exclusive;
	struct order order;

	(void)state;
	order_init(&order, run);
	assert_true(order_enter(&order, &write1));
	assert_false(order_enter(&order, &exclusive)); /* waits for the write */
	assert_true(order_enter(&order, &lookup));     /* waits only for a running one */
	order_leave(&order, &lookup);
	assert_false(order_enter(&order, &write2)); /* behind the waiting one */
	assert_false(order_enter(&order, &second));
	assert_int_equal(ran, 0);
	order_leave(&order, &write1);
	assert_int_equal(ran, 1);
	assert_true(order.exclusive);
	assert_false(order_enter(&order, &lookup)); /* the barrier */
	order_leave(&order, &exclusive);            /* write2 runs, and the lookup beside it */
	assert_int_equal(ran, 3);
	assert_false(order.exclusive);
	order_leave(&order, &lookup);
	order_leave(&order, &write2);
	assert_int_equal(ran, 4);
	assert_true(order.exclusive);
	assert_false(order_enter(&order, &write1));
	order_ajar(&order, true);
	assert_int_equal(ran, 5);
	order_leave(&order, &write1);
	order_leave(&order, &second);
	assert_null(order.first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hash),
	    cmocka_unit_test(test_lookup),
	    cmocka_unit_test(test_deleted),
	    cmocka_unit_test(test_wrap),
	    cmocka_unit_test(test_half_snapshot),
	    cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests_name("lamb_vdi", tests, NULL, NULL);
}
