/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rawsheep: a small Sheepdog client for the tests, written against the protocol alone.
 *
 * Owns nothing but its one connection.  It shares include/sheepdog.h and no code with the worker
 * or lamb, so that it can bear witness about both.  It is not careful with live snapshots.
 */
#include "tests/lib/rawclient.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void write_index(int fd, const struct volume *volume, uint32_t first, uint32_t nr)
{
	struct sd_req req = raw_object_request(SD_OP_WRITE_OBJ, SD_FLAG_WRITE,
	    sd_inode_oid(volume->vid), 4 * nr, SD_INODE_INDEX_OFFSET + 4 * (uint64_t)first);
	struct sd_rsp rsp;

	raw_must(raw_call(fd, &req, volume->index + first, NULL, &rsp), "index write");
}

/* from: "NAME@TAG", or "NAME" and the tag apart. */
static void clone_volume(int fd, const char *from, const char *tag, const char *name)
{
	char joined[SD_NAME_SIZE + SD_TAG_SIZE];
	struct volume volume;

	snprintf(joined, sizeof joined, "%s%s%s", from, tag ? "@" : "", tag ? tag : "");
	raw_open(fd, joined, &volume);
	raw_make(fd, name, volume.header.vdi_size, volume.vid, 0, volume.header.block_size_shift);
	free(volume.index);
}

/* MAKE_FS with locks enforced. */
static void format(int fd)
{
	struct sd_req req = raw_request(SD_OP_MAKE_FS, SD_FLAG_WRITE, sizeof "plain");
	struct sd_rsp rsp;

	req.cluster.ctime = (uint64_t)time(NULL) << 32;
	req.cluster.copies = 1;
	req.cluster.flags = SD_CLUSTER_USE_LOCK;
	raw_must(raw_call(fd, &req, "plain", NULL, &rsp), "MAKE_FS");
}

/* Writes what comes from standard input, `left` bytes at most. */
static void write_volume(int fd, const char *name, uint64_t offset, uint64_t left)
{
	struct volume volume;
	uint8_t *buffer;
	uint64_t size;

	raw_open(fd, name, &volume);
	size = UINT64_C(1) << volume.header.block_size_shift;
	buffer = raw_allocate(size);
	for (;;) {
		uint32_t i = (uint32_t)(offset >> volume.header.block_size_shift);
		uint64_t within = offset & (size - 1);
		size_t n = fread(buffer, 1, left < size - within ? left : size - within, stdin);
		struct sd_req req;
		struct sd_rsp rsp;

		if (!n)
			break;
		if (offset + n > volume.header.vdi_size)
			raw_die("a write beyond the end of %s", name);
		req = raw_write_request(&volume, i, (uint32_t)n, within);
		raw_must(raw_call(fd, &req, buffer, NULL, &rsp), "writing");
		if (volume.index[i] != volume.vid) {
			volume.index[i] = volume.vid;
			write_index(fd, &volume, i, 1);
		}
		offset += n;
		left -= n;
	}
	free(buffer);
	free(volume.index);
}

/* Every entry says that its object is the VDI's own, though there is none. */
static void fill_index(int fd, const char *name)
{
	enum { AT_ONCE = 65536 };
	struct volume volume;

	raw_open(fd, name, &volume);
	for (uint32_t i = 0; i < volume.nr; i++)
		volume.index[i] = volume.vid;
	for (uint32_t i = 0; i < volume.nr; i += AT_ONCE)
		write_index(fd, &volume, i, volume.nr - i < AT_ONCE ? volume.nr - i : AT_ONCE);
	free(volume.index);
}

