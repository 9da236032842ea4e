/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of volume names: see name.h.
 */
#include "ipc/name.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool must_encode(unsigned char byte, bool first)
{
	return byte <= 0x20 || byte == 0x7f || byte == '%' || byte == '/' || byte == '@' ||
	       (first && byte == '.');
}

/* Decodes one %XX at text; returns the byte, or -1. */
static int decode_escape(const char *text, size_t size)
{
	int high, low;

	if (size < 3)
		return -1;
	high = hex_digit(text[1]);
	low = hex_digit(text[2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Decodes one part (name or tag) into raw[NAME_FIELD_SIZE]. */
static int parse_part(const char *text, size_t size, char *raw, const char **why)
{
	size_t used = 0;

	memset(raw, 0, NAME_FIELD_SIZE);
	for (size_t i = 0; i < size; i++, used++) {
		int byte = (unsigned char)text[i];

		if (must_encode((unsigned char)byte, i == 0) && byte != '%') {
			*why = "\"/\", \"@\", space, control bytes and a leading dot are written "
			       "%XX in a name";
			return -EINVAL;
		}
		if (byte == '%') {
			byte = decode_escape(text + i, size - i);
			i += 2;
		}
		if (byte <= 0) {
			*why = "\"%\" is followed by two hex digits, and not by 00 (a percent sign "
			       "is %25)";
			return -EINVAL;
		}
		if (used >= NAME_LENGTH_MAX) {
			*why = "a name or tag has at most 255 bytes";
			return -ENAMETOOLONG;
		}
		raw[used] = (char)byte;
	}
	if (!used) {
		*why = "a name or tag is empty";
		return -EINVAL;
	}
	return 0;
}

/* "7" is snapshot number 7; returns 0 when the text is no such number. */
static uint32_t parse_snap_id(const char *text, size_t size)
{
	uint64_t number = 0;

	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9' || number > UINT32_MAX)
			return 0;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	return number > UINT32_MAX ? 0 : (uint32_t)number;
}

int name_parse(const char *text, size_t size, struct name *n, const char **why)
{
	const char *at = memchr(text, '@', size);
	size_t name_size = at ? (size_t)(at - text) : size;
	size_t tag_size = at ? size - name_size - 1 : 0;
	int error;

	memset(n, 0, sizeof *n);
	error = parse_part(text, name_size, n->name, why);
	if (error || !at)
		return error;
	n->snap_id = parse_snap_id(at + 1, tag_size);
	return n->snap_id ? 0 : parse_part(at + 1, tag_size, n->tag, why);
}

static size_t show_part(const char *raw, char *shown, bool escape_first)
{
	size_t used = 0;

	for (size_t i = 0; raw[i]; i++) {
		unsigned char byte = (unsigned char)raw[i];

		if (must_encode(byte, i == 0) || (i == 0 && escape_first))
			used += (size_t)sprintf(shown + used, "%%%02X", byte);
		else
			shown[used++] = raw[i];
	}
	return used;
}

size_t name_show(const struct name *n, char *shown)
{
	size_t used = show_part(n->name, shown, false);

	if (n->snap_id) {
		used += (size_t)sprintf(shown + used, "@%u", n->snap_id);
	} else if (n->tag[0]) {
		shown[used++] = '@';
		/* a tag that reads like a number would be taken for one */
		used += show_part(n->tag, shown + used, parse_snap_id(n->tag, strlen(n->tag)));
	}
	shown[used] = 0;
	return used;
}

int name_compare(const struct name *a, const struct name *b)
{
	return memcmp(a, b, sizeof *a);
}
