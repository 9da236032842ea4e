/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections to other nodes: see nodes.h.
 */
#include "worker/nodes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define LINKS_MAX 32 /* above what nodelist.c asks at once, for those that are being closed */

struct link {
	struct node_links *all;
	uint64_t number;
	struct sheep *sheep; /* NULL: free */
	bool over;           /* to be closed */
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

static const struct sheep_calls sheep_calls = {on_lost};

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct node_links *n = arg;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < LINKS_MAX; i++) {
		if (!n->links[i].over)
			continue;
		sheep_close(n->links[i].sheep);
		n->links[i] = (struct link){.all = n};
	}
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

struct daemon *nodes_add(struct node_links *n, uint64_t number, int fd, const char *address)
{
	struct link *l = NULL;

	for (unsigned i = 0; i < LINKS_MAX && !l; i++)
		if (!n->links[i].sheep)
			l = &n->links[i];
	if (l)
		l->sheep = sheep_open(n->base, &sheep_calls, l);
	if (!l || !l->sheep) {
		close(fd);
		return NULL;
	}
	l->number = number;
	if (sheep_add(l->sheep, fd, address) < 0) {
		sheep_close(l->sheep);
		l->sheep = NULL;
		return NULL;
	}
	sheep_watch(l->sheep, true);
	return sheep_daemon(l->sheep);
}

void nodes_hang_up(struct node_links *n, uint64_t number)
{
	struct link *l = find(n, number);

	if (!l)
		return;
	l->over = true;
	event_active(n->sweep, EV_WRITE, 0);
}
