/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Status tables: see status.h.
 */
#include "master/status.h"

#include "master/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FAILOVERS_MAX 256 /* the latest are kept */

void status_remember(struct master *m, const struct failover *noted, const char *why)
{
	struct failover *f = malloc(sizeof *f + strlen(why) + 1), *first;

	if (!f)
		return;
	*f = *noted;
	memcpy(f->why, why, strlen(why) + 1);
	STAILQ_INSERT_TAIL(&m->failovers, f, next);
	if (++m->nr_failovers <= FAILOVERS_MAX)
		return;
	first = STAILQ_FIRST(&m->failovers);
	STAILQ_REMOVE_HEAD(&m->failovers, next);
	m->nr_failovers--;
	free(first);
}

void status_note_failover(struct volume *v, uint64_t pause, const char *why)
{
	struct failover f = {
	    .when = time(NULL), .pause = pause, .generation = v->generation.number};

	memcpy(f.shown, v->shown, sizeof f.shown);
	memcpy(f.target, v->generation.target.text, sizeof f.target);
	status_remember(v->master, &f, why);
}

void status_forget_all(struct master *m)
{
	struct failover *f;

	while ((f = STAILQ_FIRST(&m->failovers))) {
		STAILQ_REMOVE_HEAD(&m->failovers, next);
		free(f);
	}
}

static void print_failovers(const struct master *m, FILE *text)
{
	const struct failover *f;
	char when[32];
	struct tm tm;

	fprintf(text, "Time                 Volume            Generation  Pause ms  Target         "
		      "       Why\n");
	STAILQ_FOREACH (f, &m->failovers, next) {
		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&f->when, &tm));
		fprintf(text, "%s  %-16s  %10u  %8llu  %-20s  %s\n", when, f->shown, f->generation,
		    (unsigned long long)f->pause, f->target, f->why);
	}
}

static const char *state_name(const struct volume *v)
{
	switch (v->state) {
	case VOLUME_SEEKING:
	case VOLUME_MOUNTING:
		return v->doomed ? "deleting" : "attaching";
	case VOLUME_DELETING:
		return "deleting";
	case VOLUME_READY:
		return "ready";
	case VOLUME_RECOVERING:
		return "recovering";
	case VOLUME_FAILED:
		return "failed";
	case VOLUME_DETACHING:
	case VOLUME_ENDING:
		return v->doomed ? "deleting" : "detaching";
	}
	return "";
}

static void print_workers(const struct master *m, FILE *text)
{
	const struct volume *v;

	fprintf(text,
	    "Volume            State           PID  Generation  Restarts  In flight  Unsettled  "
	    "Target                Last trouble\n");
	TAILQ_FOREACH (v, &m->volumes, link) {
		const struct generation *g = &v->generation;
		bool lives = generation_lives(g);

		fprintf(text, "%-16s  %-10s  %7d  %10u  %8u  %9u  %9u  %-20s  %s\n", v->shown,
		    state_name(v), lives ? (int)g->process.child.pid : 0, g->number, v->restarts,
		    lives ? g->in_flight : 0, past_count(&v->pasts), lives ? g->target.text : "-",
		    v->trouble[0] ? v->trouble : "-");
	}
}

/* Readers get the descriptor itself: nothing can be changed any more. */
static int seal(const char *text, size_t size)
{
	int fd = memfd_create("sheepfs-status", MFD_CLOEXEC | MFD_ALLOW_SEALING), error;
	ssize_t n = fd < 0 ? -1 : pwrite(fd, text, size, 0);

	if (n == (ssize_t)size &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
		return fd;
	error = n >= 0 ? -EIO : -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

int status_table(struct master *m, enum verb verb)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int fd;

	if (!f)
		return -ENOMEM;
	(verb == VERB_WORKERS ? print_workers : print_failovers)(m, f);
	if (fclose(f)) {
		free(text);
		return -ENOMEM;
	}
	fd = seal(text, size);
	free(text);
	return fd;
}
