/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection to a daemon: see rawclient.h.
 */
#include "tests/lib/rawclient.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) _Noreturn void raw_die(const char *format, ...)
{
	va_list arguments;

	fputs("rawsheep: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\n", stderr);
	exit(1);
}

void *raw_allocate(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		raw_die("out of memory");
	return p;
}

uint64_t raw_number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (end == text || *end)
		raw_die("\"%s\" is no number", text);
	return value;
}

int raw_dial(const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	const char *colon = strrchr(address, ':');
	const int one = 1;
	char host[64];
	int fd, error;

	if (!strncmp(address, "unix:", 5)) {
		snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		error = connect(fd, (struct sockaddr *)&un, sizeof un);
	} else {
		if (!colon)
			raw_die("the address \"%s\" is neither IP:PORT nor unix:PATH", address);
		snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
		in.sin_port = htons((uint16_t)raw_number(colon + 1));
		if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
			raw_die("\"%s\" is no IPv4 address", host);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		error = connect(fd, (struct sockaddr *)&in, sizeof in);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	if (error)
		raw_die("connect %s: %s", address, strerror(errno));
	return fd;
}

/* False at the end of the connection. */
bool raw_put(int fd, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

bool raw_get(int fd, void *data, size_t size)
{
	uint8_t *at = data;

	while (size) {
		ssize_t n = recv(fd, at, size, 0);

		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

struct sd_req raw_request(uint8_t opcode, uint16_t flags, uint32_t length)
{
	return (struct sd_req){
	    .proto_ver = opcode < SD_OP_INTERNAL_FIRST ? SD_PROTO_PUBLIC : SD_PROTO_INTERNAL,
	    .opcode = opcode,
	    .flags = flags,
	    .data_length = length,
	};
}

struct sd_req raw_object_request(
    uint8_t opcode, uint16_t flags, uint64_t oid, uint32_t length, uint64_t offset)
{
	struct sd_req req = raw_request(opcode, flags, length);

	req.obj.oid = oid;
	req.obj.offset = (uint32_t)offset;
	return req;
}

/* One request and its answer; room is for req->data_length bytes of answer. */
uint32_t raw_call(
    int fd, const struct sd_req *req, const void *payload, void *room, struct sd_rsp *rsp)
{
	uint32_t left;
	uint8_t waste[512];

	if (!raw_put(fd, req, sizeof *req) ||
	    (req->flags & SD_FLAG_WRITE && !raw_put(fd, payload, req->data_length)) ||
	    !raw_get(fd, rsp, sizeof *rsp))
		raw_die("the daemon closed the connection");
	if (rsp->id != req->id || rsp->opcode != req->opcode)
		raw_die("an answer to another request");
	left = rsp->data_length;
	if (room && left <= req->data_length) {
		if (!raw_get(fd, room, left))
			raw_die("the daemon closed the connection");
		left = 0;
	}
	for (uint32_t n; left; left -= n) {
		n = left < sizeof waste ? left : sizeof waste;
		if (!raw_get(fd, waste, n))
			raw_die("the daemon closed the connection");
	}
	return rsp->result;
}

void raw_must(uint32_t result, const char *what)
{
	if (result)
		raw_die("%s: result 0x%02x", what, result);
}

void raw_read(int fd, uint64_t oid, void *room, uint32_t size, uint64_t offset)
{
	struct sd_req req = raw_object_request(SD_OP_READ_OBJ, 0, oid, size, offset);
	struct sd_rsp rsp;

	raw_must(raw_call(fd, &req, NULL, room, &rsp), "READ_OBJ");
	if (rsp.data_length != size)
		raw_die("READ_OBJ: %u bytes instead of %u", rsp.data_length, size);
}

/* "NAME" or "NAME@TAG" into the block that GET_VDI_INFO takes. */
uint32_t raw_named(int fd, uint8_t opcode, const char *text, struct sd_rsp *rsp)
{
	struct sd_req req = raw_request(opcode, SD_FLAG_WRITE, SD_NAME_SIZE + SD_TAG_SIZE);
	char block[SD_NAME_SIZE + SD_TAG_SIZE] = "";
	const char *at = strchr(text, '@');
	size_t size = at ? (size_t)(at - text) : strlen(text);

	if (size >= SD_NAME_SIZE || (at && strlen(at + 1) >= SD_TAG_SIZE))
		raw_die("the name \"%s\" is too long", text);
	memcpy(block, text, size);
	if (at)
		strcpy(block + SD_NAME_SIZE, at + 1);
	return raw_call(fd, &req, block, NULL, rsp);
}

void raw_open(int fd, const char *name, struct volume *volume)
{
	struct sd_rsp rsp;
	uint64_t size;

	raw_must(raw_named(fd, SD_OP_GET_VDI_INFO, name, &rsp), name);
	volume->vid = rsp.vdi.vdi_id;
	raw_read(fd, sd_inode_oid(volume->vid), &volume->header, SD_INODE_HEADER_SIZE, 0);
	size = UINT64_C(1) << volume->header.block_size_shift;
	volume->nr =
	    (uint32_t)((volume->header.vdi_size + size - 1) >> volume->header.block_size_shift);
	volume->index = raw_allocate(4 * (size_t)volume->nr);
	raw_read(
	    fd, sd_inode_oid(volume->vid), volume->index, 4 * volume->nr, SD_INODE_INDEX_OFFSET);
}

void raw_make(
    int fd, const char *name, uint64_t size, uint32_t base, uint32_t snapid, uint8_t shift)
{
	struct sd_req req = raw_request(SD_OP_NEW_VDI, SD_FLAG_WRITE, SD_NAME_SIZE);
	char block[SD_NAME_SIZE] = "";
	struct sd_rsp rsp;

	if (strlen(name) >= sizeof block)
		raw_die("the name \"%s\" is too long", name);
	strcpy(block, name);
	req.vdi.vdi_size = size;
	req.vdi.base_vdi_id = base;
	req.vdi.snapid = snapid;
	req.vdi.block_size_shift = shift;
	raw_must(raw_call(fd, &req, block, NULL, &rsp), "NEW_VDI");
	printf("%06x\n", rsp.vdi.vdi_id);
}

void raw_snapshot(int fd, const char *name, const char *tag)
{
	char block[SD_TAG_SIZE] = "";
	struct volume volume;
	struct sd_req req;
	struct sd_rsp rsp;

	raw_open(fd, name, &volume);
	snprintf(block, sizeof block, "%s", tag);
	req = raw_object_request(SD_OP_WRITE_OBJ, SD_FLAG_WRITE, sd_inode_oid(volume.vid),
	    sizeof block, offsetof(struct sd_inode_header, tag));
	raw_must(raw_call(fd, &req, block, NULL, &rsp), "writing the tag");
	raw_make(fd, name, volume.header.vdi_size, volume.vid, 1, volume.header.block_size_shift);
	free(volume.index);
}

/* The request that writes to an object: section 5 of the protocol's rules. */
struct sd_req raw_write_request(
    const struct volume *volume, uint32_t i, uint32_t length, uint64_t offset)
{
	struct sd_req req = raw_object_request(
	    SD_OP_WRITE_OBJ, SD_FLAG_WRITE, sd_data_oid(volume->vid, i), length, offset);

	if (volume->index[i] == volume->vid)
		return req;
	req.opcode = SD_OP_CREATE_AND_WRITE_OBJ;
	if (volume->index[i]) {
		req.flags |= SD_FLAG_COW;
		req.obj.cow_oid = sd_data_oid(volume->index[i], i);
	}
	return req;
}
