/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Durable objects.
 *
 * Owns the store directory: "config" (meta.h), "new/" (files being made) and "obj.<generation>/",
 * one file an object, named by its 16 hex digits and sparse.  What returned 0 is on the disk (P 9).
 * A file appears under its name complete or not at all, so kill -9 leaves nothing half-visible.
 * Safe from every thread, and beside other nodes on the same directory.  Never judges a request:
 * ids, bounds and vids are the caller's affair.
 */
#ifndef LAMB_STORE_H
#define LAMB_STORE_H

#include "lamb/meta.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shared;
struct store;

/*
 * Opens the store in directory `path`, made if need be; an empty directory is formatted with *meta,
 * else *meta is what the store says.  With `alone` no other lamb may serve it meanwhile.  The first
 * one removes what deaths left over.  Returns 0, or -errno with a sentence for a person in why,
 * where the store is called `shown`.
 */
int store_open(const char *path, const char *shown, bool alone, struct meta *meta,
    struct store **store, char *why, size_t why_size);
void store_close(struct store *store);

/* What it shares with other nodes, and its open directory; both stay the store's. */
struct shared *store_shared(const struct store *store);
int store_directory(const struct store *store);

/* True when the files are in memory (tmpfs): no call here waits for a disk. */
bool store_in_memory(const struct store *store);

/* Begins anew with no objects, as *meta says but for its generation, which is set. 0 or -errno. */
int store_format(struct store *store, struct meta *meta);

/* Another node may have formatted it: *meta is what it says now, and its objects are served. */
int store_follow(struct store *store, struct meta *meta);

/* Reads exactly size bytes; what the file does not hold is zero. -ENOENT: no such object. */
int store_read(struct store *store, uint64_t oid, void *data, size_t size, uint64_t offset);

/* Like store_read(), but -EAGAIN instead of waiting for a disk. */
int store_read_nowait(struct store *store, uint64_t oid, void *data, size_t size, uint64_t offset);

/* Overwrites in place; -ENOENT: no such object. */
int store_write(struct store *store, uint64_t oid, const void *data, size_t size, uint64_t offset);

/*
 * The same, and what was there comes into old (read_size bytes from read_offset on), as one step
 * beside other exchanges of that object, whichever node does them.
 */
struct store_exchange {
	const void *data;
	size_t size;
	uint64_t offset;
	void *old;
	size_t read_size;
	uint64_t read_offset;
};
int store_exchange(struct store *store, uint64_t oid, const struct store_exchange *exchange);

/* A new object: `size` zeros, then [from, to) of base, then data at offset. */
struct store_recipe {
	uint64_t oid;
	uint64_t size;
	uint64_t base; /* object id, or 0 */
	uint64_t from, to;
	const void *data;
	size_t data_size;
	uint64_t offset;
};

/* Makes it, replacing one that is there. -ENOENT: base is missing, nothing was done. */
int store_create(struct store *store, const struct store_recipe *recipe);

/* Makes [from, to) of `oid` equal to that of `base`. */
int store_copy(struct store *store, uint64_t oid, uint64_t base, uint64_t from, uint64_t to);

/* -ENOENT: no such object.  Durable only after store_sync_names(). */
int store_remove(struct store *store, uint64_t oid);
int store_sync_names(struct store *store);

/* 0 or -ENOENT. */
int store_exists(struct store *store, uint64_t oid);

/* 1 when [from, to) of the object is all zero, 0 when not, or -errno. */
int store_is_zero(struct store *store, uint64_t oid, uint64_t from, uint64_t to);

/* Calls each(argument, oid) for every object, in no order, until it returns non-zero. */
int store_each(struct store *store, int (*each)(void *argument, uint64_t oid), void *argument);

/* Bytes of the file system that holds the store. */
int store_space(struct store *store, uint64_t *size, uint64_t *free_bytes);

#endif
