/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing daemons: see compare.h.
 */
#include "master/compare.h"

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
	static const struct msg_compare payload = {.pad = {0}};
	struct generation *g = arg;

	g->comparing = NULL;
	if (fd < 0)
		log_debug("volume %s: %s cannot be asked: %s", g->volume->shown, g->other.text,
		    strerror(-fd));
	else if (g->process.chan)
		send_compare(g->process.chan, g->volume->number, g->number, &payload, g->other.text,
		    strlen(g->other.text), &fd);
	else
		close(fd);
}

void compare_begin(struct generation *g, bool again)
{
	struct volume *v = g->volume;
	const struct target *found[TARGETS_MAX];
	unsigned count = find(g, found);

	if (g->comparing || g->draining)
		return;
	if (!count) {
		if (!again)
			log_warning("volume %s: the daemon at %s answers, but has done no I/O for "
				    "a minute; there is no other to go to: it is waited for",
			    v->shown, g->target.text);
		return;
	}
	g->other = *found[g->compared++ % count];
	if (!again)
		log_warning("volume %s: the daemon at %s answers, but has done no I/O for a "
			    "minute; %s is asked whether it does",
		    v->shown, g->target.text, g->other.text);
	g->comparing = dial_start(v->master->base, &g->other, CONNECT_LIMIT, on_dialled, g);
}

void compare_end(struct generation *g)
{
	dial_cancel(g->comparing);
	g->comparing = NULL;
}
