/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cluster worker's work: see cluster.h.
 */
#include "worker/cluster.h"

#include "ipc/log.h"
#include "worker/creation.h"
#include "worker/learning.h"
#include "worker/snapshot.h"
#include "worker/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDERS_MAX 256
#define SHARERS_MAX 16 /* descriptors of one table that are on their way */

enum work { WORK_CHANGE, WORK_LIST, WORK_NODES, WORK_MEMBERS, WORK_RELEASE, WORK_KINDS };

struct order {
	TAILQ_ENTRY(order) next;
	struct cluster *cluster;
	enum work work;
	bool begun;
	bool looked; /* it waits for cluster_change() */
	struct order
	    *sharing; /* the order, begun after this one came, whose table is given to both */
	uint64_t number;
	struct msg_order asked;
	union {
		struct creation creation;
		struct snapshot snapshot;
		struct table *table;
		struct learning learning;
		struct {
			uint32_t vid;
			struct call call;
		} release;
	};
};

struct cluster {
	struct daemon *daemon;
	const struct cluster_calls *calls;
	void *arg;
	bool proving;
	bool busy;     /* what was told */
	bool turning;  /* inside cluster_turn() */
	bool ending;   /* every order is being answered */
	bool draining; /* takes no new order */
	bool lost;     /* the daemon answers no more */
	TAILQ_HEAD(, order) orders;
	unsigned queued;
	unsigned begun[WORK_KINDS];
	struct table_world world;
	char address[ADDRESS_TEXT_MAX];
	uint64_t cluster_ctime; /* 0: it may be any cluster */
	struct call proof;
	struct sd_epoch_log epoch_log;
};

/* ---- the queue ---- */

static unsigned active(const struct cluster *c)
{
	unsigned count = c->proving;

	for (unsigned work = 0; work < WORK_KINDS; work++)
		count += c->begun[work];
	return count;
}

/* Tells whether answers are awaited, when that has changed. */
static void tell_busy(struct cluster *c)
{
	bool busy = active(c) != 0;

	if (busy == c->busy)
		return;
	c->busy = busy;
	c->calls->busy(c->arg, busy);
}

static void order_begin(struct order *o);

/* The first order that may begin now, or NULL. */
static struct order *next_order(struct cluster *c)
{
	struct order *o;

	TAILQ_FOREACH (o, &c->orders, next)
		if (!o->begun && !o->sharing && !c->begun[o->work])
			break;
	return o;
}

/* Begins what may begin; an order may end while it begins. */
static void cluster_turn(struct cluster *c)
{
	struct order *o;

	if (c->turning)
		return;
	c->turning = true;
	while (!c->lost && (o = next_order(c)))
		order_begin(o);
	c->turning = false;
	tell_busy(c);
	if (c->draining && !active(c))
		c->calls->drained(c->arg);
}

static bool is_table(const struct order *o)
{
	return o->work == WORK_LIST || o->work == WORK_NODES;
}

/* An order is over; the next one of its kind may begin. */
static void order_end(struct order *o)
{
	struct cluster *c = o->cluster;

	if (o->begun)
		c->begun[o->work]--;
	TAILQ_REMOVE(&c->orders, o, next);
	c->queued--;
	if (is_table(o))
		table_drop(o->table);
	else if (o->work == WORK_MEMBERS)
		learning_end(&o->learning);
	free(o);
}

__attribute__((format(printf, 3, 4))) static void order_answer(
    struct order *o, int error, const char *format, ...)
{
	struct cluster *c = o->cluster;
	char sentence[SENTENCE_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof sentence, format, ap);
	va_end(ap);
	c->calls->answer(c->arg, o->number, error, sentence);
	order_end(o);
	if (!c->ending)
		cluster_turn(c);
}

/* ---- CREATE, CLONE, SNAPSHOT ---- */

static void on_creation(struct creation *creation)
{
	order_answer(creation->owner, creation->error, "%s", creation->sentence);
}

static void creation_looked(struct creation *creation)
{
	struct order *o = creation->owner;

	o->looked = true;
	o->cluster->calls->looked(o->cluster->arg, o->number, creation->base);
}

