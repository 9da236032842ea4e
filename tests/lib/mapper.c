/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mapper FILE: maps all of the file, shared, and does with the mapping what standard input says,
 * a line each, which is answered by a line each:
 *
 *	read OFFSET		the byte there, as a number
 *	write OFFSET BYTE	"written"
 *	sync			"synced", or why not
 *
 * It has no descriptor of the file afterwards, and never reads or writes it but by the mapping: a
 * page that cannot be had is the end of it, by SIGBUS.  "mapped" is its first line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile unsigned char *bytes;
static size_t size;

static int die(const char *what)
{
	fprintf(stderr, "mapper: %s: %s\n", what, strerror(errno));
	return 1;
}

static void obey(const char *line)
{
	unsigned byte;
	size_t offset;

	if (sscanf(line, "read %zu", &offset) == 1 && offset < size) {
		printf("%u\n", bytes[offset]);
	} else if (sscanf(line, "write %zu %u", &offset, &byte) == 2 && offset < size) {
		bytes[offset] = (unsigned char)byte;
		puts("written");
	} else if (!strcmp(line, "sync\n")) {
		puts(msync((void *)bytes, size, MS_SYNC) ? strerror(errno) : "synced");
	} else {
		puts("no such command");
	}
}

int main(int argc, char **argv)
{
	char line[100];
	struct stat st;
	void *mapping;
	int fd;

	if (argc != 2) {
		fputs("usage: mapper FILE\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return die(argv[1]);
	size = (size_t)st.st_size;
	mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapping == MAP_FAILED)
		return die(argv[1]);
	close(fd);
	bytes = mapping;
	puts("mapped");
	while (fgets(line, sizeof line, stdin))
		obey(line);
	return 0;
}
