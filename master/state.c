/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state: see state.h.
 *
 * A line is a word that says what it is, and a fixed number of fields, one space between them.
 * Bytes that are no plain letters are written %XX in a field, and an empty one is a lone "%".  The
 * memory file has a head and two places for the text, which are written in turn; the head, which
 * names the one that counts, is written last and at once.
 */
#include "master/state.h"

#include "ipc/log.h"
#include "master/command.h"
#include "master/deletion.h"
#include "master/discover.h"
#include "master/front.h"
#include "master/locks.h"
#include "master/mount.h"
#include "master/past.h"
#include "master/seek.h"
#include "master/snapshot.h"
#include "master/startup.h"
#include "master/status.h"
#include "master/targets.h"
#include "master/volume.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIRST_WORD "sheepfs-state"
#define STATE_VERSION 3
#define HEAD_SIZE 64
#define TEXT_MAX (64 << 20) /* bytes of a text, and between the two places */
#define FIELDS_MAX 32

struct state_file {
	int fd;
	unsigned place; /* that counts: 0 or 1 */
};

void state_device_name(char name[NOTIFY_NAME_MAX], uint32_t volume)
{
	snprintf(name, NOTIFY_NAME_MAX, "v%u-device", volume);
}

/* ---- writing ---- */

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

static void put_command(FILE *f, uint64_t number, uint32_t vid, uint64_t created)
{
	fputs("command", f);
	put_number(f, number);
	put_number(f, vid);
	put_number(f, created);
	fputc('\n', f);
}

/* It has begun, and what it found then is for whoever has to go on with it. */
static void write_command(FILE *f, const struct command *c)
{
	uint64_t created = c->created;
	uint32_t vid = c->vid;

	if (c->verb == VERB_DELETE)
		deletion_before(c, &vid, &created);
	else if (c->running)
		vid = snapshot_vid_before(c);
	put_command(f, c->number, vid, created);
}

