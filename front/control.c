/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control files: see control.h.
 */
#include "front/control.h"

#include "front/command.h"
#include "front/orders.h"
#include "ipc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Tables may be opened by everybody and cost a descriptor each; others must not wait for room. */
#define TABLES_MAX 256
#define FILES_MAX 256

/* Nobody else can change what is read from it. */
#define TABLE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct open_file {
	TAILQ_ENTRY(open_file) link;
	uint64_t fh;
	enum verb verb;
	const char *path;
	uint64_t number; /* of the command that the master has not answered; 0 */
	fuse_req_t req;  /* who waits for that; NULL: interrupted */
	bool opening;    /* req is the OPEN itself */
	bool abandoned;  /* closed, or never opened: goes with the master's answer */
	size_t written;  /* bytes of the last write */
	int table;       /* the snapshot; -1 */
	size_t size;     /* of text */
	size_t cursor;   /* what was read of it: the kernel knows no position in a stream */
	char text[SENTENCE_MAX + 2];
};

struct control {
	struct front *front;
	uint32_t last_fh;
	unsigned nr_tables, nr_files;
	TAILQ_HEAD(, open_file) files;
};

struct control *control_new(struct front *f)
{
	struct control *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->front = f;
	TAILQ_INIT(&c->files);
	return c;
}

/* ---- open files ---- */

/* Only read, and what is read is one snapshot. */
static bool is_table(enum verb verb)
{
	return verb >= VERB_LIST && verb <= VERB_FAILOVERS;
}

/* Its value is read, and it can be written. */
static bool is_knob(enum verb verb)
{
	return verb >= VERB_SHEEP_INFO && verb <= VERB_FENCE_TIMEOUT;
}

static struct open_file *by_fh(const struct control *c, uint64_t fh)
{
	struct open_file *o;

	TAILQ_FOREACH (o, &c->files, link)
		if (o->fh == fh && !o->abandoned)
			return o;
	return NULL;
}

static struct open_file *by_number(const struct control *c, uint64_t number)
{
	struct open_file *o;

	TAILQ_FOREACH (o, &c->files, link)
		if (o->number == number)
			return o;
	return NULL;
}

static struct open_file *file_new(struct control *c, enum verb verb, const char *path)
{
	unsigned *count = is_table(verb) ? &c->nr_tables : &c->nr_files;
	struct open_file *o;

	if (*count >= (is_table(verb) ? TABLES_MAX : FILES_MAX))
		return NULL;
	o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	++*count;
	o->fh = (uint64_t)c->front->incarnation << 32 | ++c->last_fh;
	o->verb = verb;
	o->path = path;
	o->table = -1;
	TAILQ_INSERT_HEAD(&c->files, o, link);
	return o;
}

static void file_free(struct control *c, struct open_file *o)
{
	TAILQ_REMOVE(&c->files, o, link);
	if (is_table(o->verb))
		c->nr_tables--;
	else
		c->nr_files--;
	if (o->table >= 0)
		close(o->table);
	free(o);
}

/* What the next reads give, with a newline. */
static void set_text(struct open_file *o, const char *sentence)
{
	size_t size = strnlen(sentence, SENTENCE_MAX);

	memcpy(o->text, sentence, size);
	if (size && o->text[size - 1] != '\n')
		o->text[size++] = '\n';
	o->size = size;
	o->cursor = 0;
}

/* ---- commands ---- */

/* The caller stops waiting; the command goes on. */
static void on_interrupt(fuse_req_t req, void *arg)
{
	struct open_file *o = arg;

	if (o->req != req)
		return;
	o->req = NULL;
	o->abandoned = o->opening;
	set_text(o, "interrupted while waiting for the answer; the command goes on");
	fuse_reply_err(req, EINTR);
}

/* Sends the command; `req` waits for the answer. */
static void ask(struct control *c, struct open_file *o, fuse_req_t req, struct msg_command *command,
    const char *text, size_t size)
{
	command->number = session_unique(req);
	command->verb = o->verb;
	command->uid = fuse_req_ctx(req)->uid;
	o->number = command->number;
	o->req = req;
	orders_command(c->front, command, text, size);
	if (fuse_req_interrupted(req))
		on_interrupt(req, o);
	else
		fuse_req_interrupt_func(req, on_interrupt, o);
}

static void refuse(struct open_file *o, fuse_req_t req, int error, const char *sentence)
{
	log_warning("%s, uid %u: %s", o->path, fuse_req_ctx(req)->uid, sentence);
	set_text(o, sentence);
	fuse_reply_err(req, -error);
}

void control_open(struct control *c, fuse_req_t req, enum verb verb, const char *path, int flags)
{
	struct msg_command command = {0};
	struct open_file *o;

	if (is_table(verb) && (flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EACCES);
		return;
	}
	o = file_new(c, verb, path);
	if (!o) {
		fuse_reply_err(req, ENFILE);
	} else if (is_table(verb) || is_knob(verb)) {
		o->opening = true;
		ask(c, o, req, &command, NULL, 0);
	} else {
		set_text(o, command_usage(verb));
		session_reply_open(req, o->fh, FOPEN_DIRECT_IO | FOPEN_STREAM | FOPEN_NOFLUSH);
	}
}

