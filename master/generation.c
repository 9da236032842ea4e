/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generations: see generation.h.
 */
#include "master/generation.h"

#include "include/words.h"
#include "ipc/arena.h"
#include "ipc/log.h"
#include "master/attach.h"
#include "master/deletion.h"
#include "master/detach.h"
#include "master/master.h"
#include "master/other.h"
#include "master/seek.h"
#include "master/snapshot.h"
#include "master/state.h"
#include "master/uids.h"
#include "master/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
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

/* Without a duplicate it could never be settled, and is not used. */
static void give_connection(struct generation *g, int fd)
{
	const struct msg_daemon payload = {.serial = ++g->serial};
	int kept = g->process.chan ? fcntl(fd, F_DUPFD_CLOEXEC, 4) : -1;
	char name[NOTIFY_NAME_MAX];

	if (kept < 0) {
		close(fd);
		return;
	}
	past_name(name, g->volume->number, g->number, g->nr_kept);
	g->kept[g->nr_kept++] = kept;
	notify_keep(name, kept);
	if (g->is_ready)
		state_save_volume(g->volume); /* else READY is what saves them */
	send_daemon(g->process.chan, g->volume->number, g->number, &payload, g->target.text,
	    strlen(g->target.text), &fd);
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

/* What is being dialled will be a connection, too. */
static bool has_room(const struct generation *g)
{
	uint32_t count = g->serial;

	for (unsigned i = 0; i < GENERATION_DIALS_MAX; i++)
		count += g->dials[i].dial != NULL;
	return count < CONNECTIONS_MAX;
}

static void dial_one(struct generation *g)
{
	struct generation_dial *d = g->dials;

	while (d < g->dials + GENERATION_DIALS_MAX && d->dial)
		d++;
	if (d < g->dials + GENERATION_DIALS_MAX && has_room(g)) {
		d->generation = g;
		d->dial = dial_start(master_of(g)->base, &g->target,
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
	other_end(g);
}

/* ---- what it says ---- */

static void note_ready(struct generation *g, const struct msg *m)
{
	if (g->is_ready) {
		generation_kill(g, "it said READY twice");
		return;
	}
	g->is_ready = true;
	g->since = generation_now();
	g->ready = m->body.ready;
	snprintf(g->sentence, sizeof g->sentence, "%.*s", SENTENCE_MAX, (const char *)m->tail);
	if (g->draining)
		return;
	chan_talk(g->process.chan, TALK_SERVING);
	state_save_volume(g->volume);
	seek_ready(g->volume);
}

static void note_refused(struct generation *g, const struct msg *m)
{
	g->refused = m->body.refused.error;
	g->elsewhere = m->body.refused.elsewhere;
	snprintf(g->sentence, sizeof g->sentence, "%.*s", SENTENCE_MAX, (const char *)m->tail);
	process_kill_later(&g->process, EXIT_SOON, "it refused and did not end");
}

static void note_settled(struct generation *g, const struct msg *m)
{
	struct volume *v = g->volume;

	v->died = v->died || m->body.settled.died;
	v->rewrite = v->rewrite || (g->settles_all && v->died);
	if (past_settled(v, m->body.settled.past))
		log_info("volume %s: generation %u is settled: %.*s", v->shown,
		    m->body.settled.past, SENTENCE_MAX, (const char *)m->tail);
	else
		generation_kill(g, "it settled what there is not");
	if (TAILQ_EMPTY(&v->pasts))
		deletion_look_again(v->master);
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
		g->volume->identity.lock = m->body.locked.vid;
		state_save_volume(g->volume);
		break;
	case MSG_IDENTITY:
		volume_identify(g->volume, &m->body.identity);
		state_save_volume(g->volume);
		break;
	case MSG_EPOCH:
		g->epoch = m->body.epoch.epoch;
		state_save_volume(g->volume);
		break;
	case MSG_SETTLED:
		note_settled(g, m);
		break;
	case MSG_PONG:
		g->pong = m->body.pong.number;
		g->in_flight = m->body.pong.in_flight;
		break;
	case MSG_DIAL:
		for (uint32_t i = 0; i < m->body.dial.count; i++)
			dial_one(g);
		break;
	case MSG_STALLED:
		other_compare(g, m->body.stalled.again);
		break;
	case MSG_UNSURE:
		other_visit(g, (const char *)m->tail);
		break;
	case MSG_DRAINED:
		break;
	case MSG_PROGRESSED:
		deletion_progressed(g->volume);
		break;
	case MSG_ANSWER:
		(g->volume->doomed ? deletion_answered : snapshot_answered)(
		    g->volume, &m->body.answered, (const char *)m->tail);
		break;
	default:
		generation_kill(g, "it said what no worker says");
	}
}

static bool exited_with(const struct generation *g, enum exit_word word)
{
	return WIFEXITED(g->process.status) && WEXITSTATUS(g->process.status) == (int)word;
}

bool generation_may_blame(const struct generation *g)
{
	int status = g->process.status;

	if (!g->is_ready)
		return false;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) != SIGKILL ||
		       (g->process.blame[0] && !g->innocent && !g->orphaned);
	return exited_with(g, EXIT_INVARIANT) || exited_with(g, EXIT_ENVIRONMENT) ||
	       exited_with(g, EXIT_BAD_MESSAGE);
}

bool generation_may_leave(const struct generation *g)
{
	return g->is_ready && (!g->ready.read_only || g->volume->doomed) && g->nr_kept;
}

/* Of one that drained nothing is under way. */
static void leave_past(struct generation *g)
{
	struct volume *v = g->volume;
	unsigned count = g->nr_kept;
	bool leaves = generation_may_leave(g) && !exited_with(g, EXIT_DRAINED);

	g->nr_kept = 0;
	if (leaves && past_add(&v->pasts, v->number, g->number, g->epoch, generation_now(),
			  g->target.text, g->kept, count))
		return;
	state_save_volume(v);
	past_drop(v->number, g->number, count);
	if (!leaves)
		close_fds(g->kept, count);
}

static void on_ended(const char *words, void *arg)
{
	struct generation *g = arg;

	cancel_dials(g);
	close_fds(g->fds, 2);
	leave_past(g);
	uids_give_back(master_of(g)->uids, g->uid);
	g->uid = 0;
	detach_generation_ended(g->volume, words);
}

/* ---- life ---- */

uint64_t generation_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int generation_make_out(struct volume *v)
{
	if (v->out[0] >= 0)
		return 0;
	if (v->out[1] >= 0)
		close(v->out[1]); /* that of a front that is dead */
	v->out[1] = -1;
	return arena_create("sheepfs-out", SLOTS_PER_VOLUME, &v->out[0], &v->out[1]);
}

/* Every generation for one front has the same `out`: what is unanswered lies there. */
static int give_out(struct volume *v, int *theirs)
{
	int error = v->out[1] < 0 ? generation_make_out(v) : 0;

	if (error)
		return error;
	*theirs = fcntl(v->out[1], F_DUPFD_CLOEXEC, 4);
	return *theirs < 0 ? -errno : 0;
}

/* theirs: data socket, `out` (read-only), `in` (writable). */
static int make_memory(struct generation *g, int *theirs)
{
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	g->fds[0] = pair[0];
	theirs[0] = pair[1];
	error = give_out(g->volume, &theirs[1]);
	if (!error)
		error = arena_create("sheepfs-in", SLOTS_PER_VOLUME, &theirs[2], &g->fds[1]);
	return error;
}

static int start_process(struct generation *g)
{
	struct process_plan plan = {.program = "sheepfs-worker",
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
	plan.uid = g->uid;
	return process_start(master_of(g), &g->process, &plan);
}

static enum purpose purpose_of(const struct volume *v)
{
	if (!v->doomed)
		return PURPOSE_ATTACH;
	return v->cut ? PURPOSE_DELETE_ON : PURPOSE_DELETE;
}

static int first_words(struct generation *g, const int *theirs)
{
	struct volume *v = g->volume;
	struct msg_start_volume start = {.uid = g->uid,
	    .gid = g->uid,
	    .slots = SLOTS_PER_VOLUME,
	    .snap_id = v->name.snap_id,
	    .object_cache = v->object_cache,
	    .cluster_ctime = v->identity.vid ? v->identity.cluster_ctime : g->target.cluster_ctime,
	    .create_time = v->identity.create_time,
	    .size = v->identity.size,
	    .vid = v->identity.vid,
	    .lock = v->identity.lock,
	    .fence_timeout = v->master->fence_timeout,
	    .settle_all = v->state == VOLUME_SEEKING || v->settling || v->settle_all,
	    .died = v->died,
	    .refused = v->refused,
	    .purpose = purpose_of(v)};

	g->settles_all = start.settle_all;
	v->rewrite = v->rewrite || (g->settles_all && v->died);
	start.rewrite = v->rewrite || (g->settles_all && !TAILQ_EMPTY(&v->pasts));
	memcpy(start.name, v->name.name, sizeof start.name);
	memcpy(start.tag, v->name.tag, sizeof start.tag);
	send_start_volume(g->process.chan, v->number, g->number, &start, NULL, 0, theirs);
	return past_give(&v->pasts, g->process.chan, v->number, g->number);
}

static void renew(struct generation *g, struct volume *v, const struct target *target)
{
	uint32_t number = g->number + 1;

	memset(g, 0, sizeof *g);
	g->number = number;
	g->volume = v;
	g->target = *target;
	g->fds[0] = g->fds[1] = -1;
}

int generation_start(struct volume *v, const struct target *target, int fd)
{
	struct generation *g = &v->generation;
	int theirs[3] = {-1, -1, -1}, error;

	renew(g, v, target);
	if (past_close_fenced(v->master, v, &v->pasts))
		v->died = true;
	state_save_volume(v);
	error = make_memory(g, theirs);
	if (!error)
		error = start_process(g);
	if (error) {
		close_fds(theirs, 3);
		close_fds(g->fds, 2);
		uids_give_back(v->master->uids, g->uid);
		g->uid = 0;
		close(fd);
		return error;
	}
	error = first_words(g, theirs);
	if (!error) {
		give_connection(g, fd);
		return 0;
	}
	/* without a daemon it does nothing, and it ends as any other */
	close(fd);
	log_error(
	    "volume %s: what is not settled cannot be handed on: %s", v->shown, strerror(-error));
	generation_kill(g, "it was not given all that is not settled");
	return 0;
}

void generation_take_fds(struct generation *g, int fds[2])
{
	for (unsigned i = 0; i < 2; i++) {
		fds[i] = g->fds[i];
		g->fds[i] = -1;
	}
}

static void finish(struct generation *g, bool keep, unsigned milliseconds)
{
	const struct msg_drain payload = {.keep = keep};
	char why[96];

	if (!g->process.lives || g->draining)
		return;
	g->draining = true;
	g->handing_over = g->innocent = keep;
	cancel_dials(g);
	if (g->process.chan) {
		chan_talk(g->process.chan, TALK_ENDING);
		send_drain(g->process.chan, g->volume->number, g->number, &payload, NULL, 0, NULL);
	}
	snprintf(why, sizeof why, "it did not finish within %u ms", milliseconds);
	process_kill_later(&g->process, milliseconds, why);
}

void generation_drain(struct generation *g, unsigned milliseconds)
{
	finish(g, false, milliseconds);
}

void generation_hand_over(struct generation *g, unsigned milliseconds)
{
	finish(g, true, milliseconds);
}

void generation_fence(struct generation *g, const char *address)
{
	const struct msg_fenced payload = {.pad = {0}};

	if (g->process.chan)
		send_fenced(g->process.chan, g->volume->number, g->number, &payload, address,
		    strlen(address), NULL);
}

void generation_ping(struct generation *g)
{
	const struct msg_ping payload = {.number = ++g->ping};

	g->pinged = generation_now();
	if (g->process.chan)
		send_ping(g->process.chan, g->volume->number, g->number, &payload, NULL, 0, NULL);
}

void generation_snapshot(struct generation *g, uint64_t number, const struct name *name)
{
	struct msg_order order = {.number = number, .verb = VERB_SNAPSHOT};

	memcpy(order.name, name->name, sizeof order.name);
	memcpy(order.tag, name->tag, sizeof order.tag);
	if (g->process.chan)
		send_order(g->process.chan, g->volume->number, g->number, &order, NULL, 0, NULL);
}

void generation_delete(struct generation *g, uint64_t number)
{
	const struct msg_order order = {.number = number, .verb = VERB_DELETE};

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
