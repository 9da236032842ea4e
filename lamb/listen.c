/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets on which lamb is reached: see listen.h.
 */
#include "lamb/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static socklen_t parse_address(const char *text, uint16_t port, union address *address)
{
	memset(address, 0, sizeof *address);
	if (inet_pton(AF_INET, text, &address->in.sin_addr) == 1) {
		address->in.sin_family = AF_INET;
		address->in.sin_port = htons(port);
		return sizeof address->in;
	}
	if (inet_pton(AF_INET6, text, &address->in6.sin6_addr) == 1) {
		address->in6.sin6_family = AF_INET6;
		address->in6.sin6_port = htons(port);
		return sizeof address->in6;
	}
	return 0;
}

static int bind_and_listen(const union address *address, socklen_t size)
{
	const int one = 1;
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, &address->any, size) || listen(fd, BACKLOG))
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

int listen_tcp(const char *text, uint16_t port, struct sd_node_id *node, char *shown,
    size_t shown_size, char *why, size_t why_size)
{
	union address address;
	socklen_t size = parse_address(text, port, &address);
	int fd;

	if (!size) {
		snprintf(why, why_size, "\"%s\" is no IPv4 or IPv6 address", text);
		return -EINVAL;
	}
	fd = bind_and_listen(&address, size);
	if (fd < 0) {
		snprintf(why, why_size, "cannot listen on %s port %u: %s%s", text, port,
		    strerror(-fd), fd == -EADDRINUSE ? " (another -p may be free; -p 0 is)" : "");
		return fd;
	}
	if (getsockname(fd, &address.any, &size)) {
		close(fd);
		snprintf(why, why_size, "getsockname: %s", strerror(errno));
		return -EIO;
	}
	if (address.any.sa_family == AF_INET) {
		port = ntohs(address.in.sin_port);
		memcpy(node->addr + 12, &address.in.sin_addr, 4);
		snprintf(shown, shown_size, "%s:%u", text, port);
	} else {
		port = ntohs(address.in6.sin6_port);
		memcpy(node->addr, &address.in6.sin6_addr, 16);
		snprintf(shown, shown_size, "[%s]:%u", text, port);
	}
	node->port = port;
	return fd;
}

/* True: the path is a socket, and nobody answers there. */
static bool is_stale(const union address *address)
{
	struct stat st;
	bool stale = false;
	int fd;

	if (lstat(address->un.sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		stale = connect(fd, &address->any, sizeof address->un) && errno == ECONNREFUSED;
		close(fd);
	}
	return stale;
}

int listen_unix(const char *path, char *why, size_t why_size)
{
	union address address;
	int fd;

	memset(&address, 0, sizeof address);
	address.un.sun_family = AF_UNIX;
	snprintf(address.un.sun_path, sizeof address.un.sun_path, "%s", path);
	if (is_stale(&address))
		unlink(path);
	fd = bind_and_listen(&address, sizeof address.un);
	if (fd < 0)
		snprintf(why, why_size, "cannot listen on the unix socket %s: %s%s", path,
		    strerror(-fd),
		    fd == -EADDRINUSE ? " (a daemon serves there, or it is another file)" : "");
	return fd;
}
