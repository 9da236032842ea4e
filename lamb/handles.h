/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open object files, kept for the next request.
 *
 * Owns the descriptors: a bounded cache, the least recently used closed first, one in use never.
 * An object that is replaced or removed, by whichever node, takes its cached descriptor with it,
 * and a descriptor opened before that moment is never cached after it: the versions of objects in
 * the shared page (shared.h) tell.  Safe from every thread; does no I/O but close(2).
 */
#ifndef LAMB_HANDLES_H
#define LAMB_HANDLES_H

#include <stdint.h>

struct handles;

struct handle {
	int fd;
	unsigned users;
	uint32_t version; /* of the object, when it was opened */
	uint64_t oid;
	struct handle *next_hash;     /* in its bucket, while cached */
	struct handle *older, *newer; /* in the order of use, while cached */
	int cached;
};

/* `versions` are those of the shared page. NULL on lack of memory. */
struct handles *handles_new(unsigned capacity, const _Atomic uint32_t *versions);
void handles_free(struct handles *handles);

/* The cached handle of oid, to be given back by handles_put(), or NULL. */
struct handle *handles_get(struct handles *handles, uint64_t oid);
void handles_put(struct handles *handles, struct handle *handle);

/* To be asked before an object's file is opened for handles_add(). */
uint64_t handles_moment(struct handles *handles, uint64_t oid);

/*
 * Takes fd, opened after `moment`, and returns its handle as handles_get() does.  Returns NULL and
 * closes fd when the object may have been replaced or removed since: open it again.  At a moment at
 * which it was just being replaced the handle is good for this one use.
 */
struct handle *handles_add(struct handles *handles, uint64_t oid, int fd, uint64_t moment);

/* The object's name now means the file fd (taken), or with -1 none; with its stripe's lock. */
void handles_replace(struct handles *handles, uint64_t oid, int fd);

/* Forgets all of them: another set of objects is being served. */
void handles_clear(struct handles *handles);

#endif
