/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settling: see settle.h.
 *
 * A witness is asked with a number of its own each time, and its stream searched for the answer
 * with that number: what the dead generation had asked last may be answered before it, or in
 * pieces.
 */
#include "worker/settle.h"

#include "include/bounds.h"
#include "ipc/log.h"
#include "worker/connection.h"
#include "worker/format.h"
#include "worker/history.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK 200        /* milliseconds between two looks at what does not tell by itself */
#define ASK_AGAIN 5000  /* milliseconds between two questions to a witness */
#define LONG 30000      /* milliseconds: who settled no faster has as long again (P 6.7) */
#define VISIT_AGAIN 500 /* milliseconds until somebody who serves where one died is asked for */
/* milliseconds, however old the past is: until a witness must have answered; until the cluster */
#define FENCE_WITNESS 10000
#define FENCE_CLUSTER 2000
#define EPOCHS_WANTED 64 /* records of the history that are looked at */
#define READS_MAX 16     /* in one turn */

enum state {
	READING, /* connections are being read to their ends */
	ASKING,  /* they have ended, the witness is asked */
	RESTING, /* it took so long that a copy given up may still run for a while */
	DEAD,    /* the process died: has the cluster noticed? */
	UNKNOWN, /* it can be neither reached nor proved dead */
	OVER,
};

struct link {
	TAILQ_ENTRY(link) link;
	struct past *past;
	int fd;
	bool witness;
	struct event *readable;
};

struct past {
	TAILQ_ENTRY(past) link;
	struct settle *settle;
	uint32_t number, epoch;
	enum state state;
	char address[ADDRESS_TEXT_MAX + 1];
	TAILQ_HEAD(, link) links;           /* that have not ended; the witness among them */
	struct link *witness;               /* NULL: it has ended */
	uint64_t begun, asked, heard, rest; /* milliseconds */
	uint64_t age;                       /* milliseconds, when it begun */
	uint64_t visited;  /* milliseconds: when its successor was last asked for */
	uint32_t question; /* the number of the latest; 0: none */
	uint8_t window[2 * sizeof(struct sd_rsp)];
	size_t in_window;
};

struct settle {
	struct event_base *base;
	struct daemon *daemon;
	const struct settle_calls *calls;
	void *arg;
	uint64_t fence; /* milliseconds; 0: for ever */
	bool begun, served, asking, restarted;
	char address[ADDRESS_TEXT_MAX + 1]; /* of the daemon that serves us */
	struct event *tick;
	TAILQ_HEAD(, past) pasts;
	unsigned nr_pasts;
	uint64_t cluster_ctime;
	struct history history;
	/* another daemon, at the address of one that died */
	bool visiting;
	char host[ADDRESS_TEXT_MAX + 1];
	struct history visit;
};

static void link_end(struct link *l)
{
	struct past *p = l->past;

	TAILQ_REMOVE(&p->links, l, link);
	if (p->witness == l)
		p->witness = NULL;
	if (l->readable)
		event_free(l->readable);
	close(l->fd);
	free(l);
}

static void past_free(struct past *p)
{
	struct link *l;

	while ((l = TAILQ_FIRST(&p->links)))
		link_end(l);
	TAILQ_REMOVE(&p->settle->pasts, p, link);
	p->settle->nr_pasts--;
	free(p);
}

__attribute__((format(printf, 3, 4))) static void over(
    struct past *p, bool died, const char *format, ...)
{
	struct settle *s = p->settle;
	char sentence[SENTENCE_MAX];
	uint32_t number = p->number;
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof sentence, format, ap);
	va_end(ap);
	p->state = OVER;
	past_free(p);
	s->calls->settled(s->arg, number, died, sentence);
}

/* ---- the witness ---- */

