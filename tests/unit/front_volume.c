/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The road of a volume's requests, from the kernel's bytes to the worker's slots and back, with the
 * test as kernel, worker and master.
 */
#include "tests/unit/unit.h"

#include "tests/unit/front_fixture.h"

#include "front/volume.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE (UINT64_C(1) << 30)
#define ROOT FUSE_ROOT_ID

static int setup(void **state)
{
	*state = fixture_new();
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static uint64_t ask_read(struct fixture *x, uint64_t offset, uint32_t size)
{
	const struct fuse_read_in in = {.offset = offset, .size = size};

	return fixture_request(x, x->device, FUSE_READ, ROOT, &in, sizeof in);
}

static uint64_t ask_write(struct fixture *x, uint64_t offset, uint32_t size, int byte)
{
	static struct {
		struct fuse_write_in in;
		uint8_t payload[65536];
	} w;

	w.in = (struct fuse_write_in){.offset = offset, .size = size};
	memset(w.payload, byte, sizeof w.payload);
	return fixture_request(x, x->device, FUSE_WRITE, ROOT, &w, sizeof w.in + size);
}

/* The one request of the one message that lies at the worker's end. */
static struct record_request worked(struct fixture *x)
{
	struct record_request r;
	struct msg m;

	fixture_message(x->worker, KIND_VOLUME, MSG_REQUESTS, &m);
	assert_int_equal(m.volume, 5);
	assert_int_equal(m.generation, 3);
	assert_int_equal(m.records, 1);
	msg_record(&m, 0, &r);
	return r;
}

static void answer(struct fixture *x, uint64_t id, int error)
{
	const struct msg_answers payload = {.allocated = 1 << 22};
	const struct record_answer a = {.id = id, .error = error};

	fixture_send(x->worker, MSG_ANSWERS, 5, 3, &payload, &a, sizeof a);
	fixture_run(x);
}

static void test_read(void **state)
{
	struct fixture *x = *state;
	static uint8_t data[65536];
	struct record_request r;
	uint64_t unique, replied;
	size_t size;

	fixture_volume(x, SIZE, false, 4);
	unique = ask_read(x, 4096, 5000);
	r = worked(x);
	assert_int_equal(r.op, REQUEST_READ);
	assert_int_equal(r.offset, 4096);
	assert_int_equal(r.length, 5000);
	memset(x->in + r.slot * (size_t)SLOT_SIZE, 'r', 5000);
	fixture_silent(x->device);
	answer(x, r.id, 0);
	assert_int_equal(fixture_reply(x->device, &replied, data, &size), 0);
	assert_int_equal(replied, unique);
	assert_int_equal(size, 5000);
	assert_true(data[0] == 'r' && data[4999] == 'r');
	/* over the end: what there is; at and behind it: nothing, and nobody is asked */
	ask_read(x, SIZE - 100, 4096);
	r = worked(x);
	assert_int_equal(r.length, 100);
	answer(x, r.id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, data, &size), 0);
	assert_int_equal(size, 100);
	ask_read(x, SIZE, 4096);
	assert_int_equal(fixture_reply(x->device, NULL, data, &size), 0);
	assert_int_equal(size, 0);
	ask_read(x, UINT64_MAX, 4096);
	assert_int_equal(fixture_reply(x->device, NULL, data, &size), 0);
	assert_int_equal(size, 0);
	fixture_silent(x->worker);
}

static void test_write(void **state)
{
	struct fixture *x = *state;
	struct fuse_write_out written;
	struct record_request r;
	size_t size;

	fixture_volume(x, SIZE, false, 4);
	ask_write(x, 512, 3000, 'w');
	r = worked(x);
	assert_int_equal(r.op, REQUEST_WRITE);
	assert_int_equal(r.length, 3000);
	for (unsigned i = 0; i < 3000; i++)
		assert_int_equal(x->out[r.slot * (size_t)SLOT_SIZE + i], 'w');
	answer(x, r.id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, &written, &size), 0);
	assert_int_equal(size, sizeof written);
	assert_int_equal(written.size, 3000);
	/* over the end: what fits; at the end: ENOSPC */
	ask_write(x, SIZE - 10, 100, 'x');
	r = worked(x);
	assert_int_equal(r.length, 10);
	answer(x, r.id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, &written, &size), 0);
	assert_int_equal(written.size, 10);
	ask_write(x, SIZE, 1, 'x');
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -ENOSPC);
	fixture_silent(x->worker);
}

