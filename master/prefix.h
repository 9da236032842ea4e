/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prefixes: sets of network addresses, as people type them: "10.1.0.0/16,fd00::/64".
 */
#ifndef SHEEPFS_MASTER_PREFIX_H
#define SHEEPFS_MASTER_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PREFIXES_MAX 32

struct prefix {
	sa_family_t family;
	uint8_t address[16]; /* network order; IPv4 in the first four */
	unsigned bits;
};

struct prefix_list {
	unsigned count;
	struct prefix prefixes[PREFIXES_MAX];
};

/* Parses "PREFIX[,PREFIX...]", or "none" for an empty list; an address without "/" is itself alone.
 * Returns 0, or -EINVAL with a sentence in why. */
int prefix_parse_list(const char *text, struct prefix_list *list, char *why, size_t why_size);

/* The prefix of that length around an IPv4 or IPv6 address; false for other families. */
bool prefix_around(
    const struct sockaddr_storage *address, unsigned v4_bits, unsigned v6_bits, struct prefix *p);

bool prefix_holds(const struct prefix *p, const struct sockaddr_storage *address);

#endif
