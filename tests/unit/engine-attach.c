/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's engine before it serves: attach and its refusals, giving up, and what new
 * connections must prove.
 */
#include "tests/unit/simworld.h"

#include <errno.h>
#include <string.h>

/* ---- attach ---- */

static void attach(void **state)
{
	struct world *w = world_open(10 * MIB + 5, 22);
	struct front *f = &w->front;

	(void)state;
	w->v->index[0] = VID;
	w->v->index[2] = PARENT;
	front_begin(f, "v", "", 0);
	assert_true(f->is_ready);
	assert_int_equal(f->ready.size, 10 * MIB + 5);
	assert_int_equal(f->ready.vid, VID);
	assert_int_equal(f->ready.shift, 22);
	assert_int_equal(f->ready.read_only, 0);
	assert_int_equal(f->ready.allocated, 8 * MIB);
	assert_int_equal(serve_allocated(f->serve), 8 * MIB);
	assert_int_equal(f->locked, VID);
	assert_true(w->v->locked);
	assert_null(strstr(f->sentence, "enforce"));
	serve_drain(f->serve);
	sim_run(w->sim);
	assert_true(f->drained);
	assert_int_equal(f->locked, 0);
	assert_false(w->v->locked);
	world_close(w);
}

static void attach_without_lock_flag(void **state)
{
	struct world *w = world_open(MIB, 22);

	(void)state;
	w->sim->flags = 0;
	front_begin(&w->front, "v", "", 0);
	assert_true(w->front.is_ready);
	assert_non_null(strstr(w->front.sentence, "does not enforce locks"));
	world_close(w);
}

static void attach_to_another_version(void **state)
{
	struct world *w = world_open(MIB, 22);

	(void)state;
	w->sim->status = SD_RES_VER_MISMATCH;
	front_begin(&w->front, "v", "", 0);
	assert_true(w->front.is_ready);
	assert_non_null(strstr(w->front.sentence, "not known"));
	serve_connected(w->front.serve, 2);
	sim_run(w->sim);
	assert_int_equal(w->sim->admitted, 1);
	world_close(w);
}

/* A daemon that another one named must be of that one's cluster. */
static void attach_to_the_cluster_that_is_meant(void **state)
{
	struct world *w = world_open(MIB, 22);

	(void)state;
	w->front.was.cluster_ctime = SIM_CTIME + 1;
	front_begin(&w->front, "v", "", 0);
	assert_true(w->front.refused && w->front.elsewhere);
	assert_int_equal(w->front.refusal, -ESTALE);
	assert_false(w->v->locked);
	serve_close(w->front.serve);
	w->front.was.cluster_ctime = SIM_CTIME;
	front_begin(&w->front, "v", "", 0);
	assert_true(w->front.is_ready);
	assert_true(w->v->locked);
	world_close(w);
}

/* What is changed before an attach, and how it must be refused. */
struct refusal {
	const char *what;
	void (*change)(struct world *w);
	const char *name, *tag;
	int error;
	bool elsewhere;
	const char *says;
};

static void no_format(struct world *w)
{
	w->sim->status = SD_RES_WAIT_FOR_FORMAT;
}

static void no_join(struct world *w)
{
	w->sim->status = SD_RES_WAIT_FOR_JOIN;
}

static void locked(struct world *w)
{
	w->v->locked = true;
}

static void collecting(struct world *w)
{
	w->sim->name_status = SD_RES_COLLECTING_CINFO;
}

static void hyper(struct world *w)
{
	w->v->header.store_policy = 1;
}

static void empty(struct world *w)
{
	w->v->header.vdi_size = 0;
}

static void too_large(struct world *w)
{
	w->v->header.vdi_size = (UINT64_C(1) << 42) + 1;
}

static void small_objects(struct world *w)
{
	w->v->header.block_size_shift = 11;
}

static void large_objects(struct world *w)
{
	w->v->header.block_size_shift = 32;
}

static void no_vid(struct world *w)
{
	w->v->header.vdi_id = SD_NR_VDIS;
}

static void damaged_index(struct world *w)
{
	w->v->index[0] = 0x1000000;
}

static void unchanged(struct world *w)
{
	(void)w;
}

static const struct refusal refusals[] = {
    {"not formatted", no_format, "v", "", -ENXIO, true, "formatted"},
    {"not joined", no_join, "v", "", -EAGAIN, true, "nodes"},
    {"no such name", unchanged, "w", "", -ENOENT, false, "no volume w;"},
    {"no such tag", unchanged, "v", "t", -ENOENT, false, "no snapshot v@t;"},
    {"locked", locked, "v", "", -EBUSY, false, "dog vdi lock unlock v"},
    {"joining sheep", collecting, "v", "", -EAGAIN, true, "COLLECTING_CINFO"},
    {"hyper", hyper, "v", "", -EOPNOTSUPP, false, "hyper"},
    {"size 0", empty, "v", "", -EINVAL, false, "size 0"},
    {"too large", too_large, "v", "", -EFBIG, false, "4398046511105"},
    {"shift 11", small_objects, "v", "", -EINVAL, false, "2^11"},
    {"shift 32", large_objects, "v", "", -EINVAL, false, "2^32"},
    {"vid too large", no_vid, "v", "", -EIO, true, "1000000"},
    {"damaged index", damaged_index, "v", "", -EIO, true, "entry 0 is 01000000"},
};