/* What the kernel copies to is there before: more of a slot only once it was used, and all of it
 * arrives, whatever part of it went through the scratch. */
static void test_write_grows_into_its_slot(void **state)
{
	static const struct {
		uint32_t size, present; /* bytes; afterwards */
	} steps[] = {{100, 4096}, {9000, 12288}, {5000, 12288}, {65536, 65536}};
	struct fixture *x = *state;

	fixture_volume(x, SIZE, false, 1);
	for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct record_request r;

		ask_write(x, 4096, steps[i].size, 'a' + (int)i);
		r = worked(x);
		assert_int_equal(r.slot, 0);
		assert_int_equal(r.length, steps[i].size);
		for (unsigned n = 0; n < steps[i].size; n++)
			assert_int_equal(x->out[n], 'a' + i);
		assert_int_equal(TAILQ_FIRST(&x->front.volumes)->present[0], steps[i].present);
		answer(x, r.id, 0);
		assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), 0);
	}
}

static void test_flush_and_errors(void **state)
{
	struct fixture *x = *state;
	const struct fuse_fsync_in in = {0};
	struct record_request r;

	fixture_volume(x, SIZE, false, 4);
	fixture_request(x, x->device, FUSE_FSYNC, ROOT, &in, sizeof in);
	r = worked(x);
	assert_int_equal(r.op, REQUEST_FLUSH);
	answer(x, r.id, -ENOSPC);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -ENOSPC);
	/* an errno that means something to the kernel alone */
	ask_read(x, 0, 512);
	answer(x, worked(x).id, -512);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
	ask_read(x, 0, 512);
	answer(x, worked(x).id, -4095);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
}

static void test_read_only(void **state)
{
	struct fixture *x = *state;
	struct fuse_open_in in = {.flags = 02 /* O_RDWR */};

	fixture_volume(x, SIZE, true, 4);
	fixture_request(x, x->device, FUSE_OPEN, ROOT, &in, sizeof in);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EROFS);
	ask_write(x, 0, 512, 'w');
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EROFS);
	fixture_silent(x->worker);
}

static void set_size(struct fixture *x, uint64_t size, int error)
{
	const struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = size};
	struct fuse_attr_out out;

	fixture_request(x, x->device, FUSE_SETATTR, ROOT, &in, sizeof in);
	assert_int_equal(fixture_reply(x->device, NULL, &out, NULL), error);
	if (!error)
		assert_int_equal(out.attr.size, SIZE);
}

static void test_block_device(void **state)
{
	struct fixture *x = *state;
	struct fuse_open_in open_in = {.flags = 01001 /* O_WRONLY | O_TRUNC */};
	struct fuse_getattr_in in = {0};
	struct fuse_open_out open_out;
	struct fuse_attr_out attr;

	fixture_volume(x, SIZE, false, 4);
	fixture_request(x, x->device, FUSE_OPEN, ROOT, &open_in, sizeof open_in);
	assert_int_equal(fixture_reply(x->device, NULL, &open_out, NULL), 0);
	assert_int_equal(
	    open_out.open_flags, FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH);
	set_size(x, 0, 0);
	set_size(x, SIZE, 0);
	set_size(x, 4096, -EPERM);
	set_size(x, SIZE + 1, -EPERM);
	fixture_request(x, x->device, FUSE_GETATTR, ROOT, &in, sizeof in);
	assert_int_equal(fixture_reply(x->device, NULL, &attr, NULL), 0);
	assert_int_equal(attr.attr.size, SIZE);
	assert_int_equal(attr.attr.blocks, 8);
	assert_int_equal(attr.attr.uid, 10);
	assert_int_equal(attr.attr.gid, 11);
	ask_read(x, 0, 512);
	answer(x, worked(x).id, 0);
	fixture_reply(x->device, NULL, NULL, NULL);
	fixture_request(x, x->device, FUSE_GETATTR, ROOT, &in, sizeof in);
	assert_int_equal(fixture_reply(x->device, NULL, &attr, NULL), 0);
	assert_int_equal(attr.attr.blocks, (1 << 22) / 512);
	fixture_silent(x->worker);
}

