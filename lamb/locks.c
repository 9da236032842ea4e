/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDI locks: see locks.h.
 *
 * Four bytes a vid, sparse.  Each change is one write of one record, so a death leaves the old
 * record or the new one.  Nothing is forced to the disk: whoever forgets what was written last,
 * the host, ends every node as well.
 */
#include "lamb/locks.h"

#include "ipc/log.h"
#include "lamb/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCKS_FILE "locks"

struct record {
	uint8_t type;  /* 0: unlocked, else 1 + enum sd_lock_type */
	uint8_t owner; /* slot */
	uint8_t deleted;
	uint8_t pad;
};

struct locks {
	int fd;
	struct shared *shared;
};

static int open_file(int root, int flags)
{
	int fd = openat(root, LOCKS_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

	return fd < 0 ? -errno : fd;
}

int locks_prepare(int root)
{
	int fd = open_file(root, O_TRUNC);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int locks_open(int root, struct shared *shared, struct locks **result)
{
	struct locks *locks = calloc(1, sizeof *locks);
	int fd = open_file(root, 0);

	if (!locks || fd < 0) {
		free(locks);
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	*locks = (struct locks){.fd = fd, .shared = shared};
	*result = locks;
	return 0;
}

void locks_free(struct locks *locks)
{
	close(locks->fd);
	free(locks);
}

void locks_clear(struct locks *locks)
{
	shared_lock_notices(locks->shared);
	if (ftruncate(locks->fd, 0))
		log_error("the VDI locks cannot be cleared: %s", strerror(errno));
	shared_unlock_notices(locks->shared);
}

/* Nothing of a shared lock is left when its node has died. */
static struct record get(const struct locks *locks, uint32_t vid)
{
	struct record record = {0};

	if (pread(locks->fd, &record, sizeof record, (off_t)vid * (off_t)sizeof record) < 0)
		log_error("the lock of VDI %06x cannot be read: %s", vid, strerror(errno));
	record.owner %= SHARED_SLOTS;
	if (record.type == 1 + SD_LOCK_SHARED &&
	    !atomic_load(&locks->shared->page->slots[record.owner].lives))
		record.type = 0;
	return record;
}

static int put(const struct locks *locks, uint32_t vid, const struct record *record)
{
	ssize_t size =
	    pwrite(locks->fd, record, sizeof *record, (off_t)vid * (off_t)sizeof *record);

	if (size == (ssize_t)sizeof *record)
		return 0;
	return size < 0 ? -errno : -ENOSPC;
}

int locks_take(struct locks *locks, uint32_t vid, enum sd_lock_type type)
{
	struct record record;
	int error;

	shared_lock_notices(locks->shared);
	record = get(locks, vid);
	if (record.type) {
		error = -EBUSY;
	} else {
		record.type = (uint8_t)(1 + type);
		record.owner = (uint8_t)locks->shared->slot;
		error = put(locks, vid, &record);
	}
	shared_unlock_notices(locks->shared);
	return error;
}

void locks_release(struct locks *locks, uint32_t vid, enum sd_lock_type type)
{
	struct record record;
	int error = 0;

	if (vid >= SD_NR_VDIS)
		return;
	shared_lock_notices(locks->shared);
	record = get(locks, vid);
	if (record.type == 1 + type &&
	    (type == SD_LOCK_NORMAL || record.owner == locks->shared->slot)) {
		record.type = 0;
		error = put(locks, vid, &record);
	}
	shared_unlock_notices(locks->shared);
	if (error)
		log_error("the lock of VDI %06x stays: %s", vid, strerror(-error));
}

enum sd_lock_state locks_state(struct locks *locks, uint32_t vid, uint32_t *owner)
{
	struct record record = get(locks, vid);

	*owner = record.owner;
	if (!record.type)
		return SD_LOCK_UNLOCKED;
	return record.type == 1 + SD_LOCK_NORMAL ? SD_LOCK_LOCKED : SD_LOCK_IS_SHARED;
}

void locks_mark_deleted(struct locks *locks, uint32_t vid)
{
	struct record record;
	int error;

	shared_lock_notices(locks->shared);
	record = get(locks, vid);
	record.deleted = 1;
	error = put(locks, vid, &record);
	shared_unlock_notices(locks->shared);
	if (error)
		log_error("other nodes do not see that VDI %06x is marked deleted: %s", vid,
		    strerror(-error));
}

bool locks_is_deleted(struct locks *locks, uint32_t vid)
{
	return get(locks, vid).deleted;
}
