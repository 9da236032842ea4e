/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions: see session.h.
 *
 * libfuse decodes all that is rare; its replies come back through session_writev().  A turn of a
 * device ends after TURN_REQUESTS requests or TURN_BYTES of payload, whichever is first, so that
 * one volume's large writes never hold up another's small ones.
 */
#include "front/session.h"

#include "ipc/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define TURN_REQUESTS 16
#define TURN_BYTES (128 * 1024)
#define PAGE 4096 /* bytes; larger ones are touched more than once */

struct session {
	int fd;
	struct fuse_session *fuse; /* owns fd */
	struct event *readable;
	struct event *watch; /* instead, while paused: tells the end of the connection */
	bool paused;
	const struct session_calls *calls;
	void *arg;
	uint8_t *scratch;
	unsigned max_background;
	uint64_t unique;  /* of the request that libfuse decodes now */
	uint64_t init;    /* unique of FUSE_INIT while it is being answered */
	uint64_t offered; /* the kernel's flags */
	size_t saved_size;
	_Alignas(
	    struct fuse_in_header) uint8_t saved[INIT_REQUEST_MAX]; /* INIT of an earlier front */
	bool replaying; /* it is given to libfuse; the kernel has its answer */
};

#define RESEND 7 /* FUSE_NOTIFY_RESEND, which libfuse 3.14 does not know */
#define RESENT (UINT64_C(1) << 63)

/* ---- replies ---- */

/*
 * A process that is being killed has no page brought in any more, and a reply that the kernel
 * cannot copy to its end makes the caller's error EIO: all of it is there before it is asked to.
 */
static void bring_in(const void *data, size_t size)
{
	const volatile uint8_t *bytes = data;

	for (size_t at = 0; at < size; at += PAGE)
		(void)bytes[at];
	if (size)
		(void)bytes[size - 1];
}

/* ENOENT: the request is gone (its caller was killed); ENODEV: so is the connection, which the next
 * read tells. */
static void session_write(struct session *s, struct iovec *iov, int count)
{
	if (writev(s->fd, iov, count) < 0 && errno != ENOENT && errno != ENODEV)
		log_error("the kernel refused a reply: %s", strerror(errno));
}

int session_errno(int error)
{
	return error > 0 || error < -KERNEL_ERROR_MAX ? -EIO : error;
}

void session_reply(struct session *s, uint64_t unique, int error, const void *data, size_t size)
{
	struct fuse_out_header out = {.unique = unique, .error = error};
	struct iovec iov[2] = {{&out, sizeof out}, {(void *)data, size}};

	if (error)
		size = 0;
	out.len = (uint32_t)(sizeof out + size);
	bring_in(data, size);
	session_write(s, iov, size ? 2 : 1);
}

/* What libfuse 3.14 does not know how to ask for. */
static void extend_init(const struct session *s, struct fuse_init_out *out)
{
	out->flags |= FUSE_PARALLEL_DIROPS & (uint32_t)s->offered;
	if (s->offered & KERNEL_DIRECT_IO_ALLOW_MMAP) {
		out->flags |= FUSE_INIT_EXT;
		out->flags2 |= KERNEL_DIRECT_IO_ALLOW_MMAP >> 32;
	}
}

/* libfuse's way out.  Never fails: libfuse would report with perror(3), which opens descriptors. */
static ssize_t session_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct session *s = userdata;
	struct fuse_out_header *out = iov[0].iov_base;
	ssize_t size = 0;

	(void)fd;
	if (s->replaying) {
		for (int i = 0; i < count; i++)
			size += (ssize_t)iov[i].iov_len;
		return size;
	}
	if (s->init && out->unique == s->init && count > 1 &&
	    iov[1].iov_len == sizeof(struct fuse_init_out))
		extend_init(s, iov[1].iov_base);
	session_write(s, iov, count);
	for (int i = 0; i < count; i++)
		size += (ssize_t)iov[i].iov_len;
	return size;
}

/* libfuse demands one and never calls it: sessions read for themselves. */
static ssize_t session_never_read(int fd, void *buffer, size_t size, void *userdata)
{
	(void)fd;
	(void)buffer;
	(void)size;
	(void)userdata;
	errno = EAGAIN;
	return -1;
}