/* A request that is longer than the header buffer and no WRITE: put together again. */
static void test_spill(void **state)
{
	struct fixture *x = *state;
	const struct fuse_setattr_in in = {
	    .valid = FATTR_MODE | FATTR_UID, .mode = 0100640, .uid = 99};
	struct fuse_attr_out out;

	fixture_volume(x, SIZE, false, 4);
	assert_true(sizeof(struct fuse_in_header) + sizeof in > KERNEL_HEAD_SIZE);
	fixture_request(x, x->device, FUSE_SETATTR, ROOT, &in, sizeof in);
	assert_int_equal(fixture_reply(x->device, NULL, &out, NULL), 0);
	assert_int_equal(out.attr.mode, 0100640);
	assert_int_equal(out.attr.uid, 99);
}

/* More than there are slots: everything else is served, and the others follow as slots come free.
 */
static void test_more_than_slots(void **state)
{
	struct fixture *x = *state;
	struct fuse_getattr_in in = {0};
	struct record_request first, second, r;
	struct fuse_write_out written;

	fixture_volume(x, SIZE, false, 2);
	ask_read(x, 0, 512);
	first = worked(x);
	ask_write(x, 512, 512, 'a');
	second = worked(x);
	ask_write(x, 1024, 700, 'b');
	ask_read(x, 4096, 512);
	fixture_silent(x->worker);
	fixture_request(x, x->device, FUSE_GETATTR, ROOT, &in, sizeof in);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), 0);
	answer(x, second.id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, &written, NULL), 0);
	r = worked(x);
	assert_int_equal(r.op, REQUEST_WRITE);
	assert_int_equal(r.offset, 1024);
	assert_int_equal(r.length, 700);
	assert_int_equal(x->out[r.slot * (size_t)SLOT_SIZE], 'b');
	assert_int_equal(x->out[r.slot * (size_t)SLOT_SIZE + 699], 'b');
	answer(x, first.id, 0);
	r = worked(x);
	assert_int_equal(r.offset, 4096);
}

/* A batch is one message. */
static void test_batch(void **state)
{
	struct fixture *x = *state;
	struct {
		struct fuse_in_header head;
		struct fuse_read_in in;
	} request = {.head = {.len = sizeof request, .opcode = FUSE_READ, .nodeid = ROOT},
	    .in = {.size = 512}};
	struct record_answer answers[10];
	const struct msg_answers payload = {0};
	struct record_request r;
	struct msg m;

	fixture_volume(x, SIZE, false, 16);
	for (unsigned i = 0; i < 10; i++) {
		request.head.unique = 1000 + 2 * i;
		request.in.offset = i * 512;
		assert_int_equal(send(x->device, &request, sizeof request, 0), sizeof request);
	}
	fixture_run(x);
	fixture_message(x->worker, KIND_VOLUME, MSG_REQUESTS, &m);
	assert_int_equal(m.records, 10);
	for (unsigned i = 0; i < 10; i++) {
		msg_record(&m, i, &r);
		assert_int_equal(r.offset, i * 512);
		answers[9 - i] = (struct record_answer){.id = r.id};
	}
	fixture_send(x->worker, MSG_ANSWERS, 5, 3, &payload, answers, sizeof answers);
	fixture_run(x);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t unique;

		assert_int_equal(fixture_reply(x->device, &unique, NULL, NULL), 0);
		assert_int_equal(unique, 1000 + 2 * (9 - i));
	}
}

/* After each of these the data socket is closed, the master told, and the callers wait. */
static void given_up(struct fixture *x)
{
	const struct msg_fail_volume failed = {.error = -EIO};
	struct fuse_open_in in = {0};
	struct msg m;
	char byte;

	fixture_run(x);
	fixture_message(x->master, KIND_MASTER, MSG_WORKER_MISBEHAVED, &m);
	assert_int_equal(m.volume, 5);
	assert_int_equal(m.generation, 3);
	assert_true(m.tail_size > 0);
	assert_true(recv(x->worker, &byte, 1, MSG_DONTWAIT) <= 0);
	fixture_silent(x->device);
	fixture_send(x->master, MSG_FAIL_VOLUME, 5, 3, &failed, "why", 3);
	fixture_run(x);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
	fixture_silent(x->device);
	ask_read(x, 0, 512);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
	ask_write(x, 0, 512, 'x');
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
	fixture_request(x, x->device, FUSE_OPEN, ROOT, &in, sizeof in);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
}

