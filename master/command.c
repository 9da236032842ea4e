/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands: see command.h.
 */
#include "master/command.h"

#include "ipc/log.h"
#include "master/attach.h"
#include "master/cluster.h"
#include "master/deletion.h"
#include "master/detach.h"
#include "master/discover.h"
#include "master/front.h"
#include "master/handover.h"
#include "master/replace.h"
#include "master/snapshot.h"
#include "master/startup.h"
#include "master/state.h"
#include "master/status.h"
#include "master/targets.h"
#include "master/volume.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMANDS_MAX 512
#define RESULTS_MAX COMMANDS_MAX /* the latest are kept, for who asks again */

static const char *const verb_names[] = {
    [VERB_MOUNT] = "mount",
    [VERB_UNMOUNT] = "unmount",
    [VERB_CREATE] = "create",
    [VERB_SNAPSHOT] = "snapshot",
    [VERB_CLONE] = "clone",
    [VERB_DELETE] = "delete",
    [VERB_LIST] = "vdi/list",
    [VERB_CLUSTER_INFO] = "cluster/info",
    [VERB_NODE_LIST] = "node/list",
    [VERB_NODE_INFO] = "node/info",
    [VERB_WORKERS] = "status/workers",
    [VERB_FAILOVERS] = "status/failovers",
    [VERB_SHEEP_INFO] = "sheep_info",
    [VERB_PAGE_CACHE] = "page_cache",
    [VERB_OBJECT_CACHE] = "object_cache",
    [VERB_DISCOVER] = "discover",
    [VERB_IO_TIMEOUT] = "io_timeout",
    [VERB_FENCE_TIMEOUT] = "fence_timeout",
    [VERB_FENCED] = "fenced",
    [VERB_ABORT] = "abort",
};

static struct result *add_result(struct master *m, uint64_t number, const char *sentence)
{
	struct result *r = calloc(1, sizeof *r + strlen(sentence) + 1), *first;

	if (!r)
		return NULL;
	r->number = number;
	memcpy(r->sentence, sentence, strlen(sentence) + 1);
	STAILQ_INSERT_TAIL(&m->results, r, next);
	if (++m->nr_results <= RESULTS_MAX)
		return r;
	first = STAILQ_FIRST(&m->results);
	STAILQ_REMOVE_HEAD(&m->results, next);
	m->nr_results--;
	free(first);
	return r;
}

void command_remember(struct master *m, uint64_t number, int error, const char *sentence)
{
	struct result *r = add_result(m, number, sentence);

	if (r)
		r->error = error;
}

void command_remember_unfinished(
    struct master *m, uint64_t number, uint32_t vid, uint64_t created, bool looked)
{
	struct result *r = add_result(m, number, "");

	if (!r)
		return;
	r->unfinished = true;
	r->vid = vid;
	r->created = created;
	r->looked = looked;
}

void command_forget_results(struct master *m)
{
	struct result *r;

	while ((r = STAILQ_FIRST(&m->results))) {
		STAILQ_REMOVE_HEAD(&m->results, next);
		free(r);
	}
}

/* It is being done, or was: it is not done again. */
static bool is_known(struct master *m, uint64_t number)
{
	const struct command *c;
	const struct result *r;

	TAILQ_FOREACH (c, &m->commands, link)
		if (c->number == number)
			return true;
	STAILQ_FOREACH (r, &m->results, next) {
		if (r->number != number || r->unfinished)
			continue;
		front_answer(m, number, r->error, r->sentence);
		return true;
	}
	return false;
}

/* The master before us had begun it: whoever does it now looks first. */
static void take_up(struct command *c)
{
	struct result *r;

	STAILQ_FOREACH (r, &c->master->results, next) {
		if (r->number != c->number || !r->unfinished)
			continue;
		c->again = true;
		c->vid = r->vid;
		c->created = r->created;
		c->looked = r->looked;
		STAILQ_REMOVE(&c->master->results, r, result, next);
		c->master->nr_results--;
		free(r);
		return;
	}
}

void command_record(struct command *c, uint32_t vid)
{
	c->again = c->looked = true;
	c->vid = vid;
	state_save_rest(c->master);
}

bool command_none_runs(const struct master *m)
{
	const struct command *c;

	TAILQ_FOREACH (c, &m->commands, link)
		if (c->running)
			return false;
	return true;
}

