/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Channels and arenas over real sockets and memory: order, batches, full buffers, descriptors,
 * ends of every kind, closing from inside callbacks, seals.
 */
#include "tests/unit/unit.h"

#include "ipc/arena.h"
#include "ipc/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
	struct chan *c;
	unsigned messages, idles, ends;
	uint64_t last;
	int error;
	int close_at; /* closes its channel at this message, -1: never */
	int fd;       /* the last descriptor that came */
};

static void on_message(struct chan *c, struct msg *m, void *arg)
{
	struct end *e = arg;

	if (m->id == MSG_ANSWER) {
		assert_true(m->body.answered.number > e->last);
		e->last = m->body.answered.number;
	} else if (m->id == MSG_TABLE) {
		e->fd = msg_take_fd(m, 0);
	}
	if ((int)++e->messages == e->close_at) {
		chan_close(c);
		e->c = NULL;
	}
}

static void on_end(struct chan *c, int error, const char *why, void *arg)
{
	struct end *e = arg;

	assert_non_null(why);
	assert_ptr_equal(c, e->c);
	e->error = error;
	e->ends++;
}

static void on_idle(struct chan *c, void *arg)
{
	(void)c;
	((struct end *)arg)->idles++;
}

static const struct chan_calls calls = {on_message, on_end, on_idle};

struct pair {
	struct event_base *base;
	struct end master, cluster;
};