static void creation_order(struct order *o)
{
	struct creation *creation = &o->creation;

	creation->daemon = o->cluster->daemon;
	creation->again = o->asked.again;
	creation->base = o->asked.vid;
	creation->looked = creation_looked;
	creation->done = on_creation;
	creation->owner = o;
	if (o->asked.verb == VERB_CLONE) {
		memcpy(creation->block.name, o->asked.other, SD_NAME_SIZE);
		memcpy(creation->source.name, o->asked.name, SD_NAME_SIZE);
		memcpy(creation->source.tag, o->asked.tag, SD_TAG_SIZE);
		creation->source_snap_id = o->asked.snap_id;
	} else {
		memcpy(creation->block.name, o->asked.name, SD_NAME_SIZE);
		creation->size = o->asked.size;
		creation->shift = o->asked.shift;
		creation->copies = (uint8_t)o->asked.copies;
		creation->policy = (uint8_t)o->asked.policy;
	}
	creation_begin(creation);
}

static void on_snapshot(struct snapshot *snapshot)
{
	order_answer(snapshot->owner, snapshot->error, "%s", snapshot->sentence);
}

static void snapshot_looked(struct snapshot *snapshot)
{
	struct order *o = snapshot->owner;

	o->looked = true;
	o->cluster->calls->looked(o->cluster->arg, o->number, snapshot->vid);
}

static void snapshot_order(struct order *o)
{
	struct snapshot *snapshot = &o->snapshot;

	snapshot->daemon = o->cluster->daemon;
	memcpy(snapshot->block.name, o->asked.name, SD_NAME_SIZE);
	memcpy(snapshot->block.tag, o->asked.tag, SD_TAG_SIZE);
	snapshot->again = o->asked.vid;
	snapshot->looked = snapshot_looked;
	snapshot->done = on_snapshot;
	snapshot->owner = o;
	snapshot_begin(snapshot);
}

static void change_begin(struct order *o)
{
	if (o->asked.verb == VERB_SNAPSHOT)
		snapshot_order(o);
	else
		creation_order(o);
}

/* ---- tables ---- */

/* Who came before this table was begun and wants the same is given it too: it is fresh for them. */
static void share(struct order *o)
{
	unsigned sharers = 0;
	struct order *other;

	TAILQ_FOREACH (other, &o->cluster->orders, next) {
		if (!is_table(other) || other->begun || other->asked.verb != o->asked.verb)
			continue;
		if (sharers++ == SHARERS_MAX)
			break;
		other->sharing = o;
	}
}

static void give(struct order *o, int error, int fd, const char *sentence)
{
	struct cluster *c = o->cluster;
	char words[SENTENCE_MAX];

	snprintf(words, sizeof words, "there is no table: %s", sentence);
	if (error)
		c->calls->answer(c->arg, o->number, error, words);
	else
		c->calls->table(c->arg, o->number, fd);
	order_end(o);
}

/* A sharer whose copy cannot be made gets a table of its own. */
static void on_table(void *arg, int error, int fd, const char *sentence)
{
	struct order *o = arg, *other, *after;
	struct cluster *c = o->cluster;

	o->table = NULL;
	for (other = TAILQ_FIRST(&c->orders); other; other = after) {
		int copy = -1;

		after = TAILQ_NEXT(other, next);
		if (other->sharing != o)
			continue;
		other->sharing = NULL;
		if (error || (copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)) >= 0)
			give(other, error, copy, sentence);
	}
	give(o, error, fd, sentence);
	cluster_turn(c);
}

static void table_begin(struct order *o)
{
	o->table = table_make(o->asked.verb, &o->cluster->world, on_table, o);
	if (o->table)
		share(o);
	else
		order_answer(o, -ENOMEM, "there is no memory for the table");
}

/* ---- members ---- */

static void on_told(struct learning *l, const char *text, bool first, bool last)
{
	struct order *o = l->owner;
	struct cluster *c = o->cluster;

	c->calls->members(c->arg, o->number, l->cluster_ctime, text, first, last);
}

static void on_learnt(struct learning *l)
{
	struct order *o = l->owner;
	struct cluster *c = o->cluster;

	if (l->error) {
		order_answer(o, l->error, "%s", l->sentence);
		return;
	}
	order_end(o);
	cluster_turn(c);
}

static void members_begin(struct order *o)
{
	o->learning = (struct learning){
	    .daemon = o->cluster->daemon, .told = on_told, .done = on_learnt, .owner = o};
	learning_begin(&o->learning);
}

