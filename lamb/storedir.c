/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store directory itself: see storedir.h.
 */
#include "lamb/storedir.h"

#include "ipc/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_DIR "new"
#define OBJECTS_PREFIX "obj."

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

int storedir_open(
    const char *path, const char *shown, struct meta *meta, int *result, char *why, size_t why_size)
{
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
	if (flock(root, LOCK_EX | LOCK_NB)) {
		error = -errno;
		if (error == -EWOULDBLOCK)
			snprintf(why, why_size,
			    "%s is in use by another lamb: stop that one, or name another store",
			    shown);
		else
			snprintf(why, why_size, "cannot lock %s: %s", shown, strerror(-error));
	} else {
		error = read_or_format(root, shown, meta, why, why_size);
	}
	if (error) {
		close(root);
		return error;
	}
	storedir_remove_others(root, meta->generation);
	*result = root;
	return 0;
}

static void empty_directory(int root, const char *name)
{
	DIR *dir = list_directory(root, name);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (!is_dots(entry->d_name) && unlinkat(dirfd(dir), entry->d_name, 0))
			log_warning("cannot remove the left-over %s/%s: %s", name, entry->d_name,
			    strerror(errno));
	closedir(dir);
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
	empty_directory(root, NEW_DIR);
	return make_directory(root, NEW_DIR);
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
		empty_directory(root, name);
		if (unlinkat(root, name, AT_REMOVEDIR))
			log_warning("cannot remove the left-over %s: %s", name, strerror(errno));
	}
	closedir(dir);
}
