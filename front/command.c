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
		return "usage: echo NAME SIZE [object_size=SIZE] > vdi/create\n"
		       "Makes a new volume. SIZE is in bytes, or with K, M, G, T or P (powers of "
		       "1024), e.g. echo disk1 20G > vdi/create\n";
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

static int parse_option(const struct word *w, struct msg_command *c, char *sentence)
{
	static const char option[] = "object_size=";
	struct word value = {w->text + sizeof option - 1, w->size - (sizeof option - 1)};
	uint64_t bytes;
	int error;

	if (w->size < sizeof option - 1 || memcmp(w->text, option, sizeof option - 1))
		return wrong(-EINVAL, sentence, w,
		    "the only option is object_size=SIZE, such as "
		    "object_size=4M");
	if (c->shift)
		return wrong(-EINVAL, sentence, w, "object_size is given twice");
	error = parse_size(&value, &bytes, sentence);
	if (error)
		return error;
	if (bytes & (bytes - 1) || bytes < UINT64_C(1) << OBJECT_SHIFT_MIN ||
	    bytes > UINT64_C(1) << OBJECT_SHIFT_MAX)
		return wrong(-EINVAL, sentence, &value,
		    "an object size is a power of two from 4K to 2G, such as 4M");
	c->shift = (uint32_t)__builtin_ctzll(bytes);
	return 0;
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

static int parse_create(const char *text, size_t size, struct msg_command *c, char *sentence)
{
	struct word whole = {text, size}, words[WORDS_MAX];
	size_t count = split(text, size, words);
	int error;

	if (count < 2)
		return wrong(-EINVAL, sentence, &whole,
		    "a new volume needs a name and a size, such as: disk1 20G");
	error = parse_name(&words[0], c, sentence);
	if (!error && (c->tag[0] || c->snap_id))
		error = wrong(-EINVAL, sentence, &words[0],
		    "a new volume has no tag (an \"@\" inside a name is written %40)");
	if (!error)
		error = parse_size(&words[1], &c->size, sentence);
	for (size_t i = 2; i < count && !error; i++)
		error = parse_option(&words[i], c, sentence);
	return error;
}

int command_parse(
    enum verb verb, const char *text, size_t size, struct msg_command *c, char *sentence)
{
	struct word whole = {text, size};

	*c = (struct msg_command){.verb = verb};
	if (!size) {
		snprintf(sentence, SENTENCE_MAX, "nothing was written; %s", command_usage(verb));
		sentence[strcspn(sentence, "\n")] = 0;
		return -EINVAL;
	}
	if (memchr(text, 0, size))
		return wrong(-EINVAL, sentence, &whole, "a command has no NUL byte");
	if (verb == VERB_CREATE)
		return parse_create(text, size, c, sentence);
	return parse_name(&whole, c, sentence);
}
