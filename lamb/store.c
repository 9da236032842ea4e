/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Durable objects: see store.h.
 *
 * A new object is written as new/<number>, synced, renamed into place, and the directory synced.
 * Overwrites are one pwritev2(RWF_DSYNC).  "dir" below is read by many threads and replaced only
 * after a format, with no other request under way but reads; these keep the old descriptor alive
 * through `lock`.
 */
#include "lamb/store.h"

#include "ipc/log.h"
#include "lamb/handles.h"
#include "lamb/shared.h"
#include "lamb/storedir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HANDLES_MAX 8192
#define COPY_CHUNK (1U << 20)

struct store {
	int root;    /* the store directory, which carries the lock */
	int new_dir; /* "new" */
	int dir;     /* "obj.<generation>" */
	_Atomic uint32_t generation;
	bool in_memory;
	struct shared *shared;
	atomic_ulong new_number;
	pthread_rwlock_t lock; /* of dir */
	struct handles *handles;
};

#define OID_NAME_SIZE 17

static void oid_name(uint64_t oid, char *name)
{
	snprintf(name, OID_NAME_SIZE, "%016" PRIx64, oid);
}

/* As many descriptors as the system lets us have; half of them may stay open for objects. */
static unsigned handles_capacity(void)
{
	struct rlimit limit;
	unsigned long capacity;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 64;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	capacity = limit.rlim_cur / 2;
	if (capacity > HANDLES_MAX)
		capacity = HANDLES_MAX;
	return (unsigned)capacity;
}

/* Everything in the directory that is kept open. */
static int open_parts(struct store *store, uint32_t generation)
{
	struct statfs fs;
	int error = shared_open(store->root, &store->shared);

	if (error)
		return error;
	store->handles = handles_new(handles_capacity(), store->shared->page->versions);
	if (!store->handles)
		return -ENOMEM;
	store->new_dir = storedir_new(store->root);
	if (store->new_dir < 0)
		return store->new_dir;
	store->dir = storedir_objects(store->root, generation);
	if (store->dir < 0)
		return store->dir;
	store->generation = generation;
	if (fstatfs(store->root, &fs))
		return -errno;
	store->in_memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
	return 0;
}

int store_open(const char *path, const char *shown, bool alone, struct meta *meta,
    struct store **result, char *why, size_t why_size)
{
	struct store *store = calloc(1, sizeof *store);
	int error;

	if (!store)
		return -ENOMEM;
	store->root = store->new_dir = store->dir = -1;
	pthread_rwlock_init(&store->lock, NULL);
	error = storedir_open(path, shown, alone, meta, &store->root, why, why_size);
	if (error) {
		store->root = -1;
	} else {
		error = open_parts(store, meta->generation);
		if (error == -EPROTONOSUPPORT)
			snprintf(why, why_size,
			    "%s is served by another version of lamb: use that one", shown);
		else if (error)
			snprintf(why, why_size, "%s: %s", shown, strerror(-error));
	}
	if (error) {
		store_close(store);
		return error;
	}
	*result = store;
	return 0;
}

void store_close(struct store *store)
{
	if (store->handles)
		handles_free(store->handles);
	if (store->dir >= 0)
		close(store->dir);
	if (store->new_dir >= 0)
		close(store->new_dir);
	if (store->shared)
		shared_close(store->shared);
	if (store->root >= 0)
		close(store->root);
	pthread_rwlock_destroy(&store->lock);
	free(store);
}

struct shared *store_shared(const struct store *store)
{
	return store->shared;
}

int store_directory(const struct store *store)
{
	return store->root;
}

bool store_in_memory(const struct store *store)
{
	return store->in_memory;
}

/* Serves the objects in dir (taken) from now on. */
static void change_objects(struct store *store, int dir, uint32_t generation)
{
	pthread_rwlock_wrlock(&store->lock);
	close(store->dir);
	store->dir = dir;
	store->generation = generation;
	handles_clear(store->handles);
	pthread_rwlock_unlock(&store->lock);
}

int store_follow(struct store *store, struct meta *meta)
{
	int dir, error = meta_read(store->root, meta);

	if (error || meta->generation == store->generation)
		return error;
	dir = storedir_objects(store->root, meta->generation);
	if (dir < 0)
		return dir;
	change_objects(store, dir, meta->generation);
	return 0;
}

int store_format(struct store *store, struct meta *meta)
{
	uint32_t old = meta->generation;
	int dir, error;

	dir = storedir_objects(store->root, meta->generation + 1);
	if (dir < 0)
		return dir;
	meta->generation++;
	error = meta_write(store->root, meta);
	if (error) {
		meta->generation = old;
		close(dir);
		return error;
	}
	change_objects(store, dir, meta->generation);
	storedir_remove_others(store->root, meta->generation);
	return 0;
}

