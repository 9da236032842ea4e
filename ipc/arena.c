/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arenas: see arena.h.
 *
 * A memfd is born with mode 0777, and whoever holds it could reopen it for writing through /proc;
 * it is made 0600 and the master, its owner, has another uid than those who get it.
 */
#include "ipc/arena.h"

#include "include/bounds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Kernels before 6.3 do not know MFD_NOEXEC_SEAL. */
static int make_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

int arena_create(const char *name, unsigned slots, int *writable, int *readonly)
{
	char path[32];
	int error = 0;
	int fd = make_memfd(name);

	*writable = *readonly = -1;
	if (fd < 0)
		return -errno;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (fchmod(fd, 0600) || ftruncate(fd, (off_t)slots * SLOT_SIZE) ||
	    fcntl(fd, F_ADD_SEALS, SEALS) || (*readonly = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	*writable = fd;
	return 0;
}

int arena_map(struct arena *a, int fd, unsigned slots, bool writable)
{
	size_t size = (size_t)slots * SLOT_SIZE;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	int error = -EBADMSG;

	a->fd = -1;
	a->base = NULL;
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) || (size_t)st.st_size != size)
		goto out;
	a->base =
	    mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (a->base == MAP_FAILED) {
		error = -errno;
		a->base = NULL;
		goto out;
	}
	a->fd = fd;
	a->slots = slots;
	return 0;
out:
	close(fd);
	return error;
}

uint8_t *arena_slot(const struct arena *a, unsigned n)
{
	return a->base + (size_t)n * SLOT_SIZE;
}

int arena_give_back(const struct arena *a)
{
	if (fallocate(
		a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)a->slots * SLOT_SIZE))
		return -errno;
	return 0;
}

void arena_close(struct arena *a)
{
	if (!a->base)
		return;
	munmap(a->base, (size_t)a->slots * SLOT_SIZE);
	close(a->fd);
	a->base = NULL;
	a->fd = -1;
}
