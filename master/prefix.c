/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prefixes: see prefix.h.
 */
#include "master/prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of an address and their number; 0 for what has none. */
static size_t bytes_of(const struct sockaddr_storage *address, const uint8_t **bytes)
{
	if (address->ss_family == AF_INET) {
		*bytes = (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr;
		return 4;
	}
	if (address->ss_family == AF_INET6) {
		*bytes = (const uint8_t *)&((const struct sockaddr_in6 *)address)->sin6_addr;
		return 16;
	}
	return 0;
}

/* Digits only, at most `max`; -1 for anything else. */
static int parse_bits(const char *text, int max)
{
	int bits = 0;

	if (!*text || strlen(text) > 3)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		bits = bits * 10 + (*text - '0');
	}
	return bits <= max ? bits : -1;
}

static int parse_one(char *text, struct prefix *p, char *why, size_t why_size)
{
	char *slash = strchr(text, '/');
	int max, bits;

	memset(p, 0, sizeof *p);
	if (slash)
		*slash = 0;
	if (inet_pton(AF_INET, text, p->address) == 1)
		p->family = AF_INET;
	else if (inet_pton(AF_INET6, text, p->address) == 1)
		p->family = AF_INET6;
	max = p->family == AF_INET ? 32 : 128;
	bits = slash ? parse_bits(slash + 1, max) : max;
	if (slash)
		*slash = '/';
	if (!p->family || bits < 0) {
		snprintf(why, why_size,
		    "\"%.100s\" is no address prefix; write one like 10.1.0.0/16 or "
		    "fd00::/64, or none",
		    text);
		return -EINVAL;
	}
	p->bits = (unsigned)bits;
	return 0;
}

int prefix_parse_list(const char *text, struct prefix_list *list, char *why, size_t why_size)
{
	char *copy, *rest, *one;
	int error = 0;

	list->count = 0;
	if (!strcmp(text, "none"))
		return 0;
	copy = rest = strdup(text);
	if (!copy)
		error = -ENOMEM;
	while (!error && (one = strsep(&rest, ","))) {
		if (list->count == PREFIXES_MAX) {
			snprintf(why, why_size, "there are more than %d prefixes", PREFIXES_MAX);
			error = -EINVAL;
		} else {
			error = parse_one(one, &list->prefixes[list->count++], why, why_size);
		}
	}
	free(copy);
	return error;
}

bool prefix_around(
    const struct sockaddr_storage *address, unsigned v4_bits, unsigned v6_bits, struct prefix *p)
{
	const uint8_t *bytes;
	size_t size = bytes_of(address, &bytes);

	if (!size)
		return false;
	memset(p, 0, sizeof *p);
	p->family = address->ss_family;
	p->bits = size == 4 ? v4_bits : v6_bits;
	memcpy(p->address, bytes, size);
	return true;
}

bool prefix_holds(const struct prefix *p, const struct sockaddr_storage *address)
{
	const uint8_t *bytes;
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (p->family != address->ss_family || !bytes_of(address, &bytes) ||
	    memcmp(p->address, bytes, whole) != 0)
		return false;
	return !rest || (p->address[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}
