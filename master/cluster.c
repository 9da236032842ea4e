/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cluster worker: see cluster.h.
 */
#include "master/cluster.h"

#include "include/words.h"
#include "ipc/log.h"
#include "master/command.h"
#include "master/dial.h"
#include "master/discover.h"
#include "master/handover.h"
#include "master/nodes.h"
#include "master/process.h"
#include "master/stop.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define PAUSE 300          /* milliseconds before the list of targets is tried again */
#define ORDERS_MAX 1600    /* above COMMANDS_MAX and LOCKS_MAX together */
#define ANSWER_EXTRA 10000 /* milliseconds that an order has besides --timeout once it is sent */
#define FAILED_WAIT 500    /* milliseconds that a worker has to end after it could not */
#define STOP_LIMIT 3000
#define CONNECT_MIN 1000 /* milliseconds that one target gets at least to connect */

enum state { IDLE, DIALLING, STARTING, SERVING, ENDING };

struct order {
	TAILQ_ENTRY(order) link;
	struct cluster *cluster;
	uint64_t number;         /* ours */
	struct command *command; /* NULL: a release, or a question for the members */
	uint32_t vid;            /* to be released; 0: none */
	cluster_done *done;
	void *arg;
	bool sent;
	bool looked;    /* it may not look another time */
	unsigned tries; /* how often it was sent */
	bool unsure;    /* a daemon may have been told, and perhaps has done it */
	char *failed;   /* the worker could not do it; if it ends next, another may; else NULL */
	struct event *limit;
};

struct cluster {
	struct master *master;
	enum state state;
	struct process process;
	struct trial *trial;
	struct dial *dial;
	struct event *pause;
	struct target target;
	char refused[TARGET_ERROR_MAX]; /* what it said before it ended; empty: nothing */
	TAILQ_HEAD(, order) orders;
	unsigned nr_orders;
	uint64_t last_number;
	uint32_t serial;
	struct nodes *nodes;
	bool met_waiting; /* a target in this round whose cluster waits */
	bool settle;      /* for such a one */
	bool leaving;     /* for other targets, when what it has been given is done */
	bool stopping;
	bool overdue; /* an answer was: the target is at fault */
};

/* ---- orders ---- */

static void leave_when_idle(struct cluster *c)
{
	const struct order *o;

	TAILQ_FOREACH (o, &c->orders, link)
		if (o->sent)
			return;
	if (c->leaving && c->state == SERVING)
		process_kill(&c->process, "there are other targets");
}

static void order_free(struct order *o)
{
	struct cluster *c = o->cluster;

	TAILQ_REMOVE(&c->orders, o, link);
	c->nr_orders--;
	event_free(o->limit);
	free(o->failed);
	free(o);
	leave_when_idle(c);
}

__attribute__((format(printf, 3, 4))) static void order_answer(
    struct order *o, int error, const char *format, ...)
{
	struct command *c = o->command;
	cluster_done *done = o->done;
	void *arg = o->arg;
	bool unsure = o->unsure;
	char sentence[SENTENCE_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof sentence, format, ap);
	va_end(ap);
	order_free(o);
	if (c)
		command_answer(c, error == -EINPROGRESS ? -EIO : error, "%s", sentence);
	else
		done(error && unsure ? -EINPROGRESS : error, sentence, arg);
}

static struct order *find_order(struct cluster *c, uint64_t number)
{
	struct order *o;

	TAILQ_FOREACH (o, &c->orders, link)
		if (o->number == number && o->sent && !o->failed)
			return o;
	return NULL;
}

static void restart_limit(struct order *o, unsigned milliseconds)
{
	struct timeval limit = {milliseconds / 1000, (milliseconds % 1000) * 1000};

	event_add(o->limit, &limit);
}

