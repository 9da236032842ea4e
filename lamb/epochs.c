/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The history of membership: see epochs.h.
 *
 * A line an epoch: its number, its time, how many members, and of each the address, port, zone and
 * the hash of its unix socket's path.
 */
#include "lamb/epochs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EPOCHS_MAGIC "lamb epochs 1\ngeneration "

void epochs_free(struct epochs *epochs)
{
	free(epochs->list);
	*epochs = (struct epochs){0};
}

int epochs_add(struct epochs *epochs, const struct epoch *epoch)
{
	struct epoch *list;

	if (epochs->nr == EPOCHS_MAX) {
		memmove(epochs->list, epochs->list + 1, --epochs->nr * sizeof *epochs->list);
	} else {
		list = realloc(epochs->list, (epochs->nr + 1) * sizeof *list);
		if (!list)
			return -ENOMEM;
		epochs->list = list;
	}
	epochs->list[epochs->nr++] = *epoch;
	return 0;
}

/* IPv4 in the last four bytes, as in a node id. */
static bool parse_address(const char *text, uint8_t *addr)
{
	return inet_pton(AF_INET, text, addr + 12) == 1 || inet_pton(AF_INET6, text, addr) == 1;
}

static void format_address(const uint8_t *addr, char *text)
{
	static const uint8_t zero[12];

	if (!memcmp(addr, zero, sizeof zero))
		inet_ntop(AF_INET, addr + 12, text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, addr, text, INET6_ADDRSTRLEN);
}

static int read_member(FILE *file, struct member *member)
{
	char address[INET6_ADDRSTRLEN];

	if (fscanf(file, " %45s %" SCNu16 " %" SCNu32 " %" SCNu32, address, &member->port,
		&member->zone, &member->path) != 4 ||
	    !parse_address(address, member->addr))
		return -EBADMSG;
	return 0;
}

/* 0, -ENOENT at the end of the file, -EBADMSG */
static int read_epoch(FILE *file, struct epoch *epoch)
{
	int got, error = 0;

	*epoch = (struct epoch){0};
	got = fscanf(
	    file, " %" SCNu32 " %" SCNu64 " %" SCNu32, &epoch->number, &epoch->time, &epoch->nr);
	if (got == EOF)
		return ferror(file) ? -EIO : -ENOENT;
	if (got != 3 || !epoch->number || epoch->nr > SHARED_SLOTS)
		return -EBADMSG;
	for (uint32_t i = 0; !error && i < epoch->nr; i++)
		error = read_member(file, &epoch->members[i]);
	return error;
}

int epochs_read(int root, uint32_t generation, struct epochs *epochs)
{
	int fd = openat(root, EPOCHS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), error = 0;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	struct epoch epoch;
	uint32_t written;

	*epochs = (struct epochs){0};
	if (!file) {
		error = -errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	if (fscanf(file, EPOCHS_MAGIC "%" SCNu32, &written) != 1)
		error = -EBADMSG;
	else if (written != generation)
		error = -ENOENT;
	while (!error && !(error = read_epoch(file, &epoch)))
		error = epochs_add(epochs, &epoch);
	fclose(file);
	if (error == -ENOENT && epochs->nr)
		return 0;
	epochs_free(epochs);
	return error;
}

static void print_epoch(FILE *file, const struct epoch *epoch)
{
	char address[INET6_ADDRSTRLEN];

	fprintf(file, "%" PRIu32 " %" PRIu64 " %" PRIu32, epoch->number, epoch->time, epoch->nr);
	for (uint32_t i = 0; i < epoch->nr; i++) {
		const struct member *member = &epoch->members[i];

		format_address(member->addr, address);
		fprintf(file, " %s %" PRIu16 " %" PRIu32 " %" PRIu32, address, member->port,
		    member->zone, member->path);
	}
	fputs("\n", file);
}

int epochs_write(int root, uint32_t generation, const struct epochs *epochs)
{
	int fd = openat(
	    root, EPOCHS_FILE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	int error = 0;

	if (!file) {
		error = -errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	fprintf(file, EPOCHS_MAGIC "%" PRIu32 "\n", generation);
	for (uint32_t i = 0; i < epochs->nr; i++)
		print_epoch(file, &epochs->list[i]);
	errno = EIO;
	if (fflush(file) || ferror(file) || fsync(fd))
		error = -errno;
	if (fclose(file) && !error)
		error = -errno;
	if (!error && renameat(root, EPOCHS_FILE_NEW, root, EPOCHS_FILE))
		error = -errno;
	if (!error && fsync(root))
		error = -errno;
	return error;
}
