/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generations: see generation.h.
 */
#include "master/generation.h"

#include "include/words.h"
#include "ipc/arena.h"
#include "ipc/log.h"
#include "master/attach.h"
#include "master/detach.h"
#include "master/master.h"
#include "master/snapshot.h"
#include "master/uids.h"
#include "master/volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLAME_WAIT 100 /* milliseconds that it may take to be seen dead */
#define EXIT_SOON 3000 /* milliseconds after REFUSED */

static void close_fds(int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static struct master *master_of(const struct generation *g)
{
	return g->volume->master;
}

/* ---- connections ---- */

static void give_connection(struct generation *g, int fd)
{
	const struct msg_daemon payload = {.serial = ++g->serial};

	if (g->process.chan)
		send_daemon(g->process.chan, g->volume->number, g->number, &payload,
		    g->target->text, strlen(g->target->text), &fd);
	else
		close(fd);
}

static void tell_no_connection(struct generation *g, int error, const char *why)
{
	const struct msg_dial_failed payload = {.error = error};

	if (g->process.chan)
		send_dial_failed(g->process.chan, g->volume->number, g->number, &payload, why,
		    strlen(why), NULL);
}

static void on_dialled(int fd, void *arg)
{
	struct generation_dial *d = arg;
	struct generation *g = d->generation;

	d->dial = NULL;
	if (fd >= 0)
		give_connection(g, fd);
	else
		tell_no_connection(g, fd, strerror(-fd));
}

static void dial_one(struct generation *g)
{
	struct generation_dial *d = g->dials;

	while (d < g->dials + GENERATION_DIALS_MAX && d->dial)
		d++;
	if (d < g->dials + GENERATION_DIALS_MAX && g->serial < GENERATION_CONNECTIONS_MAX) {
		d->generation = g;
		d->dial = dial_start(master_of(g)->base, g->target,
		    master_of(g)->conf->timeout * 1000, on_dialled, d);
		if (d->dial)
			return;
	}
	tell_no_connection(g, -EMFILE, "it has as many connections as it may have");
}

static void cancel_dials(struct generation *g)
{
	for (unsigned i = 0; i < GENERATION_DIALS_MAX; i++) {
		dial_cancel(g->dials[i].dial);
		g->dials[i].dial = NULL;
	}
}

/* ---- what it says ---- */

static void note_ready(struct generation *g, const struct msg *m)
{
	if (g->is_ready) {
		generation_kill(g, "it said READY twice");
		return;
	}
	g->is_ready = true;
	g->ready = m->body.ready;
	snprintf(g->sentence, sizeof g->sentence, "%.*s", SENTENCE_MAX, (const char *)m->tail);
	if (g->draining)
		return;
	chan_talk(g->process.chan, TALK_SERVING);
	attach_ready(g->volume);
}

static void note_refused(struct generation *g, const struct msg *m)
{
	g->refused = m->body.refused.error;
	g->elsewhere = m->body.refused.elsewhere;
	snprintf(g->sentence, sizeof g->sentence, "%.*s", SENTENCE_MAX, (const char *)m->tail);
	process_kill_later(&g->process, EXIT_SOON, "it refused and did not end");
}

static void on_message(struct msg *m, void *arg)
{
	struct generation *g = arg;

	if (m->volume != g->volume->number || m->generation != g->number) {
		generation_kill(g, "it spoke of another volume or generation");
		return;
	}
	switch (m->id) {
	case MSG_READY:
		note_ready(g, m);
		break;
	case MSG_REFUSED:
		note_refused(g, m);
		break;
	case MSG_LOCKED:
		g->lock = m->body.locked.vid;
		break;
	case MSG_DIAL:
		for (uint32_t i = 0; i < m->body.dial.count; i++)
			dial_one(g);
		break;
	case MSG_DRAINED:
		g->lock = 0;
		break;
	case MSG_ANSWER:
		snapshot_answered(g->volume, &m->body.answered, (const char *)m->tail);
		break;
	default:
		generation_kill(g, "it said what no worker says");
	}
}

/* Who exits with one of these words has let go of its lock; in all other cases it may be held. */
static bool let_go_of_lock(int status)
{
	return WIFEXITED(status) &&
	       (WEXITSTATUS(status) == EXIT_REFUSED || WEXITSTATUS(status) == EXIT_DRAINED);
}

static void on_ended(const char *words, void *arg)
{
	struct generation *g = arg;

	cancel_dials(g);
	close_fds(g->fds, 3);
	uids_give_back(master_of(g)->uids, g->uid);
	g->uid = 0;
	if (let_go_of_lock(g->process.status))
		g->lock = 0;
	detach_generation_ended(g->volume, words);
}

/* ---- life ---- */

/* theirs: data socket, `out` (read-only), `in` (writable). */
static int make_memory(struct generation *g, int *theirs)
{
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	g->fds[0] = pair[0];
	theirs[0] = pair[1];
	error = arena_create("sheepfs-out", SLOTS_PER_VOLUME, &g->fds[1], &theirs[1]);
	if (!error)
		error = arena_create("sheepfs-in", SLOTS_PER_VOLUME, &theirs[2], &g->fds[2]);
	return error;
}

static int start_process(struct generation *g)
{
	const struct process_plan plan = {.program = "sheepfs-worker",
	    .role = "volume",
	    .name = g->volume->shown,
	    .kind = KIND_VOLUME,
	    .message = on_message,
	    .ended = on_ended,
	    .arg = g};

	g->uid = uids_take(master_of(g)->uids);
	if (!g->uid) {
		log_error("all users of --uids are in use: give a larger range");
		return -EUSERS;
	}
	return process_start(master_of(g), &g->process, &plan);
}

static void first_words(struct generation *g, const int *theirs)
{
	const struct volume *v = g->volume;
	struct msg_start_volume start = {.uid = g->uid,
	    .gid = g->uid,
	    .slots = SLOTS_PER_VOLUME,
	    .snap_id = v->name.snap_id,
	    .object_cache = v->object_cache};

	memcpy(start.name, v->name.name, sizeof start.name);
	memcpy(start.tag, v->name.tag, sizeof start.tag);
	send_start_volume(g->process.chan, v->number, g->number, &start, NULL, 0, theirs);
}

static void renew(struct generation *g, struct volume *v, const struct target *target)
{
	uint32_t number = g->number + 1;

	memset(g, 0, sizeof *g);
	g->number = number;
	g->volume = v;
	g->target = target;
	g->fds[0] = g->fds[1] = g->fds[2] = -1;
}

int generation_start(struct volume *v, const struct target *target, int fd)
{
	struct generation *g = &v->generation;
	int theirs[3] = {-1, -1, -1}, error;

	renew(g, v, target);
	error = make_memory(g, theirs);
	if (!error)
		error = start_process(g);
	if (error) {
		close_fds(theirs, 3);
		close_fds(g->fds, 3);
		uids_give_back(v->master->uids, g->uid);
		g->uid = 0;
		close(fd);
		return error;
	}
	first_words(g, theirs);
	give_connection(g, fd);
	return 0;
}

void generation_take_fds(struct generation *g, int fds[3])
{
	for (unsigned i = 0; i < 3; i++) {
		fds[i] = g->fds[i];
		g->fds[i] = -1;
	}
}

void generation_drain(struct generation *g, unsigned milliseconds)
{
	const struct msg_drain payload = {.pad = {0}};
	char why[96];

	if (!g->process.lives || g->draining)
		return;
	g->draining = true;
	cancel_dials(g);
	if (g->process.chan) {
		chan_talk(g->process.chan, TALK_ENDING);
		send_drain(g->process.chan, g->volume->number, g->number, &payload, NULL, 0, NULL);
	}
	snprintf(why, sizeof why, "it did not finish within %u s", milliseconds / 1000);
	process_kill_later(&g->process, milliseconds, why);
}

void generation_snapshot(struct generation *g, uint64_t number, const struct name *name)
{
	struct msg_order order = {.number = number, .verb = VERB_SNAPSHOT};

	memcpy(order.name, name->name, sizeof order.name);
	memcpy(order.tag, name->tag, sizeof order.tag);
	if (g->process.chan)
		send_order(g->process.chan, g->volume->number, g->number, &order, NULL, 0, NULL);
}

void generation_kill(struct generation *g, const char *why)
{
	process_kill(&g->process, why);
}

void generation_blame(struct generation *g, const char *why)
{
	char words[PROCESS_WORDS_MAX];

	/* a worker that died closed its data socket, too: then its own last word is the better one
	 */
	snprintf(words, sizeof words, "the front gave it up: %s", why);
	process_kill_later(&g->process, BLAME_WAIT, words);
}