static void order_send(struct order *o)
{
	struct chan *chan = o->cluster->process.chan;

	o->sent = true;
	o->looked = o->command && o->command->again;
	o->tries++;
	restart_limit(o, o->cluster->master->conf->timeout * 1000 + ANSWER_EXTRA);
	if (o->command) {
		const struct command *command = o->command;
		struct msg_order payload = {.number = o->number,
		    .size = command->size,
		    .verb = command->verb,
		    .shift = command->shift,
		    .snap_id = command->name.snap_id,
		    .copies = command->copies,
		    .policy = command->policy,
		    .again = command->again,
		    .vid = command->vid};

		memcpy(payload.name, command->name.name, sizeof payload.name);
		memcpy(payload.tag, command->name.tag, sizeof payload.tag);
		memcpy(payload.other, command->other.name, sizeof payload.other);
		send_order(chan, 0, 0, &payload, NULL, 0, NULL);
	} else if (o->vid) {
		const struct msg_release payload = {.number = o->number, .vid = o->vid};

		send_release(chan, 0, 0, &payload, NULL, 0, NULL);
	} else {
		const struct msg_learn payload = {.number = o->number};

		send_learn(chan, 0, 0, &payload, NULL, 0, NULL);
	}
}

static bool is_change(const struct order *o)
{
	return o->command && command_is_change(o->command);
}

/* We are replaced: the kernel asks the next sheepfs for every command that was not answered. */
static bool is_for_successor(const struct order *o)
{
	return o->command && o->cluster->master->handover;
}

/* It may have been done: a worker had looked, and was told to do it. */
static bool is_begun(const struct order *o)
{
	return is_change(o) && o->command->again;
}

/* Nobody did it in time: either there is no daemon, or our worker is stuck. */
static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct order *o = arg;
	struct cluster *c = o->cluster;
	char targets[SENTENCE_MAX];

	(void)fd;
	(void)what;
	if (c->stopping && is_for_successor(o))
		return; /* it goes on with us when that one does not serve */
	if (o->failed && is_change(o)) {
		process_kill(&c->process, "it had lost its daemon and did not end");
		return;
	}
	if (o->failed) {
		char sentence[SENTENCE_MAX];

		snprintf(sentence, sizeof sentence, "%s", o->failed);
		order_answer(o, -EIO, "%s", sentence);
		return;
	}
	if (o->sent) {
		c->overdue = true;
		process_kill(&c->process, "it did not answer in time");
		return;
	}
	trial_describe(c->trial, targets, sizeof targets);
	order_answer(o, -ETIMEDOUT, "no daemon served within %u s (--timeout); %s: %s",
	    c->master->conf->timeout,
	    is_begun(o) ? "vdi/list shows what was done before" : "nothing was changed", targets);
}

/* ---- the targets ---- */

static void try_next(struct cluster *c);

static void leave_target(struct cluster *c, const char *why)
{
	if (trial_target(c->trial))
		log_debug("cluster worker: %s: %s", trial_target(c->trial)->text, why);
	trial_failed(c->trial, why);
	trial_follow(c->trial, discover_targets(c->master));
}

/* The target after one that was left; after the last of them in a while. */
static void go_elsewhere(struct cluster *c)
{
	static const struct timeval pause = {0, PAUSE * 1000};

	c->state = IDLE;
	if (trial_target(c->trial)) {
		try_next(c);
		return;
	}
	trial_again(c->trial);
	if (c->met_waiting && !c->stopping) {
		c->met_waiting = false;
		c->settle = true;
		try_next(c);
		return;
	}
	if (c->nr_orders && !c->stopping) {
		c->state = DIALLING;
		event_add(c->pause, &pause);
	}
}

static void try_elsewhere(struct cluster *c, const char *why)
{
	leave_target(c, why);
	go_elsewhere(c);
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
	struct cluster *c = arg;

	(void)fd;
	(void)what;
	if (c->nr_orders)
		try_next(c);
	else
		c->state = IDLE;
}

/* ---- its process ---- */

static void serve(struct cluster *c)
{
	struct order *o;

	c->state = SERVING;
	snprintf(c->master->daemon, sizeof c->master->daemon, "%s", c->target.text);
	chan_talk(c->process.chan, TALK_SERVING);
	log_debug("the cluster worker serves, through %s", c->target.text);
	TAILQ_FOREACH (o, &c->orders, link)
		if (!o->sent)
			order_send(o);
}

