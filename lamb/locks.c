/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDI locks: see locks.h.
 *
 * A table with open addressing in the shared page.  A record is one word, written at once, so a
 * death leaves the old one or the new one.  One that says nothing any more stays in its place until
 * another vid takes it, so that nobody's search ends there.
 */
#include "lamb/locks.h"

#include "ipc/log.h"
#include "lamb/shared.h"

#include <errno.h>

struct record {
	uint32_t vid;    /* 0: never used */
	uint8_t type;    /* 0: unlocked, else 1 + enum sd_lock_type */
	uint8_t owner;   /* slot */
	uint8_t deleted; /* marked */
};

static uint64_t pack(const struct record *record)
{
	return record->vid | (uint64_t)record->type << 32 | (uint64_t)record->owner << 40 |
	       (uint64_t)record->deleted << 48;
}

static struct record unpack(uint64_t word)
{
	return (struct record){.vid = (uint32_t)word,
	    .type = (uint8_t)(word >> 32),
	    .owner = (uint8_t)(word >> 40) % SHARED_SLOTS,
	    .deleted = (uint8_t)(word >> 48)};
}

/* Its record, or one that says nothing; *at is its place, or one that it may take, or SHARED_LOCKS.
 */
static struct record find(const struct shared *shared, uint32_t vid, uint32_t *at)
{
	uint32_t first = (uint32_t)((vid * UINT64_C(0x9e3779b97f4a7c15)) >> 40);

	*at = SHARED_LOCKS;
	for (uint32_t i = 0; i < SHARED_LOCKS; i++) {
		uint32_t place = (first + i) % SHARED_LOCKS;
		struct record record = unpack(atomic_load(&shared->page->locks[place]));

		if (record.vid == vid) {
			*at = place;
			return record;
		}
		if (*at == SHARED_LOCKS && !record.type && !record.deleted)
			*at = place;
		if (!record.vid)
			break;
	}
	return (struct record){.vid = vid};
}

static int put(struct shared *shared, uint32_t at, const struct record *record)
{
	if (at == SHARED_LOCKS)
		return -ENOSPC;
	atomic_store(&shared->page->locks[at], pack(record));
	return 0;
}

void locks_clear(struct shared *shared)
{
	shared_lock_notices(shared);
	for (uint32_t i = 0; i < SHARED_LOCKS; i++)
		atomic_store(&shared->page->locks[i], 0);
	shared_unlock_notices(shared);
}

void locks_bury(struct shared *shared, uint32_t slot)
{
	shared_lock_notices(shared);
	for (uint32_t i = 0; i < SHARED_LOCKS; i++) {
		struct record record = unpack(atomic_load(&shared->page->locks[i]));

		if (record.type != 1 + SD_LOCK_SHARED || record.owner != slot)
			continue;
		record.type = 0;
		put(shared, i, &record);
	}
	shared_unlock_notices(shared);
}

int locks_take(struct shared *shared, uint32_t vid, enum sd_lock_type type)
{
	struct record record;
	int error = -EBUSY;
	uint32_t at;

	shared_lock_notices(shared);
	record = find(shared, vid, &at);
	if (!record.type) {
		record.type = (uint8_t)(1 + type);
		record.owner = (uint8_t)shared->slot;
		error = put(shared, at, &record);
	}
	shared_unlock_notices(shared);
	return error;
}

void locks_release(struct shared *shared, uint32_t vid, enum sd_lock_type type)
{
	struct record record;
	uint32_t at;

	if (!vid || vid >= SD_NR_VDIS)
		return;
	shared_lock_notices(shared);
	record = find(shared, vid, &at);
	if (record.type == 1 + type && (type == SD_LOCK_NORMAL || record.owner == shared->slot)) {
		record.type = 0;
		put(shared, at, &record);
	}
	shared_unlock_notices(shared);
}

enum sd_lock_state locks_state(const struct shared *shared, uint32_t vid, uint32_t *owner)
{
	uint32_t at;
	struct record record = find(shared, vid, &at);

	if (!record.type)
		return SD_LOCK_UNLOCKED;
	*owner = record.owner;
	return record.type == 1 + SD_LOCK_NORMAL ? SD_LOCK_LOCKED : SD_LOCK_IS_SHARED;
}

void locks_mark_deleted(struct shared *shared, uint32_t vid)
{
	struct record record;
	uint32_t at;

	shared_lock_notices(shared);
	record = find(shared, vid, &at);
	record.deleted = 1;
	if (put(shared, at, &record))
		log_warning("too many VDIs are locked or marked: other nodes may list VDI %06x, "
			    "which is deleted",
		    vid);
	shared_unlock_notices(shared);
}

bool locks_is_deleted(const struct shared *shared, uint32_t vid)
{
	uint32_t at;

	return find(shared, vid, &at).deleted;
}
