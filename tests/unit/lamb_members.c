/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nodes of one store beside one another: members, epochs, locks, and files that change under them.
 * Each node here is an open store of this process; its death is that the store is closed.
 */
#include "tests/unit/unit.h"

#include "lamb/epochs.h"
#include "lamb/locks.h"
#include "lamb/members.h"
#include "lamb/meta.h"
#include "lamb/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OID UINT64_C(0x0001ec8c00000000)

struct node {
	struct store *store;
	struct members *members;
	struct shared *shared;
};

static char path[64];

static int setup(void **state)
{
	(void)state;
	strcpy(path, "/tmp/lamb-unit.XXXXXX");
	return mkdtemp(path) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof command, "rm -rf '%s'", path);
	return system(command);
}

static int try_begin(struct node *node, uint16_t port, char *why, size_t why_size)
{
	struct meta meta = {
	    .generation = 1, .epoch = 1, .formatted = 1000, .copies = 1, .shift = 20};
	struct member self = {.port = port};

	self.addr[12] = 127;
	self.addr[15] = 1;
	*node = (struct node){0};
	assert_int_equal(store_open(path, path, false, &meta, &node->store, why, why_size), 0);
	return members_join(store_shared(node->store), store_directory(node->store), path, &self,
	    &node->members, why, why_size);
}

static struct node begin(uint16_t port)
{
	struct node node;
	char why[600];

	assert_int_equal(try_begin(&node, port, why, sizeof why), 0);
	node.shared = store_shared(node.store);
	return node;
}

static void end(const struct node *node)
{
	members_free(node->members);
	store_close(node->store);
}

static struct shared_page *page_of(const struct node *node)
{
	return store_shared(node->store)->page;
}

static void expect(const struct node *node, uint32_t epoch, uint32_t nr)
{
	struct member list[SHARED_SLOTS];

	assert_int_equal(page_of(node)->epoch, epoch);
	assert_int_equal(members_list(node->members, list), nr);
	for (uint32_t i = 1; i < nr; i++)
		assert_true(list[i - 1].port < list[i].port);
}

static void test_membership(void **state)
{
	struct node b = begin(7001), a, c;
	struct epochs epochs;

	(void)state;
	expect(&b, 1, 1);
	a = begin(7000);
	expect(&b, 2, 2);
	assert_false(members_look(a.members));
	c = begin(7002);
	expect(&a, 3, 3);
	end(&b);
	assert_true(members_look(c.members));
	assert_false(members_look(a.members)); /* once is enough */
	expect(&a, 4, 2);
	/* two at once are one change; one that comes back before anybody looks has been away */
	end(&c);
	b = begin(7001);
	expect(&a, 6, 2);
	end(&b);
	b = begin(7001);
	expect(&a, 8, 2);
	assert_int_equal(members_epochs(a.members, &epochs), 0);
	assert_int_equal(epochs.nr, 8);
	assert_int_equal(epochs.list[0].time, 1000);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(epochs.list[i].number, i + 1);
		assert_true(!i || epochs.list[i].time >= epochs.list[i - 1].time);
	}
	assert_int_equal(epochs.list[2].nr, 3);
	assert_int_equal(epochs.list[2].members[2].port, 7002);
	assert_int_equal(epochs.list[6].nr, 1);
	epochs_free(&epochs);
	end(&a);
	end(&b);
}

/* While all were dead nothing raises the epoch but a stranger, or one that stays away. */
static void test_restart(void **state)
{
	struct node a = begin(7000), b = begin(7001), c;

	(void)state;
	end(&a);
	end(&b);
	b = begin(7001);
	expect(&b, 2, 1);
	assert_false(members_look(b.members));
	a = begin(7000);
	expect(&b, 2, 2);
	/* all are back: from now on a death is a death */
	end(&a);
	assert_true(members_look(b.members));
	expect(&b, 3, 1);
	end(&b);
	b = begin(7001);
	expect(&b, 3, 1);
	a = begin(7000);
	end(&a);
	end(&b);
	a = begin(7000);
	expect(&a, 4, 1);
	c = begin(7002);
	expect(&a, 5, 2);
	end(&a);
	end(&c);
	a = begin(7000);
	expect(&a, 5, 1);
	page_of(&a)->restart_until = 1; /* long ago */
	assert_false(members_look(a.members));
	expect(&a, 6, 1);
	end(&a);
}

static void test_full(void **state)
{
	static struct node nodes[SHARED_SLOTS];
	struct node one_more;
	char why[600] = "";

	(void)state;
	for (uint16_t i = 0; i < SHARED_SLOTS; i++)
		nodes[i] = begin(7000 + i);
	assert_int_equal(try_begin(&one_more, 8000, why, sizeof why), -EUSERS);
	assert_non_null(strstr(why, "64 nodes"));
	store_close(one_more.store);
	end(&nodes[5]);
	nodes[5] = begin(8000); /* in the slot of the dead one */
	assert_int_equal(store_shared(nodes[5].store)->slot, 5);
	for (unsigned i = 0; i < SHARED_SLOTS; i++)
		end(&nodes[i]);
}

