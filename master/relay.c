/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Relays: see relay.h.
 */
#include "master/relay.h"

#include "ipc/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define BURST 200     /* lines that may come at once */
#define PER_SECOND 20 /* lines thereafter */
#define TURN_READS 8  /* reads in one turn of the loop */
#define LABEL_MAX 256

struct relay {
	int fd;
	struct event *readable;
	char label[LABEL_MAX];
	char line[LOG_LINE_MAX];
	size_t used;
	unsigned allowance; /* lines that may be relayed now */
	unsigned left_out;
	time_t second; /* of the last refill */
};

static void refill(struct relay *r)
{
	struct timespec now;
	long seconds;

	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = now.tv_sec - r->second;
	r->second = now.tv_sec;
	if (seconds <= 0)
		return;
	if (seconds > BURST / PER_SECOND)
		seconds = BURST / PER_SECOND;
	r->allowance += (unsigned)seconds * PER_SECOND;
	if (r->allowance > BURST)
		r->allowance = BURST;
}

static void tell_left_out(struct relay *r)
{
	if (r->left_out)
		log_warning("%s: %u lines were left out", r->label, r->left_out);
	r->left_out = 0;
}

/* A line without a level comes from a library or the sanitizers. */
static void relay_line(struct relay *r)
{
	const char *text = r->line;
	int level = LOG_WARNING;

	r->line[r->used] = 0;
	r->used = 0;
	if (text[0] == '<' && text[1] >= '0' && text[1] <= '7' && text[2] == '>') {
		level = text[1] - '0';
		text += 3;
	}
	if (!text[0] || (level == LOG_DEBUG && !log_debugging()))
		return;
	refill(r);
	if (level != LOG_DEBUG && !r->allowance) {
		r->left_out++;
		return;
	}
	if (level != LOG_DEBUG)
		r->allowance--;
	tell_left_out(r);
	/* a child's "critical" is not the system's */
	log_line(level < LOG_ERR ? LOG_ERR : level, "%s: %s", r->label, text);
}

static void take(struct relay *r, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n' || r->used == sizeof r->line - 1)
			relay_line(r);
		if (bytes[i] != '\n')
			r->line[r->used++] = bytes[i] ? bytes[i] : ' ';
	}
}

/* Reads up to `reads` times.  Returns 0 at the end of the pipe, else something else. */
static ssize_t pump(struct relay *r, unsigned reads)
{
	char bytes[4096];
	ssize_t n = 1;

	while (reads-- && n > 0) {
		n = read(r->fd, bytes, sizeof bytes);
		if (n > 0)
			take(r, bytes, (size_t)n);
	}
	return n;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct relay *r = arg;

	(void)fd;
	(void)what;
	if (!pump(r, TURN_READS))
		event_del(r->readable); /* whoever opened it closes it */
}

struct relay *relay_open(struct event_base *base, int fd, const char *label)
{
	struct relay *r = calloc(1, sizeof *r);

	if (!r) {
		close(fd);
		return NULL;
	}
	r->fd = fd;
	r->allowance = BURST;
	snprintf(r->label, sizeof r->label, "%s", label);
	refill(r);
	r->allowance = BURST;
	r->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, r);
	if (!r->readable || evutil_make_socket_nonblocking(fd) || event_add(r->readable, NULL)) {
		relay_close(r);
		return NULL;
	}
	return r;
}

void relay_close(struct relay *r)
{
	if (!r)
		return;
	if (r->readable) {
		pump(r, 32); /* the pipe holds 64 KiB */
		event_free(r->readable);
	}
	if (r->used)
		relay_line(r);
	tell_left_out(r);
	close(r->fd);
	free(r);
}