static void read_volume(int fd, const char *name, uint64_t offset, uint64_t length)
{
	struct volume volume;
	uint8_t *buffer;
	uint64_t size;

	raw_open(fd, name, &volume);
	size = UINT64_C(1) << volume.header.block_size_shift;
	buffer = raw_allocate(size);
	if (offset + length > volume.header.vdi_size)
		raw_die("a read beyond the end of %s", name);
	while (length) {
		uint32_t i = (uint32_t)(offset >> volume.header.block_size_shift);
		uint64_t within = offset & (size - 1), n = size - within;

		if (n > length)
			n = length;
		memset(buffer, 0, n);
		if (volume.index[i])
			raw_read(fd, sd_data_oid(volume.index[i], i), buffer, (uint32_t)n, within);
		if (fwrite(buffer, 1, n, stdout) != n)
			raw_die("writing to standard output: %s", strerror(errno));
		offset += n;
		length -= n;
	}
	free(buffer);
	free(volume.index);
}

/* Zeroes the index in runs of entries that are set, as it must be before DEL_VDI. */
static void delete_volume(int fd, const char *name)
{
	struct volume volume;
	struct sd_rsp rsp;

	raw_open(fd, name, &volume);
	for (uint32_t first = 0, end; first < volume.nr; first = end + 1) {
		for (end = first; end < volume.nr && volume.index[end] && end - first < 128; end++)
			volume.index[end] = 0;
		if (end > first)
			write_index(fd, &volume, first, end - first);
		if (end < volume.nr && volume.index[end])
			end--;
	}
	raw_must(raw_named(fd, SD_OP_DEL_VDI, name, &rsp), "DEL_VDI");
	free(volume.index);
}

/* The SHA-1 that the daemon finds for the volume's object i. */
static void hash(int fd, const char *name, uint32_t i)
{
	struct volume volume;
	struct sd_req req;
	struct sd_rsp rsp;

	raw_open(fd, name, &volume);
	if (i >= volume.nr || !volume.index[i])
		raw_die("%s has no object %u", name, i);
	req = raw_object_request(SD_OP_GET_HASH, 0, sd_data_oid(volume.index[i], i), 0, 0);
	raw_must(raw_call(fd, &req, NULL, NULL, &rsp), "GET_HASH");
	for (size_t n = 0; n < sizeof rsp.hash.sha1; n++)
		printf("%02x", rsp.hash.sha1[n]);
	puts("");
	free(volume.index);
}

static void show(const struct sd_inode_header *header)
{
	printf("%s %s%s%s %06x size %llu shift %u snap_id %u parent %06x\n",
	    header->snap_ctime ? "snapshot" : "working", header->name, *header->tag ? "@" : "",
	    header->tag, header->vdi_id, (unsigned long long)header->vdi_size,
	    header->block_size_shift, header->snap_id, header->parent_vdi_id);
}

static void info(int fd, const char *name)
{
	struct volume volume;
	uint32_t owned = 0, inherited = 0;

	raw_open(fd, name, &volume);
	show(&volume.header);
	for (uint32_t i = 0; i < volume.nr; i++) {
		owned += volume.index[i] == volume.vid;
		inherited += volume.index[i] && volume.index[i] != volume.vid;
	}
	printf("owned %u inherited %u\n", owned, inherited);
	free(volume.index);
}

static void list(int fd)
{
	uint8_t *used = raw_allocate(SD_VDI_BITMAP_SIZE),
		*deleted = raw_allocate(SD_VDI_BITMAP_SIZE);
	struct sd_req req = raw_request(SD_OP_READ_VDIS, 0, SD_VDI_BITMAP_SIZE);
	struct sd_inode_header header;
	struct sd_rsp rsp;

	raw_must(raw_call(fd, &req, NULL, used, &rsp), "READ_VDIS");
	req = raw_request(SD_OP_READ_DEL_VDIS, 0, SD_VDI_BITMAP_SIZE);
	raw_must(raw_call(fd, &req, NULL, deleted, &rsp), "READ_DEL_VDIS");
	for (uint32_t vid = 0; vid < SD_NR_VDIS; vid++) {
		if (!(used[vid / 8] & ~deleted[vid / 8] & 1 << vid % 8))
			continue;
		raw_read(fd, sd_inode_oid(vid), &header, sizeof header, 0);
		if (*header.name)
			show(&header);
	}
	free(used);
	free(deleted);
}

