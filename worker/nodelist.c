/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node/list and node/info: see nodelist.h.
 */
#include "worker/nodelist.h"

#include "ipc/log.h"
#include "worker/format.h"
#include "worker/members.h"
#include "worker/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NODES_AT_ONCE 16 /* that are asked; each costs a descriptor */

/* One that is being asked. */
struct asking {
	struct nodes *nodes; /* NULL: nobody is */
	uint64_t number;     /* of its connection; 0: our own daemon is asked */
	unsigned node;
	bool connected;
	struct call call;
};

struct answer {
	bool told;
	uint64_t size, free;
};

struct nodes {
	struct table table;
	struct call call;
	struct members members;
	/* node/info */
	unsigned next; /* to be asked */
	unsigned busy;
	struct asking asking[NODES_AT_ONCE];
	struct answer *answers;
	struct walk walk;
	uint64_t vdi_size;
};

/* ---- the list ---- */

static bool take_list(struct nodes *n, const struct call *call)
{
	if (call->rsp.result != SD_RES_SUCCESS) {
		table_fail(&n->table, sheep_errno(call->rsp.result),
		    "the daemon does not tell its nodes: %s", sheep_result_name(call->rsp.result));
		return false;
	}
	if (members_take(&n->members, call))
		return true;
	table_fail(&n->table, -EAGAIN, "there are no active sheep daemons");
	return false;
}

static bool ask_list(struct nodes *n, void (*done)(struct call *))
{
	if (!members_call(&n->members, &n->call, done, n))
		return false;
	daemon_submit(n->table.world->daemon, &n->call);
	return true;
}

static void on_list(struct call *call)
{
	struct nodes *n = call->owner;
	char address[FORMAT_ADDRESS_MAX];

	if (take_list(n, call))
		table_print(&n->table, "  Id   Host:Port         V-Nodes       Zone\n");
	for (unsigned i = 0; i < n->members.count && !n->table.error; i++) {
		struct sd_node node = members_at(&n->members, i);

		table_print(&n->table, "%4u   %-20s\t%2d%11u\n", i,
		    format_address(&node.nid, address), node.nr_vnodes, node.zone);
	}
	table_finish(&n->table);
}

static bool list_begin(struct table *t)
{
	return ask_list((struct nodes *)t, on_list);
}

/* ---- node/info: the text ---- */

static int percent(uint64_t used, uint64_t size)
{
	return size ? (int)((double)used / (double)size * 100) : 0;
}

static void print_space(struct nodes *n, const char *head, const struct answer *a, const char *end)
{
	char size[FORMAT_SIZE_MAX], used[FORMAT_SIZE_MAX], avail[FORMAT_SIZE_MAX];

	table_print(&n->table, "%s\t%s\t%s\t%s\t%3d%%\n%s", head, format_size(a->size, size),
	    format_size(a->size - a->free, used), format_size(a->free, avail),
	    percent(a->size - a->free, a->size), end);
}

static void print_info(struct nodes *n)
{
	struct answer total = {.size = 0};
	char head[16], size[FORMAT_SIZE_MAX];
	unsigned row = 0;

	table_print(&n->table, "Id\tSize\tUsed\tAvail\tUse%%\n");
	for (unsigned i = 0; i < n->members.count; i++) {
		if (!n->answers[i].told)
			continue;
		snprintf(head, sizeof head, "%2u", row++);
		print_space(n, head, &n->answers[i], "");
		total.size += n->answers[i].size;
		total.free += n->answers[i].free;
	}
	print_space(n, "Total", &total, "\n");
	table_print(&n->table, "Total virtual image size\t%s\n", format_size(n->vdi_size, size));
	if (!row)
		table_fail(&n->table, -EHOSTUNREACH, "no node tells its space; the log tells more");
}

static void on_vdi(void *arg, const struct usage *u)
{
	struct nodes *n = arg;

	if (!u->first.header.snap_ctime)
		n->vdi_size += u->first.header.vdi_size;
}

static void on_walked(void *arg, int error, const char *sentence)
{
	struct nodes *n = arg;

	if (error)
		table_fail(&n->table, error, "%s", sentence);
	else
		print_info(n);
	table_finish(&n->table);
}

