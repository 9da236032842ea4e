/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the nodes of one store share in memory: see shared.h.
 */
#include "lamb/shared.h"

#include "ipc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_VERSION 1U

/* Bytes of the file that stand for something; locks do not touch what lies there. */
enum { BYTE_NOTICES, BYTE_MEMBERS, BYTE_EXCLUSIVE, BYTE_SLOTS = 1024, BYTE_STRIPES = 4096 };

static int lock_byte(int fd, int command, short type, off_t byte)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	while (fcntl(fd, command, &lock))
		if (errno != EINTR)
			return -errno;
	return 0;
}

static void must(int error, const char *what)
{
	if (error)
		fatal("the store's lock of %s: %s", what, strerror(-error));
}

int shared_prepare(int root)
{
	int fd = openat(root, SHARED_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct shared_page *page = calloc(1, sizeof *page);
	ssize_t size = -1;
	int error = 0;

	if (fd >= 0 && page) {
		page->version = PAGE_VERSION;
		size = pwrite(fd, page, sizeof *page, 0);
	}
	if (size != (ssize_t)sizeof *page)
		error = !page ? -ENOMEM : fd < 0 || size < 0 ? -errno : -ENOSPC;
	free(page);
	if (fd >= 0)
		close(fd);
	return error;
}

static int map(struct shared *shared)
{
	struct stat st;
	void *page;

	if (fstat(shared->fd, &st))
		return -errno;
	if (st.st_size != sizeof *shared->page)
		return -EPROTONOSUPPORT;
	page = mmap(NULL, sizeof *shared->page, PROT_READ | PROT_WRITE, MAP_SHARED, shared->fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	shared->page = page;
	return shared->page->version == PAGE_VERSION ? 0 : -EPROTONOSUPPORT;
}

static int open_one(int root)
{
	int fd = openat(root, SHARED_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

int shared_open(int root, struct shared **result)
{
	struct shared *shared = calloc(1, sizeof *shared);
	int error;

	if (!shared)
		return -ENOMEM;
	pthread_mutex_init(&shared->notice, NULL);
	for (unsigned i = 0; i < SHARED_STRIPES; i++)
		pthread_mutex_init(&shared->stripes[i], NULL);
	shared->fd = open_one(root);
	shared->operation_fd = open_one(root);
	shared->waiter_fd = open_one(root);
	if (shared->fd < 0)
		error = shared->fd;
	else if (shared->operation_fd < 0)
		error = shared->operation_fd;
	else
		error = shared->waiter_fd < 0 ? shared->waiter_fd : map(shared);
	if (error) {
		shared_close(shared);
		return error;
	}
	*result = shared;
	return 0;
}

void shared_close(struct shared *shared)
{
	const int fds[] = {shared->fd, shared->operation_fd, shared->waiter_fd};

	if (shared->page)
		munmap(shared->page, sizeof *shared->page);
	for (unsigned i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	pthread_mutex_destroy(&shared->notice);
	for (unsigned i = 0; i < SHARED_STRIPES; i++)
		pthread_mutex_destroy(&shared->stripes[i]);
	free(shared);
}

void shared_lock_members(struct shared *shared)
{
	must(lock_byte(shared->fd, F_OFD_SETLKW, F_WRLCK, BYTE_MEMBERS), "members");
}

void shared_unlock_members(struct shared *shared)
{
	must(lock_byte(shared->fd, F_OFD_SETLK, F_UNLCK, BYTE_MEMBERS), "members");
}

void shared_lock_notices(struct shared *shared)
{
	pthread_mutex_lock(&shared->notice);
	must(lock_byte(shared->fd, F_OFD_SETLKW, F_WRLCK, BYTE_NOTICES), "notices");
}

void shared_unlock_notices(struct shared *shared)
{
	must(lock_byte(shared->fd, F_OFD_SETLK, F_UNLCK, BYTE_NOTICES), "notices");
	pthread_mutex_unlock(&shared->notice);
}

bool shared_take_slot(struct shared *shared, uint32_t slot)
{
	if (lock_byte(shared->fd, F_OFD_SETLK, F_WRLCK, BYTE_SLOTS + (off_t)slot))
		return false;
	shared->slot = slot;
	return true;
}

bool shared_slot_lives(const struct shared *shared, uint32_t slot)
{
	struct flock lock = {.l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = BYTE_SLOTS + (off_t)slot,
	    .l_len = 1};

	if (fcntl(shared->fd, F_OFD_GETLK, &lock))
		must(-errno, "a member");
	return lock.l_type != F_UNLCK;
}

static int fd_of(const struct shared *shared, enum shared_hand hand)
{
	return hand == SHARED_OPERATION ? shared->operation_fd : shared->waiter_fd;
}

void shared_wait_exclusive(struct shared *shared, enum shared_hand hand)
{
	must(lock_byte(fd_of(shared, hand), F_OFD_SETLKW, F_WRLCK, BYTE_EXCLUSIVE),
	    "cluster operations");
}

void shared_leave_exclusive(struct shared *shared, enum shared_hand hand)
{
	must(lock_byte(fd_of(shared, hand), F_OFD_SETLK, F_UNLCK, BYTE_EXCLUSIVE),
	    "cluster operations");
}

void shared_notice(struct shared *shared, uint32_t vid)
{
	struct shared_page *page = shared->page;
	uint64_t at;

	shared_lock_notices(shared);
	at = atomic_load(&page->changes);
	atomic_store(&page->notices[at % SHARED_NOTICES], vid);
	atomic_store(&page->changes, at + 1);
	shared_unlock_notices(shared);
}

/* The stripe of the objects whose version is at `index`. */
static unsigned stripe_of(uint32_t index)
{
	return index % SHARED_STRIPES;
}

static void lock_stripe(struct shared *shared, unsigned stripe)
{
	pthread_mutex_lock(&shared->stripes[stripe]);
	must(lock_byte(shared->fd, F_OFD_SETLKW, F_WRLCK, BYTE_STRIPES + (off_t)stripe), "objects");
}

static void unlock_stripe(struct shared *shared, unsigned stripe)
{
	must(lock_byte(shared->fd, F_OFD_SETLK, F_UNLCK, BYTE_STRIPES + (off_t)stripe), "objects");
	pthread_mutex_unlock(&shared->stripes[stripe]);
}

void shared_lock_object(struct shared *shared, uint64_t oid)
{
	lock_stripe(shared, stripe_of(shared_version_index(oid)));
}

void shared_unlock_object(struct shared *shared, uint64_t oid)
{
	unlock_stripe(shared, stripe_of(shared_version_index(oid)));
}

void shared_mend_versions(struct shared *shared)
{
	_Atomic uint32_t *versions = shared->page->versions;

	for (uint32_t i = 0; i < SHARED_VERSIONS; i++) {
		if (!(atomic_load(&versions[i]) & 1))
			continue;
		lock_stripe(shared, stripe_of(i));
		if (atomic_load(&versions[i]) & 1)
			atomic_fetch_add(&versions[i], 1);
		unlock_stripe(shared, stripe_of(i));
	}
}

/* An odd version that is found under the lock was left by one who died: it goes on to the next. */
void shared_change_begin(struct shared *shared, uint64_t oid)
{
	_Atomic uint32_t *version = &shared->page->versions[shared_version_index(oid)];

	shared_lock_object(shared, oid);
	atomic_store(version, (atomic_load(version) + 1) | 1);
}

void shared_change_end(struct shared *shared, uint64_t oid)
{
	atomic_fetch_add(&shared->page->versions[shared_version_index(oid)], 1);
}
