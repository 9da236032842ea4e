/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An arena: payload memory shared by the front and one volume's worker, cut into slots of
 * SLOT_SIZE bytes.
 *
 * The master makes it (a sealed memfd, mode 0600) and hands a writable descriptor to the writer
 * and one that was reopened read-only to the reader.  Which slot is in use is the front's
 * knowledge alone; nothing in an arena is ever trusted.  Untouched slots cost no memory.
 */
#ifndef SHEEPFS_IPC_ARENA_H
#define SHEEPFS_IPC_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
	int fd; /* owned; -1 when closed */
	unsigned slots;
	uint8_t *base; /* the map; NULL when closed */
};

/*
 * Makes a sealed arena: *writable and *readonly become descriptors of it (O_CLOEXEC).  `name` is
 * shown in /proc.  Needs /proc.  Returns 0 or -errno.
 */
int arena_create(const char *name, unsigned slots, int *writable, int *readonly);

/*
 * Maps an arena of `slots` slots from fd, owned from now on (also on failure).  Refuses with
 * -EBADMSG a descriptor that is no memfd sealed against shrinking or has another size.
 */
int arena_map(struct arena *a, int fd, unsigned slots, bool writable);

/* Address of slot n, n < a->slots. */
uint8_t *arena_slot(const struct arena *a, unsigned n);

/* Gives the memory of all slots back to the system; writable descriptor only, nothing in flight. */
int arena_give_back(const struct arena *a);

/* Unmaps and closes. A closed arena is fine. */
void arena_close(struct arena *a);

#endif
