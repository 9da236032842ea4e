/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who uses a mount: see users.h.
 */
#include "master/users.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMED_MAX 8 /* more users than these are not listed */

struct finding {
	char *text;
	size_t size, used;
	unsigned count;
};

__attribute__((format(printf, 2, 3))) static void add(struct finding *f, const char *format, ...)
{
	char one[128];
	va_list ap;

	if (++f->count > NAMED_MAX)
		return;
	va_start(ap, format);
	vsnprintf(one, sizeof one, format, ap);
	va_end(ap);
	if (f->used + strlen(one) + 2 < f->size)
		f->used += (size_t)snprintf(
		    f->text + f->used, f->size - f->used, "%s%s", f->used ? ", " : "", one);
}

/* Reads a small file without its last newline; false when it cannot be read. */
static bool read_small(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return false;
	text[n] = 0;
	if (n && text[n - 1] == '\n')
		text[n - 1] = 0;
	return true;
}

static void find_loops(struct finding *f, const char *path)
{
	DIR *blocks = opendir("/sys/block");
	char name[300], file[4096];
	struct dirent *d;

	while (blocks && (d = readdir(blocks))) {
		if (strncmp(d->d_name, "loop", 4) != 0)
			continue;
		snprintf(name, sizeof name, "/sys/block/%s/loop/backing_file", d->d_name);
		if (read_small(name, file, sizeof file) && !strcmp(file, path))
			add(f, "/dev/%s", d->d_name);
	}
	if (blocks)
		closedir(blocks);
}

/* Whether one of a process's open files is on the mount. */
static bool holds(const char *pid, int mount_id)
{
	char name[600], text[1024], *line;
	bool found = false;
	struct dirent *d;
	DIR *fds;

	snprintf(name, sizeof name, "/proc/%s/fdinfo", pid);
	fds = opendir(name);
	while (fds && !found && (d = readdir(fds))) {
		snprintf(name, sizeof name, "/proc/%s/fdinfo/%s", pid, d->d_name);
		if (!isdigit((unsigned char)d->d_name[0]) || !read_small(name, text, sizeof text))
			continue;
		line = strstr(text, "mnt_id:");
		found = line && atoi(line + strlen("mnt_id:")) == mount_id;
	}
	if (fds)
		closedir(fds);
	return found;
}

static void find_processes(struct finding *f, int mount_id)
{
	DIR *proc = opendir("/proc");
	char name[300], comm[64];
	struct dirent *d;

	while (proc && (d = readdir(proc))) {
		if (!isdigit((unsigned char)d->d_name[0]) || !holds(d->d_name, mount_id))
			continue;
		snprintf(name, sizeof name, "/proc/%s/comm", d->d_name);
		if (!read_small(name, comm, sizeof comm))
			comm[0] = 0;
		add(f, "process %s (%s)", d->d_name, comm);
	}
	if (proc)
		closedir(proc);
}

void users_find(const char *path, int mount_id, char *text, size_t size)
{
	struct finding f = {.text = text, .size = size};

	text[0] = 0;
	find_loops(&f, path);
	find_processes(&f, mount_id);
	if (f.count > NAMED_MAX && f.used + 32 < size)
		snprintf(text + f.used, size - f.used, " and %u more", f.count - NAMED_MAX);
}