static int setup(void **state)
{
	static struct pair p;
	int sv[2];

	memset(&p, 0, sizeof p);
	p.base = event_base_new();
	p.master.close_at = p.cluster.close_at = -1;
	p.master.fd = p.cluster.fd = -1;
	if (!p.base || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return -1;
	p.master.c =
	    chan_open(p.base, sv[0], KIND_MASTER, KIND_CLUSTER, TALK_SERVING, &calls, &p.master);
	p.cluster.c =
	    chan_open(p.base, sv[1], KIND_CLUSTER, KIND_MASTER, TALK_SERVING, &calls, &p.cluster);
	*state = &p;
	return p.master.c && p.cluster.c ? 0 : -1;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	chan_close(p->master.c);
	chan_close(p->cluster.c);
	if (p->master.fd >= 0)
		close(p->master.fd);
	event_base_free(p->base);
	return 0;
}

static void turn(struct pair *p, unsigned turns)
{
	while (turns--)
		event_base_loop(p->base, EVLOOP_NONBLOCK);
}

static int answer(struct chan *c, uint64_t number)
{
	struct msg_answered a = {.number = number};

	return send_answered(c, 0, 0, &a, "done", 4, NULL);
}

/* More than the socket holds: all arrive, in order, once; nobody blocks. */
static void test_full_buffer(void **state)
{
	struct pair *p = *state;

	for (uint64_t n = 1; n <= 900; n++)
		assert_int_equal(answer(p->cluster.c, n), 0);
	turn(p, 200);
	assert_int_equal(p->master.messages, 900);
	assert_int_equal(p->master.last, 900);
	assert_true(p->master.idles > 1 && p->master.idles <= 200);
	assert_int_equal(p->cluster.ends + p->master.ends, 0);
}

/* A peer that never reads is given up, from the loop, once. */
static void test_overflow(void **state)
{
	struct pair *p = *state;
	unsigned n = 0;

	while (answer(p->cluster.c, ++n) == 0)
		assert_true(n < 5000);
	assert_int_equal(p->cluster.ends, 0);
	turn(p, 3);
	assert_int_equal(p->cluster.ends, 1);
	assert_int_equal(p->cluster.error, -ENOBUFS);
	assert_int_equal(answer(p->cluster.c, ++n), -EPIPE);
}

/* Descriptors arrive, also from the queue, and the sender's copy is closed. */
static void test_descriptors(void **state)
{
	struct pair *p = *state;
	struct msg_table t = {.number = 5};
	char byte = 0;
	int fds[2];

	for (uint64_t n = 1; n <= 500; n++)
		assert_int_equal(answer(p->cluster.c, n), 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(send_table(p->cluster.c, 0, 0, &t, NULL, 0, &fds[1]), 0);
	turn(p, 100);
	assert_int_equal(p->master.messages, 501);
	assert_int_equal(fcntl(fds[1], F_GETFD) < 0 || fds[1] == p->master.fd, 1);
	assert_int_equal(write(p->master.fd, "x", 1), 1);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(fds[0]);
}

static void test_end(void **state)
{
	struct pair *p = *state;

	assert_int_equal(answer(p->cluster.c, 1), 0);
	chan_close(p->cluster.c);
	p->cluster.c = NULL;
	turn(p, 3);
	assert_int_equal(p->master.messages, 1); /* what was said before the end still comes */
	assert_int_equal(p->master.ends, 1);
	assert_int_equal(p->master.error, 0);
}

static void test_refused(void **state)
{
	struct pair *p = *state;

	chan_talk(p->master.c, TALK_STARTING); /* answers are not permitted now */
	assert_int_equal(answer(p->cluster.c, 1), 0);
	assert_int_equal(answer(p->cluster.c, 2), 0);
	turn(p, 3);
	assert_int_equal(p->master.messages, 0);
	assert_int_equal(p->master.ends, 1);
	assert_int_equal(p->master.error, -EBADMSG);
}

static void test_close_inside(void **state)
{
	struct pair *p = *state;

	p->master.close_at = 2;
	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(answer(p->cluster.c, n), 0);
	turn(p, 5);
	assert_int_equal(p->master.messages, 2);
	assert_int_equal(p->master.ends, 0);
	assert_int_equal(p->cluster.ends, 1);
}

static void test_linger(void **state)
{
	struct pair *p = *state;

	for (uint64_t n = 1; n <= 400; n++)
		assert_int_equal(answer(p->cluster.c, n), 0);
	chan_linger(p->cluster.c, 10); /* nobody reads: it gives up */
	turn(p, 20);
	chan_linger(p->cluster.c, 10);
	turn(p, 20);
	assert_int_equal(p->master.messages, 400);
}

static void test_arena(void **state)
{
	struct arena out, in;
	int w, r, other;

	(void)state;
	assert_int_equal(arena_create("test", 4, &w, &r), 0);
	other = dup(w);
	assert_int_equal(arena_map(&out, w, 4, true), 0);
	assert_int_equal(arena_map(&in, r, 4, false), 0);
	memcpy(arena_slot(&out, 3) + 100, "hello", 5);
	assert_memory_equal(arena_slot(&in, 3) + 100, "hello", 5);
	/* the reader can neither write nor resize nor map writably */
	assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, in.fd, 0), MAP_FAILED);
	assert_int_equal(mprotect(in.base, 4096, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(ftruncate(other, 0), -1);
	assert_int_equal(ftruncate(other, 8 << 20), -1);
	assert_int_equal(arena_give_back(&in), -EBADF);
	assert_int_equal(arena_give_back(&out), 0);
	assert_int_equal(arena_slot(&in, 3)[100], 0);
	arena_close(&out);
	arena_close(&in);
	arena_close(&in);
	/* another size, no seals, no memfd */
	assert_int_equal(arena_map(&out, other, 5, true), -EBADMSG);
	other = memfd_create("unsealed", MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(other, 4 << 20), 0);
	assert_int_equal(arena_map(&out, other, 4, true), -EBADMSG);
	assert_int_equal(arena_map(&out, open("/dev/null", O_RDWR), 4, true), -EBADMSG);
	assert_null(out.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_full_buffer, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_close_inside, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_linger, setup, teardown),
	    cmocka_unit_test(test_arena),
	};

	return cmocka_run_group_tests_name("chan", tests, NULL, NULL);
}