/* *handle is the object's, to be given back. 0, or -errno: -ENOENT when there is none. */
static int open_object(struct store *store, uint64_t oid, struct handle **handle)
{
	char name[OID_NAME_SIZE];

	*handle = handles_get(store->handles, oid);
	while (!*handle) {
		uint64_t moment = handles_moment(store->handles, oid);
		int fd;

		oid_name(oid, name);
		pthread_rwlock_rdlock(&store->lock);
		fd = openat(store->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		pthread_rwlock_unlock(&store->lock);
		if (fd < 0)
			return -errno;
		*handle = handles_add(store->handles, oid, fd, moment);
	}
	return 0;
}

/* preadv2 until all is read; what lies beyond the file's end is zero. */
static int read_all(int fd, uint8_t *data, size_t size, uint64_t offset, int flags)
{
	while (size) {
		struct iovec iov = {data, size};
		ssize_t got = preadv2(fd, &iov, 1, (off_t)offset, flags);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got) {
			memset(data, 0, size);
			return 0;
		}
		data += got;
		size -= (size_t)got;
		offset += (size_t)got;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size, uint64_t offset, int flags)
{
	while (size) {
		struct iovec iov = {(void *)(uintptr_t)data, size};
		ssize_t put = pwritev2(fd, &iov, 1, (off_t)offset, flags);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -EIO;
		data += put;
		size -= (size_t)put;
		offset += (size_t)put;
	}
	return 0;
}

static int read_object(
    struct store *store, uint64_t oid, void *data, size_t size, uint64_t offset, int flags)
{
	struct handle *handle;
	int error = open_object(store, oid, &handle);

	if (error)
		return error;
	error = read_all(handle->fd, data, size, offset, flags);
	handles_put(store->handles, handle);
	return error;
}

int store_read(struct store *store, uint64_t oid, void *data, size_t size, uint64_t offset)
{
	return read_object(store, oid, data, size, offset, 0);
}

int store_read_nowait(struct store *store, uint64_t oid, void *data, size_t size, uint64_t offset)
{
	int error = read_object(store, oid, data, size, offset, store->in_memory ? 0 : RWF_NOWAIT);

	return error == -EOPNOTSUPP ? -EAGAIN : error;
}

int store_write(struct store *store, uint64_t oid, const void *data, size_t size, uint64_t offset)
{
	struct handle *handle;
	int error = open_object(store, oid, &handle);

	if (error)
		return error;
	error = write_all(handle->fd, data, size, offset, store->in_memory ? 0 : RWF_DSYNC);
	handles_put(store->handles, handle);
	return error;
}

/* The disk is waited for without the object's lock. */
int store_exchange(struct store *store, uint64_t oid, const struct store_exchange *exchange)
{
	struct handle *handle;
	int error = open_object(store, oid, &handle);

	if (error)
		return error;
	shared_lock_object(store->shared, oid);
	error = read_all(handle->fd, exchange->old, exchange->read_size, exchange->read_offset, 0);
	if (!error)
		error = write_all(handle->fd, exchange->data, exchange->size, exchange->offset, 0);
	shared_unlock_object(store->shared, oid);
	if (!error && !store->in_memory && fdatasync(handle->fd))
		error = -errno;
	handles_put(store->handles, handle);
	return error;
}

/* Copies [from, to), the slow way, for file systems without copy_file_range(2). */
static int copy_by_hand(int in, int out, uint64_t from, uint64_t to)
{
	uint8_t *buffer = malloc(COPY_CHUNK);
	int error = buffer ? 0 : -ENOMEM;

	while (!error && from < to) {
		size_t n = to - from < COPY_CHUNK ? (size_t)(to - from) : COPY_CHUNK;

		error = read_all(in, buffer, n, from, 0);
		if (!error)
			error = write_all(out, buffer, n, from, 0);
		from += n;
	}
	free(buffer);
	return error;
}

static int copy_range(int in, int out, uint64_t from, uint64_t to)
{
	while (from < to) {
		off_t in_at = (off_t)from, out_at = (off_t)from;
		ssize_t n = copy_file_range(in, &in_at, out, &out_at, to - from, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
			return -errno;
		if (n <= 0)
			return copy_by_hand(in, out, from, to);
		from += (size_t)n;
	}
	return 0;
}

/* Copies what is data in [from, to); `out` has holes where `in` has. */
static int copy_data(int in, int out, uint64_t from, uint64_t to)
{
	while (from < to) {
		off_t data = lseek(in, (off_t)from, SEEK_DATA), hole;
		int error;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		if ((uint64_t)data >= to)
			return 0;
		hole = lseek(in, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if ((uint64_t)hole > to)
			hole = (off_t)to;
		error = copy_range(in, out, (uint64_t)data, (uint64_t)hole);
		if (error)
			return error;
		from = (uint64_t)hole;
	}
	return 0;
}

/* Writes what the recipe says into the empty file fd. */
static int fill(struct store *store, int fd, const struct store_recipe *recipe)
{
	struct handle *base;
	int error = 0;

	if (ftruncate(fd, (off_t)recipe->size))
		return -errno;
	if (recipe->base) {
		error = open_object(store, recipe->base, &base);
		if (error)
			return error;
		error = copy_data(base->fd, fd, recipe->from, recipe->to);
		handles_put(store->handles, base);
	}
	if (!error)
		error = write_all(fd, recipe->data, recipe->data_size, recipe->offset, 0);
	if (!error && !store->in_memory && fsync(fd))
		error = -errno;
	return error;
}

/* Gives the file `made` of "new", open as fd (taken), the object's name. */
static int give_name(struct store *store, uint64_t oid, const char *made, int fd)
{
	char name[OID_NAME_SIZE];
	int error = 0;

	oid_name(oid, name);
	shared_change_begin(store->shared, oid);
	if (renameat(store->new_dir, made, store->dir, name))
		error = -errno;
	shared_change_end(store->shared, oid);
	if (!error)
		handles_replace(store->handles, oid, fd);
	shared_unlock_object(store->shared, oid);
	if (error) {
		unlinkat(store->new_dir, made, 0);
		close(fd);
	}
	return error;
}

int store_create(struct store *store, const struct store_recipe *recipe)
{
	char made[32];
	int fd, error;

	storedir_new_name(made, store->shared->slot, atomic_fetch_add(&store->new_number, 1));
	fd = openat(store->new_dir, made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	error = fill(store, fd, recipe);
	if (error) {
		unlinkat(store->new_dir, made, 0);
		close(fd);
		return error;
	}
	pthread_rwlock_rdlock(&store->lock);
	error = give_name(store, recipe->oid, made, fd);
	if (!error && !store->in_memory && fsync(store->dir))
		error = -errno;
	pthread_rwlock_unlock(&store->lock);
	return error;
}

int store_copy(struct store *store, uint64_t oid, uint64_t base, uint64_t from, uint64_t to)
{
	struct handle *in, *out;
	int error = open_object(store, base, &in);

	if (error)
		return error;
	error = open_object(store, oid, &out);
	if (!error) {
		error = copy_by_hand(in->fd, out->fd, from, to);
		if (!error && fdatasync(out->fd))
			error = -errno;
		handles_put(store->handles, out);
	}
	handles_put(store->handles, in);
	return error;
}

int store_remove(struct store *store, uint64_t oid)
{
	char name[OID_NAME_SIZE];
	int error = 0;

	oid_name(oid, name);
	pthread_rwlock_rdlock(&store->lock);
	shared_change_begin(store->shared, oid);
	if (unlinkat(store->dir, name, 0))
		error = -errno;
	shared_change_end(store->shared, oid);
	if (!error)
		handles_replace(store->handles, oid, -1);
	shared_unlock_object(store->shared, oid);
	pthread_rwlock_unlock(&store->lock);
	return error;
}

int store_sync_names(struct store *store)
{
	int error = 0;

	pthread_rwlock_rdlock(&store->lock);
	if (!store->in_memory && fsync(store->dir))
		error = -errno;
	pthread_rwlock_unlock(&store->lock);
	return error;
}

int store_exists(struct store *store, uint64_t oid)
{
	char name[OID_NAME_SIZE];
	int error = 0;

	oid_name(oid, name);
	pthread_rwlock_rdlock(&store->lock);
	if (faccessat(store->dir, name, F_OK, 0))
		error = -errno;
	pthread_rwlock_unlock(&store->lock);
	return error;
}

int store_is_zero(struct store *store, uint64_t oid, uint64_t from, uint64_t to)
{
	struct handle *handle;
	int result = open_object(store, oid, &handle);
	uint8_t block[4096];

	if (result)
		return result;
	result = 1;
	while (result == 1 && from < to) {
		off_t data = lseek(handle->fd, (off_t)from, SEEK_DATA);
		size_t n;
		int error;

		if (data < 0 && errno != ENXIO)
			result = -errno;
		if (data < 0 || (uint64_t)data >= to)
			break;
		from = (uint64_t)data;
		n = to - from < sizeof block ? (size_t)(to - from) : sizeof block;
		error = read_all(handle->fd, block, n, from, 0);
		if (error)
			result = error;
		else if (block[0] || memcmp(block, block + 1, n - 1) != 0)
			result = 0;
		from += n;
	}
	handles_put(store->handles, handle);
	return result;
}

int store_each(struct store *store, int (*each)(void *argument, uint64_t oid), void *argument)
{
	struct dirent *entry;
	int fd, result = 0;
	DIR *dir;

	pthread_rwlock_rdlock(&store->lock);
	fd = openat(store->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pthread_rwlock_unlock(&store->lock);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		result = -errno;
		if (fd >= 0)
			close(fd);
		return result;
	}
	while (!result && (entry = readdir(dir))) {
		char *end;
		uint64_t oid = strtoull(entry->d_name, &end, 16);

		if (!*end && end - entry->d_name == 16)
			result = each(argument, oid);
	}
	closedir(dir);
	return result;
}

int store_space(struct store *store, uint64_t *size, uint64_t *free_bytes)
{
	struct statvfs fs;

	if (fstatvfs(store->root, &fs))
		return -errno;
	*size = (uint64_t)fs.f_blocks * fs.f_frsize;
	*free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}
