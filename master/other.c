/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other daemons: see other.h.
 */
#include "master/other.h"

#include "ipc/log.h"
#include "master/discover.h"
#include "master/volume.h"

#include <string.h>
#include <unistd.h>

#define CONNECT_LIMIT 2000 /* milliseconds; the worker asks again after 5 s */

static bool is_left(const struct volume *v, const struct target *t)
{
	const struct past *p;

	TAILQ_FOREACH (p, &v->pasts, link)
		if (!strcmp(p->address, t->text))
			return true;
	return false;
}

/* Where the volume may go to, in the order of the list from where it is on. */
static unsigned find(const struct generation *g, const struct target *found[TARGETS_MAX])
{
	const struct volume *v = g->volume;
	const struct target_list *list = discover_targets(v->master);
	unsigned at = 0, count = 0;

	if (past_count(&v->pasts) + 2 >= PASTS_MAX)
		return 0;
	for (unsigned i = 0; i < list->count; i++)
		if (target_is_same(&list->targets[i], &g->target))
			at = i;
	for (unsigned i = 0; i < list->count; i++) {
		const struct target *t = &list->targets[(at + i) % list->count];

		if (!target_is_same(t, &g->target) && !is_left(v, t))
			found[count++] = t;
	}
	return count;
}

static void on_dialled(int fd, void *arg)
{
	struct generation_other *o = arg;
	struct generation *g = o->generation;
	struct msg_other payload;

	o->dial = NULL;
	if (dial_found_nobody(fd))
		past_note_nobody(g->volume, o->target.text);
	payload = (struct msg_other){.refused = g->volume->refused, .visit = o == &g->visited};
	if (fd < 0)
		log_debug("volume %s: %s cannot be asked: %s", g->volume->shown, o->target.text,
		    strerror(-fd));
	else if (g->process.chan)
		send_other(g->process.chan, g->volume->number, g->number, &payload, o->target.text,
		    strlen(o->target.text), &fd);
	else
		close(fd);
}

static void give(struct generation *g, struct generation_other *o, const struct target *target)
{
	o->generation = g;
	o->target = *target;
	o->count++;
	o->dial = dial_start(g->volume->master->base, &o->target, CONNECT_LIMIT, on_dialled, o);
}

void other_compare(struct generation *g, bool again)
{
	struct volume *v = g->volume;
	const struct target *found[TARGETS_MAX];
	unsigned count = find(g, found);

	if (g->compared.dial || g->draining)
		return;
	if (!count) {
		if (!again)
			log_warning("volume %s: the daemon at %s answers, but has done no I/O for "
				    "a minute; there is no other to go to: it is waited for",
			    v->shown, g->target.text);
		return;
	}
	give(g, &g->compared, found[g->compared.count % count]);
	if (!again)
		log_warning("volume %s: the daemon at %s answers, but has done no I/O for a "
			    "minute; %s is asked whether it does",
		    v->shown, g->target.text, g->compared.target.text);
}

void other_visit(struct generation *g, const char *address)
{
	const struct target_list *list = discover_targets(g->volume->master);

	if (g->visited.dial)
		return;
	for (unsigned i = 0; i < list->count; i++) {
		if (strcmp(list->targets[i].text, address) != 0)
			continue;
		give(g, &g->visited, &list->targets[i]);
		return;
	}
}

void other_end(struct generation *g)
{
	dial_cancel(g->compared.dial);
	dial_cancel(g->visited.dial);
	g->compared.dial = g->visited.dial = NULL;
}
