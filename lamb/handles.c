/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open object files: see handles.h.
 */
#include "lamb/handles.h"

#include "ipc/log.h"
#include "lamb/shared.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct handles {
	pthread_mutex_t lock;
	const _Atomic uint32_t *versions;
	uint32_t clears; /* so far */
	unsigned capacity, nr_cached;
	unsigned mask; /* buckets - 1 */
	struct handle **buckets;
	struct handle *oldest, *newest;
};

struct handles *handles_new(unsigned capacity, const _Atomic uint32_t *versions)
{
	struct handles *handles = calloc(1, sizeof *handles);
	unsigned buckets = 64;

	if (!handles)
		return NULL;
	while (buckets < capacity)
		buckets *= 2;
	handles->capacity = capacity;
	handles->versions = versions;
	handles->mask = buckets - 1;
	handles->buckets = calloc(buckets, sizeof(struct handle *));
	if (!handles->buckets) {
		free(handles);
		return NULL;
	}
	pthread_mutex_init(&handles->lock, NULL);
	return handles;
}

static uint32_t version_of(const struct handles *handles, uint64_t oid)
{
	return atomic_load(&handles->versions[shared_version_index(oid)]);
}

static struct handle **bucket(struct handles *handles, uint64_t oid)
{
	return &handles->buckets[(oid * UINT64_C(0x9e3779b97f4a7c15) >> 40) & handles->mask];
}

static void use_unlink(struct handles *handles, struct handle *handle)
{
	*(handle->older ? &handle->older->newer : &handles->oldest) = handle->newer;
	*(handle->newer ? &handle->newer->older : &handles->newest) = handle->older;
}

static void use_append(struct handles *handles, struct handle *handle)
{
	handle->newer = NULL;
	handle->older = handles->newest;
	*(handles->newest ? &handles->newest->newer : &handles->oldest) = handle;
	handles->newest = handle;
}

static void release(struct handle *handle)
{
	if (!handle->cached && !handle->users) {
		close(handle->fd);
		free(handle);
	}
}

/* Takes it out of the cache; it is closed when nobody uses it. */
static void drop(struct handles *handles, struct handle *handle)
{
	struct handle **link = bucket(handles, handle->oid);

	while (*link != handle)
		link = &(*link)->next_hash;
	*link = handle->next_hash;
	use_unlink(handles, handle);
	handle->cached = 0;
	handles->nr_cached--;
	release(handle);
}

static struct handle *find(struct handles *handles, uint64_t oid)
{
	struct handle *handle = *bucket(handles, oid);

	while (handle && handle->oid != oid)
		handle = handle->next_hash;
	return handle;
}

static struct handle *make(uint64_t oid, int fd, uint32_t version)
{
	struct handle *handle = calloc(1, sizeof *handle);

	if (!handle)
		fatal("out of memory for an open object");
	*handle = (struct handle){.fd = fd, .oid = oid, .version = version};
	return handle;
}

static struct handle *insert(struct handles *handles, uint64_t oid, int fd, uint32_t version)
{
	struct handle *handle = make(oid, fd, version), **link = bucket(handles, oid);

	handle->cached = 1;
	handle->next_hash = *link;
	*link = handle;
	use_append(handles, handle);
	handles->nr_cached++;
	for (struct handle *old = handles->oldest; old && handles->nr_cached > handles->capacity;) {
		struct handle *newer = old->newer;

		if (!old->users && old != handle)
			drop(handles, old);
		old = newer;
	}
	return handle;
}

struct handle *handles_get(struct handles *handles, uint64_t oid)
{
	struct handle *handle;

	pthread_mutex_lock(&handles->lock);
	handle = find(handles, oid);
	if (handle && handle->version != version_of(handles, oid)) {
		drop(handles, handle);
		handle = NULL;
	}
	if (handle) {
		handle->users++;
		if (handle != handles->newest) {
			use_unlink(handles, handle);
			use_append(handles, handle);
		}
	}
	pthread_mutex_unlock(&handles->lock);
	return handle;
}

void handles_put(struct handles *handles, struct handle *handle)
{
	pthread_mutex_lock(&handles->lock);
	handle->users--;
	release(handle);
	pthread_mutex_unlock(&handles->lock);
}

/* With the lock. */
static uint64_t moment_of(const struct handles *handles, uint64_t oid)
{
	return (uint64_t)handles->clears << 32 | version_of(handles, oid);
}

uint64_t handles_moment(struct handles *handles, uint64_t oid)
{
	uint64_t moment;

	pthread_mutex_lock(&handles->lock);
	moment = moment_of(handles, oid);
	pthread_mutex_unlock(&handles->lock);
	return moment;
}

struct handle *handles_add(struct handles *handles, uint64_t oid, int fd, uint64_t moment)
{
	struct handle *handle = NULL;

	pthread_mutex_lock(&handles->lock);
	if (moment & 1) {
		handle = make(oid, fd, (uint32_t)moment);
		fd = -1;
	} else if (moment == moment_of(handles, oid)) {
		handle = find(handles, oid); /* another thread may have been quicker */
		if (handle && handle->version != (uint32_t)moment) {
			drop(handles, handle);
			handle = NULL;
		}
		if (!handle) {
			handle = insert(handles, oid, fd, (uint32_t)moment);
			fd = -1;
		}
	}
	if (handle)
		handle->users++;
	pthread_mutex_unlock(&handles->lock);
	if (fd >= 0)
		close(fd);
	return handle;
}

void handles_replace(struct handles *handles, uint64_t oid, int fd)
{
	struct handle *old;

	pthread_mutex_lock(&handles->lock);
	old = find(handles, oid);
	if (old)
		drop(handles, old);
	if (fd >= 0)
		insert(handles, oid, fd, version_of(handles, oid));
	pthread_mutex_unlock(&handles->lock);
}

void handles_clear(struct handles *handles)
{
	pthread_mutex_lock(&handles->lock);
	handles->clears++;
	while (handles->oldest)
		drop(handles, handles->oldest);
	pthread_mutex_unlock(&handles->lock);
}

void handles_free(struct handles *handles)
{
	handles_clear(handles);
	pthread_mutex_destroy(&handles->lock);
	free(handles->buckets);
	free(handles);
}