/* ---- RELEASE ---- */

static void on_released(struct call *call)
{
	struct order *o = call->owner;
	uint32_t result = call->rsp.result;

	if (result == SD_RES_SUCCESS || result == SD_RES_VDI_NOT_LOCKED)
		order_answer(o, 0, "the lock of vid %x was released", o->release.vid);
	else
		order_answer(o, sheep_errno(result), "the lock of vid %x was not released: %s",
		    o->release.vid, sheep_result_name(result));
}

static void release_begin(struct order *o)
{
	vdi_call_release(&o->release.call, o->release.vid, on_released, o);
	daemon_submit(o->cluster->daemon, &o->release.call);
}

/* ---- orders ---- */

static void order_begin(struct order *o)
{
	o->begun = true;
	o->cluster->begun[o->work]++;
	if (o->work == WORK_CHANGE)
		change_begin(o);
	else if (is_table(o))
		table_begin(o);
	else if (o->work == WORK_MEMBERS)
		members_begin(o);
	else
		release_begin(o);
}

/* What is to be said of one that did not begin. */
static const char *outcome_of(bool again)
{
	return again ? "look at vdi/list for what was done before" : "nothing was changed";
}

static const char *outcome(const struct order *o)
{
	return outcome_of(o->asked.again);
}

/* Makes an order and puts it in the queue; answers it at once where that cannot be. */
static struct order *order_new(struct cluster *c, enum work work, uint64_t number, bool again)
{
	struct order *o = NULL;
	char sentence[SENTENCE_MAX];

	if (!c->draining && c->queued < ORDERS_MAX)
		o = calloc(1, sizeof *o);
	if (!o) {
		snprintf(sentence, sizeof sentence, "%s; %s",
		    c->draining ? "sheepfs is about to end"
				: "too much is asked of the cluster at once",
		    outcome_of(again));
		c->calls->answer(c->arg, number, c->draining ? -ESHUTDOWN : -EBUSY, sentence);
		return NULL;
	}
	o->cluster = c;
	o->work = work;
	o->number = number;
	TAILQ_INSERT_TAIL(&c->orders, o, next);
	c->queued++;
	return o;
}

static enum work work_of(enum verb verb)
{
	if (verb <= VERB_CLONE)
		return WORK_CHANGE;
	return verb == VERB_LIST ? WORK_LIST : WORK_NODES;
}

void cluster_order(struct cluster *c, const struct msg_order *order)
{
	struct order *o = order_new(c, work_of(order->verb), order->number, order->again);

	if (!o)
		return;
	o->asked = *order;
	cluster_turn(c);
}

void cluster_change(struct cluster *c, uint64_t number)
{
	struct order *o;

	TAILQ_FOREACH (o, &c->orders, next)
		if (o->number == number && o->looked)
			break;
	if (!o)
		return; /* the daemon was lost meanwhile */
	o->looked = false;
	if (o->asked.verb == VERB_SNAPSHOT)
		snapshot_change(&o->snapshot);
	else
		creation_change(&o->creation);
}

void cluster_release(struct cluster *c, const struct msg_release *release)
{
	struct order *o = order_new(c, WORK_RELEASE, release->number, false);

	if (!o)
		return;
	o->release.vid = release->vid;
	cluster_turn(c);
}

void cluster_learn(struct cluster *c, uint64_t number)
{
	if (order_new(c, WORK_MEMBERS, number, false))
		cluster_turn(c);
}

/* ---- the daemon ---- */

static void proof_refuse(struct cluster *c, uint32_t result)
{
	const char *why = "the daemon does not serve a cluster";
	char sentence[160];

	if (result == SD_RES_SHUTDOWN)
		why = "the cluster is shutting down";
	else if (result == SD_RES_VER_MISMATCH)
		why = "the daemon speaks another version of the protocol";
	snprintf(sentence, sizeof sentence, "%s (%s)", why, sheep_result_name(result));
	c->calls->refused(c->arg, sheep_errno(result), sentence);
}

