/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lamb's store: objects, their replacement, copies and holes, and what an opening finds.
 */
#include "tests/unit/unit.h"

#include "lamb/handles.h"
#include "lamb/meta.h"
#include "lamb/shared.h"
#include "lamb/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (1U << 20)
#define OID UINT64_C(0x0001ec8c00000000)

struct fixture {
	char path[64];
	struct meta meta;
	struct store *store;
};

static void open_store(struct fixture *f)
{
	char why[600] = "";

	assert_int_equal(
	    store_open(f->path, f->path, true, &f->meta, &f->store, why, sizeof why), 0);
	assert_string_equal(why, "");
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	strcpy(f->path, "/tmp/lamb-unit.XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->meta = (struct meta){.generation = 1, .epoch = 1, .ctime = 7, .copies = 1, .shift = 20};
	open_store(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[100];

	if (f->store)
		store_close(f->store);
	snprintf(command, sizeof command, "rm -rf '%s'", f->path);
	if (system(command))
		return -1;
	free(f);
	return 0;
}

static int create(struct fixture *f, uint64_t oid, const void *data, size_t size, uint64_t offset)
{
	const struct store_recipe recipe = {
	    .oid = oid, .size = SIZE, .data = data, .data_size = size, .offset = offset};

	return store_create(f->store, &recipe);
}

static void test_create_and_read(void **state)
{
	struct fixture *f = *state;
	char buffer[16];

	assert_int_equal(store_read(f->store, OID, buffer, 4, 0), -ENOENT);
	assert_int_equal(store_write(f->store, OID, "data", 4, 0), -ENOENT);
	assert_int_equal(create(f, OID, "data", 4, 1000), 0);
	assert_int_equal(store_read(f->store, OID, buffer, 16, 996), 0);
	assert_memory_equal(buffer, "\0\0\0\0data\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(store_write(f->store, OID, "DA", 2, 1000), 0);
	assert_int_equal(store_read_nowait(f->store, OID, buffer, 4, 1000), 0);
	assert_memory_equal(buffer, "DAta", 4);
	assert_int_equal(store_exists(f->store, OID), 0);
	assert_int_equal(store_exists(f->store, OID + 1), -ENOENT);
}

/* A create replaces the whole object, and a descriptor of the old one is not used any more. */
static void test_replace(void **state)
{
	struct fixture *f = *state;
	char buffer[8];

	assert_int_equal(create(f, OID, "old", 3, 0), 0);
	assert_int_equal(store_read(f->store, OID, buffer, 8, 0), 0);
	assert_int_equal(create(f, OID, "new", 3, 4), 0);
	assert_int_equal(store_read(f->store, OID, buffer, 8, 0), 0);
	assert_memory_equal(buffer, "\0\0\0\0new\0", 8);
	assert_int_equal(store_write(f->store, OID, "x", 1, 0), 0);
	store_close(f->store);
	open_store(f);
	assert_int_equal(store_read(f->store, OID, buffer, 8, 0), 0);
	assert_memory_equal(buffer, "x\0\0\0new\0", 8);
}

/* Copy-on-write: the base outside of the payload, from its whole or a part; holes stay holes. */
static void test_base(void **state)
{
	struct fixture *f = *state;
	struct store_recipe recipe = {.oid = OID + 1,
	    .size = SIZE,
	    .base = OID,
	    .to = SIZE,
	    .data = "NEW",
	    .data_size = 3,
	    .offset = 100};
	char name[128], buffer[8];
	struct stat st;

	assert_int_equal(store_create(f->store, &recipe), -ENOENT);
	assert_int_equal(store_exists(f->store, OID + 1), -ENOENT);
	assert_int_equal(create(f, OID, "abcdefgh", 8, 98), 0);
	assert_int_equal(store_write(f->store, OID, "tail", 4, SIZE - 4), 0);
	assert_int_equal(store_create(f->store, &recipe), 0);
	assert_int_equal(store_read(f->store, OID + 1, buffer, 8, 98), 0);
	assert_memory_equal(buffer, "abNEWfgh", 8);
	assert_int_equal(store_read(f->store, OID + 1, buffer, 4, SIZE - 4), 0);
	assert_memory_equal(buffer, "tail", 4);
	snprintf(name, sizeof name, "%s/obj.1/0001ec8c00000001", f->path);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks < 128);
	recipe.oid = OID + 2;
	recipe.from = 102;
	recipe.to = 104;
	recipe.data_size = 0;
	assert_int_equal(store_create(f->store, &recipe), 0);
	assert_int_equal(store_read(f->store, OID + 2, buffer, 8, 98), 0);
	assert_memory_equal(buffer, "\0\0\0\0ef\0\0", 8);
	assert_int_equal(store_copy(f->store, OID + 2, OID, 98, 100), 0);
	assert_int_equal(store_read(f->store, OID + 2, buffer, 8, 98), 0);
	assert_memory_equal(buffer, "ab\0\0ef\0\0", 8);
}

static void test_is_zero(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(create(f, OID, "x", 1, 70000), 0);
	assert_int_equal(store_is_zero(f->store, OID, 0, 70000), 1);
	assert_int_equal(store_is_zero(f->store, OID, 70001, SIZE), 1);
	assert_int_equal(store_is_zero(f->store, OID, 0, SIZE), 0);
	assert_int_equal(store_is_zero(f->store, OID, 70000, 70001), 0);
	assert_int_equal(store_write(f->store, OID, "", 1, 70000), 0);
	assert_int_equal(store_is_zero(f->store, OID, 0, SIZE), 1);
	assert_int_equal(store_is_zero(f->store, OID + 1, 0, SIZE), -ENOENT);
}

static int count(void *argument, uint64_t oid)
{
	assert_int_equal(oid >> 32, OID >> 32);
	++*(unsigned *)argument;
	return 0;
}

static void test_remove_and_list(void **state)
{
	struct fixture *f = *state;
	unsigned nr = 0;
	char byte;

	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(create(f, OID + i, "x", 1, 0), 0);
	assert_int_equal(store_remove(f->store, OID + 3), 0);
	assert_int_equal(store_remove(f->store, OID + 3), -ENOENT);
	assert_int_equal(store_sync_names(f->store), 0);
	assert_int_equal(store_read(f->store, OID + 3, &byte, 1, 0), -ENOENT);
	assert_int_equal(store_each(f->store, count, &nr), 0);
	assert_int_equal(nr, 9);
}

static void test_format(void **state)
{
	struct fixture *f = *state;
	struct meta meta = f->meta;
	unsigned nr = 0;
	char byte;

	assert_int_equal(create(f, OID, "x", 1, 0), 0);
	meta.ctime = 99;
	assert_int_equal(store_format(f->store, &meta), 0);
	assert_int_equal(meta.generation, 2);
	assert_int_equal(store_read(f->store, OID, &byte, 1, 0), -ENOENT);
	assert_int_equal(store_each(f->store, count, &nr), 0);
	assert_int_equal(nr, 0);
	store_close(f->store);
	open_store(f);
	assert_int_equal(f->meta.generation, 2);
	assert_int_equal(f->meta.ctime, 99);
}

/* What is said of a directory that cannot be served; the store stays as it is. */
static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct store *second;
	char why[600], name[128];
	struct meta meta = {.generation = 1};
	int fd;

	assert_int_equal(
	    store_open(f->path, f->path, true, &meta, &second, why, sizeof why), -EWOULDBLOCK);
	assert_non_null(strstr(why, "in use by another lamb"));
	store_close(f->store);
	f->store = NULL;
	snprintf(name, sizeof name, "%s/config", f->path);
	fd = open(name, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "lamb store 9\n", 13), 13);
	assert_int_equal(
	    store_open(f->path, f->path, true, &meta, &second, why, sizeof why), -EPROTONOSUPPORT);
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	assert_int_equal(
	    store_open(f->path, f->path, true, &meta, &second, why, sizeof why), -EBADMSG);
	assert_non_null(strstr(why, name));
	assert_int_equal(unlink(name), 0);
	assert_int_equal(
	    store_open(f->path, f->path, true, &meta, &second, why, sizeof why), -ENOTEMPTY);
	assert_non_null(strstr(why, "not empty"));
}

