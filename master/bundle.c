/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bundles: see bundle.h.
 */
#include "master/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

int bundle_add(struct bundle *b, const char *name, int fd)
{
	struct bundle_item *more;

	if (strlen(name) >= sizeof more->name) {
		close(fd);
		return -ENAMETOOLONG;
	}
	more = reallocarray(b->items, b->count + 1, sizeof *more);
	if (!more) {
		close(fd);
		return -ENOMEM;
	}
	b->items = more;
	more = &b->items[b->count++];
	memset(more, 0, sizeof *more);
	memcpy(more->name, name, strlen(name));
	more->fd = fd;
	return 0;
}

int bundle_take(struct bundle *b, const char *name)
{
	for (unsigned i = 0; i < b->count; i++) {
		int fd = b->items[i].fd;

		if (fd < 0 || strcmp(b->items[i].name, name) != 0)
			continue;
		b->items[i].fd = -1;
		return fd;
	}
	return -ENOENT;
}

unsigned bundle_close(struct bundle *b)
{
	unsigned closed = 0;

	for (unsigned i = 0; i < b->count; i++) {
		if (b->items[i].fd < 0)
			continue;
		close(b->items[i].fd);
		closed++;
	}
	free(b->items);
	memset(b, 0, sizeof *b);
	return closed;
}

int bundle_from_service(struct bundle *b)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names), error = 0;

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		int added = bundle_add(b, names[i], SD_LISTEN_FDS_START + i);

		error = error ? error : added;
		free(names[i]);
	}
	free(names);
	return error;
}

/* ---- over a socket; a message without a descriptor is the last word ---- */

static int send_one(int socket, const char *name, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)name, strlen(name) + 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof control.bytes;
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	return sendmsg(socket, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int bundle_send(const struct bundle *b, int socket)
{
	int error = 0;

	for (unsigned i = 0; i < b->count && !error; i++)
		if (b->items[i].fd >= 0)
			error = send_one(socket, b->items[i].name, b->items[i].fd);
	return error ? error : send_one(socket, "", -1);
}

/* Returns the bytes of the name with its NUL, 0 at the end of the conversation, or -errno; *fd is
 * -1 when none came. */
static ssize_t receive_one(int socket, char *name, size_t size, int *fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {name, size};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof control.bytes};
	ssize_t n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

	*fd = -1;
	if (n < 0)
		return -errno;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof *fd))
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	if (n && (name[n - 1] || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))) {
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		return -EBADMSG;
	}
	return n;
}

int bundle_receive(struct bundle *b, int socket)
{
	char name[NOTIFY_NAME_MAX];
	int fd, error;

	for (;;) {
		ssize_t n = receive_one(socket, name, sizeof name, &fd);

		if (n <= 0)
			return n ? (int)n : -EPIPE;
		if (fd < 0)
			return name[0] ? -EBADMSG : 0;
		error = bundle_add(b, name, fd);
		if (error)
			return error;
	}
}
