/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a simulated cluster holds, as the simulated daemon itself sees it; tests use simdaemon.h.
 */
#ifndef SHEEPFS_TESTS_SIMSTORE_H
#define SHEEPFS_TESTS_SIMSTORE_H

#include "tests/unit/simdaemon.h"

/* Bytes beyond `size` are zeros. */
struct sim_object {
	struct sim_object *next;
	uint64_t oid;
	size_t size;
	uint8_t *data;
};

/* Where the object is linked in, or would be. */
struct sim_object **sim_object_place(struct sim *sim, uint64_t oid);
/* The object, made empty when there is none. */
struct sim_object *sim_object_make(struct sim *sim, uint64_t oid);
void sim_object_write(struct sim_object *o, uint64_t at, const void *data, size_t size);
void sim_object_read(const struct sim_object *o, uint64_t at, void *data, size_t size);

#endif
