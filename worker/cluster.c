/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cluster worker's work: see cluster.h.
 */
#include "worker/cluster.h"

#include "ipc/log.h"
#include "ipc/name.h"
#include "worker/tables.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDERS_MAX 256

enum work { WORK_CREATE, WORK_LIST, WORK_RELEASE, WORK_KINDS };

struct order {
	TAILQ_ENTRY(order) next;
	struct cluster *cluster;
	enum work work;
	bool begun;
	bool sent; /* to the cluster, which it may change */
	uint64_t number;
	uint64_t size;
	uint32_t shift;
	uint32_t vid;
	char name[SD_NAME_SIZE];
	char shown[NAME_SHOWN_SIZE]; /* the name, as it is typed */
	struct table *table;
	struct call call;
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
	struct call proof;
	struct sd_epoch_log epoch_log;
};

/* ---- the queue ---- */

static unsigned active(const struct cluster *c)
{
	return c->proving + c->begun[WORK_CREATE] + c->begun[WORK_LIST] + c->begun[WORK_RELEASE];
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

	TAILQ_FOREACH(o, &c->orders, next)
	if (!o->begun && !c->begun[o->work])
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

/* An order is over; the next one of its kind may begin. */
static void order_end(struct order *o)
{
	struct cluster *c = o->cluster;

	if (o->begun)
		c->begun[o->work]--;
	TAILQ_REMOVE(&c->orders, o, next);
	c->queued--;
	tables_drop(o->table);
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

static void order_submit(struct order *o, enum sd_op op, void (*done)(struct call *))
{
	struct sd_req request = o->call.req;

	call_init(&o->call, op, LANE_CONTROL, done, o);
	o->call.req.vdi = request.vdi;
	if (op == SD_OP_NEW_VDI) {
		o->call.req.flags = SD_FLAG_WRITE;
		o->call.send = o->name;
		o->call.send_size = sizeof o->name;
	}
	daemon_submit(o->cluster->daemon, &o->call);
}

/* ---- CREATE ---- */

static const char *explain_create(uint32_t result)
{
	switch (result) {
	case SD_RES_VDI_EXIST:
		return "a volume of that name exists; vdi/list shows it";
	case SD_RES_FULL_VDI:
		return "the cluster has as many volumes, deleted ones included, as it can number";
	case SD_RES_VDI_WRITE:
		return "the cluster could not write it down: too few nodes for its copies, or no "
		       "space";
	case SD_RES_NO_SPACE:
		return "the cluster has no space left";
	case SD_RES_CLUSTER_ERROR:
	case SD_RES_NETWORK_ERROR:
		return "the cluster was disturbed and it may exist or not; look at vdi/list";
	default:
		return "the daemon refused";
	}
}

static void on_created(struct call *call)
{
	struct order *o = call->owner;
	uint32_t result = call->rsp.result;
	char size[TABLES_SIZE_MAX], object[TABLES_SIZE_MAX];

	if (result != SD_RES_SUCCESS)
		order_answer(o, sheep_errno(result), "volume %s was not created: %s (%s)", o->shown,
		    explain_create(result), sheep_result_name(result));
	else
		order_answer(o, 0,
		    "volume %s was created: %s in objects of %s, vid %x; write its name to "
		    "vdi/mount to "
		    "attach it",
		    o->shown, tables_size(o->size, size),
		    tables_size(UINT64_C(1) << o->shift, object), call->rsp.vdi.vdi_id);
}

/* The index of a VDI has 2^20 entries (P 3.3). */
static void create_send(struct order *o)
{
	char most[TABLES_SIZE_MAX], object[TABLES_SIZE_MAX], better[TABLES_SIZE_MAX];
	uint32_t shift = o->shift;

	if (shift < SD_SHIFT_MIN || shift > SD_SHIFT_MAX) {
		order_answer(o, -EINVAL,
		    "volume %s was not created: an object size of 2^%u bytes is not possible, from "
		    "2^%d to 2^%d is",
		    o->shown, shift, SD_SHIFT_MIN, SD_SHIFT_MAX);
		return;
	}
	while (shift < SD_SHIFT_MAX && o->size > (uint64_t)SD_INODE_NR_INDEX << shift)
		shift++;
	if (shift != o->shift) {
		tables_size(UINT64_C(1) << o->shift, object);
		tables_size((uint64_t)SD_INODE_NR_INDEX << o->shift, most);
		tables_size(UINT64_C(1) << shift, better);
		order_answer(o, -EFBIG,
		    "volume %s was not created: objects of %s make %s at most; it needs objects of "
		    "%s (object_size=)",
		    o->shown, object, most, better);
		return;
	}
	o->sent = true;
	o->call.req.vdi.vdi_size = o->size;
	o->call.req.vdi.block_size_shift = (uint8_t)o->shift;
	order_submit(o, SD_OP_NEW_VDI, on_created);
}

static void on_default(struct call *call)
{
	struct order *o = call->owner;

	if (call->rsp.result != SD_RES_SUCCESS) {
		order_answer(o, sheep_errno(call->rsp.result),
		    "volume %s was not created: the daemon does not tell its object size (%s)",
		    o->shown, sheep_result_name(call->rsp.result));
		return;
	}
	o->shift = call->rsp.cluster_default.block_size_shift;
	memset(&o->call.req, 0, sizeof o->call.req);
	create_send(o);
}

static void create_begin(struct order *o)
{
	if (!o->name[0])
		order_answer(o, -EINVAL, "nothing was created: the name is empty");
	else if (!o->size)
		order_answer(o, -EINVAL, "volume %s was not created: its size is 0", o->shown);
	else if (o->size % 512)
		order_answer(o, -EINVAL,
		    "volume %s was not created: its size must be a multiple of 512 bytes, the next "
		    "one "
		    "is %llu",
		    o->shown, (unsigned long long)(o->size / 512 + 1) * 512);
	else if (o->shift)
		create_send(o);
	else
		order_submit(o, SD_OP_GET_CLUSTER_DEFAULT, on_default);
}

/* ---- LIST ---- */

static void on_table(void *arg, int error, int fd, const char *sentence)
{
	struct order *o = arg;
	struct cluster *c = o->cluster;

	o->table = NULL;
	if (error) {
		order_answer(o, error, "there is no table: %s", sentence);
		return;
	}
	c->calls->table(c->arg, o->number, fd);
	order_end(o);
	cluster_turn(c);
}

static void list_begin(struct order *o)
{
	o->table = tables_list(o->cluster->daemon, on_table, o);
	if (!o->table)
		order_answer(o, -ENOMEM, "there is no memory for the table");
}

/* ---- RELEASE ---- */

static void on_released(struct call *call)
{
	struct order *o = call->owner;
	uint32_t result = call->rsp.result;

	if (result == SD_RES_SUCCESS || result == SD_RES_VDI_NOT_LOCKED)
		order_answer(o, 0, "the lock of vid %x was released", o->vid);
	else
		order_answer(o, sheep_errno(result), "the lock of vid %x was not released: %s",
		    o->vid, sheep_result_name(result));
}

static void release_begin(struct order *o)
{
	o->sent = true;
	o->call.req.vdi.base_vdi_id = o->vid;
	o->call.req.vdi.type = SD_LOCK_NORMAL;
	order_submit(o, SD_OP_RELEASE_VDI, on_released);
}

/* ---- orders ---- */

static void order_begin(struct order *o)
{
	o->begun = true;
	o->cluster->begun[o->work]++;
	if (o->work == WORK_CREATE)
		create_begin(o);
	else if (o->work == WORK_LIST)
		list_begin(o);
	else
		release_begin(o);
}

/* Makes an order and puts it in the queue; answers it at once where that cannot be. */
static struct order *order_new(struct cluster *c, enum work work, uint64_t number)
{
	struct order *o = NULL;

	if (!c->draining && c->queued < ORDERS_MAX)
		o = calloc(1, sizeof *o);
	if (!o) {
		c->calls->answer(c->arg, number, c->draining ? -ESHUTDOWN : -EBUSY,
		    c->draining ? "sheepfs is about to end; nothing was changed"
				: "too much is asked of the cluster at once; nothing was changed");
		return NULL;
	}
	o->cluster = c;
	o->work = work;
	o->number = number;
	TAILQ_INSERT_TAIL(&c->orders, o, next);
	c->queued++;
	return o;
}

void cluster_order(struct cluster *c, const struct msg_order *order)
{
	struct name n = {.snap_id = 0};
	struct order *o;

	if (order->verb != VERB_LIST && order->verb != VERB_CREATE) {
		c->calls->answer(c->arg, order->number, -EOPNOTSUPP, "not yet");
		return;
	}
	o = order_new(c, order->verb == VERB_LIST ? WORK_LIST : WORK_CREATE, order->number);
	if (!o)
		return;
	memcpy(n.name, order->name, sizeof n.name);
	memcpy(o->name, order->name, sizeof o->name);
	name_show(&n, o->shown);
	o->size = order->size;
	o->shift = order->shift;
	cluster_turn(c);
}

void cluster_release(struct cluster *c, const struct msg_release *release)
{
	struct order *o = order_new(c, WORK_RELEASE, release->number);

	if (!o)
		return;
	o->vid = release->vid;
	cluster_turn(c);
}

/* ---- the daemon ---- */

/* What dog says of a cluster that does not run (P 7). */
static const char *explain_status(uint32_t result)
{
	switch (result) {
	case SD_RES_WAIT_FOR_FORMAT:
		return "the cluster waits to be formatted";
	case SD_RES_WAIT_FOR_JOIN:
		return "the cluster waits for other nodes to join";
	case SD_RES_SHUTDOWN:
		return "the cluster is shutting down";
	case SD_RES_VER_MISMATCH:
		return "the daemon speaks another version of the protocol";
	default:
		return "the daemon does not serve a cluster";
	}
}

static void proof_refuse(struct cluster *c, uint32_t result)
{
	char sentence[160];

	snprintf(sentence, sizeof sentence, "%s (%s)", explain_status(result),
	    sheep_result_name(result));
	c->calls->refused(c->arg, sheep_errno(result), sentence);
}

static void on_status(struct call *call)
{
	struct cluster *c = call->owner;

	c->proving = false;
	tell_busy(c);
	if (call->rsp.result != SD_RES_SUCCESS) {
		proof_refuse(c, call->rsp.result);
		return;
	}
	c->calls->ready(c->arg);
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
	call_init(&c->proof, SD_OP_STAT_CLUSTER, LANE_CONTROL, on_status, c);
	c->proof.receive = &c->epoch_log;
	c->proof.receive_size = sizeof c->epoch_log;
	daemon_submit(c->daemon, &c->proof);
}

void cluster_begin(struct cluster *c)
{
	c->proving = true;
	tell_busy(c);
	call_init(&c->proof, SD_OP_GET_CLUSTER_DEFAULT, LANE_CONTROL, on_cluster_default, c);
	daemon_submit(c->daemon, &c->proof);
}

void cluster_drain(struct cluster *c)
{
	struct order *o, *after;

	c->draining = c->ending = true;
	for (o = TAILQ_FIRST(&c->orders); o; o = after) {
		after = TAILQ_NEXT(o, next);
		if (!o->begun)
			order_answer(o, -ESHUTDOWN, "sheepfs is about to end; nothing was changed");
	}
	c->ending = false;
	cluster_turn(c);
}

void cluster_lost(struct cluster *c, const char *why)
{
	struct order *o;

	c->draining = c->ending = c->lost = true;
	while ((o = TAILQ_FIRST(&c->orders))) {
		if (o->sent && o->work == WORK_CREATE)
			order_answer(o, -EIO,
			    "whether volume %s was created is not known, look at vdi/list before "
			    "you "
			    "try again: %s",
			    o->shown, why);
		else if (o->sent)
			order_answer(o, -EIO, "whether vid %x is still locked is not known: %s",
			    o->vid, why);
		else
			order_answer(o, -EIO, "%s; nothing was changed", why);
	}
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
	return c;
}

void cluster_close(struct cluster *c)
{
	if (!c)
		return;
	while (!TAILQ_EMPTY(&c->orders))
		order_end(TAILQ_FIRST(&c->orders));
	free(c);
}
