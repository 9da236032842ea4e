/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mounting and unmounting: see mount.h.
 */
#include "master/mount.h"

#include "master/errand.h"
#include "master/mountinfo.h"
#include "master/users.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TREE_SOURCE "sheepfs"
#define PID_ATTRIBUTE "pid"

/* ---- mounting ---- */

int mount_open_device(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int mount_fuse(const char *source, const char *target, int device, const char *mode)
{
	char options[160];

	snprintf(options, sizeof options,
	    "fd=%d,rootmode=%s,user_id=0,group_id=0,allow_other,default_permissions", device, mode);
	return mount(source, target, MOUNTINFO_TYPE, MS_NOSUID | MS_NODEV, options) ? -errno : 0;
}

int mount_tree(int device, const char *target)
{
	return mount_fuse(TREE_SOURCE, target, device, "40755");
}

int mount_volume_path(const char *mountpoint, const char *shown, char path[PATH_MAX])
{
	if (strlen(shown) > SHOWN_NAME_MAX ||
	    snprintf(path, PATH_MAX, "%s/volume/%s", mountpoint, shown) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

int mount_volume_work(const void *arg, int keep, char *text)
{
	const struct mount_volume_order *order = arg;
	char place[32];
	int fd = open(order->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	(void)text;
	if (fd < 0)
		return -errno;
	snprintf(place, sizeof place, "/proc/self/fd/%d", fd);
	return mount_fuse(order->source, place, keep, order->read_only ? "0100400" : "0100600");
}

/* ---- unmounting ---- */

int mount_end_work(const void *arg, int keep, char *text)
{
	const struct mount_end_order *order = arg;
	int error = 0;

	(void)keep;
	if (umount2(order->path, UMOUNT_NOFOLLOW | (order->lazy ? MNT_DETACH : 0)))
		error = -errno;
	if (error == -EBUSY)
		users_find(order->path, order->mount_id, text, ERRAND_TEXT_MAX);
	return error;
}

/* ---- looking ---- */

int mount_probe_work(const void *arg, int keep, char *text)
{
	struct statvfs ignored;

	(void)keep;
	(void)text;
	return statvfs(arg, &ignored) ? -errno : 0;
}

int mount_resolve_work(const void *arg, int keep, char *text)
{
	static char path[PATH_MAX];

	(void)keep;
	if (!realpath(arg, path))
		return -errno;
	if (strlen(path) >= ERRAND_TEXT_MAX)
		return -ENAMETOOLONG;
	strcpy(text, path);
	return 0;
}

int mount_directory_work(const void *arg, int keep, char *text)
{
	struct stat st;

	(void)keep;
	(void)text;
	if (stat(arg, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int mount_reach_work(const void *arg, int keep, char *text)
{
	char path[PATH_MAX];
	char *slash;

	(void)keep;
	(void)text;
	snprintf(path, sizeof path, "%s", (const char *)arg);
	slash = strrchr(path, '/');
	if (!slash)
		return -EINVAL;
	slash[1] = 0;
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS))
		return -EPERM;
	/* "directory/." needs the right to search it as well */
	strncat(path, ".", sizeof path - strlen(path) - 1);
	return open(path, O_PATH | O_CLOEXEC) < 0 ? -errno : 0;
}

/* ---- utab ---- */

/* libmount writes a line for what has an option that only umount(8) understands. */
static int update_utab(const char *target, bool enter)
{
	struct libmnt_update *update = mnt_new_update();
	struct libmnt_fs *fs = enter ? mnt_new_fs() : NULL;
	char attribute[48];
	int error = update && (fs || !enter) ? 0 : -ENOMEM;

	snprintf(attribute, sizeof attribute, PID_ATTRIBUTE "=%d", (int)getppid());
	if (!error && enter &&
	    (mnt_fs_set_source(fs, TREE_SOURCE) || mnt_fs_set_target(fs, target) ||
		mnt_fs_set_fstype(fs, MOUNTINFO_TYPE) || mnt_fs_set_root(fs, "/") ||
		mnt_fs_append_options(fs, "helper=sheepfs") ||
		mnt_fs_set_attributes(fs, attribute)))
		error = -ENOMEM;
	if (!error)
		error = mnt_update_set_fs(update, 0, enter ? NULL : target, fs);
	/* 1: there is nothing to do */
	if (!error)
		error = mnt_update_table(update, NULL);
	else if (error > 0)
		error = enter ? -EIO : 0;
	mnt_free_update(update);
	mnt_unref_fs(fs);
	return error > 0 ? -EIO : error;
}

int mount_enter_utab_work(const void *arg, int keep, char *text)
{
	(void)keep;
	(void)text;
	/* one that was killed has left its line */
	update_utab(arg, false);
	return update_utab(arg, true);
}

int mount_leave_utab_work(const void *arg, int keep, char *text)
{
	(void)keep;
	(void)text;
	return update_utab(arg, false);
}

int mount_served_by(const char *target)
{
	struct libmnt_table *table = mnt_new_table();
	struct libmnt_fs *fs = NULL;
	char *value;
	size_t size;
	int pid = 0;

	if (table && !mnt_table_parse_mtab(table, NULL))
		fs = mnt_table_find_target(table, target, MNT_ITER_BACKWARD);
	if (fs && !mnt_fs_get_attribute(fs, PID_ATTRIBUTE, &value, &size) && size)
		pid = atoi(value);
	mnt_unref_table(table);
	return pid;
}