static void enter(struct command *c)
{
	name_show(&c->name, c->shown);
	TAILQ_INSERT_TAIL(&c->master->commands, c, link);
	c->master->nr_commands++;
}

static void forget(struct command *c)
{
	struct master *m = c->master;

	TAILQ_REMOVE(&m->commands, c, link);
	m->nr_commands--;
	free(c->text);
	free(c);
	command_run_waiting(m);
}

/* Does it leave anything changed, in the cluster or here? */
static bool is_lasting(const struct command *c)
{
	return command_is_change(c) || c->set || c->verb == VERB_ABORT;
}

static void tell(struct command *c, int error, const char *sentence)
{
	struct master *m = c->master;

	if (is_lasting(c)) {
		log_line(error ? 5 : 6, "%s %s by user %u: %s", verb_names[c->verb], c->shown,
		    c->uid, sentence);
		command_remember(m, c->number, error, sentence);
		state_save_rest(m);
	}
	front_answer(m, c->number, error, sentence);
}

void command_answer(struct command *c, int error, const char *format, ...)
{
	char sentence[SENTENCE_MAX];
	struct master *m;
	bool ours;
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof sentence, format, ap);
	va_end(ap);
	if (!c) {
		log_info("%s", sentence);
		return;
	}
	m = c->master;
	ours = !c->number;
	if (ours)
		log_line(error ? 4 : 6, "mount %s at the start: %s", c->shown, sentence);
	else
		tell(c, error, sentence);
	forget(c);
	if (ours)
		startup_answered(m);
	handover_turn(m);
}

void command_attach(struct master *m, const struct name *name)
{
	struct command *c = calloc(1, sizeof *c);

	if (!c) {
		log_warning("mount %s at the start: out of memory", name->name);
		startup_answered(m);
		return;
	}
	c->master = m;
	c->verb = VERB_MOUNT;
	c->name = *name;
	enter(c);
	command_run_waiting(m);
}

void command_answer_table(struct command *c, int fd)
{
	front_answer_table(c->master, c->number, fd);
	forget(c);
}

/* Do two commands concern the same volume?  Mounts and unmounts keep the whole name, with its tag,
 * apart; the cluster's operations concern the volume and all its snapshots. */
static bool concern_same(const struct command *a, const struct command *b)
{
	const struct name *theirs[] = {&b->name, &b->other};
	const struct name *ours[] = {&a->name, &a->other};
	bool whole = a->verb <= VERB_UNMOUNT && b->verb <= VERB_UNMOUNT;

	if (whole)
		return !name_compare(&a->name, &b->name);
	for (unsigned i = 0; i < 2; i++)
		for (unsigned n = 0; n < 2; n++)
			if (ours[i]->name[0] && !strcmp(ours[i]->name, theirs[n]->name))
				return true;
	return false;
}

/* The attached volume of which a command wants a snapshot, or NULL. */
static struct volume *snapshot_of(const struct command *c)
{
	struct name working = {.snap_id = 0};

	memcpy(working.name, c->name.name, sizeof working.name);
	return c->verb == VERB_SNAPSHOT ? volume_find(c->master, &working) : NULL;
}

bool command_may_be_done(const struct command *c)
{
	switch (c->verb) {
	case VERB_CREATE:
	case VERB_CLONE:
		return c->again;
	case VERB_SNAPSHOT:
		return c->again || (c->running && snapshot_of(c));
	default:
		return command_is_change(c) && (c->running || c->again);
	}
}

/* Is it just going up or down? */
static bool is_in_motion(struct volume *v)
{
	return (v->state != VOLUME_READY && v->state != VOLUME_FAILED) || detach_by_hand(v);
}

/* An earlier command on the same volume is not answered yet, or an umount(8) by hand is under way.
 */
static bool must_wait(const struct command *c)
{
	struct volume *v = c->verb == VERB_MOUNT ? volume_find(c->master, &c->name) : NULL;
	const struct command *other;

	if (is_lasting(c) && replace_is_pending())
		return true; /* the sheepfs before us may still go on, and would not know of it */
	if (v && (v->state == VOLUME_ENDING || v->state == VOLUME_DETACHING || detach_by_hand(v)))
		return true;
	v = snapshot_of(c);
	if (v && (v->snapshot || is_in_motion(v)))
		return true;
	if (c->verb == VERB_DELETE && deletion_must_wait(c))
		return true;
	TAILQ_FOREACH (other, &c->master->commands, link) {
		if (other == c)
			return false;
		if (command_is_change(c) && command_is_change(other) && concern_same(other, c))
			return true;
	}
	return false;
}

