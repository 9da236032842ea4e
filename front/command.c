/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of commands: see command.h.
 */
#include "front/command.h"

#include "ipc/name.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VALUE_SHOWN 80 /* bytes of a wrong value that are repeated */
#define WORDS_MAX 8

struct word {
	const char *text;
	size_t size;
};

const char *command_usage(enum verb verb)
{
	switch (verb) {
	case VERB_MOUNT:
		return "usage: echo NAME > vdi/mount, or NAME@TAG or NAME@NUMBER for a snapshot\n"
		       "Attaches a volume as volume/NAME. In a name, \"%\", \"/\", \"@\", spaces, "
		       "control bytes and a leading dot are written %XX.\n";
	case VERB_UNMOUNT:
		return "usage: echo NAME > vdi/unmount, as it is listed in volume/\n"
		       "Detaches a volume that nobody uses.\n";
	case VERB_CREATE:
		return "usage: echo NAME SIZE [object_size=SIZE] [copies=N|D:P] > vdi/create\n"
		       "Makes a new volume. SIZE is in bytes, or with K, M, G, T or P (powers of "
		       "1024), e.g. echo disk1 20G > vdi/create\n"
		       "copies: N copies of every object, or D data and P parity strips "
		       "(D: 2, 4, 8 or 16; P: 1 to 15), else the cluster's default.\n";
	case VERB_SNAPSHOT:
		return "usage: echo NAME TAG > vdi/snapshot\n"
		       "Takes a snapshot of a volume, attached or not; it is NAME@TAG then. It "
		       "holds what was acknowledged before, and nothing else.\n";
	case VERB_CLONE:
		return "usage: echo NAME@TAG NEW > vdi/clone, or NAME@NUMBER\n"
		       "Makes the volume NEW, which begins as the snapshot and takes no space "
		       "yet.\n";
	case VERB_DELETE:
		return "usage: echo NAME > vdi/delete, or NAME@TAG or NAME@NUMBER for a snapshot\n"
		       "Deletes a volume that is not attached, with its data; its snapshots and "
		       "clones stay. There is no way back.\n";
	case VERB_PAGE_CACHE:
		return "usage: echo 1 > config/page_cache, or 0\n"
		       "Volumes that are attached from then on are cached in the page cache of "
		       "this host (1), or not (0).\n";
	case VERB_OBJECT_CACHE:
		return "usage: echo 1 > config/object_cache, or 0\n"
		       "Asks the daemon to cache the objects of volumes that are attached from "
		       "then on (1), or not (0). Daemons from 1.0 on have no object cache: there "
		       "it is without effect.\n";
	case VERB_DISCOVER:
		return "usage: echo 1 > config/discover, or 0\n"
		       "Members of the cluster are targets as well, behind those that were named "
		       "(1), or not (0). Their addresses come from the daemon: only those are "
		       "dialled "
		       "that --nodes permits.\n";
	case VERB_SHEEP_INFO:
		return "usage: echo TARGET[,TARGET...] > config/sheep_info\n"
		       "The daemons that are used from now on, such as "
		       "10.0.0.1:7000,10.0.0.2:7000; "
		       "what is attached moves there, and nothing is lost.\n";
	case VERB_IO_TIMEOUT:
		return "usage: echo SECONDS > config/io_timeout, or 0\n"
		       "How long a caller waits for I/O when no daemon can be reached, before it "
		       "gets an error (EIO); 0: for ever.\n";
	case VERB_FENCE_TIMEOUT:
		return "usage: echo SECONDS > config/fence_timeout, or 0\n"
		       "When a daemon can be neither reached nor proved dead: how long what it was "
		       "asked is waited for, before it is written elsewhere; 0: for ever.\n";
	case VERB_FENCED:
		return "usage: echo TARGET > config/fenced\n"
		       "Says that the daemon at that address will never run again: nobody waits "
		       "for "
		       "what it was asked. If it does run again, newer data may be overwritten.\n";
	case VERB_ABORT:
		return "usage: echo NAME > config/abort, as it is listed in volume/\n"
		       "Frees everybody who waits for that volume, with errors, and detaches it.\n";
	default:
		return "this file is only read\n";
	}
}

