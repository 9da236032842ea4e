/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading mountinfo: which mount is on top, whose it is, and what lies below it.
 */
#include "tests/unit/unit.h"

#include "master/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char sample[] =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "40 27 0:50 / /mnt rw,nosuid,nodev,relatime shared:7 - fuse.sheepfs sheepfs rw,user_id=0\n"
    "41 40 0:51 / /mnt/volume/a rw,nosuid,nodev - fuse.sheepfs sheepfs:a rw,user_id=0\n"
    "42 40 0:52 / /mnt/volume/with\\040space rw - fuse.sheepfs sheepfs:with\\040space rw\n"
    "43 27 0:53 / /mnt2 rw - tmpfs tmpfs rw\n"
    "44 27 8:54 / /disk rw - fuse.sheepfs elsewhere rw\n"
    "45 27 0:55 / /stacked rw - fuse.sheepfs dead rw\n"
    "46 45 0:56 / /stacked/x rw - fuse.sheepfs dead:x rw\n"
    "47 45 0:57 / /stacked rw - tmpfs over rw\n";

static char path[] = "/tmp/sheepfs-mountinfo.XXXXXX";

static int make_sample(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0 || write(fd, sample, strlen(sample)) != (ssize_t)strlen(sample))
		return -1;
	return close(fd);
}

static int remove_sample(void **state)
{
	(void)state;
	return unlink(path);
}

static void test_found(void **state)
{
	struct mountinfo info;

	(void)state;
	assert_int_equal(mountinfo_find(path, "/mnt", &info), 0);
	assert_int_equal(info.id, 40);
	assert_int_equal(info.device, 50);
	assert_string_equal(info.type, "fuse.sheepfs");
	assert_string_equal(info.source, "sheepfs");
	assert_int_equal(info.nested, 2);
	assert_int_equal(mountinfo_find(path, "/mnt/volume/with space", &info), 0);
	assert_int_equal(info.device, 52);
	assert_string_equal(info.source, "sheepfs:with space");
}

static void test_not_found(void **state)
{
	struct mountinfo info;

	(void)state;
	assert_int_equal(mountinfo_find(path, "/mnt/volume", &info), -ENOENT);
	assert_int_equal(mountinfo_find(path, "/mn", &info), -ENOENT);
	assert_int_equal(mountinfo_find("/nonexistent/mountinfo", "/mnt", &info), -EIO);
}

static void test_the_topmost_counts(void **state)
{
	struct mountinfo info;

	(void)state;
	assert_int_equal(mountinfo_find(path, "/stacked", &info), 0);
	assert_int_equal(info.id, 47);
	assert_string_equal(info.type, "tmpfs");
	assert_int_equal(info.nested, 0);
}

static void test_connections(void **state)
{
	(void)state;
	assert_true(mountinfo_lists(path, 51));
	assert_true(mountinfo_lists(path, 55));
	/* a tmpfs, a block device's, none */
	assert_false(mountinfo_lists(path, 53));
	assert_false(mountinfo_lists(path, 54));
	assert_false(mountinfo_lists(path, 99));
	/* what cannot be known counts as listed */
	assert_true(mountinfo_lists("/nonexistent/mountinfo", 99));
}

static void test_the_real_one(void **state)
{
	struct mountinfo info;

	(void)state;
	assert_int_equal(mountinfo_find(MOUNTINFO_FILE, "/proc", &info), 0);
	assert_string_equal(info.type, "proc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_found),
	    cmocka_unit_test(test_not_found),
	    cmocka_unit_test(test_the_topmost_counts),
	    cmocka_unit_test(test_connections),
	    cmocka_unit_test(test_the_real_one),
	};

	return cmocka_run_group_tests(tests, make_sample, remove_sample);
}
