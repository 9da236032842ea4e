/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A front in this process, without kernel, jail or master: sockets stand for the FUSE devices, and
 * the test plays whoever is at their other ends.
 */
#ifndef SHEEPFS_TESTS_FRONT_FIXTURE_H
#define SHEEPFS_TESTS_FRONT_FIXTURE_H

#include "front/front.h"
#include "front/session.h"
#include "ipc/msg.h"

struct fixture {
	struct front front;
	int master;        /* the master's end of the conversation */
	int tree;          /* the kernel's end of the tree's connection; -1 */
	int device;        /* ... of the volume's; -1 */
	int worker;        /* the worker's end of the data socket; -1 */
	uint8_t *out, *in; /* the arenas as the worker sees them */
	unsigned slots;
	uint64_t unique;
};

struct fixture *fixture_new(void);
void fixture_free(struct fixture *x);

/* Lets the front run until nothing happens any more. */
void fixture_run(struct fixture *x);

/* Makes volume 5, generation 3, "vol", of `size` bytes: placeholder, generation, connection, INIT.
 */
void fixture_volume(struct fixture *x, uint64_t size, bool read_only, unsigned slots);

/* The volume's worker is dead, and its data socket closed; its next generation begins. */
void fixture_next(struct fixture *x, uint32_t generation, bool blame);

/* Serves the tree and answers its INIT. */
void fixture_tree(struct fixture *x);

/* The kernel sends a request on device fd and lets the front run; returns its unique number. */
uint64_t fixture_request(
    struct fixture *x, int fd, uint32_t opcode, uint64_t node, const void *body, size_t size);

/* What the front told the kernel: the error, the payload into data, its size into *size.  Fails the
 * test when there is nothing. */
int fixture_reply(int fd, uint64_t *unique, void *data, size_t *size);

/* Nothing lies there. */
void fixture_silent(int fd);

/* The next message at the master's or the worker's end. */
void fixture_message(int fd, enum kind self, enum msg_id id, struct msg *m);

/* Sends a message as the worker or the master would. */
void fixture_send(int fd, enum msg_id id, uint32_t volume, uint32_t generation, const void *payload,
    const void *tail, size_t tail_size);

#endif
