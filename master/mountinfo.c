/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is mounted where: see mountinfo.h.
 */
#include "master/mountinfo.h"

#include <errno.h>
#include <libmount.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* Calls each() for every mount, in the order of mounting. */
static int walk(const char *file, void (*each)(struct libmnt_fs *fs, void *arg), void *arg)
{
	struct libmnt_table *table = mnt_new_table_from_file(file);
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;
	int error = table && iter ? 0 : -EIO;

	while (!error && !mnt_table_next_fs(table, iter, &fs))
		each(fs, arg);
	mnt_free_iter(iter);
	mnt_unref_table(table);
	return error;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

struct search {
	const char *target;
	size_t target_size;
	struct mountinfo *found;
	bool any;
};

static void look_for_target(struct libmnt_fs *fs, void *arg)
{
	struct search *s = arg;
	const char *target = or_empty(mnt_fs_get_target(fs));

	if (!strcmp(target, s->target)) {
		s->any = true;
		s->found->id = mnt_fs_get_id(fs);
		s->found->device = minor(mnt_fs_get_devno(fs));
		snprintf(
		    s->found->type, sizeof s->found->type, "%s", or_empty(mnt_fs_get_fstype(fs)));
		snprintf(s->found->source, sizeof s->found->source, "%s",
		    or_empty(mnt_fs_get_source(fs)));
		s->found->nested = 0;
	} else if (s->any && !strncmp(target, s->target, s->target_size) &&
		   target[s->target_size] == '/') {
		s->found->nested++;
	}
}

int mountinfo_find(const char *file, const char *target, struct mountinfo *found)
{
	struct search s = {.target = target, .target_size = strlen(target), .found = found};
	int error;

	memset(found, 0, sizeof *found);
	error = walk(file, look_for_target, &s);
	if (!error && !s.any)
		error = -ENOENT;
	return error;
}

struct visit {
	const char *target;
	size_t target_size;
	void (*each)(const char *path, unsigned device, void *arg);
	void *arg;
};

static void visit_below(struct libmnt_fs *fs, void *arg)
{
	const char *path = or_empty(mnt_fs_get_target(fs));
	struct visit *v = arg;

	if (!strcmp(or_empty(mnt_fs_get_fstype(fs)), MOUNTINFO_TYPE) &&
	    !strncmp(path, v->target, v->target_size) && path[v->target_size] == '/')
		v->each(path, minor(mnt_fs_get_devno(fs)), v->arg);
}

int mountinfo_each_below(const char *file, const char *target,
    void (*each)(const char *path, unsigned device, void *arg), void *arg)
{
	struct visit v = {
	    .target = target, .target_size = strlen(target), .each = each, .arg = arg};

	return walk(file, visit_below, &v);
}

struct device_search {
	unsigned connection;
	bool any;
};

static void look_for_device(struct libmnt_fs *fs, void *arg)
{
	struct device_search *s = arg;

	if (minor(mnt_fs_get_devno(fs)) == s->connection && !major(mnt_fs_get_devno(fs)) &&
	    !strcmp(or_empty(mnt_fs_get_fstype(fs)), MOUNTINFO_TYPE))
		s->any = true;
}

bool mountinfo_lists(const char *file, unsigned connection)
{
	struct device_search s = {.connection = connection};

	/* what cannot be read counts as listed: the careful answer */
	return walk(file, look_for_device, &s) || s.any;
}