static void ask(struct past *p)
{
	struct sd_req req = {.proto_ver = SD_PROTO_PUBLIC, .opcode = SD_OP_GET_CLUSTER_DEFAULT};
	struct iovec iov = {&req, sizeof req};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	p->asked = connection_now();
	if (!p->witness)
		return;
	do {
		if (getrandom(&p->question, sizeof p->question, 0) != sizeof p->question)
			p->question = (uint32_t)p->asked;
	} while (!p->question);
	req.id = p->question;
	/* one that takes no 48 bytes hears nothing any more, and answers nothing */
	if (sendmsg(p->witness->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("the witness at %s cannot be asked: %s", p->address, strerror(errno));
}

static bool is_answer(const struct past *p, const uint8_t *at)
{
	struct sd_rsp rsp;

	memcpy(&rsp, at, sizeof rsp);
	return rsp.id == p->question && rsp.opcode == SD_OP_GET_CLUSTER_DEFAULT && !rsp.proto_ver;
}

static void settled_by_witness(struct past *p)
{
	uint64_t now = connection_now(), took = now - p->begun;

	if (took <= LONG) {
		over(p, false, "the daemon at %s has ended all that it was asked", p->address);
		return;
	}
	p->state = RESTING;
	p->rest = now + took;
}

static void heard(struct past *p)
{
	p->heard = connection_now();
	p->question = 0;
	p->in_window = 0;
	if (p->state == ASKING)
		settled_by_witness(p);
}

/* Looks for the answer, wherever it begins; returns true when it was there. */
static bool search(struct past *p, const uint8_t *bytes, size_t n)
{
	const size_t size = sizeof(struct sd_rsp);

	for (size_t i = 0; i < n; i++) {
		p->window[p->in_window++] = bytes[i];
		if (p->in_window >= size && p->question &&
		    is_answer(p, p->window + p->in_window - size))
			return true;
		if (p->in_window == sizeof p->window) {
			memmove(p->window, p->window + size, size);
			p->in_window = size;
		}
	}
	return false;
}

/* ---- the ends of connections ---- */

static void ask_history(struct settle *s);

static unsigned still_open(const struct past *p)
{
	const struct link *l;
	unsigned n = 0;

	TAILQ_FOREACH (l, &p->links, link)
		n += !l->witness;
	return n;
}

static void ended(struct link *l, int error)
{
	struct past *p = l->past;

	link_end(l);
	if (error && error != ECONNRESET) {
		/* our own kernel gave up: that says nothing about the other side */
		if (p->state != UNKNOWN)
			log_warning("the daemon at %s is unreachable (%s): what it was asked may "
				    "still run",
			    p->address, strerror(error));
		p->state = UNKNOWN;
		if (p->witness)
			link_end(p->witness);
	} else if (still_open(p)) {
		/* one process holds all: a lone end of the witness is not its death */
	} else if (p->witness && p->state == READING) {
		p->state = ASKING;
		ask(p);
	} else if (!p->witness && (p->state == READING || p->state == ASKING)) {
		p->state = DEAD;
		p->visited = connection_now();
		ask_history(p->settle);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	struct past *p = l->past;
	uint8_t bytes[16384];

	(void)what;
	for (unsigned n = 0; n < READS_MAX; n++) {
		struct iovec iov = {bytes, sizeof bytes};
		struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t got = recvmsg(fd, &h, MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			ended(l, got ? errno : 0);
			return;
		}
		if (l->witness && search(p, bytes, (size_t)got)) {
			heard(p);
			return; /* the past may be over */
		}
	}
}

/* ---- has the cluster noticed that it died? ---- */

static bool has_node(const struct history *h, size_t n, const char *address)
{
	char text[FORMAT_ADDRESS_MAX];
	struct sd_node node;
	const uint8_t *at;

	for (uint32_t k = 0; (at = history_node(h, n, k)); k++) {
		memcpy(&node, at, sizeof node);
		if (!strcmp(format_target(&node.nid, text), address))
			return true;
	}
	return false;
}

/* An epoch later than the last that we saw from it is without it, and one of then was with it. */
static bool left_behind(const struct history *h, const struct past *p)
{
	struct sd_epoch_log log;
	bool without = false;

	for (size_t n = 0; history_record(h, n, &log); n++) {
		bool with = has_node(h, n, p->address);

		if (log.epoch <= p->epoch)
			return without && with;
		without = without || !with;
	}
	return false;
}

/* Whoever leaves a cluster that runs is missing in an epoch, also when it comes back.  The process
 * at p's address is another one than it was then: unless it was missed since, all have left. */
static bool never_missed(const struct history *h, const struct past *p)
{
	struct sd_epoch_log log;
	uint32_t epoch = h->epoch;

	if (epoch == p->epoch)
		return true;
	for (size_t n = 0; history_record(h, n, &log); n++, epoch--) {
		if (log.epoch != epoch || !has_node(h, n, p->address))
			return false;
		if (epoch == p->epoch)
			return true;
	}
	return false;
}

static bool is_our_cluster(const struct settle *s, const struct history *h)
{
	struct sd_epoch_log log;

	return !h->error && h->result == SD_RES_SUCCESS && history_record(h, 0, &log) &&
	       (!s->cluster_ctime || log.ctime == s->cluster_ctime);
}

/* What the daemon at that address tells. */
static void judge(struct settle *s, const struct history *h, const char *address)
{
	struct past *p, *next;

	if (!is_our_cluster(s, h))
		return;
	for (p = TAILQ_FIRST(&s->pasts); p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->state != DEAD)
			continue;
		if (!strcmp(p->address, address) && never_missed(h, p)) {
			s->restarted = true;
			over(p, true,
			    "the daemon at %s was started again and its cluster with it (epoch %u)",
			    p->address, h->epoch);
		} else if (left_behind(h, p)) {
			over(p, true,
			    "the daemon at %s died, and the cluster went on without it (epoch %u)",
			    p->address, h->epoch);
		}
	}
}

static void on_history(struct history *h)
{
	struct settle *s = h->owner;

	s->asking = false;
	judge(s, h, s->address);
	history_end(h);
}

static void on_visit(struct history *h)
{
	struct settle *s = h->owner;

	s->visiting = false;
	judge(s, h, s->host);
	history_end(h);
	s->calls->visited(s->arg);
}

static bool any_dead(const struct settle *s)
{
	const struct past *p;

	TAILQ_FOREACH (p, &s->pasts, link)
		if (p->state == DEAD)
			return true;
	return false;
}

static void ask_history(struct settle *s)
{
	if (!s->served || s->asking || !any_dead(s))
		return;
	s->asking = true;
	s->history.daemon = s->daemon;
	history_begin(&s->history);
}

bool settle_wants(const struct settle *s, const char *address)
{
	const struct past *p;

	TAILQ_FOREACH (p, &s->pasts, link)
		if (p->state == DEAD && !strcmp(p->address, address))
			return !s->visiting;
	return false;
}

void settle_visit(struct settle *s, struct daemon *daemon, const char *address)
{
	snprintf(s->host, sizeof s->host, "%s", address);
	s->visiting = true;
	s->visit.daemon = daemon;
	history_begin(&s->visit);
}

void settle_visit_lost(struct settle *s)
{
	s->visiting = false;
	history_end(&s->visit);
	s->calls->visited(s->arg);
}

/* One at a time. */
static void look_for_host(struct settle *s, uint64_t now)
{
	struct past *p, *next = NULL;

	if (!s->served || s->visiting)
		return;
	TAILQ_FOREACH (p, &s->pasts, link)
		if (p->state == DEAD && strcmp(p->address, s->address) != 0 &&
		    now - p->visited >= VISIT_AGAIN && (!next || p->visited < next->visited))
			next = p;
	if (!next)
		return;
	next->visited = now;
	s->calls->unsure(s->arg, next->address);
}

/* ---- time ---- */

static void look_after(struct past *p, uint64_t now)
{
	struct settle *s = p->settle;
	uint64_t waited = p->heard ? now - p->heard : now - p->begun + p->age;
	uint64_t least = p->witness ? FENCE_WITNESS : FENCE_CLUSTER;

	if (p->state == RESTING) {
		if (now >= p->rest)
			over(p, false,
			    "the daemon at %s has ended all that it was asked, after %llu s",
			    p->address, (unsigned long long)((p->rest - p->begun) / 2000));
		return;
	}
	if (now - p->asked >= ASK_AGAIN)
		ask(p);
	if (least > s->fence)
		least = s->fence;
	if (!s->fence || waited < s->fence || now - p->begun < least)
		return;
	if (p->state == DEAD)
		over(p, true,
		    "the daemon at %s died %llu s ago (--fence-timeout), and the cluster has shown "
		    "no "
		    "epoch without it; copies of what it was asked may differ",
		    p->address, (unsigned long long)(s->fence / 1000));
	else
		over(p, true,
		    "the daemon at %s could be neither reached nor proved dead for %llu s "
		    "(--fence-timeout); if it still runs, what it was asked before may overwrite "
		    "what is written from now on",
		    p->address, (unsigned long long)(s->fence / 1000));
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct settle *s = arg;
	struct past *p, *next;
	uint64_t now = connection_now();

	(void)fd;
	(void)what;
	for (p = TAILQ_FIRST(&s->pasts); p; p = next) {
		next = TAILQ_NEXT(p, link);
		look_after(p, now);
	}
	ask_history(s);
	look_for_host(s, now);
	if (TAILQ_EMPTY(&s->pasts))
		event_del(s->tick);
}

/* ---- from birth to end ---- */

struct settle *settle_open(struct event_base *base, struct daemon *daemon, uint64_t cluster_ctime,
    unsigned fence_timeout, const struct settle_calls *calls, void *arg)
{
	struct settle *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->base = base;
	s->daemon = daemon;
	s->cluster_ctime = cluster_ctime;
	s->history = (struct history){.most = EPOCHS_WANTED, .done = on_history, .owner = s};
	s->visit = (struct history){.most = EPOCHS_WANTED, .done = on_visit, .owner = s};
	s->fence = (uint64_t)fence_timeout * 1000;
	s->calls = calls;
	s->arg = arg;
	TAILQ_INIT(&s->pasts);
	s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
	if (!s->tick) {
		free(s);
		return NULL;
	}
	return s;
}

static struct past *past_make(struct settle *s, const struct msg_past *past, const char *address)
{
	struct past *p;

	TAILQ_FOREACH (p, &s->pasts, link)
		if (p->number == past->past)
			return p;
	p = s->nr_pasts < PASTS_MAX ? calloc(1, sizeof *p) : NULL;
	if (!p)
		return NULL;
	p->settle = s;
	p->number = past->past;
	p->epoch = past->epoch;
	p->age = past->age;
	snprintf(p->address, sizeof p->address, "%s", address);
	TAILQ_INIT(&p->links);
	TAILQ_INSERT_TAIL(&s->pasts, p, link);
	s->nr_pasts++;
	return p;
}

int settle_add(struct settle *s, const struct msg_past *past, int fd, const char *address)
{
	struct past *p = past_make(s, past, address);
	struct link *l = p && (!past->witness || !p->witness) ? calloc(1, sizeof *l) : NULL;

	if (l)
		l->readable = event_new(s->base, fd, EV_READ | EV_PERSIST, on_readable, l);
	if (!l || !l->readable) {
		free(l);
		close(fd);
		return p && past->witness && p->witness ? -EEXIST : -ENOMEM;
	}
	l->past = p;
	l->fd = fd;
	l->witness = past->witness;
	TAILQ_INSERT_TAIL(&p->links, l, link);
	if (past->witness)
		p->witness = l;
	return 0;
}

static void past_begin(struct past *p)
{
	struct link *l;

	p->begun = p->asked = connection_now();
	if (!p->witness)
		p->state = UNKNOWN;
	TAILQ_FOREACH (l, &p->links, link) {
		if (!l->witness)
			shutdown(l->fd, SHUT_WR);
		event_add(l->readable, NULL);
	}
	if (p->state == READING && !still_open(p)) {
		p->state = ASKING;
		ask(p);
	} else if (p->age >= ASK_AGAIN) {
		ask(p); /* whether it lives: its fence may be over already */
	}
}

void settle_begin(struct settle *s)
{
	const struct timeval interval = {TICK / 1000, TICK % 1000 * 1000};
	struct past *p;

	if (s->begun || TAILQ_EMPTY(&s->pasts))
		return;
	s->begun = true;
	TAILQ_FOREACH (p, &s->pasts, link)
		past_begin(p);
	if (event_add(s->tick, &interval))
		fatal("no timer to settle what was");
}

void settle_served(struct settle *s, const char *address)
{
	snprintf(s->address, sizeof s->address, "%s", address);
	s->served = true;
	ask_history(s);
}

void settle_fence(struct settle *s, const char *address)
{
	struct past *p, *next;

	for (p = TAILQ_FIRST(&s->pasts); p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (!strcmp(p->address, address))
			over(p, true,
			    "the daemon at %s will never run again, it was said (config/fenced)",
			    p->address);
	}
}

bool settle_concerns_server(const struct settle *s)
{
	const struct past *p;

	TAILQ_FOREACH (p, &s->pasts, link)
		if (!strcmp(p->address, s->address))
			return true;
	return false;
}

bool settle_cluster_restarted(const struct settle *s)
{
	return s->restarted;
}

bool settle_is_over(const struct settle *s)
{
	return TAILQ_EMPTY(&s->pasts);
}

void settle_close(struct settle *s)
{
	struct past *p;

	if (!s)
		return;
	while ((p = TAILQ_FIRST(&s->pasts)))
		past_free(p);
	history_end(&s->history);
	history_end(&s->visit);
	event_free(s->tick);
	free(s);
}