static uint64_t asked(struct fixture *x)
{
	fixture_volume(x, SIZE, false, 4);
	ask_read(x, 0, 512);
	return worked(x).id;
}

static void test_unknown_id(void **state)
{
	answer(*state, asked(*state) + 256, 0);
	given_up(*state);
}

static void test_other_generation(void **state)
{
	struct fixture *x = *state;
	const struct msg_answers payload = {0};
	const struct record_answer a = {.id = asked(x)};

	fixture_send(x->worker, MSG_ANSWERS, 5, 2, &payload, &a, sizeof a);
	given_up(x);
}

static void test_other_volume(void **state)
{
	struct fixture *x = *state;
	const struct msg_answers payload = {0};
	const struct record_answer a = {.id = asked(x)};

	fixture_send(x->worker, MSG_ANSWERS, 6, 3, &payload, &a, sizeof a);
	given_up(x);
}

static void test_malformed(void **state)
{
	struct fixture *x = *state;

	asked(x);
	assert_int_equal(send(x->worker, "garbage", 7, 0), 7);
	given_up(x);
}

static void test_end_of_file(void **state)
{
	struct fixture *x = *state;

	asked(x);
	assert_int_equal(shutdown(x->worker, SHUT_RDWR), 0);
	given_up(x);
}

static void test_twice(void **state)
{
	struct fixture *x = *state;
	uint64_t id = asked(x);

	answer(x, id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), 0);
	ask_read(x, 0, 512);
	assert_true(worked(x).id != id);
	answer(x, id, 0);
	given_up(x);
}

/* What was answered before the end of the worker was seen is an answer. */
static void test_failed_with_answers(void **state)
{
	struct fixture *x = *state;
	const struct msg_fail_volume failed = {.error = -ESTALE};
	const struct msg_answers payload = {0};
	struct record_answer answers[3];
	int error[4] = {0};

	fixture_volume(x, SIZE, false, 4);
	for (unsigned i = 0; i < 3; i++) {
		ask_read(x, 0, 131072);
		answers[i] = (struct record_answer){.id = worked(x).id};
	}
	ask_read(x, 0, 131072);
	/* both are there before the front looks */
	fixture_send(x->worker, MSG_ANSWERS, 5, 3, &payload, answers, sizeof answers);
	event_base_loop(x->front.base, EVLOOP_NONBLOCK);
	fixture_send(x->master, MSG_FAIL_VOLUME, 5, 3, &failed, "why", 3);
	fixture_run(x);
	for (unsigned i = 0; i < 4; i++)
		error[i] = fixture_reply(x->device, NULL, NULL, NULL);
	assert_int_equal(error[0] | error[1] | error[2], 0);
	assert_int_equal(error[3], -ESTALE);
}

