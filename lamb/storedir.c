/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store directory itself: see storedir.h.
 */
#include "lamb/storedir.h"

#include "ipc/log.h"
#include "lamb/shared.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEW_DIR "new"
#define OBJECTS_PREFIX "obj."
#define PATIENCE 2000 /* milliseconds that another's start, or a hand-over, may take */

static DIR *list_directory(int root, const char *name)
{
	int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Empty but for what a first format cut short leaves, and what a new file system holds. */
static bool is_empty(int root, char *found, size_t size)
{
	DIR *dir = list_directory(root, ".");
	struct dirent *entry;
	bool empty = dir != NULL;

	while (empty && (entry = readdir(dir))) {
		if (is_dots(entry->d_name) || !strcmp(entry->d_name, META_FILE_NEW) ||
		    !strcmp(entry->d_name, "lost+found"))
			continue;
		snprintf(found, size, "%s", entry->d_name);
		empty = false;
	}
	if (dir)
		closedir(dir);
	return empty;
}

static int read_or_format(int root, const char *path, struct meta *meta, char *why, size_t why_size)
{
	struct meta wanted = *meta;
	char found[256] = "?";
	int error = meta_read(root, meta);

	if (error == -ENOENT) {
		if (!is_empty(root, found, sizeof found)) {
			snprintf(why, why_size,
			    "%s is not a lamb store and not empty (it holds \"%s\"): name an empty "
			    "or a new directory",
			    path, found);
			return -ENOTEMPTY;
		}
		*meta = wanted;
		error = meta_write(root, meta);
		if (!error)
			log_info("%s: formatted a new store", path);
	}
	if (error == -EPROTONOSUPPORT)
		snprintf(
		    why, why_size, "%s was made by another version of lamb: use that one", path);
	else if (error == -EBADMSG)
		snprintf(why, why_size,
		    "%s/" META_FILE " is damaged or not lamb's: restore it from a copy", path);
	else if (error)
		snprintf(why, why_size, "%s/" META_FILE ": %s", path, strerror(-error));
	return error;
}

static void empty_directory(int root, const char *name, const char *prefix)
{
	DIR *dir = list_directory(root, name);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (!is_dots(entry->d_name) && !strncmp(entry->d_name, prefix, strlen(prefix)) &&
		    unlinkat(dirfd(dir), entry->d_name, 0))
			log_warning("cannot remove the left-over %s/%s: %s", name, entry->d_name,
			    strerror(errno));
	closedir(dir);
}

/* Nobody lives here: what the last ones left is put in order. */
static int begin_alone(int root, const char *shown, struct meta *meta, char *why, size_t why_size)
{
	int error = read_or_format(root, shown, meta, why, why_size);

	if (error)
		return error;
	storedir_remove_others(root, meta->generation);
	empty_directory(root, NEW_DIR, "");
	error = shared_prepare(root);
	if (error)
		snprintf(why, why_size, "%s: what its nodes share cannot be made: %s", shown,
		    strerror(-error));
	return error;
}

static int lock_directory(int root, int how)
{
	return flock(root, how | LOCK_NB) ? -errno : 0;
}

/*
 * One try: alone, or as one of several.  The change from the one to the other is two steps, and
 * whoever comes between them finds nobody here as well.  -EWOULDBLOCK: it is in use.
 */
static int enter(
    int root, const char *shown, bool alone, struct meta *meta, char *why, size_t why_size)
{
	struct meta format = *meta;
	int error = lock_directory(root, LOCK_EX);

	if (!error) {
		error = begin_alone(root, shown, &format, why, why_size);
		if (alone || error) {
			*meta = format;
			return error;
		}
	} else if (alone || error != -EWOULDBLOCK) {
		return error;
	}
	error = lock_directory(root, LOCK_SH);
	return error ? error : read_or_format(root, shown, meta, why, why_size);
}

static void explain(int error, const char *shown, bool alone, char *why, size_t why_size)
{
	if (error != -EWOULDBLOCK)
		snprintf(why, why_size, "cannot lock %s: %s", shown, strerror(-error));
	else
		snprintf(why, why_size,
		    "%s is in use by another lamb%s: stop that one, or name another store", shown,
		    alone ? "" : ", which serves it alone");
}

int storedir_open(const char *path, const char *shown, bool alone, struct meta *meta, int *result,
    char *why, size_t why_size)
{
	static const struct timespec turn = {0, 20 * 1000 * 1000};
	int root, error;

	if (mkdir(path, 0700) && errno != EEXIST) {
		error = -errno;
		snprintf(why, why_size, "cannot make %s: %s", shown, strerror(-error));
		return error;
	}
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0) {
		error = -errno;
		snprintf(
		    why, why_size, "cannot open the directory %s: %s", shown, strerror(-error));
		return error;
	}
	*why = 0;
	error = enter(root, shown, alone, meta, why, why_size);
	for (int ms = 0; error == -EWOULDBLOCK && !alone && ms < PATIENCE; ms += 20) {
		nanosleep(&turn, NULL);
		error = enter(root, shown, alone, meta, why, why_size);
	}
	if (error) {
		if (!*why)
			explain(error, shown, alone, why, why_size);
		close(root);
		return error;
	}
	*result = root;
	return 0;
}

static int make_directory(int root, const char *name)
{
	int fd;

	if (mkdirat(root, name, 0700)) {
		if (errno != EEXIST)
			return -errno;
	} else if (fsync(root)) {
		return -errno;
	}
	fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int storedir_new(int root)
{
	return make_directory(root, NEW_DIR);
}

void storedir_new_name(char name[32], uint32_t slot, unsigned long number)
{
	snprintf(name, 32, "%" PRIu32 "-%lu", slot, number);
}

void storedir_sweep_new(int root, uint32_t slot)
{
	char prefix[16];

	snprintf(prefix, sizeof prefix, "%" PRIu32 "-", slot);
	empty_directory(root, NEW_DIR, prefix);
}

int storedir_objects(int root, uint32_t generation)
{
	char name[32];

	snprintf(name, sizeof name, OBJECTS_PREFIX "%" PRIu32, generation);
	return make_directory(root, name);
}

void storedir_remove_others(int root, uint32_t generation)
{
	DIR *dir = list_directory(root, ".");
	struct dirent *entry;
	char kept[32];

	if (!dir)
		return;
	snprintf(kept, sizeof kept, OBJECTS_PREFIX "%" PRIu32, generation);
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (strncmp(name, OBJECTS_PREFIX, strlen(OBJECTS_PREFIX)) != 0 ||
		    !strcmp(name, kept))
			continue;
		empty_directory(root, name, "");
		if (unlinkat(root, name, AT_REMOVEDIR))
			log_warning("cannot remove the left-over %s: %s", name, strerror(errno));
	}
	closedir(dir);
}
