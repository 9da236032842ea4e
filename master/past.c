/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pasts: see past.h.
 */
#include "master/past.h"

#include "ipc/log.h"
#include "master/locks.h"
#include "master/master.h"
#include "master/state.h"
#include "master/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void past_name(char name[NOTIFY_NAME_MAX], uint32_t volume, uint32_t number, unsigned index)
{
	snprintf(name, NOTIFY_NAME_MAX, "v%u-g%u-%u", volume, number, index);
}

void past_drop(uint32_t volume, uint32_t number, unsigned count)
{
	char name[NOTIFY_NAME_MAX];

	for (unsigned i = 0; i < count; i++) {
		past_name(name, volume, number, i);
		notify_drop(name);
	}
}

int past_stand_in(void)
{
	static int pair[2] = {-1, -1};
	int fd;

	if (pair[0] < 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fd = fcntl(pair[0], F_DUPFD_CLOEXEC, 4);
	return fd < 0 ? -errno : fd;
}

static void past_free(struct past *p)
{
	for (unsigned i = 0; i < p->count; i++)
		close(p->fds[i]);
	free(p);
}

bool past_add(struct past_list *list, uint32_t volume, uint32_t number, uint32_t epoch,
    uint64_t since, const char *address, const int *fds, unsigned count)
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
	p->volume = volume;
	p->number = number;
	p->epoch = epoch;
	p->since = since;
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
			const struct msg_past payload = {.past = p->number,
			    .epoch = p->epoch,
			    .witness = i == 0,
			    .age = generation_now() - p->since};
			int fd = fcntl(p->fds[i], F_DUPFD_CLOEXEC, 4);

			if (fd < 0)
				return -errno;
			send_past(
			    c, volume, generation, &payload, p->address, strlen(p->address), &fd);
		}
	}
	return 0;
}

/* First the state does not name it any more, then it goes. */
static void past_end(struct master *m, struct volume *v, struct past_list *list, struct past *p)
{
	TAILQ_REMOVE(list, p, link);
	if (v)
		state_save_volume(v);
	else
		state_save_rest(m);
	past_drop(p->volume, p->number, p->count);
	past_free(p);
}

void past_note_nobody(struct volume *v, const char *address)
{
	const struct past *p;

	TAILQ_FOREACH (p, &v->pasts, link) {
		if (v->refused || strcmp(p->address, address) != 0)
			continue;
		v->refused = true;
		state_save_volume(v);
	}
}

bool past_fence(struct past_list *list, const char *address)
{
	struct past *p;
	bool any = false;

	TAILQ_FOREACH (p, list, link) {
		if (strcmp(p->address, address) != 0)
			continue;
		any = p->fenced = true;
	}
	return any;
}

bool past_close_fenced(struct master *m, struct volume *v, struct past_list *list)
{
	struct past *p = TAILQ_FIRST(list), *next;
	bool any = false;

	for (; p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (!p->fenced)
			continue;
		any = true;
		log_info("volume %s: generation %u is settled: the daemon at %s will never run "
			 "again, it was said (config/fenced)",
		    v ? v->shown : "that was detached", p->number, p->address);
		past_end(m, v, list, p);
	}
	return any;
}

bool past_settled(struct volume *v, uint32_t number)
{
	struct past *p;

	TAILQ_FOREACH (p, &v->pasts, link) {
		if (p->number != number)
			continue;
		past_end(v->master, v, &v->pasts, p);
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

void past_close(struct master *m, struct volume *v, struct past_list *list)
{
	struct past *p;

	while ((p = TAILQ_FIRST(list)))
		past_end(m, v, list, p);
}

void past_leave(struct volume *v)
{
	struct left *l = calloc(1, sizeof *l);

	log_warning(
	    "volume %s: what the daemon at %s was asked may still run; until that is settled "
	    "the lock (vid %x) is kept; attaching the volume here settles it",
	    v->shown, TAILQ_FIRST(&v->pasts)->address, v->identity.lock);
	if (!l) {
		past_close(v->master, v, &v->pasts);
		return;
	}
	l->name = v->name;
	memcpy(l->shown, v->shown, sizeof l->shown);
	l->identity = v->identity;
	TAILQ_INIT(&l->pasts);
	TAILQ_CONCAT(&l->pasts, &v->pasts, link);
	v->identity.lock = 0;
	LIST_INSERT_HEAD(&v->master->lefts, l, link);
	state_save_volume(v);
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
		    "whether what was asked before can still run; %s",
		    l->shown, l->identity.lock, locks_remedy(&l->name));
		LIST_REMOVE(l, link);
		past_close(m, NULL, &l->pasts);
		free(l);
	}
}
