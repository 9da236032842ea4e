/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With which targets a daemon that does no I/O is compared, and with which it never is; and who is
 * asked about one that died.
 */
#include "tests/unit/masterrig.h"

#include "master/other.h"
#include "master/volume.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Nobody listens there. */
#define FIRST "127.0.0.1:1"
#define SECOND "127.0.0.1:2"
#define THIRD "127.0.0.1:3"

struct rig {
	struct master m;
	struct conf conf;
	struct volume *v;
};

static int setup(void **state)
{
	static const struct name name = {.name = "v"};
	struct rig *r = calloc(1, sizeof *r);
	struct master *m = &r->m;
	char why[256];

	assert_non_null(r);
	assert_int_equal(
	    target_parse_list(FIRST "," SECOND "," THIRD, &r->conf.targets, why, sizeof why), 0);
	r->conf.timeout = 10;
	make_master(m, &r->conf);
	r->v = volume_new(m, 1, &name);
	assert_non_null(r->v);
	r->v->generation.target = r->conf.targets.targets[1];
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	other_end(&r->v->generation);
	volume_free(r->v);
	cluster_close(&r->m);
	discover_close(&r->m);
	event_base_free(r->m.base);
	free(r);
	return 0;
}

static void asks(struct rig *r, const char *target)
{
	struct generation *g = &r->v->generation;

	memset(&g->compared.target, 0, sizeof g->compared.target);
	other_compare(g, true);
	assert_string_equal(g->compared.target.text, target ? target : "");
	assert_int_equal(g->compared.dial != NULL, target != NULL);
	while (g->compared.dial)
		event_base_loop(r->m.base, EVLOOP_ONCE);
}

static void leave(struct rig *r, uint32_t generation, const char *address)
{
	const int none = -1;

	assert_true(past_add(&r->v->pasts, 1, generation, 0, 0, address, &none, 0));
}

static void the_others_in_their_order(void **state)
{
	struct rig *r = *state;

	asks(r, THIRD);
	asks(r, FIRST);
	asks(r, THIRD);
	/* one that is not listed any more may go to each of them */
	strcpy(r->v->generation.target.text, "127.0.0.1:4");
	((struct sockaddr_in *)&r->v->generation.target.address)->sin_port = htons(4);
	r->v->generation.compared.count = 0;
	asks(r, FIRST);
	asks(r, SECOND);
	asks(r, THIRD);
}

static void one_at_a_time(void **state)
{
	struct rig *r = *state;
	struct generation *g = &r->v->generation;

	other_compare(g, false);
	assert_string_equal(g->compared.target.text, THIRD);
	other_compare(g, true);
	assert_string_equal(g->compared.target.text, THIRD);
	other_end(g);
	g->draining = true;
	asks(r, NULL);
}

/* Nobody goes to and fro between daemons that do no I/O. */
static void none_that_was_left_unsettled(void **state)
{
	struct rig *r = *state;

	leave(r, 1, THIRD);
	asks(r, FIRST);
	asks(r, FIRST);
	leave(r, 2, FIRST);
	asks(r, NULL);
	past_close(&r->m, r->v, &r->v->pasts);
	asks(r, THIRD);
}

/* So many that another loss of a daemon would make the volume fail. */
static void not_with_many_unsettled(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < PASTS_MAX - 3; i++)
		leave(r, i + 1, "127.0.0.1:9");
	asks(r, THIRD);
	leave(r, PASTS_MAX, "127.0.0.1:9");
	asks(r, NULL);
}

static void who_serves_where_one_died(void **state)
{
	struct rig *r = *state;
	struct generation *g = &r->v->generation;

	other_visit(g, "127.0.0.1:9");
	assert_null(g->visited.dial);
	other_visit(g, FIRST);
	assert_string_equal(g->visited.target.text, FIRST);
	other_visit(g, THIRD);
	assert_string_equal(g->visited.target.text, FIRST);
	/* beside a comparison */
	asks(r, THIRD);
	while (g->visited.dial)
		event_base_loop(r->m.base, EVLOOP_ONCE);
	other_visit(g, THIRD);
	assert_string_equal(g->visited.target.text, THIRD);
}

/* Only where a daemon of the past was does that tell anything. */
static void nobody_is_there(void **state)
{
	struct rig *r = *state;
	struct generation *g = &r->v->generation;

	asks(r, THIRD);
	assert_false(r->v->refused);
	leave(r, 1, FIRST);
	asks(r, THIRD);
	assert_false(r->v->refused);
	other_visit(g, FIRST);
	while (g->visited.dial)
		event_base_loop(r->m.base, EVLOOP_ONCE);
	assert_true(r->v->refused);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_others_in_their_order),
	    TEST(one_at_a_time),
	    TEST(none_that_was_left_unsettled),
	    TEST(not_with_many_unsettled),
	    TEST(who_serves_where_one_died),
	    TEST(nobody_is_there),
	};

	return cmocka_run_group_tests_name("master_other", tests, NULL, NULL);
}
