/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which addresses of a daemon's node list may be dialled: --nodes, and what holds without it.
 */
#include "tests/unit/unit.h"

#include "master/nodes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct target target_of(const char *text)
{
	struct target_list list;
	char why[256];

	assert_int_equal(target_parse_list(text, &list, why, sizeof why), 0);
	return list.targets[0];
}

static void test_prefixes(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool holds;
	} cases[] = {
	    {"10.1.0.0/16", "10.1.2.3:7000", true},
	    {"10.1.0.0/16", "10.2.2.3:7000", false},
	    {"10.1.2.0/23", "10.1.3.255:1", true},
	    {"10.1.2.0/23", "10.1.4.0:1", false},
	    {"10.1.2.3", "10.1.2.3:7000", true},
	    {"10.1.2.3/32", "10.1.2.2:7000", false},
	    {"0.0.0.0/0", "192.0.2.1:7000", true},
	    {"0.0.0.0/0", "[fd00::1]:7000", false},
	    {"fd00::/64", "[fd00::1:2]:7000", true},
	    {"fd00::/64", "[fd00:0:0:1::1]:7000", false},
	    {"fd00::/127", "[fd00::1]:7000", true},
	    {"fd00::/127", "[fd00::2]:7000", false},
	    {"::/0", "10.0.0.1:7000", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct target t = target_of(cases[i].address);
		struct prefix_list list;
		char why[256];

		assert_int_equal(prefix_parse_list(cases[i].prefix, &list, why, sizeof why), 0);
		assert_int_equal(list.count, 1);
		if (prefix_holds(&list.prefixes[0], &t.address) != cases[i].holds)
			fail_msg("%s and %s", cases[i].prefix, cases[i].address);
	}
}

static void test_wrong_prefixes(void **state)
{
	static const char *const cases[] = {"", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8",
	    "fd00::/129", "10.0.0.0/-1", "10.0.0.0/8x", "host", "10.0.0.0/8,", "none,10.0.0.0/8"};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct prefix_list list;
		char why[256] = "";

		assert_int_equal(prefix_parse_list(cases[i], &list, why, sizeof why), -EINVAL);
		assert_non_null(strstr(why, "10.1.0.0/16"));
	}
}

static void test_too_many_prefixes(void **state)
{
	char text[PREFIXES_MAX * 10 + 10] = "10.0.0.1", why[256];
	struct prefix_list list;

	(void)state;
	for (unsigned i = 1; i < PREFIXES_MAX; i++)
		strcat(text, ",10.0.0.1");
	assert_int_equal(prefix_parse_list(text, &list, why, sizeof why), 0);
	strcat(text, ",10.0.0.1");
	assert_int_equal(prefix_parse_list(text, &list, why, sizeof why), -EINVAL);
}

static bool permitted(const char *targets, const char *nodes, const char *address)
{
	struct target t = target_of(address);
	struct conf c = {.nodes_given = nodes != NULL};
	struct target_list list;
	const struct master m = {.conf = &c, .targets = &list};
	char why[256];

	assert_int_equal(target_parse_list(targets, &list, why, sizeof why), 0);
	if (nodes)
		assert_int_equal(prefix_parse_list(nodes, &c.nodes, why, sizeof why), 0);
	return nodes_permitted(&m, &t);
}

static void test_permitted(void **state)
{
	(void)state;
	/* without --nodes: the targets' networks and ports */
	assert_true(permitted("10.0.0.1:7000", NULL, "10.0.0.9:7000"));
	assert_false(permitted("10.0.0.1:7000", NULL, "10.0.0.9:22"));
	assert_false(permitted("10.0.0.1:7000", NULL, "10.0.1.1:7000"));
	assert_true(permitted("10.0.0.1:7000,10.0.1.1:7001", NULL, "10.0.1.5:7001"));
	assert_false(permitted("10.0.0.1:7000,10.0.1.1:7001", NULL, "10.0.1.5:7000"));
	assert_true(permitted("[fd00::1]:7000", NULL, "[fd00::2]:7000"));
	assert_false(permitted("[fd00::1]:7000", NULL, "[fd00:0:0:1::2]:7000"));
	/* our own loopback is for those only who have a target there */
	assert_true(permitted("127.0.0.1:7000", NULL, "127.0.0.1:7001"));
	assert_false(permitted("10.0.0.1:7000", NULL, "127.0.0.1:7000"));
	assert_false(permitted("127.0.0.1:7000", NULL, "127.1.0.1:7000"));
	assert_false(permitted("unix:/run/sock", NULL, "127.0.0.1:7000"));
	/* with it: just that */
	assert_true(permitted("10.0.0.1:7000", "10.0.0.0/8", "10.9.9.9:22"));
	assert_false(permitted("10.0.0.1:7000", "10.1.0.0/16", "10.0.0.2:7000"));
	assert_false(permitted("10.0.0.1:7000", "none", "10.0.0.2:7000"));
	/* IPv4 in the clothes of IPv6 evades no prefix */
	assert_false(permitted("[fd00::1]:7000", "::/0", "[::ffff:10.0.0.2]:7000"));
	assert_false(permitted("[::ffff:10.0.0.1]:7000", NULL, "[::ffff:10.9.9.9]:7000"));
	/* and never a socket of this host */
	assert_false(permitted("10.0.0.1:7000", "0.0.0.0/0", "unix:/run/x"));
	assert_false(permitted("10.0.0.1:7000", "0.0.0.0/0", "lamb:/srv"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_prefixes),
	    cmocka_unit_test(test_wrong_prefixes),
	    cmocka_unit_test(test_too_many_prefixes),
	    cmocka_unit_test(test_permitted),
	};

	return cmocka_run_group_tests_name("master_nodes", tests, NULL, NULL);
}
