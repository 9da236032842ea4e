/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of targets: see targets.h.
 */
#include "master/targets.h"

#include "ipc/log.h"
#include "master/cluster.h"
#include "master/command.h"
#include "master/discover.h"
#include "master/seek.h"
#include "master/state.h"
#include "master/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A lamb of ours has its socket and its process from the beginning. */
static const struct target *same_lamb(const struct master *m, const struct target *t)
{
	for (unsigned i = 0; i < m->conf->targets.count; i++)
		if (!strcmp(m->conf->targets.targets[i].text, t->text))
			return &m->conf->targets.targets[i];
	return NULL;
}

static int adopt_lambs(const struct master *m, struct target_list *list, char *why, size_t why_size)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct target *known;

		if (!list->targets[i].store[0])
			continue;
		known = same_lamb(m, &list->targets[i]);
		if (!known) {
			snprintf(why, why_size,
			    "%s: a lamb of ours must be named when sheepfs starts (--sheep)",
			    list->targets[i].text);
			return -EINVAL;
		}
		list->targets[i] = *known;
	}
	return 0;
}

/* The list that was written; NULL, with a sentence in why, when it is none. */
static struct target_list *parse(
    const struct master *m, const char *text, char *why, size_t why_size)
{
	struct target_list *list = calloc(1, sizeof *list);

	snprintf(why, why_size, "out of memory");
	if (list && !target_parse_list(text, list, why, why_size) &&
	    !adopt_lambs(m, list, why, why_size))
		return list;
	free(list);
	return NULL;
}

void targets_inherit(struct master *m, const char *text)
{
	char why[SENTENCE_MAX];
	struct target_list *list = parse(m, text, why, sizeof why);

	if (!list) {
		log_warning("what was written to config/sheep_info, %s, is not used any more: %s",
		    text, why);
		return;
	}
	m->targets = m->written_targets = list;
	discover_forget(m);
	cluster_elsewhere(m);
}

void targets_replace(struct master *m, struct command *c)
{
	struct target_list *list, *old = m->written_targets;
	struct volume *v;
	char why[SENTENCE_MAX];

	list = parse(m, c->text, why, sizeof why);
	if (!list) {
		command_answer(c, -EINVAL, "%s; nothing was changed", why);
		return;
	}
	m->targets = m->written_targets = list;
	discover_forget(m);
	memcpy(m->daemon, list->targets[0].text, sizeof m->daemon);
	TAILQ_FOREACH (v, &m->volumes, link)
		seek_elsewhere(v);
	cluster_elsewhere(m);
	discover_start(m);
	free(old);
	state_save_rest(m);
	command_answer(c, 0, "the daemons are %s from now on", c->text);
}

void targets_fence(struct master *m, struct command *c)
{
	struct target_list *list = calloc(1, sizeof *list);
	struct volume *v;
	struct left *l;
	char why[SENTENCE_MAX] = "out of memory";
	int error = list ? target_parse_list(c->text, list, why, sizeof why) : -ENOMEM;
	unsigned waiting = 0;

	if (error || list->count != 1) {
		command_answer(c, error ? error : -EINVAL, "%s; nothing was changed",
		    error ? why : "one address at a time");
		free(list);
		return;
	}
	TAILQ_FOREACH (v, &m->volumes, link) {
		if (!past_fence(&v->pasts, list->targets[0].text))
			continue;
		waiting++;
		state_save_volume(v);
		/* else the next one is not told of it any more */
		if (generation_lives(&v->generation))
			generation_fence(&v->generation, list->targets[0].text);
	}
	LIST_FOREACH (l, &m->lefts, link)
		if (past_fence(&l->pasts, list->targets[0].text)) {
			waiting++;
			past_close_fenced(m, NULL, &l->pasts);
		}
	log_warning(
	    "it was said by user %u that the daemon at %s will never run again; volumes that "
	    "waited for it: %u",
	    c->uid, list->targets[0].text, waiting);
	if (waiting)
		command_answer(
		    c, 0, "volumes that waited for %s: %u", list->targets[0].text, waiting);
	else
		command_answer(
		    c, -ENOENT, "no volume waits for a daemon at %s", list->targets[0].text);
	free(list);
}

void targets_free(struct master *m)
{
	free(m->written_targets);
	m->written_targets = NULL;
}
