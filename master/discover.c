/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discovery: see discover.h.
 */
#include "master/discover.h"

#include "ipc/log.h"
#include "master/cluster.h"
#include "master/nodes.h"
#include "master/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL 5       /* seconds between an answer and the next question */
#define BARRED_SHOWN 512 /* bytes of addresses that the log shows */

struct discovered {
	struct event *timer; /* until the next question */
	bool asking;
	bool stale;                /* what is being told is not wanted any more */
	struct target_list all;    /* those that people named, then the members */
	struct target_list coming; /* the same, as far as it has been told */
	char barred[BARRED_SHOWN]; /* of what has been told: members that may not be dialled */
	char said[BARRED_SHOWN];   /* those that the log has named */
};

const struct target_list *discover_targets(const struct master *m)
{
	return &m->discovered->all;
}

uint64_t discover_members(const struct master *m, char *text)
{
	const struct target_list *all = discover_targets(m);
	unsigned named = m->targets->count;
	struct target_list members = {.count = all->count - named};

	memcpy(members.targets, all->targets + named, members.count * sizeof members.targets[0]);
	target_list_text(&members, text, TARGET_LIST_TEXT_MAX);
	return members.count ? members.targets[0].cluster_ctime : 0;
}

/* ---- what is told ---- */

static bool is_listed(const struct target_list *list, const struct target *t)
{
	for (unsigned i = 0; i < list->count; i++)
		if (target_is_same(&list->targets[i], t))
			return true;
	return false;
}

static void bar(struct discovered *d, const char *address)
{
	size_t used = strlen(d->barred);

	if (used + strlen(address) + sizeof ", " <= sizeof d->barred)
		sprintf(d->barred + used, "%s%s", used ? ", " : "", address);
}

static void take_one(struct master *m, uint64_t cluster_ctime, const char *address)
{
	struct discovered *d = m->discovered;
	struct target t;
	char why[256];

	if (target_parse(address, &t, why, sizeof why)) {
		log_debug("a member of the cluster is no target: %s", why);
		return;
	}
	if (is_listed(&d->coming, &t))
		return;
	t.cluster_ctime = cluster_ctime;
	if (!nodes_permitted(m, &t))
		bar(d, t.text);
	else if (d->coming.count < TARGETS_MAX)
		d->coming.targets[d->coming.count++] = t;
}

static void use(struct master *m)
{
	char before[TARGET_LIST_TEXT_MAX], after[TARGET_LIST_TEXT_MAX];
	struct discovered *d = m->discovered;

	discover_members(m, before);
	d->all = d->coming;
	discover_members(m, after);
	if (strcmp(before, after) != 0) {
		log_info("members of the cluster that are targets, behind those that were named: "
			 "%s",
		    after[0] ? after : "none");
		state_save(m);
	}
	if (d->barred[0] && strcmp(d->barred, d->said) != 0)
		log_warning("members of the cluster that are no targets, since they lie outside of "
			    "what may be dialled: %s; --nodes names more addresses",
		    d->barred);
	memcpy(d->said, d->barred, sizeof d->said);
}

void discover_take(struct master *m, const struct msg_members *told, const char *text)
{
	struct discovered *d = m->discovered;
	char copy[COMMAND_TEXT_MAX + 1], *rest = copy, *one;

	if (d->stale)
		return;
	if (told->first) {
		d->coming = *m->targets;
		d->barred[0] = 0;
	}
	snprintf(copy, sizeof copy, "%s", text);
	while ((one = strsep(&rest, ",")))
		take_one(m, told->cluster_ctime, one);
	if (told->last)
		use(m);
}

/* ---- asking ---- */

static void ask_later(struct master *m)
{
	static const struct timeval interval = {INTERVAL, 0};

	event_add(m->discovered->timer, &interval);
}

static void on_told(int error, const char *sentence, void *arg)
{
	struct master *m = arg;
	struct discovered *d = m->discovered;
	bool stale = d->stale;

	d->asking = d->stale = false;
	if (error)
		log_debug("the members of the cluster are not known: %s", sentence);
	if (stale)
		discover_start(m);
	else
		ask_later(m);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	discover_start(arg);
}

void discover_start(struct master *m)
{
	struct discovered *d = m->discovered;

	if (!m->discover || d->asking)
		return;
	event_del(d->timer);
	d->asking = true;
	if (cluster_learn(m, on_told, m)) {
		d->asking = false;
		ask_later(m);
	}
}

void discover_forget(struct master *m)
{
	struct discovered *d = m->discovered;

	d->all = d->coming = *m->targets;
	d->said[0] = 0;
	d->stale = d->asking;
}

/* ---- life ---- */

int discover_open(struct master *m)
{
	struct discovered *d = calloc(1, sizeof *d);

	if (!d)
		return -ENOMEM;
	d->all = *m->targets;
	m->discovered = d;
	d->timer = evtimer_new(m->base, on_timer, m);
	return d->timer ? 0 : -ENOMEM;
}

void discover_close(struct master *m)
{
	if (!m->discovered)
		return;
	event_free(m->discovered->timer);
	free(m->discovered);
	m->discovered = NULL;
}