static void test_locks(void **state)
{
	struct node a = begin(7000), b = begin(7001);
	uint32_t owner = 99, slot = store_shared(a.store)->slot;

	(void)state;
	assert_int_equal(locks_take(a.shared, 5, SD_LOCK_NORMAL), 0);
	assert_int_equal(locks_take(b.shared, 5, SD_LOCK_NORMAL), -EBUSY);
	assert_int_equal(locks_take(b.shared, 5, SD_LOCK_SHARED), -EBUSY);
	assert_int_equal(locks_state(b.shared, 5, &owner), SD_LOCK_LOCKED);
	assert_int_equal(owner, slot);
	assert_int_equal(locks_state(b.shared, 6, &owner), SD_LOCK_UNLOCKED);
	/* a shared one is its node's: released by it alone, and gone with it */
	assert_int_equal(locks_take(a.shared, 0xffffff, SD_LOCK_SHARED), 0);
	locks_release(b.shared, 0xffffff, SD_LOCK_SHARED);
	assert_int_equal(locks_take(b.shared, 0xffffff, SD_LOCK_SHARED), -EBUSY);
	locks_mark_deleted(a.shared, 5);
	assert_true(locks_is_deleted(b.shared, 5));
	assert_false(locks_is_deleted(b.shared, 4));
	end(&a);
	assert_true(members_look(b.members));
	assert_int_equal(locks_take(b.shared, 0xffffff, SD_LOCK_SHARED), 0);
	assert_int_equal(locks_state(b.shared, 5, &owner), SD_LOCK_LOCKED);
	assert_int_equal(owner, slot);
	locks_release(b.shared, 5, SD_LOCK_SHARED); /* of another type */
	assert_int_equal(locks_state(b.shared, 5, &owner), SD_LOCK_LOCKED);
	locks_release(b.shared, 5, SD_LOCK_NORMAL); /* by whomever */
	assert_int_equal(locks_state(b.shared, 5, &owner), SD_LOCK_UNLOCKED);
	assert_true(locks_is_deleted(b.shared, 5));
	/* the same node comes back: not so its shared lock */
	a = begin(7000);
	assert_int_equal(locks_take(a.shared, 7, SD_LOCK_SHARED), 0);
	assert_int_equal(locks_take(a.shared, 8, SD_LOCK_NORMAL), 0);
	end(&a);
	a = begin(7000);
	assert_int_equal(locks_state(b.shared, 7, &owner), SD_LOCK_UNLOCKED);
	assert_int_equal(locks_state(b.shared, 8, &owner), SD_LOCK_LOCKED);
	end(&a);
	end(&b);
	b = begin(7001);
	assert_false(locks_is_deleted(b.shared, 5));
	assert_int_equal(locks_state(b.shared, 0xffffff, &owner), SD_LOCK_UNLOCKED);
	end(&b);
}

/* More than there is room for; a place that is free again is found, and nobody's search ends there.
 */
static void test_many_locks(void **state)
{
	struct node a = begin(7000);
	uint32_t owner, vid;

	(void)state;
	for (vid = 1; vid <= SHARED_LOCKS; vid++)
		assert_int_equal(locks_take(a.shared, vid * 3, SD_LOCK_NORMAL), 0);
	assert_int_equal(locks_take(a.shared, 1, SD_LOCK_NORMAL), -ENOSPC);
	locks_release(a.shared, 300, SD_LOCK_NORMAL);
	assert_int_equal(locks_take(a.shared, 1, SD_LOCK_NORMAL), 0);
	assert_int_equal(locks_take(a.shared, 300, SD_LOCK_NORMAL), -ENOSPC);
	for (vid = 1; vid <= SHARED_LOCKS; vid++)
		if (vid != 100)
			assert_int_equal(locks_take(a.shared, vid * 3, SD_LOCK_NORMAL), -EBUSY);
	locks_release(a.shared, SHARED_LOCKS * 3, SD_LOCK_NORMAL);
	assert_int_equal(locks_state(a.shared, SHARED_LOCKS * 3, &owner), SD_LOCK_UNLOCKED);
	locks_clear(a.shared);
	assert_int_equal(locks_take(a.shared, 300, SD_LOCK_NORMAL), 0);
	end(&a);
}

static void put(struct store *store, char value)
{
	const struct store_recipe recipe = {
	    .oid = OID, .size = 4096, .data = &value, .data_size = 1};

	assert_int_equal(store_create(store, &recipe), 0);
}

static char get(struct store *store)
{
	char value = 0;

	assert_int_equal(store_read(store, OID, &value, 1, 0), 0);
	return value;
}

