/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store's own description: see meta.h.
 */
#include "lamb/meta.h"

#include "include/bounds.h"
#include "include/sheepdog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define META_VERSION 1
#define META_FORMAT                                                                                \
	"generation %" SCNu32 "\nepoch %" SCNu32 "\nctime %" SCNu64 "\nformatted %" SCNu64         \
	"\nflags %" SCNu32 "\ncopies %" SCNu32 "\ncopy_policy %" SCNu32 "\nshift %" SCNu32

int meta_read(int directory, struct meta *meta)
{
	char text[1024];
	unsigned version;
	ssize_t size;
	int fd = openat(directory, META_FILE, O_RDONLY | O_CLOEXEC), at = 0;

	if (fd < 0)
		return -errno;
	size = read(fd, text, sizeof text - 1);
	close(fd);
	if (size < 0)
		return -EIO;
	text[size] = 0;
	if (sscanf(text, LAMB_STORE_MAGIC "%u\n%n", &version, &at) != 1 || !at)
		return -EBADMSG;
	if (version != META_VERSION)
		return -EPROTONOSUPPORT;
	if (sscanf(text + at, META_FORMAT, &meta->generation, &meta->epoch, &meta->ctime,
		&meta->formatted, &meta->flags, &meta->copies, &meta->copy_policy,
		&meta->shift) != 8)
		return -EBADMSG;
	if (meta->shift < SD_SHIFT_MIN || meta->shift > SD_SHIFT_MAX || meta->copies > UINT8_MAX ||
	    meta->copy_policy > UINT8_MAX || meta->flags > UINT16_MAX)
		return -EBADMSG;
	return 0;
}

int meta_write(int directory, const struct meta *meta)
{
	char text[1024];
	int size, fd, error = 0;

	size = snprintf(text, sizeof text,
	    LAMB_STORE_MAGIC "%u\n"
			     "generation %" PRIu32 "\nepoch %" PRIu32 "\nctime %" PRIu64
			     "\nformatted %" PRIu64 "\nflags %" PRIu32 "\ncopies %" PRIu32
			     "\ncopy_policy %" PRIu32 "\nshift %" PRIu32 "\n",
	    META_VERSION, meta->generation, meta->epoch, meta->ctime, meta->formatted, meta->flags,
	    meta->copies, meta->copy_policy, meta->shift);
	fd = openat(directory, META_FILE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = EIO;
	if (write(fd, text, (size_t)size) != size || fsync(fd))
		error = -errno;
	if (close(fd) && !error)
		error = -errno;
	if (!error && renameat(directory, META_FILE_NEW, directory, META_FILE))
		error = -errno;
	if (!error && fsync(directory))
		error = -errno;
	return error;
}
