/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One simulated cluster with one volume, and an engine with its front: what the engine's case
 * tests begin with.
 */
#ifndef SHEEPFS_TESTS_SIMWORLD_H
#define SHEEPFS_TESTS_SIMWORLD_H

#include "tests/unit/simfront.h"
#include "tests/unit/unit.h"

#define VID 0x6a5e16U
#define PARENT 0x123456U
#define MIB (1U << 20)

struct world {
	struct sim *sim;
	struct front front;
	struct sim_vdi *v;
	uint8_t data[2 * MIB], back[2 * MIB];
};

static inline struct world *world_open(uint64_t size, unsigned shift)
{
	struct world *w = test_calloc(1, sizeof *w);

	w->sim = sim_open(7);
	front_open(&w->front, w->sim);
	w->v = sim_make_vdi(w->sim, VID, "v", "", size, shift);
	for (size_t n = 0; n < sizeof w->data; n++)
		w->data[n] = (uint8_t)(n * 7 + n / 251 + 1);
	return w;
}

static inline struct world *world_begin(uint64_t size, unsigned shift)
{
	struct world *w = world_open(size, shift);

	front_begin(&w->front, "v", "", 0);
	assert_true(w->front.is_ready);
	return w;
}

static inline void world_close(struct world *w)
{
	front_close(&w->front);
	sim_close(w->sim);
	test_free(w);
}

#endif
