/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Users of the volumes' workers: see uids.h.  A queue of the free ones.
 */
#include "master/uids.h"

#include "ipc/log.h"

#include <stdlib.h>

struct uids {
	size_t count, first, free; /* of the ring; the free ones begin at first */
	uid_t ring[];
};

struct uids *uids_open(uid_t first, uid_t last)
{
	size_t count = (size_t)last - first + 1;
	struct uids *u = malloc(sizeof *u + count * sizeof u->ring[0]);

	if (!u)
		return NULL;
	u->count = u->free = count;
	u->first = 0;
	for (size_t i = 0; i < count; i++)
		u->ring[i] = first + (uid_t)i;
	return u;
}

uid_t uids_take(struct uids *u)
{
	uid_t uid;

	if (!u->free)
		return 0;
	uid = u->ring[u->first];
	u->first = (u->first + 1) % u->count;
	u->free--;
	return uid;
}

void uids_give_back(struct uids *u, uid_t uid)
{
	if (!uid)
		return;
	if (u->free == u->count)
		bug("user %u was given back twice", uid);
	u->ring[(u->first + u->free++) % u->count] = uid;
}

void uids_close(struct uids *u)
{
	free(u);
}