static void unmount(struct command *c)
{
	struct volume *v = volume_find(c->master, &c->name);

	if (v)
		detach_begin(v, c);
	else if (c->again)
		command_answer(c, 0, "volume %s is detached", c->shown);
	else
		command_answer(c, -ENOENT,
		    "there is no attached volume %s; ls volume/ shows what is", c->shown);
}

/* What the cluster worker may have done it looks for, whether the volume is attached by now or not:
 * a NEW_VDI that a daemon still holds is no generation's to settle. */
static void snapshot(struct command *c)
{
	struct volume *v = snapshot_of(c);

	if (!v || c->looked)
		cluster_order(c->master, c);
	else if (v->state == VOLUME_READY)
		snapshot_begin(v, c);
	else
		command_answer(c, -EIO,
		    "no snapshot of volume %s was taken: it has failed; write its name to "
		    "vdi/unmount, then to vdi/mount, to bring it back",
		    v->shown);
}

/* Reading one gives its value. */
static void knob(struct command *c, bool *value, const char *on, const char *off)
{
	if (!c->set) {
		command_answer(c, 0, "%d", *value);
		return;
	}
	*value = c->size;
	snprintf(c->shown, sizeof c->shown, "%d", *value);
	command_answer(c, 0, "%s", *value ? on : off);
}

/* A number of seconds; 0: no limit. */
static void timeout_knob(struct command *c, unsigned *value, const char *what)
{
	if (!c->set) {
		command_answer(c, 0, "%u", *value);
		return;
	}
	*value = (unsigned)c->size;
	snprintf(c->shown, sizeof c->shown, "%u", *value);
	if (*value)
		command_answer(c, 0, "%s: %u s from now on", what, *value);
	else
		command_answer(c, 0, "%s: no limit from now on", what);
}

static void io_timeout(struct command *c)
{
	struct master *m = c->master;
	bool set = c->set;

	timeout_knob(c, &m->io_timeout, "how long callers wait for I/O");
	if (set)
		front_set_limits(m);
}

static void discover(struct command *c)
{
	struct master *m = c->master;
	bool before = m->discover;

	knob(c, &m->discover,
	    "members of the cluster are targets from now on, behind those that were named, as far "
	    "as --nodes permits",
	    "the targets are those that were named, and no others");
	if (m->discover == before)
		return;
	discover_forget(m);
	discover_start(m);
}

static void sheep_info(struct command *c)
{
	struct master *m = c->master;

	if (c->set)
		targets_replace(m, c);
	else
		command_answer(c, 0, "%s", m->daemon[0] ? m->daemon : m->targets->targets[0].text);
}

static void abort_volume(struct command *c)
{
	struct volume *v = volume_find(c->master, &c->name);

	if (!v) {
		command_answer(c, -ENOENT,
		    "there is no attached volume %s; ls volume/ shows what is", c->shown);
		return;
	}
	if (v->doomed && v->attach) {
		deletion_abort(v, c->uid);
		command_answer(c, 0, "the deletion of volume %s is aborted", c->shown);
		return;
	}
	v->anew = false;
	detach_after(v, -ECONNABORTED, "volume %s was aborted by user %u", v->shown, c->uid);
	command_answer(c, 0,
	    "volume %s is aborted: who waited for it gets errors, and it is detached", c->shown);
}

static void status(struct command *c)
{
	int fd = status_table(c->master, c->verb);

	if (fd < 0)
		command_answer(c, fd, "the table cannot be made: %s", strerror(-fd));
	else
		command_answer_table(c, fd);
}

