/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who the nodes of the store's cluster are: see members.h.
 *
 * A restart of the whole cluster leaves the epoch as it was (P 6.7).  So when the first node begins
 * while nobody lives, the members of the newest epoch have a moment to come back one by one:
 * while only such live, the epoch does not rise until restart_until.  That all were dead is
 * proved; the time only delays the record of it.
 */
#include "lamb/members.h"

#include "ipc/log.h"
#include "lamb/locks.h"
#include "lamb/meta.h"
#include "lamb/storedir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RESTART_MILLISECONDS 2000

struct members {
	struct shared *shared;
	int root;
	bool failed; /* the last record could not be written, and that was said */
};

static uint64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int compare(const void *first, const void *second)
{
	const struct member *a = first, *b = second;
	int order = memcmp(a->addr, b->addr, sizeof a->addr);

	if (!order)
		order = (a->port > b->port) - (a->port < b->port);
	return order ? order : (a->path > b->path) - (a->path < b->path);
}

uint32_t members_list(const struct members *members, struct member *list)
{
	const struct shared_page *page = members->shared->page;
	uint32_t nr = 0;

	for (uint32_t i = 0; i < SHARED_SLOTS; i++)
		if (atomic_load(&page->slots[i].lives))
			list[nr++] = page->slots[i].member;
	qsort(list, nr, sizeof *list, compare);
	return nr;
}

struct sd_node_id members_node_id(const struct member *member)
{
	struct sd_node_id id = {.port = member->port};

	memcpy(id.addr, member->addr, sizeof id.addr);
	return id;
}

bool members_is_self(const struct members *members, const struct member *member)
{
	return !compare(member, &members->shared->page->slots[members->shared->slot].member);
}

static bool same_set(const struct epoch *epoch, const struct member *list, uint32_t nr)
{
	if (epoch->nr != nr)
		return false;
	for (uint32_t i = 0; i < nr; i++) /* both are sorted */
		if (compare(&epoch->members[i], &list[i]) != 0)
			return false;
	return true;
}

static bool all_were_there(const struct epoch *epoch, const struct member *list, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (!bsearch(&list[i], epoch->members, epoch->nr, sizeof list[i], compare))
			return false;
	return true;
}

int members_epochs(const struct members *members, struct epochs *epochs)
{
	struct meta meta;
	int error = meta_read(members->root, &meta);

	return error ? error : epochs_read(members->root, meta.generation, epochs);
}

static void fill(
    struct epoch *epoch, uint32_t number, uint64_t time, const struct member *list, uint32_t nr)
{
	*epoch = (struct epoch){.number = number, .time = time, .nr = nr};
	memcpy(epoch->members, list, nr * sizeof *list);
}

/* The newest epoch becomes one of these members, if it is not. With the members' lock. */
static int record(struct members *members, const struct member *list, uint32_t nr)
{
	struct shared_page *page = members->shared->page;
	const struct epoch *newest;
	struct epochs epochs;
	struct epoch epoch;
	struct meta meta;
	uint64_t now = (uint64_t)time(NULL);
	int error = meta_read(members->root, &meta);

	if (error)
		return error;
	error = epochs_read(members->root, meta.generation, &epochs);
	if (error && error != -ENOENT)
		return error;
	newest = error ? NULL : &epochs.list[epochs.nr - 1];
	if (newest && same_set(newest, list, nr))
		page->restart_until = 0;
	if (newest && (same_set(newest, list, nr) ||
			  (page->restart_until && all_were_there(newest, list, nr)))) {
		atomic_store(&page->epoch, newest->number);
		epochs_free(&epochs);
		return 0;
	}
	if (newest)
		fill(&epoch, newest->number + 1, now > newest->time ? now : newest->time, list, nr);
	else
		fill(&epoch, meta.epoch, meta.formatted, list, nr);
	error = epochs_add(&epochs, &epoch);
	if (!error)
		error = epochs_write(members->root, meta.generation, &epochs);
	epochs_free(&epochs);
	if (error)
		return error;
	atomic_store(&page->epoch, epoch.number);
	page->restart_until = 0;
	if (epoch.number > 1)
		log_info("epoch %u: %u node%s", epoch.number, nr, nr == 1 ? "" : "s");
	return 0;
}

/* What a node ends with that is dead. With the members' lock. */
static void leave(struct members *members, uint32_t slot)
{
	struct shared_page *page = members->shared->page;

	locks_bury(members->shared, slot);
	storedir_sweep_new(members->root, slot);
	atomic_store(&page->slots[slot].writing, 0);
	atomic_store(&page->slots[slot].lives, 0);
}

