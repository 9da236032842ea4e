/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Heartbeats: see heartbeat.h.
 */
#include "master/heartbeat.h"

#include "ipc/log.h"
#include "master/cluster.h"
#include "master/front.h"
#include "master/lamb.h"
#include "master/volume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL 1000 /* milliseconds between two looks */
#define ASK 2000      /* milliseconds between two questions */
#define PATIENCE 5000 /* milliseconds for an answer */
#define BUSY_SHARE 2  /* of that time: one in two is more than an honest worker needs */

/* Its state, as ps(1) shows it, and the milliseconds of processor time that it has used. */
static char look_at(pid_t pid, uint64_t *used)
{
	unsigned long user = 0, system = 0;
	char path[64], line[1024], *rest;
	char state = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fgets(line, sizeof line, f) && (rest = strrchr(line, ')')) &&
	    sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &state, &user,
		&system) != 3)
		state = 0;
	fclose(f);
	*used = (user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK);
	return state;
}

static void judge(struct generation *g)
{
	uint64_t used = 0;
	char state = look_at(g->process.child.pid, &used);

	if (state == 'T' || state == 't') {
		g->innocent = true;
		generation_kill(g, "it was stopped");
	} else if (state == 'S') {
		generation_kill(g, "it sleeps and does not answer");
	} else if (state == 'R' && used - g->used >= PATIENCE / BUSY_SHARE) {
		generation_kill(g, "it runs and does not answer");
	} else {
		log_debug("volume %s: its worker does not answer, in state %c", g->volume->shown,
		    state ? state : '?');
	}
}

/* Front, cluster worker and lambs are not asked: who stops them is found out all the same. */
static void look_at_helper(struct process *p)
{
	uint64_t used;
	char state;

	if (!p || !p->lives || !p->child.pid)
		return;
	state = look_at(p->child.pid, &used);
	p->stopped = state == 'T' || state == 't' ? p->stopped + 1 : 0;
	if (p->stopped > PATIENCE / INTERVAL)
		process_kill(p, "it was stopped");
}

static void on_interval(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;
	uint64_t now = generation_now();
	struct volume *v;

	(void)fd;
	(void)what;
	look_at_helper(front_process(m));
	look_at_helper(cluster_process(m));
	for (unsigned i = 0; lamb_process(m, i); i++)
		look_at_helper(lamb_process(m, i));
	TAILQ_FOREACH (v, &m->volumes, link) {
		struct generation *g = &v->generation;

		if (!generation_lives(g) || !g->process.child.pid)
			continue;
		if (g->pong != g->ping) {
			if (now - g->pinged >= PATIENCE)
				judge(g);
		} else if (now - g->pinged >= ASK) {
			look_at(g->process.child.pid, &g->used);
			generation_ping(g);
		}
	}
}

int heartbeat_open(struct master *m)
{
	const struct timeval interval = {INTERVAL / 1000, INTERVAL % 1000 * 1000};

	m->heartbeat = event_new(m->base, -1, EV_PERSIST, on_interval, m);
	return m->heartbeat && !event_add(m->heartbeat, &interval) ? 0 : -ENOMEM;
}

void heartbeat_close(struct master *m)
{
	if (m->heartbeat)
		event_free(m->heartbeat);
	m->heartbeat = NULL;
}
