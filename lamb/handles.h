/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open object files, kept for the next request.
 *
 * Owns the descriptors: a bounded cache, the least recently used closed first, one in use never.
 * An object that is replaced or removed takes its cached descriptor with it, and a descriptor
 * opened before that moment is never cached after it.  Safe from every thread; does no I/O
 * but close(2).
 */
#ifndef LAMB_HANDLES_H
#define LAMB_HANDLES_H

#include <stdint.h>

struct handles;

struct handle {
	int fd;
	unsigned users;
	uint64_t oid;
	struct handle *next_hash;     /* in its bucket, while cached */
	struct handle *older, *newer; /* in the order of use, while cached */
	int cached;
};

/* NULL on lack of memory. */
struct handles *handles_new(unsigned capacity);
void handles_free(struct handles *handles);

/* The cached handle of oid, to be given back by handles_put(), or NULL. */
struct handle *handles_get(struct handles *handles, uint64_t oid);
void handles_put(struct handles *handles, struct handle *handle);

/* To be asked before an object's file is opened for handles_add(). */
uint64_t handles_moment(struct handles *handles);

/*
 * Takes fd, opened after `moment`, and returns its handle as handles_get() does.  Returns NULL and
 * closes fd when an object was replaced or removed since: open it again.
 */
struct handle *handles_add(struct handles *handles, uint64_t oid, int fd, uint64_t moment);

/* The object's name now means the file fd (taken), or with -1 none. */
void handles_replace(struct handles *handles, uint64_t oid, int fd);

/* Forgets all of them: another set of objects is being served. */
void handles_clear(struct handles *handles);

#endif