/* Marks as dead whoever is. With the members' lock. */
static bool bury(struct members *members)
{
	struct shared *shared = members->shared;
	bool died = false;

	for (uint32_t i = 0; i < SHARED_SLOTS; i++) {
		struct shared_slot *slot = &shared->page->slots[i];

		if (i == shared->slot || !atomic_load(&slot->lives) || shared_slot_lives(shared, i))
			continue;
		leave(members, i);
		died = true;
	}
	return died;
}

static void record_living(struct members *members)
{
	struct member list[SHARED_SLOTS];
	int error = record(members, list, members_list(members, list));

	if (error && !members->failed)
		log_error("the epoch cannot be recorded and does not rise: %s", strerror(-error));
	members->failed = error != 0;
}

/* Is there anything to do?  Without a lock, and without a call when nobody else is there. */
static bool is_changed(const struct members *members)
{
	const struct shared *shared = members->shared;

	for (uint32_t i = 0; i < SHARED_SLOTS; i++)
		if (i != shared->slot && atomic_load(&shared->page->slots[i].lives) &&
		    !shared_slot_lives(shared, i))
			return true;
	return members->failed ||
	       (shared->page->restart_until && milliseconds() >= shared->page->restart_until);
}

bool members_look(struct members *members)
{
	struct shared_page *page = members->shared->page;
	bool died;

	/* who leaves because the cluster was shut down has not left it (P 6.7) */
	if (atomic_load(&page->stopping) || !is_changed(members))
		return false;
	shared_lock_members(members->shared);
	died = bury(members);
	if (page->restart_until && milliseconds() >= page->restart_until)
		page->restart_until = 0;
	record_living(members);
	shared_unlock_members(members->shared);
	return died;
}

void members_format(struct members *members)
{
	shared_lock_members(members->shared);
	record_living(members);
	shared_unlock_members(members->shared);
}

/* Lower is better: where the same node was, where nobody ever was, where one died longest ago. */
static uint64_t rank(const struct shared_slot *slot, const struct member *self)
{
	if (!slot->joined)
		return 1;
	return compare(&slot->member, self) ? 1 + (uint64_t)slot->joined : 0;
}

static bool choose_slot(struct shared *shared, const struct member *self)
{
	uint32_t best = SHARED_SLOTS;

	for (uint32_t i = 0; i < SHARED_SLOTS; i++) {
		const struct shared_slot *slots = shared->page->slots;

		if (!shared_slot_lives(shared, i) &&
		    (best == SHARED_SLOTS || rank(&slots[i], self) < rank(&slots[best], self)))
			best = i;
	}
	return best < SHARED_SLOTS && shared_take_slot(shared, best);
}

/* With the members' lock. */
static int enter(struct members *members, const struct member *self)
{
	struct shared *shared = members->shared;
	struct shared_page *page = shared->page;
	struct member list[SHARED_SLOTS];
	struct shared_slot *slot;
	uint32_t others;
	int error = 0;

	if (!choose_slot(shared, self))
		return -EUSERS;
	slot = &page->slots[shared->slot];
	leave(members, shared->slot); /* one who died and comes back has left in between */
	bury(members);
	others = members_list(members, list);
	if (others)
		error = record(members, list, others);
	else
		page->restart_until = milliseconds() + RESTART_MILLISECONDS;
	if (error)
		return error;
	slot->member = *self;
	slot->member.zone = shared->slot;
	slot->joined = ++page->joined;
	atomic_store(&slot->lives, 1);
	error = record(members, list, members_list(members, list));
	if (error)
		atomic_store(&slot->lives, 0);
	return error;
}

int members_join(struct shared *shared, int root, const char *shown, const struct member *self,
    struct members **result, char *why, size_t why_size)
{
	struct members *members = calloc(1, sizeof *members);
	int error;

	if (!members)
		return -ENOMEM;
	*members = (struct members){.shared = shared, .root = root};
	shared_lock_members(shared);
	error = enter(members, self);
	shared_unlock_members(shared);
	if (error == -EUSERS)
		snprintf(why, why_size, "%s has %d nodes already: stop one of them", shown,
		    SHARED_SLOTS);
	else if (error == -EBADMSG)
		snprintf(why, why_size,
		    "%s/" EPOCHS_FILE " is damaged: restore it from a copy, or remove it, and the "
		    "epochs begin anew",
		    shown);
	else if (error)
		snprintf(why, why_size, "%s/" EPOCHS_FILE ": %s", shown, strerror(-error));
	if (error)
		members_free(members);
	else
		*result = members;
	return error;
}

void members_free(struct members *members)
{
	free(members);
}
