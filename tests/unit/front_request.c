/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front's table of what is in flight: what an answer must be to count.
 */
#include "tests/unit/unit.h"

#include "front/request.h"
#include "front/waiting.h"
#include "ipc/msg.h"

#include <stdlib.h>
#include <string.h>

static void test_slots(void **state)
{
	static struct request_table t;
	struct request *r[3];

	(void)state;
	assert_int_equal(request_next_slot(&t), -1);
	request_start(&t, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(request_next_slot(&t), (int)i);
		r[i] = request_begin(&t, 100 + i, REQUEST_READ, 0, 512);
		assert_int_equal(r[i]->slot, i);
	}
	assert_int_equal(request_next_slot(&t), -1);
	assert_int_equal(request_in_flight(&t), 3);
	request_end(&t, r[0]);
	request_end(&t, r[2]);
	/* the one that was freed last is hot */
	assert_int_equal(request_next_slot(&t), 2);
	assert_int_equal(request_in_flight(&t), 1);
}

static void test_only_the_right_answer_is_found(void **state)
{
	static struct request_table t;
	struct request *r;
	uint64_t old;

	(void)state;
	request_start(&t, 2);
	r = request_begin(&t, 100, REQUEST_WRITE, 8192, 512);
	/* nobody was given it */
	assert_null(request_find(&t, r->id, 4));
	r->generation = 4;
	assert_ptr_equal(request_find(&t, r->id, 4), r);
	assert_null(request_find(&t, r->id, 3));
	assert_null(request_find(&t, r->id, 5));
	assert_null(request_find(&t, 0, 4));
	assert_null(request_find(&t, r->id + 256, 4));
	for (uint64_t id = 0; id < 1024; id++)
		assert_true(id == r->id || !request_find(&t, id, 4));
	assert_null(request_find(&t, UINT64_MAX, 4));
	r->answered = true;
	assert_null(request_find(&t, r->id, 4));
	old = r->id;
	request_end(&t, r);
	assert_null(request_find(&t, old, 4));
	/* the same slot, another request */
	r = request_begin(&t, 102, REQUEST_READ, 0, 512);
	r->generation = 4;
	assert_int_equal(r->slot, 0);
	assert_true(r->id != old);
	assert_null(request_find(&t, old, 4));
	assert_ptr_equal(request_find(&t, r->id, 4), r);
}

static void test_ids_are_never_used_twice(void **state)
{
	static struct request_table t;
	uint64_t last[SLOTS_PER_VOLUME] = {0};

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		request_start(&t, SLOTS_PER_VOLUME);
		for (unsigned i = 0; i < SLOTS_PER_VOLUME; i++) {
			struct request *r = request_begin(&t, i, REQUEST_READ, 0, 1);

			assert_true(r->id > last[r->slot]);
			last[r->slot] = r->id;
		}
	}
}

static void test_waiting(void **state)
{
	static uint8_t payload[SLOT_SIZE];
	struct waiting_list l;
	struct waiting *w;
	unsigned count = 0;

	(void)state;
	waiting_init(&l);
	memset(payload, 7, sizeof payload);
	assert_null(waiting_take(&l));
	assert_int_equal(waiting_add(&l, 1, 5, REQUEST_READ, 10, 20, NULL), 0);
	for (; !waiting_full(&l); count++)
		assert_int_equal(waiting_add(&l, 2, 6, REQUEST_WRITE, 30, SLOT_SIZE, payload), 0);
	assert_int_equal(count, WAITING_BYTES_MAX / SLOT_SIZE);
	w = waiting_take(&l);
	assert_int_equal(w->unique, 1);
	assert_int_equal(w->offset, 10);
	assert_int_equal(w->length, 20);
	free(w);
	while ((w = waiting_take(&l))) {
		assert_memory_equal(w->payload, payload, SLOT_SIZE);
		free(w);
		count--;
	}
	assert_int_equal(count, 0);
	assert_int_equal(l.bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_slots),
	    cmocka_unit_test(test_only_the_right_answer_is_found),
	    cmocka_unit_test(test_ids_are_never_used_twice),
	    cmocka_unit_test(test_waiting),
	};

	return cmocka_run_group_tests_name("front_request", tests, NULL, NULL);
}
