/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which members of the cluster become targets: what a daemon, or a worker in its name, may say, and
 * what is made of it.
 */
#include "tests/unit/unit.h"

#include "master/discover.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CTIME 77

struct rig {
	struct master m; /* first */
	struct conf conf;
	struct target_list named;
};

static void name(struct rig *r, const char *targets)
{
	char why[256];

	assert_int_equal(target_parse_list(targets, &r->named, why, sizeof why), 0);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	assert_non_null(r);
	name(r, "10.0.0.1:7000,10.0.0.2:7000");
	r->m.conf = &r->conf;
	r->m.targets = &r->named;
	r->m.base = event_base_new();
	assert_int_equal(discover_open(&r->m), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	discover_close(&r->m);
	event_base_free(r->m.base);
	free(r);
	return 0;
}

static void permit(struct rig *r, const char *prefixes)
{
	char why[256];

	r->conf.nodes_given = true;
	assert_int_equal(prefix_parse_list(prefixes, &r->conf.nodes, why, sizeof why), 0);
}

static void piece(struct rig *r, const char *text, bool first, bool last)
{
	const struct msg_members told = {
	    .number = 1, .cluster_ctime = CTIME, .first = first, .last = last};

	discover_take(&r->m, &told, text);
}

static void told(struct rig *r, const char *text)
{
	piece(r, text, true, true);
}

/* All targets, those that were named included. */
static void are(const struct rig *r, const char *targets)
{
	char text[TARGET_LIST_TEXT_MAX];

	target_list_text(discover_targets(&r->m), text, sizeof text);
	assert_string_equal(text, targets);
}

static void test_members_follow_the_named(void **state)
{
	const struct target_list *list;
	struct rig *r = *state;
	char text[TARGET_LIST_TEXT_MAX];

	are(r, "10.0.0.1:7000,10.0.0.2:7000");
	assert_int_equal(discover_members(&r->m, text), 0);
	assert_string_equal(text, "");
	told(r, "10.0.0.3:7000,10.0.0.1:7000,10.0.0.2:7000,10.0.0.4:7000,10.0.0.3:7000");
	are(r, "10.0.0.1:7000,10.0.0.2:7000,10.0.0.3:7000,10.0.0.4:7000");
	assert_int_equal(discover_members(&r->m, text), CTIME);
	assert_string_equal(text, "10.0.0.3:7000,10.0.0.4:7000");
	/* those that people named may be of any cluster */
	list = discover_targets(&r->m);
	assert_int_equal(list->targets[1].cluster_ctime, 0);
	assert_int_equal(list->targets[2].cluster_ctime, CTIME);
	/* who left is none any more */
	told(r, "10.0.0.2:7000,10.0.0.4:7000");
	are(r, "10.0.0.1:7000,10.0.0.2:7000,10.0.0.4:7000");
	told(r, "10.0.0.1:7000");
	are(r, "10.0.0.1:7000,10.0.0.2:7000");
}

static void test_the_same_typed_otherwise(void **state)
{
	struct rig *r = *state;

	name(r, "[fd00:0:0::0001]:7000,unix:/run/sock");
	discover_forget(&r->m);
	told(r, "[fd00::1]:7000,[fd00::2]:7000,[fd00:0::2]:7000");
	are(r, "[fd00:0:0::0001]:7000,unix:/run/sock,[fd00::2]:7000");
}

static void test_what_is_not_permitted(void **state)
{
	struct rig *r = *state;

	/* not beside those that were named, or at another port */
	told(r, "10.0.1.3:7000,10.0.0.3:22,127.0.0.1:7000,10.0.0.4:7000");
	are(r, "10.0.0.1:7000,10.0.0.2:7000,10.0.0.4:7000");
	permit(r, "10.1.0.0/16");
	told(r, "10.0.0.3:7000,10.1.2.3:22,10.2.0.1:7000");
	are(r, "10.0.0.1:7000,10.0.0.2:7000,10.1.2.3:22");
	permit(r, "none");
	told(r, "10.0.0.3:7000,10.1.2.3:22");
	are(r, "10.0.0.1:7000,10.0.0.2:7000");
}

static void test_hostile_lists(void **state)
{
	static const char *const lists[] = {"", ",", ",,,,", "nonsense", "10.0.0.3:0",
	    "10.0.0.3:99999", "10.0.0.3:7000;10.0.0.4:7000", "unix:/run/sheepfs/x",
	    "lamb:/srv/store", "lamb:", "unix:", "[::ffff:10.0.0.3]:7000", "[::]:0",
	    ":::::", "10.0.0.3:7000 ", "\x1b[31m10.0.0.3", "%s%n", "[fd00::1", "host.example:7000"};
	char list[COMMAND_TEXT_MAX + 1];
	struct rig *r = *state;

	permit(r, "0.0.0.0/0,::/0");
	for (unsigned i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		told(r, lists[i]);
		are(r, "10.0.0.1:7000,10.0.0.2:7000");
		/* and none spoils what stands beside it */
		snprintf(list, sizeof list, "%s,10.0.0.9:7000", lists[i]);
		told(r, list);
		are(r, "10.0.0.1:7000,10.0.0.2:7000,10.0.0.9:7000");
	}
	memset(list, '1', sizeof list - 1);
	list[sizeof list - 1] = 0;
	told(r, list);
	are(r, "10.0.0.1:7000,10.0.0.2:7000");
	/* as many that may not be dialled as a message holds */
	permit(r, "none");
	for (unsigned used = 0; used + 14 < sizeof list; used += 14)
		memcpy(list + used, "10.20.30.4:70,", 15);
	told(r, list);
	are(r, "10.0.0.1:7000,10.0.0.2:7000");
}

static void test_no_more_than_a_list_holds(void **state)
{
	char text[COMMAND_TEXT_MAX] = "";
	struct rig *r = *state;

	for (unsigned i = 3; i < 250; i++)
		sprintf(text + strlen(text), "%s10.0.0.%u:7000", i > 3 ? "," : "", i);
	told(r, text);
	assert_int_equal(discover_targets(&r->m)->count, TARGETS_MAX);
	assert_string_equal(discover_targets(&r->m)->targets[31].text, "10.0.0.32:7000");
}

static void test_pieces(void **state)
{
	struct rig *r = *state;

	told(r, "10.0.0.9:7000");
	piece(r, "10.0.0.3:7000", true, false);
	are(r, "10.0.0.1:7000,10.0.0.2:7000,10.0.0.9:7000");
	/* whoever told the first died, another one tells it anew */
	piece(r, "10.0.0.4:7000,10.0.0.5:7000", true, false);
	piece(r, "10.0.0.5:7000,10.0.0.6:7000", false, false);
	piece(r, "10.0.0.7:7000", false, true);
	are(r,
	    "10.0.0.1:7000,10.0.0.2:7000,10.0.0.4:7000,10.0.0.5:7000,10.0.0.6:7000,10.0.0.7:7000");
}

/* What lies beside the new targets counts, and what was learnt from the old ones does not. */
static void test_other_targets(void **state)
{
	struct rig *r = *state;

	told(r, "10.0.0.3:7000");
	name(r, "10.5.0.1:7005");
	discover_forget(&r->m);
	are(r, "10.5.0.1:7005");
	told(r, "10.0.0.3:7000,10.5.0.2:7005");
	are(r, "10.5.0.1:7005,10.5.0.2:7005");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_members_follow_the_named),
	    TEST(test_the_same_typed_otherwise),
	    TEST(test_what_is_not_permitted),
	    TEST(test_hostile_lists),
	    TEST(test_no_more_than_a_list_holds),
	    TEST(test_pieces),
	    TEST(test_other_targets),
	};

	return cmocka_run_group_tests_name("master_discover", tests, NULL, NULL);
}