/* One whose cluster waits can tell that it does, and no more: it is used when no other serves. */
static void judge_ready(struct cluster *c, bool waiting)
{
	if (!waiting || c->settle || c->trial->list.count == 1) {
		c->settle = c->met_waiting = false;
		serve(c);
		return;
	}
	c->met_waiting = true;
	snprintf(c->refused, sizeof c->refused, "its cluster waits for its format or for members");
	process_kill(&c->process, c->refused);
}

/* Asking again changes nothing, or whoever is asked looks first. */
static bool may_repeat(const struct order *o)
{
	return o->tries <= o->cluster->trial->list.count + is_change(o);
}

/* A worker that loses its daemon says so of every order, and ends: then the next one is asked. */
static void take_answer(struct order *o, const struct msg *m)
{
	const char *sentence = (const char *)m->tail;
	int error = m->body.answered.error;

	if (error == -ESHUTDOWN && o->cluster->stopping && is_for_successor(o)) {
		o->sent = false;
		return;
	}
	o->unsure = o->unsure || error == -EINPROGRESS;
	if ((error == -EINPROGRESS || (error == -EIO && !is_change(o))) && may_repeat(o))
		o->failed = strdup(sentence);
	if (o->failed)
		restart_limit(o, FAILED_WAIT);
	else
		order_answer(o, error, "%s", sentence);
}

/* Whoever goes on after its death, or ours, has to know. */
static void take_looked(struct order *o, const struct msg *m)
{
	const struct msg_change change = {.number = o->number};
	struct cluster *c = o->cluster;

	if (c->process.blame[0])
		return; /* it is dead, and was not told to do it */
	if (!is_change(o) || o->looked ||
	    (o->command->verb == VERB_CREATE) != !m->body.looked.vid) {
		process_kill(&c->process, "it looked for what nobody asked for");
		return;
	}
	o->looked = true;
	command_record(o->command, m->body.looked.vid);
	send_change(c->process.chan, 0, 0, &change, NULL, 0, NULL);
}

static void take_table(struct order *o, struct msg *m)
{
	struct command *command = o->command;

	if (!command || !command_is_table(command)) {
		process_kill(&o->cluster->process, "it sent a table that nobody asked for");
		return;
	}
	order_free(o);
	command_answer_table(command, msg_take_fd(m, 0));
}

static void take_members(struct order *o, const struct msg *m)
{
	if (o->command || o->vid) {
		process_kill(&o->cluster->process, "it told members that nobody asked for");
		return;
	}
	discover_take(o->cluster->master, &m->body.members, (const char *)m->tail);
	if (m->body.members.last)
		order_answer(o, 0, "they were told");
}

static void on_message(struct msg *m, void *arg)
{
	struct cluster *c = arg;
	struct order *o;

	switch (m->id) {
	case MSG_CLUSTER_READY:
		if (c->state == STARTING)
			judge_ready(c, m->body.cluster_ready.waiting);
		break;
	case MSG_DIAL_NODE:
		nodes_dial(
		    c->nodes, &c->process.chan, m->body.dial_node.number, (const char *)m->tail);
		break;
	case MSG_REFUSED:
		snprintf(c->refused, sizeof c->refused, "%.*s", (int)sizeof c->refused - 1,
		    (const char *)m->tail);
		break;
	case MSG_ANSWER:
		o = find_order(c, m->body.answered.number);
		if (o)
			take_answer(o, m);
		break;
	case MSG_LOOKED:
		o = find_order(c, m->body.looked.number);
		if (o)
			take_looked(o, m);
		break;
	case MSG_TABLE:
		o = find_order(c, m->body.table.number);
		if (o)
			take_table(o, m);
		break;
	case MSG_MEMBERS:
		o = find_order(c, m->body.members.number);
		if (o)
			take_members(o, m);
		break;
	case MSG_DRAINED:
		break;
	default:
		process_kill(&c->process, "it said what no cluster worker says");
	}
}