static void attach_refused(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof refusals / sizeof refusals[0]; n++) {
		const struct refusal *r = &refusals[n];
		struct world *w = world_open(MIB, 22);
		struct front *f = &w->front;

		r->change(w);
		front_begin(f, r->name, r->tag, 0);
		if (!f->refused || f->refusal != r->error || f->elsewhere != r->elsewhere ||
		    !strstr(f->sentence, r->says))
			fail_msg("%s: %d, %s", r->what, f->refusal, f->sentence);
		assert_int_equal(f->locked, 0);
		if (r->change != no_vid) /* whose lock nobody can name */
			assert_int_equal(w->v->locked, r->change == locked);
		world_close(w);
	}
}

static void attach_foreign_header(void **state)
{
	(void)state;
	for (int n = 0; n < 4; n++) {
		struct world *w = world_open(MIB, 22);
		struct front *f = &w->front;

		front_start(f, "v", "", 0);
		while (!f->locked)
			assert_true(sim_step(w->sim));
		if (n == 0)
			strcpy(w->v->header.name, "w");
		else if (n == 1)
			w->v->header.name[0] = 0;
		else if (n == 2)
			w->v->header.snap_ctime = 1;
		else
			strcpy(w->v->header.name, "vv");
		sim_run(w->sim);
		assert_true(f->refused);
		assert_int_equal(f->locked, 0);
		assert_false(w->v->locked);
		world_close(w);
	}
}

static void attach_snapshot(void **state)
{
	struct world *w = world_open(MIB, 20);
	struct front *f = &w->front;
	struct sim_vdi *s;

	(void)state;
	sim_put(w->sim, VID, 0, 0, w->data, MIB);
	w->v->header.snap_ctime = 1;
	strcpy(w->v->header.tag, "t");
	w->v->header.snap_id = 3;
	s = sim_make_vdi(w->sim, VID + 1, "v", "", MIB, 20);
	front_begin(f, "v", "t", 0);
	assert_true(f->is_ready);
	assert_int_equal(f->ready.vid, VID);
	assert_int_equal(f->ready.read_only, 1);
	assert_int_equal(f->locked, 0);
	assert_false(s->locked);
	assert_int_equal(front_read(f, 0, MIB, w->back), 0);
	assert_memory_equal(w->back, w->data, MIB);
	assert_int_equal(front_write(f, 0, 512, w->data), -EROFS);
	assert_int_equal(front_flush(f), 0);
	serve_drain(f->serve);
	sim_run(w->sim);
	assert_true(f->drained);
	front_crash(f);
	front_begin(f, "v", "", 3);
	assert_true(f->is_ready);
	assert_int_equal(f->ready.vid, VID);
	world_close(w);
}

static void drain_while_beginning(void **state)
{
	(void)state;
	for (unsigned steps = 0; steps < 8; steps++) {
		struct world *w = world_open(MIB, 22);
		struct front *f = &w->front;

		front_start(f, "v", "", 0);
		for (unsigned n = 0; n < steps; n++)
			sim_step(w->sim);
		serve_drain(f->serve);
		sim_run(w->sim);
		assert_true(f->drained);
		assert_false(w->v->locked);
		assert_int_equal(f->locked, 0);
		world_close(w);
	}
}

/* ---- identity ---- */

static void connections_are_proved(void **state)
{
	struct world *w = world_open(MIB, 22);

	(void)state;
	front_start(&w->front, "v", "", 0);
	for (unsigned n = 2; n < 10; n++)
		serve_connected(w->front.serve, n);
	sim_run(w->sim);
	assert_true(w->front.is_ready);
	assert_int_equal(w->sim->admitted, 8);
	world_close(w);
}

static void connection_to_another_cluster(void **state)
{
	struct world *w = world_begin(MIB, 22);

	(void)state;
	w->sim->stray_ctime = SIM_CTIME + 1;
	serve_connected(w->front.serve, 2);
	sim_run(w->sim);
	assert_true(w->front.ended);
	assert_int_equal(w->front.word, EXIT_DAEMON_LIES);
	assert_int_equal(w->sim->admitted, 0);
	world_close(w);
}

static void connection_to_another_inode(void **state)
{
	struct world *w = world_begin(MIB, 22);

	(void)state;
	w->v->header.create_time++;
	serve_connected(w->front.serve, 2);
	sim_run(w->sim);
	assert_true(w->front.ended);
	assert_int_equal(w->front.word, EXIT_VOLUME_CHANGED);
	assert_int_equal(w->sim->admitted, 0);
	world_close(w);
}

static void connection_that_cannot_be_proved(void **state)
{
	struct world *w = world_begin(MIB, 22);

	(void)state;
	w->sim->status = SD_RES_WAIT_FOR_JOIN;
	serve_connected(w->front.serve, 2);
	sim_run(w->sim);
	assert_false(w->front.ended);
	assert_int_equal(w->sim->admitted, 0);
	world_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(attach),
	    cmocka_unit_test(attach_without_lock_flag),
	    cmocka_unit_test(attach_to_another_version),
	    cmocka_unit_test(attach_to_the_cluster_that_is_meant),
	    cmocka_unit_test(attach_refused),
	    cmocka_unit_test(attach_foreign_header),
	    cmocka_unit_test(attach_snapshot),
	    cmocka_unit_test(drain_while_beginning),
	    cmocka_unit_test(connections_are_proved),
	    cmocka_unit_test(connection_to_another_cluster),
	    cmocka_unit_test(connection_to_another_inode),
	    cmocka_unit_test(connection_that_cannot_be_proved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