static void test_unmounted(void **state)
{
	struct fixture *x = *state;
	const struct msg_remove_volume payload = {{0}};
	struct record_request r;
	struct msg m;

	fixture_tree(x);
	fixture_volume(x, SIZE, false, 4);
	ask_read(x, 0, 512);
	r = worked(x);
	close(x->device);
	x->device = -1;
	fixture_run(x);
	fixture_message(x->master, KIND_MASTER, MSG_CONNECTION_ENDED, &m);
	assert_int_equal(m.volume, 5);
	/* the worker may finish, and end: that is no misbehaviour any more */
	answer(x, r.id, 0);
	close(x->worker);
	x->worker = -1;
	fixture_run(x);
	fixture_silent(x->master);
	fixture_send(x->master, MSG_REMOVE_VOLUME, 5, 3, &payload, NULL, 0);
	fixture_run(x);
	assert_null(volume_by_number(&x->front, 5));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- one generation after the other ---- */

/* Takes what the worker of a generation was given, in one message. */
static unsigned given(struct fixture *x, uint32_t generation, struct record_request *r)
{
	struct msg m;

	fixture_message(x->worker, KIND_VOLUME, MSG_REQUESTS, &m);
	assert_int_equal(m.generation, generation);
	for (unsigned i = 0; i < m.records; i++)
		msg_record(&m, i, &r[i]);
	return m.records;
}

static void answer_in(struct fixture *x, uint32_t generation, uint64_t id, int error)
{
	const struct msg_answers payload = {.allocated = 1 << 22};
	const struct record_answer a = {.id = id, .error = error};

	fixture_send(x->worker, MSG_ANSWERS, 5, generation, &payload, &a, sizeof a);
	fixture_run(x);
}

static void test_the_next_is_given_what_is_unanswered(void **state)
{
	struct fixture *x = *state;
	struct record_request first, old, r[BATCH_MAX];
	struct msg m;
	uint64_t replied, unique;

	fixture_volume(x, SIZE, false, 8);
	ask_write(x, 0, 512, 'a');
	first = worked(x);
	unique = ask_write(x, 4096, 512, 'b');
	old = worked(x);
	answer(x, first.id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), 0);
	close(x->worker);
	x->worker = dup(0); /* fixture_next() closes it */
	fixture_run(x);
	fixture_message(x->master, KIND_MASTER, MSG_WORKER_MISBEHAVED, &m);
	/* one that comes while there is no worker is not one that anybody had before */
	ask_read(x, 8192, 512);
	fixture_silent(x->device);
	fixture_next(x, 4, false);
	assert_int_equal(given(x, 4, r), 2);
	assert_true(r[0].id == old.id && r[0].offset == 4096 && r[0].again == 1);
	assert_int_equal(r[0].slot, old.slot);
	assert_int_equal(x->out[r[0].slot * (size_t)SLOT_SIZE], 'b');
	assert_true(r[1].op == REQUEST_READ && r[1].again == 0);
	memset(x->in + r[1].slot * (size_t)SLOT_SIZE, 'r', 512);
	answer_in(x, 4, r[0].id, 0);
	assert_int_equal(fixture_reply(x->device, &replied, NULL, NULL), 0);
	assert_int_equal(replied, unique);
	answer_in(x, 4, r[1].id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), 0);
	fixture_silent(x->device);
}

/* What a worker said before it died counts, though it is found after the next was begun. */
static void test_last_words_count(void **state)
{
	struct fixture *x = *state;
	const struct msg_answers payload = {.allocated = 0};
	static uint8_t data[65536];
	struct record_answer a;
	struct record_request r;
	size_t size;

	fixture_volume(x, SIZE, false, 8);
	ask_read(x, 0, 512);
	r = worked(x);
	memset(x->in + r.slot * (size_t)SLOT_SIZE, 'l', 512);
	a = (struct record_answer){.id = r.id};
	fixture_send(x->worker, MSG_ANSWERS, 5, 3, &payload, &a, sizeof a);
	fixture_next(x, 4, false);
	fixture_silent(x->worker);
	assert_int_equal(fixture_reply(x->device, NULL, data, &size), 0);
	assert_int_equal(size, 512);
	assert_true(data[0] == 'l' && data[511] == 'l');
}

/* Two deaths with the same requests: then they go one by one, and who kills a third is known. */
static void test_a_request_that_kills(void **state)
{
	struct fixture *x = *state;
	struct record_request r[BATCH_MAX], killer;
	uint64_t killed, replied;
	unsigned n;

	fixture_volume(x, SIZE, false, 8);
	ask_write(x, 0, 512, 'a');
	worked(x);
	killed = ask_write(x, 512, 512, 'k');
	killer = worked(x);
	fixture_next(x, 4, true);
	assert_int_equal(given(x, 4, r), 2);
	fixture_next(x, 5, true);
	/* suspected both: the first alone */
	n = given(x, 5, r);
	assert_int_equal(n, 1);
	assert_int_equal(r[0].offset, 0);
	ask_read(x, 4096, 512);
	fixture_silent(x->worker);
	answer_in(x, 5, r[0].id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), 0);
	n = given(x, 5, r);
	assert_int_equal(n, 1);
	assert_true(r[0].id == killer.id);
	fixture_next(x, 6, true);
	/* it is told an error, all others go on together */
	assert_int_equal(fixture_reply(x->device, &replied, NULL, NULL), -EIO);
	assert_int_equal(replied, killed);
	n = given(x, 6, r);
	assert_int_equal(n, 2);
	/* what a daemon still has of it keeps others from its place, and no worker does it any more
	 */
	assert_true(r[0].id == killer.id);
	assert_int_equal(r[0].again, REQUEST_HOLDS);
	assert_int_equal(r[1].op, REQUEST_READ);
	assert_int_equal(r[1].again, REQUEST_NEW);
	fixture_next(x, 7, true);
	assert_int_equal(given(x, 7, r), 2);
	assert_int_equal(r[0].again, REQUEST_HOLDS);
	answer_in(x, 7, killer.id, -EIO);
	fixture_next(x, 8, false);
	fixture_silent(x->device);
	assert_int_equal(given(x, 8, r), 1);
	assert_int_equal(r[0].op, REQUEST_READ);
	ask_read(x, 8192, 512);
	assert_int_equal(given(x, 8, r), 1);
	assert_int_equal(r[0].again, REQUEST_NEW);
}