static void run(struct command *c)
{
	struct master *m = c->master;

	c->running = true;
	if (command_is_change(c))
		state_save_rest(m);
	switch (c->verb) {
	case VERB_MOUNT:
		attach_begin(m, c);
		break;
	case VERB_UNMOUNT:
		unmount(c);
		break;
	case VERB_SNAPSHOT:
		snapshot(c);
		break;
	case VERB_DELETE:
		deletion_begin(m, c);
		break;
	case VERB_CREATE:
	case VERB_CLONE:
	case VERB_LIST:
	case VERB_CLUSTER_INFO:
	case VERB_NODE_LIST:
	case VERB_NODE_INFO:
		cluster_order(m, c);
		break;
	case VERB_PAGE_CACHE:
		knob(c, &m->page_cache,
		    "volumes that are attached from now on are cached in the page cache",
		    "volumes that are attached from now on are not cached in the page cache");
		break;
	case VERB_OBJECT_CACHE:
		knob(c, &m->object_cache,
		    "the object cache is asked for, for volumes that are attached from now on; "
		    "daemons from 1.0 on have none, and there it is without effect",
		    "no object cache is asked for, for volumes that are attached from now on");
		break;
	case VERB_DISCOVER:
		discover(c);
		break;
	case VERB_WORKERS:
	case VERB_FAILOVERS:
		status(c);
		break;
	case VERB_SHEEP_INFO:
		sheep_info(c);
		break;
	case VERB_IO_TIMEOUT:
		io_timeout(c);
		break;
	case VERB_FENCE_TIMEOUT:
		timeout_knob(c, &m->fence_timeout,
		    "how long is waited for what an unreachable daemon was asked, in generations "
		    "to "
		    "come");
		break;
	case VERB_FENCED:
		targets_fence(m, c);
		break;
	case VERB_ABORT:
		abort_volume(c);
		break;
	}
}

/* The first that waits for nobody any more; running it may end it and others. */
static struct command *next_waiting(struct master *m)
{
	struct command *c;

	if (m->handover)
		return NULL; /* the next sheepfs is asked */
	TAILQ_FOREACH (c, &m->commands, link)
		if (!c->running && !must_wait(c))
			return c;
	return NULL;
}

void command_run_waiting(struct master *m)
{
	struct command *c;

	while ((c = next_waiting(m)))
		run(c);
	deletion_look_again(m);
}

/* A second attach of a name is an error at once; everything else waits for its turn. */
static bool refuse_twice(struct command *c)
{
	const struct command *other;

	if (c->verb != VERB_MOUNT)
		return false;
	TAILQ_FOREACH (other, &c->master->commands, link) {
		if (other != c && other->verb == VERB_MOUNT &&
		    !name_compare(&other->name, &c->name)) {
			command_answer(c, -EEXIST, "volume %s is being attached already", c->shown);
			return true;
		}
	}
	return false;
}

static struct command *record(struct master *m, const struct msg *message)
{
	const struct msg_command *from = &message->body.command;
	struct command *c = m->nr_commands < COMMANDS_MAX ? calloc(1, sizeof *c) : NULL;

	if (!c)
		return NULL;
	c->master = m;
	c->number = from->number;
	c->verb = from->verb;
	c->size = from->size;
	c->shift = from->shift;
	c->copies = from->copies;
	c->policy = from->policy;
	c->uid = from->uid;
	memcpy(c->name.name, from->name, sizeof c->name.name);
	memcpy(c->name.tag, from->tag, sizeof c->name.tag);
	c->name.snap_id = from->snap_id;
	memcpy(c->other.name, from->other, sizeof c->other.name);
	c->set = from->set;
	if (c->set && (c->verb == VERB_SHEEP_INFO || c->verb == VERB_FENCED)) {
		c->text = strdup((const char *)message->tail);
		if (!c->text) {
			free(c);
			return NULL;
		}
	}
	enter(c);
	if (c->text)
		snprintf(c->shown, sizeof c->shown, "%s", c->text);
	return c;
}

void command_receive(struct master *m, const struct msg *message)
{
	const struct msg_command *from = &message->body.command;
	struct command *c;

	log_debug("command %llu of user %u: %s %s", (unsigned long long)from->number, from->uid,
	    verb_names[from->verb], (const char *)message->tail);
	if (is_known(m, from->number))
		return;
	if (m->stop) {
		front_answer(
		    m, from->number, -ESHUTDOWN, "sheepfs is about to end; nothing was changed");
		return;
	}
	c = record(m, message);
	if (!c) {
		front_answer(m, from->number, -EBUSY,
		    "too many commands are pending; nothing was changed, try again later");
		return;
	}
	take_up(c);
	if (command_is_change(c) && !c->name.name[0])
		command_answer(c, -EINVAL, "the name is empty; nothing was changed");
	else if (!refuse_twice(c))
		command_run_waiting(m);
}

void command_refuse_waiting(struct master *m)
{
	struct command *c;

	do {
		TAILQ_FOREACH (c, &m->commands, link)
			if (!c->running)
				break;
		if (c) {
			c->running = true; /* its answer lets nobody else run */
			command_answer(
			    c, -ESHUTDOWN, "sheepfs is about to end; nothing was changed");
		}
	} while (c);
}
