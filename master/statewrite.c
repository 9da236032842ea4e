/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state's text, written: see statetext.h.
 */
#include "master/statetext.h"

#include "master/command.h"
#include "master/deletion.h"
#include "master/discover.h"
#include "master/front.h"
#include "master/locks.h"
#include "master/past.h"
#include "master/snapshot.h"
#include "master/status.h"
#include "master/volume.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void put_bytes(FILE *f, const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;

	putc_unlocked(' ', f);
	if (!size)
		putc_unlocked('%', f);
	for (size_t i = 0; i < size; i++) {
		if (isgraph(byte[i]) && byte[i] != '%')
			putc_unlocked(byte[i], f);
		else
			fprintf(f, "%%%02x", byte[i]);
	}
}

static void put_text(FILE *f, const char *text)
{
	put_bytes(f, text, strlen(text));
}

static void put_number(FILE *f, uint64_t number)
{
	fprintf(f, " %" PRIu64, number);
}

static void put_name(FILE *f, const struct name *name)
{
	put_text(f, name->name);
	put_text(f, name->tag);
	put_number(f, name->snap_id);
}

static void put_identity(FILE *f, const struct identity *identity)
{
	put_number(f, identity->cluster_ctime);
	put_number(f, identity->create_time);
	put_number(f, identity->size);
	put_number(f, identity->vid);
	put_number(f, identity->lock);
}

static void put_knobs(FILE *f, unsigned io, unsigned fence, bool page, bool object, bool discover)
{
	put_number(f, io);
	put_number(f, fence);
	put_number(f, page);
	put_number(f, object);
	put_number(f, discover);
	fputc('\n', f);
}

/* What the options said and what it is now: a successor's options may differ from ours. */
static void write_knobs(FILE *f, const struct master *m)
{
	const struct conf *c = m->conf;
	char text[TARGET_LIST_TEXT_MAX];

	fputs("options", f);
	target_list_text(&c->targets, text, sizeof text);
	put_text(f, text);
	put_knobs(f, c->io_timeout, c->fence_timeout, c->page_cache, c->object_cache, c->discover);
	fputs("now", f);
	target_list_text(m->targets, text, sizeof text);
	put_text(f, text);
	put_knobs(f, m->io_timeout, m->fence_timeout, m->page_cache, m->object_cache, m->discover);
}

static void write_members(FILE *f, const struct master *m)
{
	char text[TARGET_LIST_TEXT_MAX];
	uint64_t cluster_ctime = discover_members(m, text);

	if (!cluster_ctime)
		return;
	fputs("members", f);
	put_number(f, cluster_ctime);
	put_text(f, text);
	fputc('\n', f);
}

static void write_tree(FILE *f, const struct master *m)
{
	const struct front_memory *memory = front_memory(m);

	if (!memory)
		return;
	fputs("tree", f);
	put_text(f, m->mountpoint);
	put_number(f, m->connection);
	put_number(f, memory->started);
	put_number(f, memory->incarnation);
	put_number(f, memory->resend);
	put_number(f, (uint64_t)memory->pid);
	put_number(f, m->last_volume);
	put_bytes(f, memory->init, memory->init_size);
	fputc('\n', f);
}

static void put_command(FILE *f, uint64_t number, uint32_t vid, uint64_t created, bool looked)
{
	fputs("command", f);
	put_number(f, number);
	put_number(f, vid);
	put_number(f, created);
	put_number(f, looked);
	fputc('\n', f);
}

/* It has begun, and what it found then is for whoever has to go on with it. */
static void write_command(FILE *f, const struct command *c)
{
	uint64_t created = c->created;
	uint32_t vid = c->vid;

	if (c->verb == VERB_DELETE)
		deletion_before(c, &vid, &created);
	else if (c->verb == VERB_SNAPSHOT)
		vid = snapshot_vid_before(c);
	put_command(f, c->number, vid, created, c->looked);
}

static void write_commands(FILE *f, const struct master *m)
{
	const struct command *c;
	const struct result *r;

	STAILQ_FOREACH (r, &m->results, next) {
		if (r->unfinished) { /* it has not been asked for again yet */
			put_command(f, r->number, r->vid, r->created, r->looked);
			continue;
		}
		fprintf(f, "result %" PRIu64 " %d", r->number, -r->error);
		put_text(f, r->sentence);
		fputc('\n', f);
	}
	TAILQ_FOREACH (c, &m->commands, link)
		if (c->number && command_may_be_done(c))
			write_command(f, c);
}

/* What the configuration names is attached once: what becomes of it later is for others to say. */
static void write_startup(FILE *f, const struct master *m)
{
	for (unsigned i = 0; m->startup.over && i < m->conf->nr_volumes; i++) {
		fputs("started", f);
		put_name(f, &m->conf->volumes[i]);
		fputc('\n', f);
	}
}