void session_reply_open(fuse_req_t req, uint64_t fh, uint32_t open_flags)
{
	struct fuse_open_out out = {.fh = fh, .open_flags = open_flags};

	fuse_reply_buf(req, (const char *)&out, sizeof out);
}

void *session_owner(fuse_req_t req)
{
	struct session *s = fuse_req_userdata(req);

	return s->arg;
}

uint64_t session_unique(fuse_req_t req)
{
	struct session *s = fuse_req_userdata(req);

	return s->unique & ~RESENT;
}

bool session_is_again(fuse_req_t req)
{
	struct session *s = fuse_req_userdata(req);

	return s->unique & RESENT;
}

/* ---- requests ---- */

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	struct session *s = userdata;

	conn->want &= ~(unsigned)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_SPLICE_READ |
				  FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->max_write = SLOT_SIZE;
	conn->max_background = s->max_background;
	conn->congestion_threshold = s->max_background;
}

static void decode(struct session *s, const uint8_t *head, const uint8_t *place, size_t size)
{
	struct fuse_buf buf = {.mem = s->scratch, .size = size};
	size_t first = size < KERNEL_HEAD_SIZE ? size : KERNEL_HEAD_SIZE;

	memcpy(s->scratch, head, first);
	if (size > first && place != s->scratch + KERNEL_HEAD_SIZE)
		memcpy(s->scratch + first, place, size - first);
	memcpy(&s->unique, head + offsetof(struct fuse_in_header, unique), sizeof s->unique);
	fuse_session_process_buf(s->fuse, &buf);
}

static void note_offered(struct session *s, const uint8_t *request)
{
	struct fuse_init_in init;

	memcpy(&init, request + sizeof(struct fuse_in_header), sizeof init);
	s->offered = init.flags;
	if (init.flags & FUSE_INIT_EXT)
		s->offered |= (uint64_t)init.flags2 << 32;
}

/* libfuse learns what was agreed with an earlier front. */
static void replay_init(struct session *s)
{
	struct fuse_buf buf = {.mem = s->saved, .size = s->saved_size};

	note_offered(s, s->saved);
	s->replaying = true;
	fuse_session_process_buf(s->fuse, &buf);
	s->replaying = false;
	s->saved_size = 0;
}

/* Reported whole, then answered. */
static void take_init(struct session *s, const uint8_t *head, const uint8_t *place, size_t size)
{
	uint8_t request[INIT_REQUEST_MAX] = {0};
	size_t first = size < KERNEL_HEAD_SIZE ? size : KERNEL_HEAD_SIZE;
	struct fuse_in_header in;

	if (size > sizeof request)
		size = sizeof request;
	memcpy(request, head, first);
	memcpy(request + first, place, size - first);
	memcpy(&in, request, sizeof in);
	note_offered(s, request);
	s->init = in.unique;
	s->saved_size = 0; /* an earlier front did not come to answer it */
	s->calls->init_received(request, size, s->offered & KERNEL_HAS_RESEND, s->arg);
	decode(s, request, request + first, size);
	s->init = 0;
	s->calls->init_answered(s->arg);
}

static void dispatch(struct session *s, const uint8_t *head, const uint8_t *place, size_t size)
{
	const struct fuse_in_header *in = (const void *)head;

	if (s->saved_size && in->opcode != FUSE_INIT)
		replay_init(s);
	if (in->opcode == FUSE_INIT)
		take_init(s, head, place, size);
	else if (!s->calls->request || !s->calls->request(in, in + 1, s->arg))
		decode(s, head, place, size);
}

static void over(struct session *s)
{
	event_del(s->readable);
	event_del(s->watch);
	s->calls->ended(s->arg);
}

/* An abort must be seen all the same. */
void session_pause(struct session *s)
{
	s->paused = true;
	event_del(s->readable);
	event_add(s->watch, NULL);
}

/* Comes at every change, once: a request that must wait, or the end. */
static void on_change(evutil_socket_t fd, short what, void *arg)
{
	struct pollfd p = {.fd = fd};

	(void)what;
	if (poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP))
		over(arg);
}

/* What the kernel copied to the scratch belongs behind what it copied to its place. */
static void complete(const struct session *s, const struct session_place *place, size_t size)
{
	size_t present = *place->present;

	if (size <= present)
		return;
	memcpy(place->bytes + present, s->scratch + KERNEL_HEAD_SIZE + present, size - present);
	*place->present = (uint32_t)((size + PAGE - 1) & ~(size_t)(PAGE - 1));
}

