/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections to other nodes: see nodes.h.
 */
#include "worker/nodes.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_LIMIT 2 /* seconds */
#define LINKS_MAX 32   /* above what nodelist.c asks at once, for those that are being closed */

struct link {
	struct node_links *all;
	uint64_t number;
	struct sheep *sheep;  /* NULL: free */
	struct event *expiry; /* of the time to answer */
	bool over;            /* to be closed */
};

struct node_links {
	struct event_base *base;
	const struct nodes_calls *calls;
	void *arg;
	struct event *sweep;
	struct link links[LINKS_MAX];
};

static struct link *find(struct node_links *n, uint64_t number)
{
	for (unsigned i = 0; i < LINKS_MAX; i++)
		if (n->links[i].sheep && !n->links[i].over && n->links[i].number == number)
			return &n->links[i];
	return NULL;
}

static void on_lost(void *arg, enum exit_word word, const char *why)
{
	struct link *l = arg;

	(void)word;
	if (!l->over)
		l->all->calls->failed(l->all->arg, l->number, why);
}

static const struct sheep_calls sheep_calls = {.lost = on_lost};

static void on_expiry(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	char why[64];

	(void)fd;
	(void)what;
	snprintf(why, sizeof why, "it has not answered for %d seconds", ANSWER_LIMIT);
	if (!l->over)
		l->all->calls->failed(l->all->arg, l->number, why);
}

static void link_close(struct link *l)
{
	sheep_close(l->sheep);
	if (l->expiry)
		event_free(l->expiry);
	*l = (struct link){.all = l->all};
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct node_links *n = arg;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < LINKS_MAX; i++)
		if (n->links[i].over)
			link_close(&n->links[i]);
}

struct node_links *nodes_open(struct event_base *base, const struct nodes_calls *calls, void *arg)
{
	struct node_links *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->base = base;
	n->calls = calls;
	n->arg = arg;
	for (unsigned i = 0; i < LINKS_MAX; i++)
		n->links[i].all = n;
	n->sweep = event_new(base, -1, 0, on_sweep, n);
	if (n->sweep)
		return n;
	free(n);
	return NULL;
}

/* fd is owned from now on. */
static bool link_open(struct link *l, int fd, const char *address)
{
	const struct timeval limit = {ANSWER_LIMIT, 0};

	l->sheep = sheep_open(l->all->base, &sheep_calls, l);
	l->expiry = evtimer_new(l->all->base, on_expiry, l);
	if (l->sheep && l->expiry && !event_add(l->expiry, &limit))
		return sheep_add(l->sheep, fd, address) > 0;
	close(fd);
	return false;
}

struct daemon *nodes_add(struct node_links *n, uint64_t number, int fd, const char *address)
{
	struct link *l = NULL;

	for (unsigned i = 0; i < LINKS_MAX && !l; i++)
		if (!n->links[i].sheep)
			l = &n->links[i];
	if (!l) {
		close(fd);
		return NULL;
	}
	l->number = number;
	if (link_open(l, fd, address))
		return sheep_daemon(l->sheep);
	link_close(l);
	return NULL;
}

void nodes_hang_up(struct node_links *n, uint64_t number)
{
	struct link *l = find(n, number);

	if (!l)
		return;
	l->over = true;
	event_active(n->sweep, EV_WRITE, 0);
}