static void on_status(struct call *call)
{
	struct cluster *c = call->owner;
	uint32_t result = call->rsp.result;
	bool waiting = result == SD_RES_WAIT_FOR_FORMAT || result == SD_RES_WAIT_FOR_JOIN;

	c->proving = false;
	tell_busy(c);
	if (result != SD_RES_SUCCESS && !waiting) {
		proof_refuse(c, result);
		return;
	}
	if (c->cluster_ctime && c->epoch_log.ctime && c->epoch_log.ctime != c->cluster_ctime) {
		c->calls->refused(c->arg, -ESTALE,
		    "the daemon serves another cluster than the one that named it");
		return;
	}
	c->calls->ready(c->arg, waiting);
	cluster_turn(c);
}

static void on_cluster_default(struct call *call)
{
	struct cluster *c = call->owner;

	if (call->rsp.result != SD_RES_SUCCESS) {
		c->proving = false;
		tell_busy(c);
		proof_refuse(c, call->rsp.result);
		return;
	}
	vdi_call_status(&c->proof, &c->epoch_log, on_status, c);
	daemon_submit(c->daemon, &c->proof);
}

void cluster_begin(struct cluster *c, const char *address, uint64_t cluster_ctime)
{
	c->cluster_ctime = cluster_ctime;
	snprintf(c->address, sizeof c->address, "%s", address);
	c->proving = true;
	tell_busy(c);
	call_init(&c->proof, SD_OP_GET_CLUSTER_DEFAULT, LANE_CONTROL, on_cluster_default, c);
	daemon_submit(c->daemon, &c->proof);
}

/* The one table that asks nodes is being made, or was; then nobody waits for the number. */
static struct table *nodes_table(const struct cluster *c)
{
	const struct order *o;

	TAILQ_FOREACH (o, &c->orders, next)
		if (o->begun && o->work == WORK_NODES)
			return o->table;
	return NULL;
}

void cluster_node_connected(struct cluster *c, uint64_t number, struct daemon *node)
{
	struct table *t = nodes_table(c);

	if (t)
		table_node_connected(t, number, node);
}

void cluster_node_failed(struct cluster *c, uint64_t number, const char *why)
{
	struct table *t = nodes_table(c);

	if (t)
		table_node_failed(t, number, why);
}

void cluster_drain(struct cluster *c)
{
	struct order *o, *after;

	c->draining = c->ending = true;
	for (o = TAILQ_FIRST(&c->orders); o; o = after) {
		after = TAILQ_NEXT(o, next);
		if (!o->begun)
			order_answer(o, -ESHUTDOWN, "sheepfs is about to end; %s", outcome(o));
	}
	c->ending = false;
	cluster_turn(c);
}

static void order_lost(struct order *o, const char *why)
{
	if (!o->begun && o->work == WORK_CHANGE) {
		order_answer(o, -EINPROGRESS, "%s; %s", why, outcome(o));
	} else if (!o->begun || is_table(o) || o->work == WORK_MEMBERS) {
		order_answer(o, -EIO, "%s; nothing was changed", why);
	} else if (o->work == WORK_RELEASE) {
		order_answer(o, -EINPROGRESS, "whether vid %x is still locked is not known: %s",
		    o->release.vid, why);
	} else if (o->asked.verb == VERB_SNAPSHOT) {
		snapshot_lost(&o->snapshot, why);
		on_snapshot(&o->snapshot);
	} else {
		creation_lost(&o->creation, why);
		on_creation(&o->creation);
	}
}

void cluster_lost(struct cluster *c, const char *why)
{
	struct order *o;

	c->draining = c->ending = c->lost = true;
	while ((o = TAILQ_FIRST(&c->orders)))
		order_lost(o, why);
}

struct cluster *cluster_open(struct daemon *daemon, const struct cluster_calls *calls, void *arg)
{
	struct cluster *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->daemon = daemon;
	c->calls = calls;
	c->arg = arg;
	TAILQ_INIT(&c->orders);
	c->world = (struct table_world){.daemon = daemon,
	    .address = c->address,
	    .counted = counted_open(),
	    .now = calls->now,
	    .dial = calls->dial,
	    .hang_up = calls->hang_up,
	    .arg = arg};
	return c;
}

void cluster_close(struct cluster *c)
{
	if (!c)
		return;
	while (!TAILQ_EMPTY(&c->orders))
		order_end(TAILQ_FIRST(&c->orders));
	counted_close(c->world.counted);
	free(c);
}
