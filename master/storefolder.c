/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The folder of a lamb's store: see storefolder.h.
 */
#include "master/storefolder.h"

#include "include/bounds.h"
#include "ipc/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DYING 1000   /* milliseconds that the last lamb may take to be gone */
#define DEPTH_MAX 16 /* directories below one another; a store has one */

struct handover {
	uid_t uid;
	dev_t device;
	bool give; /* else: only find out whether it can be done */
	unsigned depth;
	unsigned long count; /* of files that are another's */
	char shared[256];    /* a file of the store that has another name elsewhere */
	int error;
};

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static DIR *open_directory(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

/* Does its description begin as lamb writes it?  1, 0, or -EACCES when that cannot be seen. */
static int is_store(int root)
{
	char text[sizeof LAMB_STORE_MAGIC] = "";
	int fd = openat(root, "config", O_RDONLY | O_NOFOLLOW | O_CLOEXEC), is;

	if (fd < 0)
		return errno == EACCES ? -EACCES : 0;
	is = read(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1 &&
	     !strcmp(text, LAMB_STORE_MAGIC);
	close(fd);
	return is;
}

/* Empty, but for what a new file system holds and a first format that was cut short leaves. */
static bool is_empty(int root, char *found, size_t size)
{
	DIR *dir = open_directory(root, ".");
	struct dirent *d;

	found[0] = 0;
	while (dir && !found[0] && (d = readdir(dir)))
		if (!is_dots(d->d_name) && strcmp(d->d_name, "lost+found") != 0 &&
		    strcmp(d->d_name, "config.new") != 0)
			snprintf(found, size, "%s", d->d_name);
	if (dir)
		closedir(dir);
	return dir && !found[0];
}

static void hand_over_all(struct handover *h, int directory);

/* A file with a second name might be somebody's whom we would rob.  Beside "config" the store's own
 * are all in directories. */
static bool may_be_given(struct handover *h, const struct stat *st, const char *name)
{
	if (st->st_dev != h->device || !(S_ISDIR(st->st_mode) || S_ISREG(st->st_mode)))
		return false;
	if (S_ISDIR(st->st_mode) || st->st_nlink == 1)
		return true;
	if (st->st_uid != h->uid && (h->depth > 1 || !strcmp(name, "config"))) {
		snprintf(h->shared, sizeof h->shared, "%s", name);
		h->error = -EMLINK;
	}
	return false;
}

/* What is judged is what is given: a name may come to mean another file between the two. */
static void hand_over(struct handover *h, int at, const char *name)
{
	int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		h->error = -errno;
	} else if (may_be_given(h, &st, name)) {
		if (S_ISDIR(st.st_mode))
			hand_over_all(h, fd);
		if (!h->error && (st.st_uid != h->uid || st.st_gid != h->uid)) {
			h->count++;
			if (h->give && fchownat(fd, "", h->uid, h->uid, AT_EMPTY_PATH))
				h->error = -errno;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void hand_over_all(struct handover *h, int directory)
{
	DIR *dir = h->depth < DEPTH_MAX ? open_directory(directory, ".") : NULL;
	struct dirent *d;

	if (!dir) {
		h->error = h->depth < DEPTH_MAX ? -errno : -ELOOP;
		return;
	}
	h->depth++;
	while (!h->error && (d = readdir(dir)))
		if (!is_dots(d->d_name))
			hand_over(h, dirfd(dir), d->d_name);
	h->depth--;
	closedir(dir);
}

static void explain(const char *path, uid_t uid, int error, char *why, size_t why_size)
{
	if (error == -EPERM || error == -EACCES)
		snprintf(why, why_size,
		    "lamb:%s cannot be handed over to user %u (--uids): %s; chown -R %u:%u %s does "
		    "it",
		    path, uid, strerror(-error), uid, uid, path);
	else
		snprintf(why, why_size, "lamb:%s cannot be used: %s", path,
		    error == -ENOTDIR ? "it is no directory" : strerror(-error));
}

static int judge(int root, const char *path, uid_t uid, char *why, size_t why_size)
{
	int is = is_store(root);
	char found[256];

	if (is < 0)
		explain(path, uid, is, why, why_size);
	if (is || is_empty(root, found, sizeof found))
		return is < 0 ? is : 0;
	snprintf(why, why_size,
	    "lamb:%s is not a lamb store and not empty (it holds \"%s\"): name an empty or a new "
	    "directory",
	    path, found);
	return -ENOTEMPTY;
}

/* What another lamb serves must stay its user's: the lock is lamb's own.  That of a sheepfs which
 * was just killed needs a moment to die. */
static int check_free(int root, const char *path, char *why, size_t why_size)
{
	static const struct timespec turn = {0, 20 * 1000 * 1000};

	for (int turns = 0; turns < DYING / 20; turns++) {
		if (!flock(root, LOCK_EX | LOCK_NB))
			return 0;
		nanosleep(&turn, NULL);
	}
	snprintf(why, why_size,
	    "lamb:%s is in use by another lamb: stop that one, or name another store", path);
	return -EBUSY;
}

/* Nothing is changed unless all of it can be. */
static int take_over(int root, const char *path, uid_t uid, char *why, size_t why_size)
{
	struct handover h = {.uid = uid};
	struct stat st;

	if (fstat(root, &st)) {
		h.error = -errno;
	} else {
		h.device = st.st_dev;
		hand_over_all(&h, root);
		if (!h.error && h.count) {
			h.give = true;
			h.count = 0;
			hand_over_all(&h, root);
		}
		if (!h.error && (st.st_uid != uid || st.st_gid != uid) && fchown(root, uid, uid))
			h.error = -errno;
	}
	if (h.shared[0])
		snprintf(why, why_size,
		    "lamb:%s: its file \"%s\" has another name elsewhere (a hard link), and is not "
		    "taken from its owner: copy the store with cp -a and name the copy",
		    path, h.shared);
	else if (h.error)
		explain(path, uid, h.error, why, why_size);
	else if (h.count)
		log_info("lamb:%s: %lu files are user %u's from now on", path, h.count, uid);
	return h.error;
}

static int prepare(const char *path, uid_t uid, char *why, size_t why_size)
{
	int root, error = 0;

	if (mkdir(path, 0700) && errno != EEXIST) {
		error = -errno;
		snprintf(why, why_size, "lamb:%s cannot be made: %s%s", path, strerror(-error),
		    error == -ENOENT ? "; make the directory above it" : "");
		return error;
	}
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0) {
		error = -errno;
		explain(path, uid, error, why, why_size);
		return error;
	}
	error = judge(root, path, uid, why, why_size);
	if (!error)
		error = check_free(root, path, why, why_size);
	if (!error)
		error = take_over(root, path, uid, why, why_size);
	close(root);
	return error;
}

/* Root may not be allowed to look into it; whose it is already can. */
int storefolder_prepare(const char *path, uid_t uid, char *why, size_t why_size)
{
	int error = prepare(path, uid, why, why_size);

	if (error != -EACCES)
		return error;
	setfsgid(uid);
	setfsuid(uid);
	error = prepare(path, uid, why, why_size);
	setfsuid(0);
	setfsgid(0);
	return error;
}