/* Opened, and perhaps written to, while there was another front: what it was told is asked again by
 * the kernel, and the master knows whether it was done. */
static struct open_file *adopt(
    struct control *c, fuse_req_t req, enum verb verb, const char *path, uint64_t fh)
{
	struct open_file *o = session_is_again(req) ? file_new(c, verb, path) : NULL;

	if (o)
		o->fh = fh;
	return o;
}

void control_write(struct control *c, fuse_req_t req, enum verb verb, const char *path, uint64_t fh,
    const char *text, size_t size)
{
	struct open_file *o = by_fh(c, fh);
	char sentence[SENTENCE_MAX];
	struct msg_command command;
	int error;

	if (!o)
		o = adopt(c, req, verb, path, fh);
	if (!o) {
		fuse_reply_err(req, ESTALE);
	} else if (o->number) {
		fuse_reply_err(req, EBUSY);
	} else if (size > COMMAND_TEXT_MAX) {
		snprintf(sentence, sizeof sentence,
		    "%zu bytes were written at once: a command has at most %d", size,
		    COMMAND_TEXT_MAX);
		refuse(o, req, -E2BIG, sentence);
	} else {
		size_t length = size && text[size - 1] == '\n' ? size - 1 : size;

		o->written = size;
		error = command_parse(o->verb, text, length, &command, sentence);
		if (error)
			refuse(o, req, error, sentence);
		else
			ask(c, o, req, &command, text, length);
	}
}

static void read_table(
    struct control *c, fuse_req_t req, const struct open_file *o, size_t size, off_t offset)
{
	char *buffer = (char *)c->front->scratch;
	ssize_t n = pread(o->table, buffer, size < SLOT_SIZE ? size : SLOT_SIZE, offset);

	if (n < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_buf(req, buffer, (size_t)n);
}

void control_read(struct control *c, fuse_req_t req, uint64_t fh, size_t size, off_t offset)
{
	struct open_file *o = by_fh(c, fh);
	size_t start;

	if (!o) {
		fuse_reply_err(req, ESTALE);
	} else if (o->table >= 0) {
		read_table(c, req, o, size, offset);
	} else if (o->req) {
		fuse_reply_err(req, EBUSY);
	} else {
		start = o->cursor;
		if (start > o->size)
			start = o->size;
		if (size > o->size - start)
			size = o->size - start;
		o->cursor = start + size;
		fuse_reply_buf(req, o->text + start, size);
	}
}

void control_release(struct control *c, fuse_req_t req, uint64_t fh)
{
	struct open_file *o = by_fh(c, fh);

	if (o && o->number)
		o->abandoned = true;
	else if (o)
		file_free(c, o);
	fuse_reply_err(req, 0);
}

/* ---- answers ---- */

/* The OPEN that waited is answered. */
static void opened(struct control *c, struct open_file *o, fuse_req_t req, int error)
{
	o->opening = false;
	if (!req || error) {
		if (req)
			fuse_reply_err(req, -error);
		file_free(c, o);
		return;
	}
	session_reply_open(
	    req, o->fh, FOPEN_DIRECT_IO | FOPEN_NOFLUSH | (is_knob(o->verb) ? FOPEN_STREAM : 0));
}

bool control_answered(struct control *c, const struct msg_answered *answer, const char *sentence)
{
	struct open_file *o = by_number(c, answer->number);
	int error = session_errno(answer->error);
	fuse_req_t req;

	if (!o)
		return false;
	req = o->req;
	o->number = 0;
	o->req = NULL;
	set_text(o, sentence);
	if (o->opening && is_table(o->verb) && !error)
		error = -EIO;
	if (o->opening) {
		opened(c, o, req, error);
		return true;
	}
	if (req && error)
		fuse_reply_err(req, -error);
	else if (req)
		fuse_reply_write(req, o->written);
	if (o->abandoned)
		file_free(c, o);
	return true;
}

bool control_table(struct control *c, uint64_t number, int fd)
{
	struct open_file *o = by_number(c, number);
	int seals = fcntl(fd, F_GET_SEALS);
	fuse_req_t req;

	if (!o || !is_table(o->verb)) {
		close(fd);
		return false;
	}
	req = o->req;
	o->number = 0;
	o->req = NULL;
	o->table = fd;
	opened(c, o, req, seals >= 0 && (seals & TABLE_SEALS) == TABLE_SEALS ? 0 : -EIO);
	return true;
}

void control_end(struct control *c)
{
	struct open_file *o, *next;

	for (o = TAILQ_FIRST(&c->files); o; o = next) {
		next = TAILQ_NEXT(o, link);
		if (o->req)
			fuse_reply_err(o->req, ENOTCONN);
		file_free(c, o);
	}
}
