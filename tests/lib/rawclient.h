/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of rawsheep share: one connection, one request at a time, and the rules by which a
 * client writes (P 5).  Everything dies with a line on stderr when it fails.
 */
#ifndef SHEEPFS_TESTS_RAWCLIENT_H
#define SHEEPFS_TESTS_RAWCLIENT_H

#include "include/sheepdog.h"

#include <stdbool.h>

struct volume {
	uint32_t vid;
	struct sd_inode_header header;
	uint32_t *index; /* nr entries */
	uint32_t nr;
};

__attribute__((format(printf, 1, 2))) _Noreturn void raw_die(const char *format, ...);

/* Zeroed. */
void *raw_allocate(size_t size);
uint64_t raw_number(const char *text);

/* "IP:PORT" or "unix:PATH"; a connected socket. */
int raw_dial(const char *address);

/* False at the end of the connection. */
bool raw_put(int fd, const void *data, size_t size);
bool raw_get(int fd, void *data, size_t size);

struct sd_req raw_request(uint8_t opcode, uint16_t flags, uint32_t length);
struct sd_req raw_object_request(
    uint8_t opcode, uint16_t flags, uint64_t oid, uint32_t length, uint64_t offset);

/* The request that writes to object i of the volume: WRITE, CREATE or CREATE with COW. */
struct sd_req raw_write_request(
    const struct volume *volume, uint32_t i, uint32_t length, uint64_t offset);

/* Sends it and takes the answer; returns its result. room, if given, has req->data_length bytes. */
uint32_t raw_call(
    int fd, const struct sd_req *req, const void *payload, void *room, struct sd_rsp *rsp);

/* Dies unless the result is SUCCESS. */
void raw_must(uint32_t result, const char *what);

/* Exactly size bytes. */
void raw_read(int fd, uint64_t oid, void *room, uint32_t size, uint64_t offset);

/* An operation on "NAME" or "NAME@TAG"; returns the result. */
uint32_t raw_named(int fd, uint8_t opcode, const char *text, struct sd_rsp *rsp);

/* Reads header and index; volume->index is the caller's to free. */
void raw_open(int fd, const char *name, struct volume *volume);

/* NEW_VDI; prints the vid. */
void raw_make(
    int fd, const char *name, uint64_t size, uint32_t base, uint32_t snapid, uint8_t shift);

/* Writes the tag, then NEW_VDI. */
void raw_snapshot(int fd, const char *name, const char *tag);

/* rawload.c: loads, and what can be said of their result.  Loads that run beside one another on one
 * volume are parts of it, from 0 to parts - 1. */
void raw_load(
    int fd, const char *name, uint64_t seconds, const char *path, uint32_t part, uint32_t parts);
void raw_verify(int fd, const char *name, const char *path);
void raw_snapshots(int fd, const char *name);
void raw_settle(int fd, const char *name, uint32_t count);

/* rawnodes.c: what nodes say, and two of them beside one another */
void raw_epoch(int fd);
void raw_nodes(int fd);
void raw_epochs(int fd, uint32_t nr_nodes);
void raw_states(int fd);
void raw_coherence(int fd, const char *name, const char *other, uint64_t count);

#endif