/* Any request, from KEY=VALUE words; `fill` bytes of payload follow it. Prints its answer. */
static void any_request(int fd, char **words)
{
	struct sd_req req = {.proto_ver = SD_PROTO_PUBLIC};
	uint64_t fill = 0, value;
	struct sd_rsp rsp;
	uint8_t *payload;

	for (; *words; words++) {
		const char *equals = strchr(*words, '=');

		if (!equals)
			raw_die("\"%s\" is not KEY=VALUE", *words);
		value = raw_number(equals + 1);
		if (!strncmp(*words, "op=", 3))
			req.opcode = (uint8_t)value;
		else if (!strncmp(*words, "version=", 8))
			req.proto_ver = (uint8_t)value;
		else if (!strncmp(*words, "flags=", 6))
			req.flags = (uint16_t)value;
		else if (!strncmp(*words, "length=", 7))
			req.data_length = (uint32_t)value;
		else if (!strncmp(*words, "fill=", 5))
			fill = value;
		else if (!strncmp(*words, "oid=", 4))
			req.obj.oid = value;
		else if (!strncmp(*words, "cow=", 4))
			req.obj.cow_oid = value;
		else if (!strncmp(*words, "offset=", 7))
			req.obj.offset = (uint32_t)value;
		else if (!strncmp(*words, "base=", 5))
			req.vdi.base_vdi_id = (uint32_t)value;
		else
			raw_die("unknown key in \"%s\"", *words);
	}
	payload = raw_allocate(fill);
	memset(payload, 'x', fill);
	if (!raw_put(fd, &req, sizeof req) || !raw_put(fd, payload, fill) ||
	    !raw_get(fd, &rsp, sizeof rsp)) {
		puts("closed");
	} else {
		uint8_t *answer = raw_allocate(rsp.data_length);

		if (!raw_get(fd, answer, rsp.data_length))
			raw_die("the answer's %u bytes did not come", rsp.data_length);
		printf("result 0x%02x length %u\n", rsp.result, rsp.data_length);
		free(answer);
	}
	free(payload);
}

static void lock(int fd, const char *name)
{
	struct sd_rsp rsp;
	uint32_t result = raw_named(fd, SD_OP_LOCK_VDI, name, &rsp);

	printf("result 0x%02x vid %06x\n", result, rsp.vdi.vdi_id);
}

static void create_many(int fd, const char *prefix, uint64_t count, uint64_t size)
{
	char name[SD_NAME_SIZE];

	for (uint64_t n = 0; n < count; n++) {
		snprintf(name, sizeof name, "%s%llu", prefix, (unsigned long long)n);
		raw_make(fd, name, size, 0, 0, 0);
	}
}

struct command {
	const char *name;
	int least, most; /* arguments */
	const char *usage;
};

static const struct command commands[] = {
    {"create", 2, 3, "NAME SIZE [SHIFT]"},
    {"create-many", 3, 3, "PREFIX COUNT SIZE"},
    {"snapshot", 2, 2, "NAME TAG"},
    {"clone", 2, 3, "NAME@TAG NEW, or NAME TAG NEW"},
    {"write", 2, 3, "NAME OFFSET [SIZE]  <DATA"},
    {"read", 3, 3, "NAME[@TAG] OFFSET LENGTH"},
    {"fill-index", 1, 1, "NAME"},
    {"delete", 1, 1, "NAME[@TAG]"},
    {"mark-deleted", 1, 1, "NAME[@TAG]  (DEL_VDI alone)"},
    {"format", 0, 0, ""},
    {"hash", 2, 2, "NAME INDEX"},
    {"info", 1, 1, "NAME[@TAG]"},
    {"list", 0, 0, ""},
    {"lock", 1, 1, "NAME"},
    {"epoch", 0, 0, ""},
    {"epochs", 1, 1, "NODES  (room for so many in a record)"},
    {"nodes", 0, 0, ""},
    {"states", 0, 0, ""},
    {"coherence", 3, 3, "NAME ADDRESS COUNT"},
    {"load", 3, 5, "NAME SECONDS JOURNAL [PART PARTS]"},
    {"verify", 2, 2, "NAME JOURNAL"},
    {"snapshots", 1, 1, "NAME"},
    {"settle", 2, 2, "NAME COUNT"},
    {"request", 1, 16, "KEY=VALUE... (op version flags length fill oid cow offset base)"},
};