static void write_commands(FILE *f, const struct master *m)
{
	const struct command *c;
	const struct result *r;

	STAILQ_FOREACH (r, &m->results, next) {
		if (r->unfinished) { /* it has not been asked for again yet */
			put_command(f, r->number, r->vid, r->created);
			continue;
		}
		fprintf(f, "result %" PRIu64 " %d", r->number, -r->error);
		put_text(f, r->sentence);
		fputc('\n', f);
	}
	TAILQ_FOREACH (c, &m->commands, link)
		if (c->number && command_is_change(c) && (c->running || c->again))
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

static int write_all(FILE *f, const struct master *m)
{
	struct volume *v;
	int error = 0;

	fprintf(f, FIRST_WORD " %d\n", STATE_VERSION);
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

/* ---- the memory file ---- */

struct head {
	int version;
	long long at; /* of the text that counts, in the file */
	size_t size;
};

static bool read_head(int fd, struct head *h)
{
	char head[HEAD_SIZE + 1] = "";

	return pread(fd, head, HEAD_SIZE, 0) == HEAD_SIZE &&
	       sscanf(head, FIRST_WORD " %d %lld %zu", &h->version, &h->at, &h->size) == 3;
}

static int write_whole(int fd, const char *bytes, size_t size, off_t at)
{
	while (size) {
		ssize_t n = pwrite(fd, bytes, size, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
		at += n;
	}
	return 0;
}

static int write_to(const struct master *m, int fd, unsigned place)
{
	off_t at = HEAD_SIZE + (off_t)place * TEXT_MAX;
	char *text = NULL, head[HEAD_SIZE] = "";
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int error;

	if (!f)
		return -ENOMEM;
	error = write_all(f, m);
	if (fclose(f) || size > TEXT_MAX)
		error = -ENOMEM;
	if (!error)
		error = write_whole(fd, text, size, at);
	snprintf(
	    head, sizeof head, FIRST_WORD " %d %lld %zu\n", STATE_VERSION, (long long)at, size);
	if (!error)
		error = write_whole(fd, head, sizeof head, 0);
	free(text);
	return error;
}

int state_open(struct master *m, int fd)
{
	struct state_file *s = calloc(1, sizeof *s);
	struct head head;

	if (s && fd < 0)
		fd = memfd_create("sheepfs-state", MFD_CLOEXEC);
	if (!s || fd < 0) {
		free(s);
		return -ENOMEM;
	}
	s->fd = fd;
	s->place = read_head(fd, &head) && head.at != HEAD_SIZE;
	m->state = s;
	notify_keep(STATE_NAME, fd);
	return 0;
}

void state_close(struct master *m)
{
	if (!m->state)
		return;
	notify_drop(STATE_NAME);
	close(m->state->fd);
	free(m->state);
	m->state = NULL;
}

void state_save_rest(struct master *m)
{
	struct state_file *s = m->state;
	int error;

	if (!s || !front_memory(m))
		return;
	error = write_to(m, s->fd, !s->place);
	if (error)
		log_error("what the next sheepfs must know cannot be kept: %s; should this process "
			  "die, volumes may end with it",
		    strerror(-error));
	else
		s->place = !s->place;
}

static void forget_lines(struct volume *v)
{
	free(v->lines);
	v->lines = NULL;
	v->lines_size = 0;
}

void state_save_volume(struct volume *v)
{
	forget_lines(v);
	state_save_rest(v->master);
}

static void forget_all_lines(struct master *m)
{
	struct volume *v;

	TAILQ_FOREACH (v, &m->volumes, link)
		forget_lines(v);
}

void state_save(struct master *m)
{
	forget_all_lines(m);
	state_save_rest(m);
}

int state_write(struct master *m)
{
	int fd = memfd_create("sheepfs-state", MFD_CLOEXEC);
	int error;

	forget_all_lines(m);
	error = fd < 0 ? -errno : write_to(m, fd, 0);
	if (!error)
		return fd;
	if (fd >= 0)
		close(fd);
	return error;
}

/* ---- reading ---- */

struct reader {
	struct master *m;
	struct bundle *bundle;
	struct conf old;          /* the predecessor's options, as far as they are kept */
	char *fields[FIELDS_MAX]; /* of the line */
	unsigned at;              /* the next one */
	bool bad;                 /* a field is none that we write */
	struct volume *volume;    /* whose pasts follow; NULL: nobody's */
	struct past_list *pasts;  /* where they go */
};

static const char *take_field(struct reader *r)
{
	return r->at < FIELDS_MAX && r->fields[r->at] ? r->fields[r->at++] : "";
}

static uint64_t take_number(struct reader *r, uint64_t max)
{
	const char *field = take_field(r);
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(field, &end, 10);
	if (!isdigit((unsigned char)field[0]) || *end || errno || number > max) {
		r->bad = true;
		return 0;
	}
	return number;
}

static int hex_value(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the number of bytes. */
static size_t take_bytes(struct reader *r, void *bytes, size_t max)
{
	const char *field = take_field(r);
	uint8_t *to = bytes;
	size_t size = 0;

	if (!strcmp(field, "%"))
		return 0;
	while (*field && size < max) {
		int high = *field == '%' ? hex_value(field[1]) : 0;
		int low = *field == '%' && high >= 0 ? hex_value(field[2]) : 0;

		if (high < 0 || low < 0)
			break;
		to[size++] = *field == '%' ? (uint8_t)(high << 4 | low) : (uint8_t)*field;
		field += *field == '%' ? 3 : 1;
	}
	if (*field || !size)
		r->bad = true;
	return size;
}

static void take_text(struct reader *r, char *text, size_t size)
{
	size_t n = take_bytes(r, text, size - 1);

	text[n] = 0;
}

static void take_name(struct reader *r, struct name *name)
{
	memset(name, 0, sizeof *name);
	take_text(r, name->name, sizeof name->name);
	take_text(r, name->tag, sizeof name->tag);
	name->snap_id = (uint32_t)take_number(r, UINT32_MAX);
	r->bad = r->bad || !name->name[0];
}

static void take_identity(struct reader *r, struct identity *identity)
{
	identity->cluster_ctime = take_number(r, UINT64_MAX);
	identity->create_time = take_number(r, UINT64_MAX);
	identity->size = take_number(r, VOLUME_SIZE_MAX);
	identity->vid = (uint32_t)take_number(r, 0xffffff);
	identity->lock = (uint32_t)take_number(r, 0xffffff);
}

static void read_tree(struct reader *r)
{
	struct front_memory memory = {.init_size = 0};
	struct master *m = r->m;

	take_text(r, m->mountpoint, sizeof m->mountpoint);
	m->connection = (unsigned)take_number(r, UINT32_MAX);
	memory.started = take_number(r, UINT64_MAX);
	memory.incarnation = (uint32_t)take_number(r, UINT32_MAX - 1);
	memory.resend = take_number(r, 1);
	memory.pid = (pid_t)take_number(r, INT32_MAX);
	m->last_volume = (uint32_t)take_number(r, UINT32_MAX - 1);
	memory.init_size = take_bytes(r, memory.init, sizeof memory.init);
	if (!r->bad && front_remember(m, bundle_take(r->bundle, STATE_TREE_NAME), &memory))
		r->bad = true;
}

static void read_options(struct reader *r)
{
	struct conf *old = &r->old;
	char why[SENTENCE_MAX], text[TARGET_LIST_TEXT_MAX];

	take_text(r, text, sizeof text);
	r->bad = r->bad || target_parse_list(text, &old->targets, why, sizeof why);
	old->io_timeout = (unsigned)take_number(r, INT32_MAX);
	old->fence_timeout = (unsigned)take_number(r, INT32_MAX);
	old->page_cache = take_number(r, 1);
	old->object_cache = take_number(r, 1);
	old->discover = take_number(r, 1);
}

/* What was written to a knob stays; what was as the options said is as they say now. */
static void read_now(struct reader *r)
{
	const struct conf *old = &r->old;
	char text[TARGET_LIST_TEXT_MAX], then[TARGET_LIST_TEXT_MAX];
	struct master *m = r->m;
	unsigned io, fence;
	bool page, object, discover;

	take_text(r, text, sizeof text);
	io = (unsigned)take_number(r, INT32_MAX);
	fence = (unsigned)take_number(r, INT32_MAX);
	page = take_number(r, 1);
	object = take_number(r, 1);
	discover = take_number(r, 1);
	target_list_text(&old->targets, then, sizeof then);
	if (r->bad)
		return;
	if (strcmp(text, then) != 0)
		targets_inherit(m, text);
	m->io_timeout = io != old->io_timeout ? io : m->io_timeout;
	m->fence_timeout = fence != old->fence_timeout ? fence : m->fence_timeout;
	m->page_cache = page != old->page_cache ? page : m->page_cache;
	m->object_cache = object != old->object_cache ? object : m->object_cache;
	m->discover = discover != old->discover ? discover : m->discover;
}

static void read_members(struct reader *r)
{
	const struct msg_members told = {
	    .cluster_ctime = take_number(r, UINT64_MAX), .first = true, .last = true};
	char text[TARGET_LIST_TEXT_MAX];

	take_text(r, text, sizeof text);
	if (!r->bad && r->m->discover)
		discover_take(r->m, &told, text);
}

static void read_started(struct reader *r)
{
	struct name name;

	take_name(r, &name);
	if (!r->bad && startup_remember(r->m, &name))
		r->bad = true;
}

static void read_result(struct reader *r)
{
	uint64_t number = take_number(r, UINT64_MAX);
	int error = -(int)take_number(r, 4095);
	char sentence[SENTENCE_MAX];

	take_text(r, sentence, sizeof sentence);
	if (!r->bad)
		command_remember(r->m, number, error, sentence);
}

static void read_command(struct reader *r)
{
	uint64_t number = take_number(r, UINT64_MAX);
	uint32_t vid = (uint32_t)take_number(r, 0xffffff);
	uint64_t created = take_number(r, UINT64_MAX);

	if (!r->bad)
		command_remember_unfinished(r->m, number, vid, created);
}

static void read_failover(struct reader *r)
{
	struct failover f = {.when = (time_t)take_number(r, INT64_MAX)};
	char why[SENTENCE_MAX];

	f.pause = take_number(r, UINT64_MAX);
	f.generation = (uint32_t)take_number(r, UINT32_MAX);
	take_text(r, f.shown, sizeof f.shown);
	take_text(r, f.target, sizeof f.target);
	take_text(r, why, sizeof why);
	if (!r->bad)
		status_remember(r->m, &f, why);
}

static void fill_volume(struct reader *r, struct volume *v)
{
	take_identity(r, &v->identity);
	v->page_cache = take_number(r, 1);
	v->object_cache = take_number(r, 1);
	v->generation.number = (uint32_t)take_number(r, UINT32_MAX - 1);
	v->restarts = (unsigned)take_number(r, UINT32_MAX);
	v->died = take_number(r, 1);
	v->rewrite = take_number(r, 1);
	v->refused = take_number(r, 1);
	v->lost = take_number(r, UINT64_MAX);
	v->face.size = take_number(r, VOLUME_SIZE_MAX);
	v->face.allocated = take_number(r, VOLUME_SIZE_MAX);
	v->face.shift = (uint32_t)take_number(r, OBJECT_SHIFT_MAX);
	v->face.read_only = (uint32_t)take_number(r, 1);
	v->face.vid = v->identity.vid;
	v->connection = (unsigned)take_number(r, UINT32_MAX);
	v->mount_id = (int)take_number(r, INT32_MAX);
	v->owned = take_number(r, 1);
	v->attributes.mode = (uint32_t)take_number(r, 0777);
	v->attributes.uid = (uint32_t)take_number(r, UINT32_MAX);
	v->attributes.gid = (uint32_t)take_number(r, UINT32_MAX);
	v->init_size = take_bytes(r, v->init, sizeof v->init);
}

static void read_volume(struct reader *r)
{
	uint32_t number = (uint32_t)take_number(r, UINT32_MAX - 1);
	char device[NOTIFY_NAME_MAX];
	struct volume *v = NULL;
	struct name name;

	take_name(r, &name);
	if (!r->bad && number)
		v = volume_new(r->m, number, &name);
	if (!v || mount_volume_path(r->m->mountpoint, v->shown, v->path)) {
		r->bad = true;
		return;
	}
	fill_volume(r, v);
	state_device_name(device, number);
	v->device = bundle_take(r->bundle, device);
	v->state = VOLUME_RECOVERING;
	if (!v->lost)
		v->lost = generation_now();
	v->settle_all = v->mounted = v->serving = v->shown_by_front = true;
	snprintf(v->trouble, sizeof v->trouble, "sheepfs was restarted");
	r->volume = v;
	r->pasts = &v->pasts;
}

static void read_left(struct reader *r)
{
	struct left *l = calloc(1, sizeof *l);

	if (!l) {
		r->bad = true;
		return;
	}
	take_name(r, &l->name);
	take_identity(r, &l->identity);
	name_show(&l->name, l->shown);
	TAILQ_INIT(&l->pasts);
	LIST_INSERT_HEAD(&r->m->lefts, l, link);
	r->volume = NULL;
	r->pasts = &l->pasts;
}

/* One that must be there and is not is as good as one that can be neither read nor proved dead. */
static int take_connection(
    struct reader *r, uint32_t volume, uint32_t number, unsigned index, bool must)
{
	char name[NOTIFY_NAME_MAX];
	int fd;

	past_name(name, volume, number, index);
	fd = bundle_take(r->bundle, name);
	if (fd >= 0 || !must)
		return fd;
	log_warning("connection %s was not handed on: what went over it counts as unsettled", name);
	return past_stand_in();
}

static void read_past(struct reader *r)
{
	uint32_t volume = (uint32_t)take_number(r, UINT32_MAX);
	uint32_t number = (uint32_t)take_number(r, UINT32_MAX);
	uint32_t epoch = (uint32_t)take_number(r, UINT32_MAX);
	uint64_t since = take_number(r, UINT64_MAX);
	bool fenced = take_number(r, 1);
	char address[ADDRESS_TEXT_MAX];
	int fds[CONNECTIONS_MAX];
	unsigned known, count = 0;

	take_text(r, address, sizeof address);
	known = (unsigned)take_number(r, CONNECTIONS_MAX);
	if (r->bad || !r->pasts || !number) {
		r->bad = true;
		return;
	}
	/* some may have been kept after this line was written, and before they were used */
	while (count < CONNECTIONS_MAX) {
		fds[count] = take_connection(r, volume, number, count, count < known);
		if (fds[count] < 0)
			break;
		count++;
	}
	if (count < known)
		r->bad = true;
	/* the one that lived ended with its master */
	if (!past_add(r->pasts, volume, number, epoch, since ? since : generation_now(), address,
		fds, count))
		r->bad = true;
	else if (fenced)
		TAILQ_LAST(r->pasts, past_list)->fenced = true;
}

static const struct {
	const char *word;
	void (*read)(struct reader *r);
} lines[] = {
    {"tree", read_tree},
    {"options", read_options},
    {"now", read_now},
    {"started", read_started},
    {"members", read_members},
    {"result", read_result},
    {"command", read_command},
    {"failover", read_failover},
    {"volume", read_volume},
    {"left", read_left},
    {"past", read_past},
};

static void split(struct reader *r, char *line)
{
	unsigned n = 0;

	memset(r->fields, 0, sizeof r->fields);
	while (n < FIELDS_MAX && (r->fields[n] = strsep(&line, " ")))
		n++;
	r->bad = n == FIELDS_MAX;
	r->at = 1;
}

/* Returns false when it is none that we write. */
static bool read_line(struct reader *r, char *line)
{
	split(r, line);
	for (size_t i = 0; i < sizeof lines / sizeof *lines && !r->bad; i++) {
		if (strcmp(lines[i].word, r->fields[0]) != 0)
			continue;
		lines[i].read(r);
		return !r->bad && !r->fields[r->at];
	}
	return false;
}

/* Where only a lock was left, it is released; a volume whose device is gone was detached. */
static void sort_out(struct master *m)
{
	struct left *l, *next_left;
	struct volume *v, *next;

	for (v = TAILQ_FIRST(&m->volumes); v; v = next) {
		next = TAILQ_NEXT(v, link);
		if (v->device >= 0)
			continue;
		log_error("volume %s: its connection was not handed on: it is detached", v->shown);
		if (!TAILQ_EMPTY(&v->pasts))
			past_leave(v);
		else if (v->identity.lock)
			locks_left(m, &v->name, v->shown, v->identity.lock);
		volume_free(v);
	}
	for (l = LIST_FIRST(&m->lefts); l; l = next_left) {
		next_left = LIST_NEXT(l, link);
		if (!TAILQ_EMPTY(&l->pasts))
			continue;
		LIST_REMOVE(l, link);
		if (l->identity.lock)
			locks_left(m, &l->name, l->shown, l->identity.lock);
		free(l);
	}
}

static int take_all(
    struct master *m, const char *text, struct bundle *b, char *why, size_t why_size)
{
	struct reader r = {.m = m, .bundle = b};
	char *copy = strdup(text), *rest = copy, *line;
	unsigned number = 0;
	int error = copy ? 0 : -ENOMEM;

	while (!error && (line = strsep(&rest, "\n")) && strcmp(line, "end") != 0) {
		/* the first one was read before */
		if (number++ && !read_line(&r, line))
			error = -EBADMSG;
	}
	free(copy);
	if (error) {
		snprintf(why, why_size, "line %u of it is none that this sheepfs knows", number);
		return error;
	}
	sort_out(m);
	return 0;
}

/* Nothing is saved before all of it is taken: should we die in here, another one takes it whole. */
int state_take(struct master *m, const char *text, struct bundle *b, char *why, size_t why_size)
{
	struct state_file *file = m->state;
	int error;

	m->state = NULL;
	error = take_all(m, text, b, why, why_size);
	m->state = file;
	return error;
}

/* ---- before anything is taken over ---- */

/* The text that counts, allocated; NULL when there is none. */
static char *load(int fd, const struct head *h)
{
	char *text = h->size <= TEXT_MAX ? malloc(h->size + 1) : NULL;

	if (text && pread(fd, text, h->size, h->at) != (ssize_t)h->size) {
		free(text);
		return NULL;
	}
	if (text)
		text[h->size] = 0;
	return text;
}

static bool find_tree(const char *text, struct state_tree *tree)
{
	struct reader r = {.bad = false};
	const char *found = strstr(text, "\ntree ");
	char line[3 * PATH_MAX];

	if (!found)
		return false;
	snprintf(line, sizeof line, "%.*s", (int)strcspn(found + 1, "\n"), found + 1);
	split(&r, line);
	take_text(&r, tree->mountpoint, sizeof tree->mountpoint);
	tree->connection = (unsigned)take_number(&r, UINT32_MAX);
	take_number(&r, UINT64_MAX);
	take_number(&r, UINT32_MAX);
	tree->resend = take_number(&r, 1);
	tree->front = (pid_t)take_number(&r, INT32_MAX);
	return !r.bad;
}

int state_read(int fd, char **text, struct state_tree *tree, char *why, size_t why_size)
{
	struct head head = {.version = 0};
	size_t end;

	*text = NULL;
	if (read_head(fd, &head) && head.version != STATE_VERSION) {
		snprintf(why, why_size,
		    "it is of version %d, and this sheepfs knows version %d only", head.version,
		    STATE_VERSION);
		return -EPROTO;
	}
	if (head.version)
		*text = load(fd, &head);
	end = *text ? strlen(*text) : 0;
	if (end < 5 || strcmp(*text + end - 5, "\nend\n") != 0 || !find_tree(*text, tree)) {
		snprintf(why, why_size, "it tells of no mount that was served");
		free(*text);
		*text = NULL;
		return -ENODATA;
	}
	return 0;
}
