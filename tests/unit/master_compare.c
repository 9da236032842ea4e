/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With which targets a daemon that does no I/O is compared, and with which it never is.
 */
#include "tests/unit/unit.h"

#include "master/cluster.h"
#include "master/compare.h"
#include "master/discover.h"
#include "master/volume.h"

#include <arpa/inet.h>
#include <event2/event.h>
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
	m->conf = &r->conf;
	m->targets = &r->conf.targets;
	m->base = event_base_new();
	TAILQ_INIT(&m->volumes);
	TAILQ_INIT(&m->commands);
	STAILQ_INIT(&m->results);
	LIST_INIT(&m->locks);
	LIST_INIT(&m->lefts);
	STAILQ_INIT(&m->failovers);
	assert_int_equal(discover_open(m), 0);
	assert_int_equal(cluster_open(m), 0);
	r->v = volume_new(m, 1, &name);
	assert_non_null(r->v);
	r->v->generation.target = r->conf.targets.targets[1];
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	compare_end(&r->v->generation);
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

	memset(&g->other, 0, sizeof g->other);
	compare_begin(g, true);
	assert_string_equal(g->other.text, target ? target : "");
	assert_int_equal(g->comparing != NULL, target != NULL);
	while (g->comparing)
		event_base_loop(r->m.base, EVLOOP_ONCE);
}

static void leave(struct rig *r, uint32_t generation, const char *address)
{
	const int none = -1;

	assert_true(past_add(&r->v->pasts, 1, generation, 0, address, &none, 0));
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
	r->v->generation.compared = 0;
	asks(r, FIRST);
	asks(r, SECOND);
	asks(r, THIRD);
}

static void one_at_a_time(void **state)
{
	struct rig *r = *state;
	struct generation *g = &r->v->generation;

	compare_begin(g, false);
	assert_string_equal(g->other.text, THIRD);
	compare_begin(g, true);
	assert_string_equal(g->other.text, THIRD);
	compare_end(g);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_others_in_their_order),
	    TEST(one_at_a_time),
	    TEST(none_that_was_left_unsettled),
	    TEST(not_with_many_unsettled),
	};

	return cmocka_run_group_tests_name("master_compare", tests, NULL, NULL);
}