/* A printable copy of a value, cut where it is long. */
static const char *shown(const char *text, size_t size, char *buffer)
{
	size_t used = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned char byte = (unsigned char)text[i];

		if (used >= VALUE_SHOWN) {
			strcpy(buffer + used, "...");
			return buffer;
		}
		if (byte >= 0x20 && byte != 0x7f)
			buffer[used++] = text[i];
		else
			used += (size_t)sprintf(buffer + used, "\\x%02x", byte);
	}
	buffer[used] = 0;
	return buffer;
}

#define SHOWN_SIZE (VALUE_SHOWN + 8)

/* Says "VALUE" and what is wrong with it. */
static int wrong(int error, char *sentence, const struct word *w, const char *why)
{
	char buffer[SHOWN_SIZE];

	snprintf(sentence, SENTENCE_MAX, "\"%s\": %s", shown(w->text, w->size, buffer), why);
	return error;
}

/* How a name of these very bytes is written. */
static void suggest(const struct word *w, char *sentence)
{
	char buffer[NAME_SHOWN_SIZE];
	size_t used = strlen(sentence);
	struct name n = {.snap_id = 0};

	if (!w->size || w->size > NAME_LENGTH_MAX)
		return;
	memcpy(n.name, w->text, w->size);
	name_show(&n, buffer);
	snprintf(sentence + used, SENTENCE_MAX - used, "; to name it so, write %s", buffer);
}

static int parse_name(const struct word *w, struct msg_command *c, char *sentence)
{
	struct name n;
	const char *why;
	int error = name_parse(w->text, w->size, &n, &why);

	if (error) {
		wrong(error, sentence, w, why);
		suggest(w, sentence);
		return error;
	}
	memcpy(c->name, n.name, sizeof c->name);
	memcpy(c->tag, n.tag, sizeof c->tag);
	c->snap_id = n.snap_id;
	return 0;
}

/* The power of 1024 that a unit stands for, or -1. */
static int unit_power(const char *text, size_t size)
{
	static const char letters[] = "KMGTP";
	const char *letter;

	if (!size)
		return 0;
	letter = strchr(letters, toupper((unsigned char)text[0]));
	if (!letter || !*letter || (size != 1 && (size != 3 || memcmp(text + 1, "iB", 2))))
		return -1;
	return (int)(letter - letters) + 1;
}

/* Digits and a unit.  At most VOLUME_SIZE_MAX. */
static int parse_size(const struct word *w, uint64_t *bytes, char *sentence)
{
	uint64_t value = 0;
	size_t i;
	int power;

	for (i = 0; i < w->size && w->text[i] >= '0' && w->text[i] <= '9'; i++) {
		if (value > VOLUME_SIZE_MAX)
			break;
		value = value * 10 + (uint64_t)(w->text[i] - '0');
	}
	if (value > VOLUME_SIZE_MAX)
		return wrong(-EFBIG, sentence, w, "a size is at most 2P (2048 T)");
	power = i ? unit_power(w->text + i, w->size - i) : -1;
	if (power < 0)
		return wrong(-EINVAL, sentence, w,
		    "a size is a whole number of bytes, or one followed by K, M, G, T or P, such "
		    "as 20G");
	for (; power; power--) {
		if (value > VOLUME_SIZE_MAX / 1024)
			return wrong(-EFBIG, sentence, w, "a size is at most 2P (2048 T)");
		value *= 1024;
	}
	if (!value)
		return wrong(-EINVAL, sentence, w, "a size is more than 0");
	*bytes = value;
	return 0;
}

/* Digits only, at most `max`; false for anything else. */
static bool parse_small(const char *text, size_t size, uint32_t max, uint32_t *number)
{
	*number = 0;
	if (!size || size > 4)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*number = *number * 10 + (uint32_t)(text[i] - '0');
	}
	return *number <= max;
}

/* "3", or "4:2": that many data and parity strips of an erasure code (P 3.2). */
static int parse_copies(const struct word *value, struct msg_command *c, char *sentence)
{
	const char *colon = memchr(value->text, ':', value->size);
	size_t first = colon ? (size_t)(colon - value->text) : value->size;
	uint32_t data, parity = 0;
	bool fits = parse_small(value->text, first, COPIES_MAX, &data) && data;

	if (fits && colon)
		fits = parse_small(colon + 1, value->size - first - 1, 15, &parity) && parity &&
		       (data == 2 || data == 4 || data == 8 || data == 16);
	if (!fits)
		return wrong(-EINVAL, sentence, value,
		    "copies is a number from 1 to 31, or DATA:PARITY with 2, 4, 8 or 16 data and "
		    "1 to 15 parity strips, such as 4:2");
	c->copies = data + parity;
	c->policy = colon ? data / 2 << 4 | parity : 0;
	return 0;
}