/* What it had been given is for the next one where that may be, else it is answered. */
static void settle_sent_orders(struct cluster *c, const char *words)
{
	struct order *o;

	TAILQ_FOREACH (o, &c->orders, link) {
		o->unsure = o->unsure || (o->sent && !o->failed);
		if (!o->sent || !may_repeat(o) || (c->stopping && !is_for_successor(o)))
			continue;
		o->sent = false;
		free(o->failed);
		o->failed = NULL;
		restart_limit(o, c->master->conf->timeout * 1000);
	}
	do {
		TAILQ_FOREACH (o, &c->orders, link)
			if (o->sent)
				break;
		if (o)
			order_answer(o, -EIO, "the cluster worker ended before it answered: %s%s",
			    words,
			    is_begun(o)  ? "; vdi/list shows what was done"
			    : o->command ? "; nothing was changed"
					 : "");
	} while (o);
}

/* A daemon that does not answer, or hangs up, when it is asked is not asked again before the
 * others. */
static bool is_targets_fault(const struct cluster *c)
{
	int status = c->process.status, word = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	const struct order *o;
	bool asked = false;

	TAILQ_FOREACH (o, &c->orders, link)
		asked = asked || o->sent;
	return asked && (c->overdue || word == EXIT_DAEMON_LOST || word == EXIT_DAEMON_MUTE ||
			    word == EXIT_DAEMON_LIES);
}

static void on_ended(const char *words, void *arg)
{
	struct cluster *c = arg;
	bool served = c->state == SERVING;
	bool elsewhere = !c->leaving && (c->state == STARTING || (served && is_targets_fault(c)));

	if (served && !c->leaving)
		log_warning(
		    "the cluster worker ended: %s; it is started again when it is needed", words);
	c->state = IDLE;
	c->leaving = false;
	nodes_forget(c->nodes);
	if (elsewhere)
		leave_target(c, c->refused[0] ? c->refused : words);
	settle_sent_orders(c, words);
	if (c->stopping) {
		stop_turn(c->master);
		handover_turn(c->master);
		return;
	}
	if (c->state != IDLE)
		return; /* an answer led to a new order */
	if (elsewhere)
		go_elsewhere(c);
	else if (c->nr_orders)
		try_next(c);
}

static int start_process(struct cluster *c, int fd)
{
	const uid_t uid = c->master->conf->uid_first + 1;
	const struct process_plan plan = {.program = "sheepfs-worker",
	    .role = "cluster",
	    .kind = KIND_CLUSTER,
	    .uid = uid,
	    .message = on_message,
	    .ended = on_ended,
	    .arg = c};
	const struct msg_start_cluster start = {
	    .cluster_ctime = c->target.cluster_ctime, .uid = uid, .gid = uid};
	const struct msg_daemon daemon = {.serial = ++c->serial};
	int error = process_start(c->master, &c->process, &plan);

	if (error) {
		evutil_closesocket(fd);
		return error;
	}
	c->refused[0] = 0;
	c->overdue = false;
	send_start_cluster(c->process.chan, 0, 0, &start, NULL, 0, NULL);
	send_daemon(c->process.chan, 0, 0, &daemon, c->target.text, strlen(c->target.text), &fd);
	return 0;
}

static void on_dialled(int fd, void *arg)
{
	struct cluster *c = arg;
	int error;

	c->dial = NULL;
	if (fd < 0) {
		try_elsewhere(c, dial_words(fd));
		return;
	}
	c->target = *trial_target(c->trial);
	error = start_process(c, fd);
	if (error)
		try_elsewhere(c, strerror(-error));
	else
		c->state = STARTING;
}

static void try_next(struct cluster *c)
{
	unsigned limit = c->master->conf->timeout * 1000 / (c->trial->list.count + 1);

	if (limit < CONNECT_MIN)
		limit = CONNECT_MIN;
	if (!trial_target(c->trial))
		trial_again(c->trial);
	c->state = DIALLING;
	c->dial = dial_start(c->master->base, trial_target(c->trial), limit, on_dialled, c);
	if (!c->dial)
		try_elsewhere(c, "out of memory");
}

/* ---- what is asked of it ---- */

static struct order *order_new(struct cluster *c)
{
	struct order *o = NULL;

	if (c->nr_orders < ORDERS_MAX && !c->stopping)
		o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->limit = evtimer_new(c->master->base, on_limit, o);
	if (!o->limit) {
		free(o);
		return NULL;
	}
	o->cluster = c;
	o->number = ++c->last_number;
	TAILQ_INSERT_TAIL(&c->orders, o, link);
	c->nr_orders++;
	return o;
}

