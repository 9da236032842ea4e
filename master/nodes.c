/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other nodes: see nodes.h.
 */
#include "master/nodes.h"

#include "ipc/log.h"
#include "master/dial.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIALS_MAX 32
#define DIAL_LIMIT 2000 /* milliseconds */

struct node_dial {
	struct chan *const *chan; /* the cluster worker's, NULL once it is over */
	uint64_t number;
	struct dial *dial; /* NULL: free */
};

struct nodes {
	const struct master *master;
	struct node_dial dials[DIALS_MAX];
};

static in_port_t port_of(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? ((const struct sockaddr_in *)a)->sin_port
				       : ((const struct sockaddr_in6 *)a)->sin6_port;
}

static bool is_loopback(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

/* Does the node lie where this target does? */
static bool is_beside(const struct target *target, const struct target *node)
{
	struct prefix p;

	if (!prefix_around(&target->address, 24, 64, &p) || !prefix_holds(&p, &node->address))
		return false;
	return is_loopback(&target->address) ? is_loopback(&node->address)
					     : port_of(&target->address) == port_of(&node->address);
}

/* One of IPv6 that leads to IPv4 would evade the prefixes. */
static bool is_plain(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET6)
		return !IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)a)->sin6_addr);
	return a->ss_family == AF_INET;
}

bool nodes_permitted(const struct master *m, const struct target *node)
{
	const struct conf *conf = m->conf;

	if (!is_plain(&node->address))
		return false;
	for (unsigned i = 0; conf->nodes_given && i < conf->nodes.count; i++)
		if (prefix_holds(&conf->nodes.prefixes[i], &node->address))
			return true;
	for (unsigned i = 0; !conf->nodes_given && i < m->targets->count; i++)
		if (is_beside(&m->targets->targets[i], node))
			return true;
	return false;
}

static void tell_failed(struct chan *const *chan, uint64_t number, const char *why)
{
	const struct msg_node_failed payload = {.number = number};

	if (*chan)
		send_node_failed(*chan, 0, 0, &payload, why, strlen(why), NULL);
}

static void on_dialled(int fd, void *arg)
{
	struct node_dial *d = arg;
	const struct msg_node payload = {.number = d->number};

	d->dial = NULL;
	if (fd >= 0 && *d->chan)
		send_node(*d->chan, 0, 0, &payload, NULL, 0, &fd);
	else if (fd >= 0)
		close(fd);
	else
		tell_failed(d->chan, d->number, dial_words(fd));
}

void nodes_dial(struct nodes *n, struct chan *const *chan, uint64_t number, const char *address)
{
	struct node_dial *d = n->dials;
	struct target node;
	char why[256];

	if (target_parse(address, &node, why, sizeof why)) {
		tell_failed(chan, number, "its address is none");
		return;
	}
	if (!nodes_permitted(n->master, &node)) {
		tell_failed(chan, number,
		    "it lies outside of what may be asked; --nodes names more addresses");
		return;
	}
	while (d < n->dials + DIALS_MAX && d->dial)
		d++;
	if (d == n->dials + DIALS_MAX) {
		tell_failed(chan, number, "too many nodes are asked at once");
		return;
	}
	d->chan = chan;
	d->number = number;
	d->dial = dial_start(n->master->base, &node, DIAL_LIMIT, on_dialled, d);
	if (!d->dial)
		tell_failed(chan, number, "out of memory");
}

void nodes_forget(struct nodes *n)
{
	for (unsigned i = 0; i < DIALS_MAX; i++) {
		dial_cancel(n->dials[i].dial);
		n->dials[i].dial = NULL;
	}
}

struct nodes *nodes_open(const struct master *m)
{
	struct nodes *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->master = m;
	return n;
}

void nodes_close(struct nodes *n)
{
	if (!n)
		return;
	nodes_forget(n);
	free(n);
}
