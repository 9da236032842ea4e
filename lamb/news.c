/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What other nodes have changed comes into our tables: see news.h.
 */
#include "lamb/news.h"

#include "ipc/log.h"
#include "lamb/exclusion.h"
#include "lamb/lamb.h"
#include "lamb/locks.h"
#include "lamb/members.h"
#include "lamb/shared.h"
#include "lamb/store.h"
#include "lamb/vdi.h"

#include <errno.h>
#include <string.h>

/* The mark of a VDI that is not gone lives in the locks alone. */
static void take_mark(struct lamb *lamb, struct vdi *vdi)
{
	if (vdi && vdi->name[0] && locks_is_deleted(store_shared(lamb->store), vdi->vid))
		vdi_mark_deleted(lamb->vdis, vdi, false);
}

static void take_marks(struct lamb *lamb)
{
	for (uint32_t i = 0; i < SD_VDI_BITMAP_SIZE; i++)
		for (uint32_t vid = i * 8; lamb->vdis->used[i] && vid < i * 8 + 8; vid++)
			take_mark(lamb, lamb->vdis->by_vid[vid]);
}

int news_load(struct lamb *lamb)
{
	struct shared_page *page = store_shared(lamb->store)->page;
	uint64_t now = atomic_load(&page->changes);
	int error = store_follow(lamb->store, &lamb->meta);

	vdi_table_clear(lamb->vdis);
	if (!error)
		error = vdi_table_load(lamb->vdis, lamb->store);
	if (!error)
		take_marks(lamb);
	lamb->news_seen = now;
	return error;
}

/* False: everything is to be read. */
static bool follow_each(struct lamb *lamb, uint64_t now)
{
	const struct shared_page *page = store_shared(lamb->store)->page;

	for (uint64_t at = lamb->news_seen; at != now; at++) {
		uint32_t vid = atomic_load(&page->notices[at % SHARED_NOTICES]);
		int error;

		/* meanwhile it may have been written over */
		if (!vid || atomic_load(&page->changes) - at >= SHARED_NOTICES)
			return false;
		error = vdi_read(lamb->vdis, lamb->store, vid);
		if (error && error != -ENOENT)
			fatal("VDI %06x, which another node has changed, cannot be read: %s", vid,
			    strerror(-error));
		take_mark(lamb, vdi_find(lamb->vdis, vid));
	}
	lamb->news_seen = now;
	return true;
}

void news_look(struct lamb *lamb)
{
	if (members_look(lamb->members))
		exclusion_mend(lamb->exclusion);
}

void news_follow(struct lamb *lamb)
{
	uint64_t now = atomic_load(&store_shared(lamb->store)->page->changes);
	int error;

	if (now == lamb->news_seen || exclusion_is_ours(lamb->exclusion))
		return;
	if (now - lamb->news_seen < SHARED_NOTICES && follow_each(lamb, now))
		return;
	error = news_load(lamb);
	if (error)
		fatal("the VDIs, which another node has changed, cannot be read: %s",
		    strerror(-error));
}