/* Deaths that no request can explain count for nothing. */
static void test_innocent(void **state)
{
	struct fixture *x = *state;
	struct record_request r[BATCH_MAX];

	fixture_volume(x, SIZE, false, 8);
	ask_write(x, 0, 512, 'a');
	worked(x);
	for (uint32_t generation = 4; generation < 20; generation++) {
		fixture_next(x, generation, false);
		assert_int_equal(given(x, generation, r), 1);
	}
	fixture_silent(x->device);
}

/* One that had failed is revived: what is not known to be done is given again, and nobody is told
 * twice. */
static void test_revived(void **state)
{
	struct fixture *x = *state;
	struct record_request old, r[BATCH_MAX];

	fixture_volume(x, SIZE, false, 8);
	ask_write(x, 0, 512, 'a');
	old = worked(x);
	volume_fail(volume_by_number(&x->front, 5), -EIO);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
	ask_write(x, 512, 512, 'b');
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
	fixture_next(x, 4, false);
	assert_int_equal(given(x, 4, r), 1);
	assert_true(r[0].id == old.id && r[0].again);
	answer_in(x, 4, r[0].id, 0);
	fixture_silent(x->device);
	ask_read(x, 0, 512);
	assert_int_equal(given(x, 4, r), 1);
	answer_in(x, 4, r[0].id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), 0);
}

static void wait_for_reply(struct fixture *x)
{
	struct pollfd p = {.fd = x->device, .events = POLLIN};

	for (unsigned n = 0; n < 500; n++) {
		fixture_run(x);
		if (poll(&p, 1, 10) > 0)
			return;
	}
	fail_msg("no reply in time");
}

/* Callers get an error in time, their slots stay theirs, and when all slots are such, the next get
 * one at once. */
static void test_io_timeout(void **state)
{
	struct fixture *x = *state;
	struct record_request r[BATCH_MAX];
	uint64_t first;

	fixture_volume(x, SIZE, false, 2);
	ask_write(x, 0, 512, 'a');
	first = worked(x).id;
	ask_write(x, 512, 512, 'b');
	worked(x);
	ask_write(x, 1024, 512, 'c'); /* waits for a slot */
	volume_set_io_timeout(&x->front, 1);
	fixture_silent(x->device);
	wait_for_reply(x);
	for (unsigned n = 0; n < 3; n++) {
		wait_for_reply(x);
		assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
	}
	ask_write(x, 2048, 512, 'd');
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), -EIO);
	fixture_next(x, 4, false);
	assert_int_equal(given(x, 4, r), 2);
	assert_true(r[0].id == first && r[0].again);
	answer_in(x, 4, r[0].id, 0);
	fixture_silent(x->device);
	ask_write(x, 4096, 512, 'e');
	assert_int_equal(given(x, 4, r), 1);
	assert_int_equal(r[0].offset, 4096);
	answer_in(x, 4, r[0].id, 0);
	assert_int_equal(fixture_reply(x->device, NULL, NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_read),
	    TEST(test_write),
	    TEST(test_write_grows_into_its_slot),
	    TEST(test_flush_and_errors),
	    TEST(test_read_only),
	    TEST(test_block_device),
	    TEST(test_spill),
	    TEST(test_more_than_slots),
	    TEST(test_batch),
	    TEST(test_unknown_id),
	    TEST(test_other_generation),
	    TEST(test_other_volume),
	    TEST(test_malformed),
	    TEST(test_end_of_file),
	    TEST(test_twice),
	    TEST(test_failed_with_answers),
	    TEST(test_unmounted),
	    TEST(test_the_next_is_given_what_is_unanswered),
	    TEST(test_last_words_count),
	    TEST(test_a_request_that_kills),
	    TEST(test_innocent),
	    TEST(test_revived),
	    TEST(test_io_timeout),
	};

	return cmocka_run_group_tests_name("front_volume", tests, NULL, NULL);
}
