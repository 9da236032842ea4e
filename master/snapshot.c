/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots of attached volumes: see snapshot.h.
 *
 * A slow cluster is no reason to end a worker with its callers' requests: when the answer is late
 * its caller is told so, and the snapshot is taken all the same.
 */
#include "master/snapshot.h"

#include "ipc/log.h"
#include "master/command.h"
#include "master/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_EXTRA 10 /* seconds that it has besides --timeout */

struct snapshot {
	struct volume *volume;
	uint64_t number;         /* of the order, ours */
	struct command *command; /* NULL: it was told that it takes long */
	struct name name;        /* of the volume, with the tag */
	bool again;              /* an earlier worker may have taken it */
	uint32_t vid;            /* of the volume, before */
	struct event *limit;
};

void snapshot_forget(struct volume *v)
{
	struct snapshot *s = v->snapshot;

	if (!s)
		return;
	v->snapshot = NULL;
	if (s->limit)
		event_free(s->limit);
	free(s);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct snapshot *s = arg;
	struct command *c = s->command;

	(void)fd;
	(void)what;
	s->command = NULL;
	command_answer(c, -ETIMEDOUT,
	    "the cluster is slow: the snapshot of volume %s is being taken; vdi/list shows it "
	    "when it is done",
	    s->volume->shown);
}

void snapshot_begin(struct volume *v, struct command *c)
{
	struct timeval limit = {v->master->conf->timeout + ANSWER_EXTRA, 0};
	struct snapshot *s = calloc(1, sizeof *s);

	v->snapshot = s;
	if (s)
		s->limit = evtimer_new(v->master->base, on_limit, s);
	if (!s || !s->limit || event_add(s->limit, &limit)) {
		snapshot_forget(v);
		command_answer(
		    c, -ENOMEM, "no snapshot of volume %s was taken: out of memory", v->shown);
		return;
	}
	s->volume = v;
	s->number = c->number;
	s->command = c;
	s->name = c->name;
	s->vid = c->again ? c->vid : v->identity.vid;
	generation_snapshot(&v->generation, s->number, &s->name);
}

uint32_t snapshot_vid_before(const struct command *c)
{
	struct name working = {.snap_id = 0};
	const struct volume *v;

	memcpy(working.name, c->name.name, sizeof working.name);
	v = volume_find(c->master, &working);
	if (!v || !c->running || c->again)
		return c->vid;
	return v->snapshot && v->snapshot->command == c ? v->snapshot->vid : v->identity.vid;
}

void snapshot_resume(struct volume *v)
{
	if (v->snapshot && v->snapshot->again)
		generation_snapshot(&v->generation, v->snapshot->number, &v->snapshot->name);
}

/* Forgets it first: the answer lets the next command run. */
static void end(struct volume *v, int error, const char *sentence)
{
	struct master *m = v->master;
	struct command *c = v->snapshot->command;

	snapshot_forget(v);
	if (c)
		command_answer(c, error, "%s", sentence);
	else
		log_info("%s", sentence);
	command_run_waiting(m);
}

void snapshot_answered(struct volume *v, const struct msg_answered *answer, const char *sentence)
{
	char shown[NAME_SHOWN_SIZE], taken[SENTENCE_MAX];

	if (!v->snapshot || v->snapshot->number != answer->number)
		return;
	if (answer->error != -EEXIST || v->snapshot->vid == v->identity.vid) {
		end(v, answer->error, sentence);
		return;
	}
	/* the volume has become another VDI since, and there is the snapshot: an earlier worker's
	 */
	name_show(&v->snapshot->name, shown);
	snprintf(taken, sizeof taken, "snapshot %.800s was taken", shown);
	end(v, 0, taken);
}

void snapshot_worker_ended(struct volume *v, const char *words)
{
	if (!v->snapshot)
		return;
	if (volume_is_up(v) || v->state == VOLUME_DETACHING)
		v->snapshot->again = true;
	else
		snapshot_lost(v, words);
}

void snapshot_lost(struct volume *v, const char *words)
{
	char sentence[SENTENCE_MAX];

	if (!v->snapshot)
		return;
	snprintf(sentence, sizeof sentence,
	    "whether the snapshot of volume %.300s was taken is not known, look at vdi/list "
	    "before you try again: its worker ended: %s",
	    v->shown, words);
	end(v, -EIO, sentence);
}