static void order_begin(struct order *o)
{
	struct cluster *c = o->cluster;

	restart_limit(o, c->master->conf->timeout * 1000);
	/* one whose conversation is over is about to be reaped, and then the next is started */
	if (c->state == SERVING && c->process.chan && !c->leaving)
		order_send(o);
	else if (c->state == IDLE && !c->process.lives)
		try_next(c);
}

void cluster_order(struct master *m, struct command *command)
{
	struct order *o = order_new(m->cluster);

	if (!o) {
		command_answer(command, -EBUSY,
		    "too much is asked of the cluster at once; nothing was "
		    "changed");
		return;
	}
	o->command = command;
	order_begin(o);
}

static int order_ours(struct master *m, uint32_t vid, cluster_done *done, void *arg)
{
	struct order *o = order_new(m->cluster);

	if (!o)
		return m->cluster->stopping ? -ESHUTDOWN : -EBUSY;
	o->vid = vid;
	o->done = done;
	o->arg = arg;
	order_begin(o);
	return 0;
}

int cluster_release(struct master *m, uint32_t vid, cluster_done *done, void *arg)
{
	return order_ours(m, vid, done, arg);
}

int cluster_learn(struct master *m, cluster_done *done, void *arg)
{
	return order_ours(m, 0, done, arg);
}

void cluster_elsewhere(struct master *m)
{
	struct cluster *c = m->cluster;

	trial_begin(c->trial, discover_targets(m));
	if (c->dial) {
		dial_cancel(c->dial);
		c->dial = NULL;
		try_next(c);
	} else if (c->state == STARTING) {
		c->leaving = true;
		process_kill(&c->process, "there are other targets");
	} else if (c->state == SERVING) {
		c->leaving = true;
		leave_when_idle(c);
	}
}

void cluster_start(struct master *m)
{
	if (m->cluster->state == IDLE)
		try_next(m->cluster);
}

/* ---- life ---- */

struct process *cluster_process(const struct master *m)
{
	return &m->cluster->process;
}

int cluster_open(struct master *m)
{
	struct cluster *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->master = m;
	TAILQ_INIT(&c->orders);
	c->trial = malloc(sizeof *c->trial);
	c->pause = evtimer_new(m->base, on_pause, c);
	c->nodes = nodes_open(m);
	m->cluster = c;
	if (!c->trial || !c->pause || !c->nodes)
		return -ENOMEM;
	trial_begin(c->trial, discover_targets(m));
	return 0;
}

bool cluster_lives(const struct master *m)
{
	return m->cluster->process.lives;
}

void cluster_stop(struct master *m)
{
	const struct msg_drain payload = {.pad = {0}};
	struct cluster *c = m->cluster;

	if (c->stopping)
		return;
	c->stopping = true;
	event_del(c->pause);
	dial_cancel(c->dial);
	c->dial = NULL;
	if (!c->process.lives)
		return;
	c->state = ENDING;
	if (c->process.chan) {
		chan_talk(c->process.chan, TALK_ENDING);
		send_drain(c->process.chan, 0, 0, &payload, NULL, 0, NULL);
	}
	process_kill_later(&c->process, STOP_LIMIT, "it did not finish in time");
}

void cluster_go_on(struct master *m)
{
	struct order *o;

	m->cluster->stopping = false;
	m->cluster->state = IDLE;
	TAILQ_FOREACH (o, &m->cluster->orders, link)
		restart_limit(o, m->conf->timeout * 1000);
	cluster_start(m);
}

void cluster_kill(struct master *m, const char *why)
{
	process_kill(&m->cluster->process, why);
}

void cluster_close(struct master *m)
{
	struct cluster *c = m->cluster;
	struct order *o;

	if (!c)
		return;
	while ((o = TAILQ_FIRST(&c->orders)))
		order_free(o);
	dial_cancel(c->dial);
	nodes_close(c->nodes);
	if (c->pause)
		event_free(c->pause);
	free(c->trial);
	free(c);
	m->cluster = NULL;
}
