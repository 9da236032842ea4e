/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state's text, read: see statetext.h.
 */
#include "master/statetext.h"

#include "ipc/log.h"
#include "master/command.h"
#include "master/discover.h"
#include "master/front.h"
#include "master/locks.h"
#include "master/mount.h"
#include "master/past.h"
#include "master/startup.h"
#include "master/status.h"
#include "master/targets.h"
#include "master/volume.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 32

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
	bool looked = take_number(r, 1);

	if (!r->bad)
		command_remember_unfinished(r->m, number, vid, created, looked);
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

int stateread_take(struct master *m, const char *text, struct bundle *b, char *why, size_t why_size)
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

bool stateread_find_tree(const char *text, struct state_tree *tree)
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
