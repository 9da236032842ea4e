/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pasts: see past.h.
 */
#include "master/past.h"

#include "ipc/log.h"
#include "master/master.h"
#include "master/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a volume left. */
struct left {
	LIST_ENTRY(left) link;
	struct name name;
	char shown[NAME_SHOWN_SIZE];
	struct volume_identity identity;
	struct past_list pasts;
};

static void past_free(struct past *p)
{
	for (unsigned i = 0; i < p->count; i++)
		close(p->fds[i]);
	free(p);
}

bool past_add(struct past_list *list, uint32_t number, uint32_t epoch, const char *address,
    const int *fds, unsigned count)
{
	struct past *p = calloc(1, sizeof *p);

	if (!p) {
		for (unsigned i = 0; i < count; i++)
			close(fds[i]);
		log_error(
		    "no memory to keep the connections to %s: what it was asked may still run",
		    address);
		return false;
	}
	p->number = number;
	p->epoch = epoch;
	memcpy(p->address, address, strnlen(address, sizeof p->address - 1));
	p->count = count;
	memcpy(p->fds, fds, count * sizeof *fds);
	TAILQ_INSERT_TAIL(list, p, link);
	return true;
}

int past_give(const struct past_list *list, struct chan *c, uint32_t volume, uint32_t generation)
{
	const struct past *p;

	TAILQ_FOREACH (p, list, link) {
		for (unsigned i = 0; i < p->count; i++) {
			const struct msg_past payload = {
			    .past = p->number, .epoch = p->epoch, .witness = i == 0};
			int fd = fcntl(p->fds[i], F_DUPFD_CLOEXEC, 4);

			if (fd < 0)
				return -errno;
			send_past(
			    c, volume, generation, &payload, p->address, strlen(p->address), &fd);
		}
	}
	return 0;
}

bool past_settled(struct past_list *list, uint32_t number)
{
	struct past *p;

	TAILQ_FOREACH (p, list, link) {
		if (p->number != number)
			continue;
		TAILQ_REMOVE(list, p, link);
		past_free(p);
		return true;
	}
	return false;
}

unsigned past_count(const struct past_list *list)
{
	const struct past *p;
	unsigned n = 0;

	TAILQ_FOREACH (p, list, link)
		n++;
	return n;
}

void past_close(struct past_list *list)
{
	struct past *p;

	while ((p = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, p, link);
		past_free(p);
	}
}

void past_leave(struct volume *v)
{
	struct left *l = calloc(1, sizeof *l);

	log_warning(
	    "volume %s: what the daemon at %s was asked may still run; until that is settled "
	    "the lock (vid %x) is kept; attaching the volume here settles it",
	    v->shown, TAILQ_FIRST(&v->pasts)->address, v->identity.lock);
	if (!l) {
		past_close(&v->pasts);
		return;
	}
	l->name = v->name;
	memcpy(l->shown, v->shown, sizeof l->shown);
	l->identity = v->identity;
	TAILQ_INIT(&l->pasts);
	TAILQ_CONCAT(&l->pasts, &v->pasts, link);
	v->identity.lock = 0;
	LIST_INSERT_HEAD(&v->master->lefts, l, link);
}

void past_take_over(struct volume *v)
{
	struct left *l;

	LIST_FOREACH (l, &v->master->lefts, link)
		if (!name_compare(&l->name, &v->name))
			break;
	if (!l)
		return;
	v->identity = l->identity;
	TAILQ_CONCAT(&v->pasts, &l->pasts, link);
	LIST_REMOVE(l, link);
	free(l);
}

void past_forget_all(struct master *m)
{
	struct left *l;

	while ((l = LIST_FIRST(&m->lefts))) {
		log_warning(
		    "volume %s: its lock (vid %x) is left in the cluster, for it is not known "
		    "whether what was asked before can still run; \"dog vdi lock unlock\" "
		    "releases it",
		    l->shown, l->identity.lock);
		LIST_REMOVE(l, link);
		past_close(&l->pasts);
		free(l);
	}
}