static void walk(struct nodes *n)
{
	n->walk.daemon = n->table.world->daemon;
	n->walk.headers_only = true;
	n->walk.vdi = on_vdi;
	n->walk.ended = on_walked;
	n->walk.arg = n;
	if (walk_begin(&n->walk))
		return;
	table_fail(&n->table, -ENOMEM, "there is no memory for it");
	table_finish(&n->table);
}

/* ---- node/info: the nodes ---- */

static void ask_more(struct nodes *n);

static void leave_out(struct nodes *n, unsigned i, const char *why)
{
	struct sd_node node = members_at(&n->members, i);
	char address[FORMAT_ADDRESS_MAX];

	log_warning("node/info is without node %s: %s", format_address(&node.nid, address), why);
}

/* Whoever was asked has answered, or will not. */
static void asked(struct asking *a)
{
	struct nodes *n = a->nodes;

	if (a->connected)
		n->table.world->hang_up(n->table.world->arg, a->number);
	a->nodes = NULL;
	n->busy--;
	ask_more(n);
}

/* size and free lie unaligned to eight bytes in the header (P 1.3). */
static void on_space(struct call *call)
{
	struct asking *a = call->owner;
	struct answer *answer = &a->nodes->answers[a->node];

	if (call->rsp.result == SD_RES_SUCCESS) {
		memcpy(&answer->size, call->rsp.node.store_size, sizeof answer->size);
		memcpy(&answer->free, call->rsp.node.store_free, sizeof answer->free);
		answer->told = true;
	} else {
		leave_out(a->nodes, a->node, sheep_result_name(call->rsp.result));
	}
	asked(a);
}

static void ask_space(struct asking *a, struct daemon *daemon)
{
	call_init(&a->call, SD_OP_STAT_SHEEP, LANE_CONTROL, on_space, a);
	daemon_submit(daemon, &a->call);
}

static void on_node(struct table *t, uint64_t number, struct daemon *node, const char *why)
{
	struct nodes *n = (struct nodes *)t;

	for (unsigned i = 0; i < NODES_AT_ONCE; i++) {
		struct asking *a = &n->asking[i];

		if (a->nodes != n || a->number != number)
			continue;
		if (node) {
			a->connected = true;
			ask_space(a, node);
		} else {
			leave_out(n, a->node, why);
			asked(a);
		}
		return;
	}
}

static struct asking *free_asking(struct nodes *n)
{
	for (unsigned i = 0; i < NODES_AT_ONCE; i++)
		if (!n->asking[i].nodes)
			return &n->asking[i];
	return NULL;
}

/* The only node, and the one that we are connected to, is asked as it is. */
static void ask_node(struct nodes *n, struct asking *a)
{
	struct table_world *w = n->table.world;
	struct sd_node node = members_at(&n->members, n->next);
	char address[FORMAT_ADDRESS_MAX];

	*a = (struct asking){.nodes = n, .node = n->next++};
	n->busy++;
	format_target(&node.nid, address);
	if (n->members.count == 1 || !strcmp(address, w->address)) {
		ask_space(a, w->daemon);
		return;
	}
	a->number = ++w->last_number;
	w->dial(w->arg, a->number, address);
}

static void ask_more(struct nodes *n)
{
	struct asking *a;

	while (n->next < n->members.count && (a = free_asking(n)))
		ask_node(n, a);
	if (!n->busy)
		walk(n);
}

static void on_info_list(struct call *call)
{
	struct nodes *n = call->owner;

	if (take_list(n, call)) {
		n->answers = calloc(n->members.count, sizeof *n->answers);
		if (n->answers) {
			ask_more(n);
			return;
		}
		table_fail(&n->table, -ENOMEM, "there is no memory for it");
	}
	table_finish(&n->table);
}

static bool info_begin(struct table *t)
{
	return ask_list((struct nodes *)t, on_info_list);
}

static void end(struct table *t)
{
	struct nodes *n = (struct nodes *)t;

	for (unsigned i = 0; i < NODES_AT_ONCE; i++)
		if (n->asking[i].nodes && n->asking[i].connected)
			t->world->hang_up(t->world->arg, n->asking[i].number);
	walk_free(&n->walk);
	free(n->answers);
	members_free(&n->members);
}

const struct table_kind nodelist_kind = {sizeof(struct nodes), list_begin, end, NULL};
const struct table_kind nodeinfo_kind = {sizeof(struct nodes), info_begin, end, on_node};
