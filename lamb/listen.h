/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets on which lamb is reached.
 */
#ifndef LAMB_LISTEN_H
#define LAMB_LISTEN_H

#include "include/sheepdog.h"

#include <stddef.h>
#include <stdint.h>

/*
 * A listening, non-blocking socket at a numeric IPv4 or IPv6 address, port 0 being a free one.
 * *node is what the node list says (address zero when all addresses are listened on), shown is
 * the address for a person.  Returns the descriptor, or -errno with a sentence in why.
 */
int listen_tcp(const char *address, uint16_t port, struct sd_node_id *node, char *shown,
    size_t shown_size, char *why, size_t why_size);

/* The same for a unix socket; one that nobody serves any more is replaced. */
int listen_unix(const char *path, char *why, size_t why_size);

#endif