static int parse_object_size(const struct word *value, struct msg_command *c, char *sentence)
{
	uint64_t bytes;
	int error = parse_size(value, &bytes, sentence);

	if (error)
		return error;
	if (bytes & (bytes - 1) || bytes < UINT64_C(1) << OBJECT_SHIFT_MIN ||
	    bytes > UINT64_C(1) << OBJECT_SHIFT_MAX)
		return wrong(-EINVAL, sentence, value,
		    "an object size is a power of two from 4K to 2G, such as 4M");
	c->shift = (uint32_t)__builtin_ctzll(bytes);
	return 0;
}

static const struct {
	const char *name; /* with "=" */
	int (*parse)(const struct word *value, struct msg_command *c, char *sentence);
} create_options[] = {
    {"object_size=", parse_object_size},
    {"copies=", parse_copies},
};

#define NR_OPTIONS (sizeof create_options / sizeof create_options[0])

/* given: the options so far, a bit each. */
static int parse_option(
    const struct word *w, struct msg_command *c, unsigned *given, char *sentence)
{
	for (unsigned i = 0; i < NR_OPTIONS; i++) {
		size_t size = strlen(create_options[i].name);
		struct word value = {w->text + size, w->size - size};

		if (w->size < size || memcmp(w->text, create_options[i].name, size) != 0)
			continue;
		if (*given & 1U << i)
			return wrong(-EINVAL, sentence, w, "this option is given twice");
		*given |= 1U << i;
		return create_options[i].parse(&value, c, sentence);
	}
	return wrong(-EINVAL, sentence, w,
	    "the options are object_size=SIZE, such as object_size=4M, and copies=N or copies=D:P, "
	    "such as copies=2");
}

/* Splits at spaces and tabs. */
static size_t split(const char *text, size_t size, struct word *words)
{
	size_t count = 0, i = 0;

	while (i < size) {
		size_t start;

		while (i < size && (text[i] == ' ' || text[i] == '\t'))
			i++;
		start = i;
		while (i < size && text[i] != ' ' && text[i] != '\t')
			i++;
		if (i > start && count < WORDS_MAX)
			words[count++] = (struct word){text + start, i - start};
	}
	return count;
}

/* A name without a tag. */
static int parse_plain_name(
    const struct word *w, struct msg_command *c, const char *what, char *sentence)
{
	int error = parse_name(w, c, sentence);

	if (error || (!c->tag[0] && !c->snap_id))
		return error;
	return wrong(-EINVAL, sentence, w, what);
}

static int parse_create(const char *text, size_t size, struct msg_command *c, char *sentence)
{
	struct word whole = {text, size}, words[WORDS_MAX];
	size_t count = split(text, size, words);
	unsigned given = 0;
	int error;

	if (count < 2)
		return wrong(-EINVAL, sentence, &whole,
		    "a new volume needs a name and a size, such as: disk1 20G");
	error = parse_plain_name(&words[0], c,
	    "a new volume has no tag (an \"@\" inside a name is written %40)", sentence);
	if (!error)
		error = parse_size(&words[1], &c->size, sentence);
	for (size_t i = 2; i < count && !error; i++)
		error = parse_option(&words[i], c, &given, sentence);
	return error;
}

/* The tag has the grammar of the one behind "@". */
static int parse_tag(const struct word *w, struct msg_command *c, char *sentence)
{
	char text[COMMAND_TEXT_MAX + 2] = "v@";
	const char *why;
	struct name n;
	int error;

	memcpy(text + 2, w->text, w->size);
	error = name_parse(text, w->size + 2, &n, &why);
	if (error)
		return wrong(error, sentence, w, why);
	if (n.snap_id)
		return wrong(-EINVAL, sentence, w,
		    "a tag of digits would be taken for a snapshot's number; write its first digit "
		    "as %XX (%31 is 1)");
	memcpy(c->tag, n.tag, sizeof c->tag);
	return 0;
}

