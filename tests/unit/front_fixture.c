/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A front for unit tests: see front_fixture.h.
 */
#include "tests/unit/unit.h"

#include "tests/unit/front_fixture.h"

#include "front/control.h"
#include "front/orders.h"
#include "front/tree.h"
#include "front/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define OFFERED                                                                                    \
	(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_ASYNC_DIO |                \
	    FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_INIT_EXT)

static void pair(int *ours, int *theirs)
{
	int fds[2];
	int size = 1 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	for (unsigned i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	*ours = fds[0];
	*theirs = fds[1];
}

struct fixture *fixture_new(void)
{
	struct fixture *x = calloc(1, sizeof *x);
	struct front *f = &x->front;
	struct msg m;
	int fd;

	x->tree = x->device = x->worker = -1;
	TAILQ_INIT(&f->volumes);
	f->base = event_base_new();
	f->scratch = malloc(SESSION_SCRATCH_SIZE);
	f->control = control_new(f);
	f->owner_uid = 10;
	f->owner_gid = 11;
	pair(&x->master, &fd);
	orders_open(f, fd);
	fixture_message(x->master, KIND_MASTER, MSG_FRONT_STARTED, &m);
	return x;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void fixture_free(struct fixture *x)
{
	struct front *f = &x->front;
	struct volume *v;

	while ((v = TAILQ_FIRST(&f->volumes)))
		volume_remove(v);
	control_end(f->control);
	free(f->control);
	session_close(f->tree);
	if (f->look_again)
		event_free(f->look_again);
	chan_close(f->master);
	event_base_free(f->base);
	free(f->scratch);
	close_fd(x->master);
	close_fd(x->tree);
	close_fd(x->device);
	close_fd(x->worker);
	if (x->out)
		munmap(x->out, x->slots * (size_t)SLOT_SIZE);
	if (x->in)
		munmap(x->in, x->slots * (size_t)SLOT_SIZE);
	free(x);
}

void fixture_run(struct fixture *x)
{
	for (unsigned i = 0; i < 20; i++)
		event_base_loop(x->front.base, EVLOOP_NONBLOCK);
}

uint64_t fixture_request(
    struct fixture *x, int fd, uint32_t opcode, uint64_t node, const void *body, size_t size)
{
	struct fuse_in_header in = {.len = (uint32_t)(sizeof in + size),
	    .opcode = opcode,
	    .unique = x->unique += 2,
	    .nodeid = node,
	    .uid = 77};
	struct iovec iov[2] = {{&in, sizeof in}, {(void *)body, size}};

	assert_int_equal(writev(fd, iov, size ? 2 : 1), in.len);
	fixture_run(x);
	return in.unique;
}

int fixture_reply(int fd, uint64_t *unique, void *data, size_t *size)
{
	static uint8_t buffer[SLOT_SIZE];
	struct fuse_out_header out;
	struct iovec iov[2] = {{&out, sizeof out}, {buffer, sizeof buffer}};
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT);

	assert_true(n >= (ssize_t)sizeof out);
	assert_int_equal(out.len, n);
	if (unique)
		*unique = out.unique;
	if (data)
		memcpy(data, buffer, (size_t)n - sizeof out);
	if (size)
		*size = (size_t)n - sizeof out;
	return out.error;
}

void fixture_silent(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
	assert_int_equal(errno, EAGAIN);
}

void fixture_message(int fd, enum kind self, enum msg_id id, struct msg *m)
{
	const struct msg_edge edge = {
	    self, KIND_FRONT, id == MSG_FRONT_STARTED ? TALK_STARTING : TALK_SERVING};
	const char *why = "";

	assert_int_equal(msg_receive(fd, &edge, m, &why), 1);
	assert_int_equal(m->id, id);
}

void fixture_send(int fd, enum msg_id id, uint32_t volume, uint32_t generation, const void *payload,
    const void *tail, size_t tail_size)
{
	struct msg_head head = {.id = (uint16_t)id,
	    .size = (uint32_t)(msg_payload_size(id) + tail_size),
	    .volume = volume,
	    .generation = generation};
	struct iovec iov[3] = {{&head, sizeof head}, {(void *)payload, msg_payload_size(id)},
	    {(void *)tail, tail_size}};

	assert_true(writev(fd, iov, 3) > 0);
}

/* INIT: reported before it is answered, and answered as we want it. */
static void initialise(struct fixture *x, int device, uint32_t volume)
{
	struct fuse_init_in in = {.major = 7,
	    .minor = 45,
	    .max_readahead = 131072,
	    .flags = OFFERED,
	    .flags2 = KERNEL_DIRECT_IO_ALLOW_MMAP >> 32};
	struct fuse_init_out out;
	struct msg m;
	size_t size;

	fixture_request(x, device, FUSE_INIT, 0, &in, sizeof in);
	fixture_message(x->master, KIND_MASTER, MSG_INIT_RECEIVED, &m);
	assert_int_equal(m.volume, volume);
	assert_int_equal(m.tail_size, sizeof(struct fuse_in_header) + sizeof in);
	assert_int_equal(fixture_reply(device, NULL, &out, &size), 0);
	assert_int_equal(size, sizeof out);
	assert_int_equal(out.max_write, SLOT_SIZE);
	assert_int_equal(out.max_pages, SLOT_SIZE / 4096);
	assert_int_equal(out.max_background, VOLUME_MAX_BACKGROUND);
	assert_int_equal(out.flags & FUSE_ATOMIC_O_TRUNC, 0);
	assert_int_equal(out.flags & FUSE_WRITEBACK_CACHE, 0);
	assert_true(out.flags & FUSE_PARALLEL_DIROPS && out.flags & FUSE_ASYNC_DIO);
	assert_true(out.flags & FUSE_INIT_EXT);
	assert_int_equal(out.flags2, KERNEL_DIRECT_IO_ALLOW_MMAP >> 32);
}

void fixture_tree(struct fixture *x)
{
	int fd;

	pair(&x->tree, &fd);
	assert_int_equal(tree_serve(&x->front, fd, NULL, 0), 0);
	session_resume(x->front.tree);
	initialise(x, x->tree, 0);
}

void fixture_volume(struct fixture *x, uint64_t size, bool read_only, unsigned slots)
{
	const struct msg_serve_volume serve = {
	    .size = size, .allocated = 4096, .shift = 22, .read_only = read_only, .slots = slots};
	int out[2], in[2], socket, device;
	struct volume *v;

	assert_int_equal(volume_add(&x->front, 5, "vol", read_only), 0);
	assert_int_equal(volume_add(&x->front, 5, "other", read_only), -EEXIST);
	assert_int_equal(volume_add(&x->front, 6, "vol", read_only), -EEXIST);
	v = volume_by_number(&x->front, 5);
	x->slots = slots;
	assert_int_equal(arena_create("out", slots, &out[0], &out[1]), 0);
	assert_int_equal(arena_create("in", slots, &in[0], &in[1]), 0);
	x->out = mmap(NULL, slots * (size_t)SLOT_SIZE, PROT_READ, MAP_SHARED, out[1], 0);
	x->in = mmap(NULL, slots * (size_t)SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, in[0], 0);
	close(out[1]);
	close(in[0]);
	pair(&x->device, &device);
	assert_int_equal(volume_serve(v, device, out[0], &serve, NULL, 0), 0);
	pair(&x->worker, &socket);
	assert_int_equal(volume_start(v, 3, false, socket, in[1]), 0);
	assert_false(v->listed);
	initialise(x, x->device, 5);
	assert_true(v->listed);
}

void fixture_next(struct fixture *x, uint32_t generation, bool blame)
{
	struct volume *v = volume_by_number(&x->front, 5);
	int in[2], socket;

	close(x->worker);
	munmap(x->in, x->slots * (size_t)SLOT_SIZE);
	assert_int_equal(arena_create("in", x->slots, &in[0], &in[1]), 0);
	x->in =
	    mmap(NULL, x->slots * (size_t)SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, in[0], 0);
	close(in[0]);
	pair(&x->worker, &socket);
	assert_int_equal(volume_start(v, generation, blame, socket, in[1]), 0);
	fixture_run(x);
}
