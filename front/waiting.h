/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of a volume that wait for a free slot.
 *
 * Asynchronous requests are bounded by the connection, synchronous callers are not: when more of
 * them come than there are slots, the device is read on all the same, so that open, stat and df
 * stay alive, and what needs a slot waits here.  Owns copies of the payload of such writes, within
 * WAITING_BYTES_MAX a volume; beyond that the device is left unread.
 */
#ifndef SHEEPFS_FRONT_WAITING_H
#define SHEEPFS_FRONT_WAITING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define WAITING_BYTES_MAX (4U << 20)

struct waiting {
	STAILQ_ENTRY(waiting) next;
	uint64_t unique, offset, since; /* since: as in struct request */
	uint32_t op, length;
	size_t cost; /* bytes of memory */
	uint8_t payload[];
};

struct waiting_list {
	STAILQ_HEAD(, waiting) list;
	size_t bytes;
};

void waiting_init(struct waiting_list *l);

/* Whether there is no room for one more. */
int waiting_full(const struct waiting_list *l);

/* Puts a request at the end; payload (NULL: none) of `length` bytes is copied.  0 or -ENOMEM. */
int waiting_add(struct waiting_list *l, uint64_t unique, uint64_t since, uint32_t op,
    uint64_t offset, uint32_t length, const void *payload);

/* The first one, which stays, or NULL. */
const struct waiting *waiting_first(const struct waiting_list *l);

/* Takes the first one out, or NULL; the caller frees it with free(3). */
struct waiting *waiting_take(struct waiting_list *l);

#endif