static int parse_snapshot(const char *text, size_t size, struct msg_command *c, char *sentence)
{
	struct word whole = {text, size}, words[WORDS_MAX];
	int error;

	if (split(text, size, words) != 2)
		return wrong(-EINVAL, sentence, &whole,
		    "a snapshot needs a volume's name and a tag, such as: disk1 monday");
	error = parse_plain_name(&words[0], c,
	    "a snapshot is of a volume, whose name has no tag; write: NAME TAG", sentence);
	return error ? error : parse_tag(&words[1], c, sentence);
}

static int parse_clone(const char *text, size_t size, struct msg_command *c, char *sentence)
{
	struct word whole = {text, size}, words[WORDS_MAX];
	struct msg_command made = {0};
	int error;

	if (split(text, size, words) != 2)
		return wrong(-EINVAL, sentence, &whole,
		    "a clone needs a snapshot and a new name, such as: disk1@monday disk2");
	error = parse_name(&words[0], c, sentence);
	if (!error && !c->tag[0] && !c->snap_id)
		error = wrong(-EINVAL, sentence, &words[0],
		    "only a snapshot can be cloned: NAME@TAG or NAME@NUMBER; vdi/snapshot makes "
		    "one");
	if (!error)
		error = parse_plain_name(&words[1], &made,
		    "the new volume has no tag (an \"@\" inside a name is written %40)", sentence);
	memcpy(c->other, made.name, sizeof c->other);
	return error;
}

/* Any number but 0 means yes, as it always did. */
static int parse_knob(const char *text, size_t size, struct msg_command *c, char *sentence)
{
	struct word whole = {text, size}, words[WORDS_MAX];
	uint32_t value;

	if (split(text, size, words) != 1 ||
	    !parse_small(words[0].text, words[0].size, UINT32_MAX, &value))
		return wrong(-EINVAL, sentence, &whole, "the value is 0 or 1");
	c->set = 1;
	c->size = value != 0;
	return 0;
}

/* Seconds, 0 or "forever" for no limit. */
static int parse_seconds(const char *text, size_t size, struct msg_command *c, char *sentence)
{
	struct word whole = {text, size}, words[WORDS_MAX];
	size_t count = split(text, size, words);
	uint64_t value = 0;

	c->set = 1;
	if (count == 1 && words[0].size == 7 && !memcmp(words[0].text, "forever", 7))
		return 0;
	if (count != 1 || words[0].size > 6)
		return wrong(-EINVAL, sentence, &whole,
		    "a time is a number of seconds from 0 to 999999; 0 means no limit");
	for (size_t i = 0; i < words[0].size; i++) {
		if (words[0].text[i] < '0' || words[0].text[i] > '9')
			return wrong(-EINVAL, sentence, &whole,
			    "a time is a number of seconds from 0 to 999999; 0 means no limit");
		value = value * 10 + (uint64_t)(words[0].text[i] - '0');
	}
	c->size = value;
	return 0;
}

/* As one line: the example, and what it does. */
static void say_usage(enum verb verb, char *sentence)
{
	const char *usage = command_usage(verb), *more = strchr(usage, '\n') + 1;

	snprintf(sentence, SENTENCE_MAX, "nothing was written; %.*s%s%s", (int)(more - 1 - usage),
	    usage, *more ? ". " : "", more);
	for (char *line; (line = strchr(sentence, '\n'));)
		*line = line[1] ? ' ' : 0;
}

int command_parse(
    enum verb verb, const char *text, size_t size, struct msg_command *c, char *sentence)
{
	struct word whole = {text, size};

	*c = (struct msg_command){.verb = verb};
	if (!size) {
		say_usage(verb, sentence);
		return -EINVAL;
	}
	if (memchr(text, 0, size))
		return wrong(-EINVAL, sentence, &whole, "a command has no NUL byte");
	switch (verb) {
	case VERB_CREATE:
		return parse_create(text, size, c, sentence);
	case VERB_SNAPSHOT:
		return parse_snapshot(text, size, c, sentence);
	case VERB_CLONE:
		return parse_clone(text, size, c, sentence);
	case VERB_PAGE_CACHE:
	case VERB_OBJECT_CACHE:
	case VERB_DISCOVER:
		return parse_knob(text, size, c, sentence);
	case VERB_IO_TIMEOUT:
	case VERB_FENCE_TIMEOUT:
		return parse_seconds(text, size, c, sentence);
	case VERB_SHEEP_INFO: /* the master knows what a target is */
	case VERB_FENCED:
		c->set = 1;
		return 0;
	default:
		return parse_name(&whole, c, sentence);
	}
}