static void check_command(const char *name, int nr)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(commands[i].name, name) && nr >= commands[i].least &&
		    nr <= commands[i].most)
			return;
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		fprintf(stderr, "rawsheep ADDRESS %s %s\n", commands[i].name, commands[i].usage);
	exit(2);
}

int main(int argc, char **argv)
{
	const char *name = argc > 2 ? argv[2] : "";
	char **a = argv + 3;
	struct sd_rsp rsp;
	int fd;

	check_command(name, argc - 3);
	fd = raw_dial(argv[1]);
	if (!strcmp(name, "create"))
		raw_make(
		    fd, a[0], raw_number(a[1]), 0, 0, argc > 5 ? (uint8_t)raw_number(a[2]) : 0);
	else if (!strcmp(name, "create-many"))
		create_many(fd, a[0], raw_number(a[1]), raw_number(a[2]));
	else if (!strcmp(name, "snapshot"))
		raw_snapshot(fd, a[0], a[1]);
	else if (!strcmp(name, "clone"))
		clone_volume(fd, a[0], argc > 5 ? a[1] : NULL, a[argc - 4]);
	else if (!strcmp(name, "write"))
		write_volume(fd, a[0], raw_number(a[1]), argc > 5 ? raw_number(a[2]) : UINT64_MAX);
	else if (!strcmp(name, "read"))
		read_volume(fd, a[0], raw_number(a[1]), raw_number(a[2]));
	else if (!strcmp(name, "fill-index"))
		fill_index(fd, a[0]);
	else if (!strcmp(name, "delete"))
		delete_volume(fd, a[0]);
	else if (!strcmp(name, "mark-deleted"))
		raw_must(raw_named(fd, SD_OP_DEL_VDI, a[0], &rsp), "DEL_VDI");
	else if (!strcmp(name, "format"))
		format(fd);
	else if (!strcmp(name, "hash"))
		hash(fd, a[0], (uint32_t)raw_number(a[1]));
	else if (!strcmp(name, "info"))
		info(fd, a[0]);
	else if (!strcmp(name, "list"))
		list(fd);
	else if (!strcmp(name, "lock"))
		lock(fd, a[0]);
	else if (!strcmp(name, "load"))
		raw_load(fd, a[0], raw_number(a[1]), a[2],
		    argc > 7 ? (uint32_t)raw_number(a[3]) : 0,
		    argc > 7 ? (uint32_t)raw_number(a[4]) : 1);
	else if (!strcmp(name, "epoch"))
		raw_epoch(fd);
	else if (!strcmp(name, "epochs"))
		raw_epochs(fd, (uint32_t)raw_number(a[0]));
	else if (!strcmp(name, "nodes"))
		raw_nodes(fd);
	else if (!strcmp(name, "states"))
		raw_states(fd);
	else if (!strcmp(name, "coherence"))
		raw_coherence(fd, a[0], a[1], raw_number(a[2]));
	else if (!strcmp(name, "verify"))
		raw_verify(fd, a[0], a[1]);
	else if (!strcmp(name, "snapshots"))
		raw_snapshots(fd, a[0]);
	else if (!strcmp(name, "settle"))
		raw_settle(fd, a[0], (uint32_t)raw_number(a[1]));
	else
		any_request(fd, a);
	close(fd);
	return 0;
}