static void write_failovers(FILE *f, const struct master *m)
{
	const struct failover *one;

	STAILQ_FOREACH (one, &m->failovers, next) {
		fputs("failover", f);
		put_number(f, (uint64_t)one->when);
		put_number(f, one->pause);
		put_number(f, one->generation);
		put_text(f, one->shown);
		put_text(f, one->target);
		put_text(f, one->why);
		fputc('\n', f);
	}
}

static void write_past(FILE *f, uint32_t volume, uint32_t number, uint32_t epoch, uint64_t since,
    bool fenced, const char *address, unsigned count)
{
	fputs("past", f);
	put_number(f, volume);
	put_number(f, number);
	put_number(f, epoch);
	put_number(f, since);
	put_number(f, fenced);
	put_text(f, address);
	put_number(f, count);
	fputc('\n', f);
}

static void write_pasts(FILE *f, const struct past_list *pasts)
{
	const struct past *p;

	TAILQ_FOREACH (p, pasts, link)
		write_past(
		    f, p->volume, p->number, p->epoch, p->since, p->fenced, p->address, p->count);
}

/* The living generation dies with us: for our successor it is a past. */
static void write_generation(FILE *f, const struct volume *v)
{
	const struct generation *g = &v->generation;

	if (generation_may_leave(g))
		write_past(f, v->number, g->number, g->epoch, 0, false, g->target.text, g->nr_kept);
}

/* Its callers go on with the next sheepfs. */
static bool lives_on(const struct volume *v)
{
	return v->device >= 0 && v->init_size && v->serving && v->state != VOLUME_ENDING &&
	       v->state != VOLUME_MOUNTING;
}

static void write_volume(FILE *f, const struct volume *v)
{
	fputs("volume", f);
	put_number(f, v->number);
	put_name(f, &v->name);
	put_identity(f, &v->identity);
	put_number(f, v->page_cache);
	put_number(f, v->object_cache);
	put_number(f, v->generation.number);
	put_number(f, v->restarts);
	put_number(f, v->died);
	put_number(f, v->rewrite);
	put_number(f, v->refused);
	put_number(f, v->lost);
	put_number(f, v->face.size);
	put_number(f, v->face.allocated);
	put_number(f, v->face.shift);
	put_number(f, v->face.read_only);
	put_number(f, v->connection);
	put_number(f, (uint64_t)v->mount_id);
	put_number(f, v->owned);
	put_number(f, v->attributes.mode);
	put_number(f, v->attributes.uid);
	put_number(f, v->attributes.gid);
	put_bytes(f, v->init, v->init_size);
	fputc('\n', f);
	write_pasts(f, &v->pasts);
	write_generation(f, v);
}

static void write_left(FILE *f, const struct name *name, const struct identity *identity)
{
	fputs("left", f);
	put_name(f, name);
	put_identity(f, identity);
	fputc('\n', f);
}

static void write_one(FILE *f, const struct volume *v)
{
	if (lives_on(v)) {
		write_volume(f, v);
	} else if (v->identity.lock || !TAILQ_EMPTY(&v->pasts) ||
		   generation_may_leave(&v->generation)) {
		write_left(f, &v->name, &v->identity);
		write_pasts(f, &v->pasts);
		write_generation(f, v);
	}
}

static void write_lefts(FILE *f, const struct master *m)
{
	const struct left *l;
	const struct lock *lock;

	LIST_FOREACH (l, &m->lefts, link) {
		write_left(f, &l->name, &l->identity);
		write_pasts(f, &l->pasts);
	}
	LIST_FOREACH (lock, &m->locks, link) {
		const struct identity identity = {.lock = lock->vid};

		write_left(f, &lock->name, &identity);
	}
}

/* What is written of each volume is kept, for most saves change one of many. */
static int make_lines(struct volume *v)
{
	FILE *f = open_memstream(&v->lines, &v->lines_size);

	if (!f)
		return -ENOMEM;
	write_one(f, v);
	return fclose(f) ? -ENOMEM : 0;
}

int statewrite_text(FILE *f, const struct master *m)
{
	struct volume *v;
	int error = 0;

	fprintf(f, STATE_FIRST_WORD " %d\n", STATE_VERSION);
	write_tree(f, m);
	write_knobs(f, m);
	write_startup(f, m);
	write_members(f, m);
	write_commands(f, m);
	write_failovers(f, m);
	TAILQ_FOREACH (v, &m->volumes, link) {
		if (!error && !v->lines)
			error = make_lines(v);
		fwrite(v->lines, 1, v->lines_size, f);
	}
	write_lefts(f, m);
	fputs("end\n", f);
	return error;
}
