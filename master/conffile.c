/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The config file's text: see conffile.h.
 *
 * One component after the other is opened from the directory before it, which nobody else can
 * change meanwhile, since it was judged first.
 */
#include "master/conffile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_LIMIT (1024 * 1024)
#define LINKS_MAX 16

struct road {
	char left[PATH_MAX]; /* what is not walked yet */
	unsigned links;
	int at; /* O_PATH: as far as we are */
};

/* The name of what fd is, for people. */
static void name_of(int fd, char *name, size_t size)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, name, size - 1);
	name[n > 0 ? n : 0] = 0;
}

/* The next component of what is left; false: there is none. */
static bool take_component(struct road *r, char component[PATH_MAX])
{
	const char *begin = r->left + strspn(r->left, "/");
	size_t size = strcspn(begin, "/");

	memcpy(component, begin, size);
	component[size] = 0;
	memmove(r->left, begin + size, strlen(begin + size) + 1);
	return size > 0;
}

/* Is it root's alone to change? */
static int judge(int fd, const struct stat *st, char *why, size_t why_size)
{
	char name[512];

	if (!st->st_uid && (S_ISLNK(st->st_mode) || !(st->st_mode & (S_IWGRP | S_IWOTH))))
		return 0;
	name_of(fd, name, sizeof name);
	snprintf(why, why_size,
	    "%s can be changed by others than root (it is user %u's, mode %04o), who would say "
	    "what "
	    "root does: chown root and chmod go-w help",
	    name, st->st_uid, st->st_mode & 07777);
	return -EPERM;
}

/* Where a symbolic link leads comes before what is left.  The link is closed. */
static int follow(struct road *r, int link)
{
	char to[PATH_MAX], rest[PATH_MAX];
	ssize_t n = readlinkat(link, "", to, sizeof to - 1);

	close(link);
	if (n < 0)
		return -errno;
	to[n] = 0;
	memcpy(rest, r->left, sizeof rest);
	if (++r->links > LINKS_MAX)
		return -ELOOP;
	if ((size_t)snprintf(r->left, sizeof r->left, "%s/%s", to, rest) >= sizeof r->left)
		return -ENAMETOOLONG;
	if (*to != '/')
		return 0;
	close(r->at);
	r->at = open("/", O_PATH | O_CLOEXEC);
	return r->at < 0 ? -errno : 0;
}

static int step(struct road *r, const char *component, char *why, size_t why_size)
{
	int next = openat(r->at, component, O_PATH | O_NOFOLLOW | O_CLOEXEC), error;
	struct stat st;

	if (next < 0)
		return -errno;
	error = fstat(next, &st) ? -errno : judge(next, &st, why, why_size);
	if (error) {
		close(next);
		return error;
	}
	if (S_ISLNK(st.st_mode))
		return follow(r, next);
	close(r->at);
	r->at = next;
	return 0;
}

static int begin(struct road *r, const char *path)
{
	char here[PATH_MAX] = "";

	if (*path != '/' && !getcwd(here, sizeof here))
		return -errno;
	if ((size_t)snprintf(r->left, sizeof r->left, "%s/%s", here, path) >= sizeof r->left)
		return -ENAMETOOLONG;
	r->at = open("/", O_PATH | O_CLOEXEC);
	return r->at < 0 ? -errno : 0;
}

/* Returns a descriptor for reading, or -errno. */
static int open_trusted(const char *path, char *why, size_t why_size)
{
	char component[PATH_MAX], link[32];
	struct road r = {.at = -1};
	int error = begin(&r, path), fd = -1;

	while (!error && take_component(&r, component))
		error = step(&r, component, why, why_size);
	snprintf(link, sizeof link, "/proc/self/fd/%d", r.at);
	if (!error)
		fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (!error && fd < 0)
		error = -errno;
	if (r.at >= 0)
		close(r.at);
	return error ? error : fd;
}

static int read_all(int fd, char *text, char *why, size_t why_size)
{
	size_t used = 0;
	ssize_t n;

	while ((n = read(fd, text + used, SIZE_LIMIT + 1 - used)) > 0)
		used += (size_t)n;
	if (n < 0)
		return -errno;
	if (used > SIZE_LIMIT)
		return -EFBIG;
	text[used] = 0;
	if (strlen(text) == used)
		return 0;
	snprintf(why, why_size, "it is no text: it holds a NUL byte");
	return -EINVAL;
}

int conffile_read(const char *path, char **text, char *why, size_t why_size)
{
	char trouble[800] = "";
	int fd = open_trusted(path, trouble, sizeof trouble), error = fd < 0 ? fd : 0;

	*text = malloc(SIZE_LIMIT + 1);
	if (!*text && !error)
		error = -ENOMEM;
	if (!error)
		error = read_all(fd, *text, trouble, sizeof trouble);
	if (fd >= 0)
		close(fd);
	if (!error)
		return 0;
	free(*text);
	*text = NULL;
	snprintf(why, why_size, "the config file %.200s cannot be used: %s", path,
	    trouble[0] ? trouble : strerror(-error));
	return error;
}