/* The cache closes the least recently used, never one in use, and never serves a replaced one. */
static void test_handles(void **state)
{
	static _Atomic uint32_t versions[SHARED_VERSIONS];
	struct handles *handles = handles_new(2, versions);
	struct handle *used;
	uint64_t moment;

	(void)state;
	for (uint64_t oid = 1; oid <= 3; oid++) {
		moment = handles_moment(handles, oid);
		used = handles_add(handles, oid, open("/dev/null", O_RDONLY), moment);
		assert_non_null(used);
		if (oid != 1)
			handles_put(handles, used);
	}
	used = handles_get(handles, 1); /* still in use by the loop above: never closed */
	assert_non_null(used);
	assert_null(handles_get(handles, 2));
	moment = handles_moment(handles, 1);
	versions[shared_version_index(1)] += 2;
	handles_replace(handles, 1, -1);
	assert_null(handles_get(handles, 1));
	assert_true(fcntl(used->fd, F_GETFD) >= 0);
	assert_null(handles_add(handles, 1, open("/dev/null", O_RDONLY), moment));
	handles_put(handles, used);
	handles_put(handles, used);
	/* another node replaces it */
	moment = handles_moment(handles, 3);
	handles_put(handles, handles_add(handles, 3, open("/dev/null", O_RDONLY), moment));
	versions[shared_version_index(3)]++;
	assert_null(handles_get(handles, 3));
	/* in the middle of that, or when the other died there, none is kept */
	moment = handles_moment(handles, 3);
	used = handles_add(handles, 3, open("/dev/null", O_RDONLY), moment);
	assert_non_null(used);
	assert_null(handles_get(handles, 3));
	handles_put(handles, used);
	handles_free(handles);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_create_and_read, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_base, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_is_zero, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_remove_and_list, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_format, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	    cmocka_unit_test(test_handles),
	};

	return cmocka_run_group_tests_name("lamb_store", tests, NULL, NULL);
}