/* Files that one node replaces and removes are not the ones that the other keeps open. */
static void test_objects(void **state)
{
	struct node a = begin(7000), b = begin(7001);
	struct store_exchange exchange = {.data = "y", .size = 1};
	char old = 0;

	(void)state;
	put(a.store, '1');
	assert_int_equal(get(b.store), '1');
	put(b.store, '2');
	assert_int_equal(get(a.store), '2');
	assert_int_equal(store_write(a.store, OID, "3", 1, 0), 0);
	assert_int_equal(get(b.store), '3');
	/* one that dies between the two leaves an odd version: nothing is kept, and all goes on */
	atomic_fetch_add(&page_of(&a)->versions[shared_version_index(OID)], 1);
	assert_int_equal(get(a.store), '3');
	assert_int_equal(store_write(b.store, OID, "4", 1, 0), 0);
	assert_int_equal(get(a.store), '4');
	put(a.store, '5');
	assert_int_equal(get(b.store), '5');
	assert_int_equal(page_of(&a)->versions[shared_version_index(OID)] % 2, 0);
	atomic_fetch_add(&page_of(&a)->versions[shared_version_index(OID)], 1);
	shared_mend_versions(store_shared(b.store));
	assert_int_equal(page_of(&a)->versions[shared_version_index(OID)] % 2, 0);
	exchange.old = &old;
	exchange.read_size = 1;
	assert_int_equal(store_exchange(b.store, OID, &exchange), 0);
	assert_int_equal(old, '5');
	assert_int_equal(get(a.store), 'y');
	assert_int_equal(store_remove(a.store, OID), 0);
	assert_int_equal(store_read(b.store, OID, &old, 1, 0), -ENOENT);
	assert_int_equal(store_exchange(b.store, OID, &exchange), -ENOENT);
	end(&a);
	end(&b);
}

static void test_format(void **state)
{
	struct node a = begin(7000), b = begin(7001);
	struct meta meta = {.copies = 1, .shift = 22, .epoch = 1, .generation = 1, .formatted = 5};
	char value;

	(void)state;
	put(a.store, '1');
	assert_int_equal(get(b.store), '1');
	assert_int_equal(store_format(a.store, &meta), 0);
	members_format(a.members);
	expect(&b, 1, 2);
	memset(&meta, 0, sizeof meta);
	assert_int_equal(store_follow(b.store, &meta), 0);
	assert_int_equal(meta.shift, 22);
	assert_int_equal(store_read(b.store, OID, &value, 1, 0), -ENOENT);
	put(b.store, '2');
	assert_int_equal(get(a.store), '2');
	end(&a);
	end(&b);
}

static void put_file(int root, const char *text)
{
	int fd = openat(root, EPOCHS_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_history(void **state)
{
	int root = open(path, O_RDONLY | O_DIRECTORY);
	struct epoch epoch = {.nr = 2, .members = {{.port = 7, .zone = 1}, {.path = 5}}};
	struct epochs epochs = {0};

	(void)state;
	epoch.members[0].addr[0] = 0xfd; /* an IPv6 address */
	epoch.members[0].addr[15] = 3;
	assert_int_equal(epochs_read(root, 3, &epochs), -ENOENT);
	for (uint32_t i = 1; i <= EPOCHS_MAX + 5; i++) {
		epoch.number = i;
		epoch.time = 100 + i;
		assert_int_equal(epochs_add(&epochs, &epoch), 0);
	}
	assert_int_equal(epochs.nr, EPOCHS_MAX);
	assert_int_equal(epochs_write(root, 3, &epochs), 0);
	epochs_free(&epochs);
	assert_int_equal(epochs_read(root, 2, &epochs), -ENOENT); /* another format's */
	assert_int_equal(epochs_read(root, 3, &epochs), 0);
	assert_int_equal(epochs.nr, EPOCHS_MAX);
	assert_int_equal(epochs.list[0].number, 6);
	assert_memory_equal(&epochs.list[EPOCHS_MAX - 1], &epoch, sizeof epoch);
	epochs_free(&epochs);
	put_file(root, "something else\n");
	assert_int_equal(epochs_read(root, 3, &epochs), -EBADMSG);
	put_file(root, "lamb epochs 1\ngeneration 3\n1 5 1 nonsense 7000 0 0\n");
	assert_int_equal(epochs_read(root, 3, &epochs), -EBADMSG);
	put_file(root, "lamb epochs 1\ngeneration 3\n1 5 65\n");
	assert_int_equal(epochs_read(root, 3, &epochs), -EBADMSG);
	assert_null(epochs.list);
	close(root);
}

/* One that serves alone and several that do not exclude each other. */
static void test_alone(void **state)
{
	struct node a = begin(7000);
	struct meta meta = {.generation = 1, .epoch = 1, .copies = 1, .shift = 20};
	struct store *alone, *second;
	char why[600];

	(void)state;
	assert_int_equal(
	    store_open(path, path, true, &meta, &alone, why, sizeof why), -EWOULDBLOCK);
	end(&a);
	assert_int_equal(store_open(path, path, true, &meta, &alone, why, sizeof why), 0);
	assert_int_equal(
	    store_open(path, path, false, &meta, &second, why, sizeof why), -EWOULDBLOCK);
	assert_non_null(strstr(why, "serves it alone"));
	store_close(alone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_membership, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_locks, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_many_locks, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_format, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_history, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
	};

	return cmocka_run_group_tests_name("lamb_members", tests, NULL, NULL);
}