/* Reads one request and hands it out.  Returns its size, 0: no more now, -1: the session is over
 * and may be freed. */
static ssize_t read_one(struct session *s)
{
	_Alignas(struct fuse_in_header) uint8_t head[KERNEL_HEAD_SIZE];
	uint8_t *scratch = s->scratch + KERNEL_HEAD_SIZE;
	uint32_t all = SLOT_SIZE;
	struct session_place place = {scratch, &all};
	struct iovec iov[3] = {{head, sizeof head}};
	ssize_t n;

	if (s->calls->place && !s->calls->place(&place, s->arg)) {
		session_pause(s);
		return 0;
	}
	iov[1] = (struct iovec){place.bytes, *place.present};
	iov[2] = (struct iovec){scratch + *place.present, SLOT_SIZE - *place.present};
	do
		n = readv(s->fd, iov, 3);
	while (n < 0 && (errno == EINTR || errno == ENOENT)); /* ENOENT: interrupted before */
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < (ssize_t)sizeof(struct fuse_in_header)) {
		if (n < 0 && errno != ENODEV)
			log_error("a FUSE connection cannot be read: %s", strerror(errno));
		over(s);
		return -1;
	}
	if (n > (ssize_t)sizeof head)
		complete(s, &place, (size_t)n - sizeof head);
	dispatch(s, head, place.bytes, (size_t)n);
	return n;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	ssize_t n = 1;
	size_t bytes = 0;

	(void)fd;
	(void)what;
	for (unsigned turn = 0; turn < TURN_REQUESTS && bytes < TURN_BYTES; turn++) {
		n = read_one(s);
		if (n <= 0)
			break;
		bytes += (size_t)n;
	}
	if (n >= 0 && s->calls->turn_ended)
		s->calls->turn_ended(s->arg);
}

/* ---- life ---- */

static struct fuse_session *make_fuse(struct session *s, const struct fuse_lowlevel_ops *ops)
{
	static const struct fuse_custom_io io = {
	    .read = session_never_read, .writev = session_writev};
	char name[] = "sheepfs-front";
	char *argv[] = {name, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_lowlevel_ops own = *ops;
	struct fuse_session *fuse;

	own.init = on_init;
	fuse = fuse_session_new(&args, &own, sizeof own, s);
	fuse_opt_free_args(&args);
	if (fuse && fuse_session_custom_io(fuse, &io, s->fd)) {
		fuse_session_destroy(fuse);
		fuse = NULL;
	}
	return fuse;
}

struct session *session_open(struct event_base *base, int fd, uint8_t *scratch,
    unsigned max_background, const struct fuse_lowlevel_ops *ops, const struct session_calls *calls,
    void *arg)
{
	struct session *s = calloc(1, sizeof *s);

	if (!s) {
		close(fd);
		return NULL;
	}
	s->fd = fd;
	s->scratch = scratch;
	s->max_background = max_background;
	s->calls = calls;
	s->arg = arg;
	s->fuse = make_fuse(s, ops);
	s->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, s);
	s->watch = event_new(base, fd, EV_READ | EV_PERSIST | EV_ET, on_change, s);
	if (!s->fuse || !s->readable || !s->watch || evutil_make_socket_nonblocking(fd) ||
	    event_add(s->readable, NULL)) {
		if (!s->fuse)
			close(fd);
		session_close(s);
		return NULL;
	}
	return s;
}

int session_restore(struct session *s, const void *init, size_t size)
{
	const struct fuse_out_header resend = {.len = sizeof resend, .error = RESEND};
	const struct iovec iov = {(void *)&resend, sizeof resend};

	if (size < sizeof(struct fuse_in_header) + sizeof(struct fuse_init_in) ||
	    size > sizeof s->saved)
		return -EBADMSG;
	memcpy(s->saved, init, size);
	s->saved_size = size;
	return writev(s->fd, &iov, 1) < 0 ? -errno : 0;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	if (s->readable)
		event_free(s->readable);
	if (s->watch)
		event_free(s->watch);
	if (s->fuse)
		fuse_session_destroy(s->fuse);
	free(s);
}

void session_resume(struct session *s)
{
	if (!s->paused)
		return;
	s->paused = false;
	event_del(s->watch);
	event_add(s->readable, NULL);
}
