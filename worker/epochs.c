/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cluster/info: see epochs.h.
 *
 * Two questions: the present epoch and how many nodes there are; then the whole history, for which
 * the answer's memory is sized by both.  When an earlier epoch had more nodes the daemon says so,
 * and it is asked once more.
 */
#include "worker/epochs.h"

#include "worker/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NODE_SIZE sizeof(struct sd_node)
#define DISKS_MAX 32
#define DISK_NODE_SIZE (NODE_SIZE + DISKS_MAX * 16U) /* what a daemon with disk vnodes sends */
#define HISTORY_MAX (64UL << 20)                     /* bytes of an answer */

struct epochs {
	struct table table;
	struct call call;
	struct sd_epoch_log now;
	uint8_t *nodes; /* the node list, only for its length */
	uint8_t *history;
	size_t history_size;
	uint32_t nr_nodes;
	size_t node_size;
};

/* ---- the text ---- */

static const char *status_text(uint32_t result)
{
	switch (result) {
	case SD_RES_WAIT_FOR_FORMAT:
		return "Waiting for cluster to be formatted";
	case SD_RES_WAIT_FOR_JOIN:
		return "Waiting for other nodes to join cluster";
	case SD_RES_SHUTDOWN:
		return "System is shutting down";
	case SD_RES_KILLED:
		return "Node is killed";
	default:
		return sheep_result_name(result);
	}
}

/* With disk vnodes (P 2.5) a node has disks, which end at the first without an id. */
static unsigned disks_of(const uint8_t *node)
{
	unsigned n = 0;
	uint64_t id;

	for (; n < DISKS_MAX; n++) {
		memcpy(&id, node + NODE_SIZE + n * 16, sizeof id);
		if (!id)
			break;
	}
	return n;
}

static void print_node(struct epochs *e, const uint8_t *at, bool first)
{
	char address[FORMAT_ADDRESS_MAX];
	struct sd_node node;

	memcpy(&node, at, sizeof node);
	table_print(&e->table, "%s%s:%d", first ? "" : ", ", format_address(&node.nid, address),
	    node.nr_vnodes);
	if (e->node_size == DISK_NODE_SIZE)
		table_print(&e->table, "(%u)", disks_of(at));
}

static void print_epoch(struct epochs *e, const uint8_t *at)
{
	char when[FORMAT_TIME_MAX];
	struct sd_epoch_log log;

	memcpy(&log, at, sizeof log);
	table_print(&e->table, "%s %6d [", format_second(log.time, when), (int)log.epoch);
	for (uint32_t n = 0; n < log.nr_nodes && n < e->nr_nodes; n++)
		print_node(e, at + sizeof log + n * e->node_size, n == 0);
	table_print(&e->table, "]\n");
}

static void print_all(struct epochs *e, uint32_t result, size_t size)
{
	size_t record = sizeof(struct sd_epoch_log) + e->nr_nodes * e->node_size;
	char when[FORMAT_TIME_MAX];
	struct sd_epoch_log first = {.ctime = 0};

	if (size >= sizeof first)
		memcpy(&first, e->history, sizeof first);
	if (result == SD_RES_SUCCESS)
		table_print(&e->table, "Cluster status: running, auto-recovery %s\n\n",
		    first.disable_recovery ? "disabled" : "enabled");
	else
		table_print(&e->table, "Cluster status: %s\n\n", status_text(result));
	if (!size)
		return;
	table_print(&e->table,
	    "Cluster created at %s\n\nEpoch Time           Version [Host:Port:V-Nodes,,,]\n",
	    format_ctime(first.ctime >> 32, when));
	for (size_t at = 0; at + record <= size; at += record)
		print_epoch(e, e->history + at);
}

/* ---- the questions ---- */

static void ask_history(struct epochs *e);

static void on_history(struct call *call)
{
	struct epochs *e = call->owner;
	size_t size = call->rsp.data_length;

	if (call->rsp.result == SD_RES_BUFFER_SMALL && e->nr_nodes < SD_MAX_NODES) {
		e->nr_nodes *= 2;
		ask_history(e);
		return;
	}
	if (size > e->history_size)
		size = e->history_size;
	print_all(e, call->rsp.result, size);
	table_finish(&e->table);
}

static void ask_history(struct epochs *e)
{
	size_t record = sizeof(struct sd_epoch_log) + e->nr_nodes * e->node_size;

	free(e->history);
	e->history_size = e->call.rsp.epoch * record;
	if (e->history_size > HISTORY_MAX)
		e->history_size = HISTORY_MAX - HISTORY_MAX % record;
	e->history = calloc(1, e->history_size + 1);
	if (!e->history) {
		table_fail(&e->table, -ENOMEM, "there is no memory for the cluster's history");
		table_finish(&e->table);
		return;
	}
	call_init(&e->call, SD_OP_STAT_CLUSTER, LANE_CONTROL, on_history, e);
	e->call.req.cluster.nodes_nr = e->nr_nodes;
	e->call.receive = e->history;
	e->call.receive_size = e->history_size;
	daemon_submit(e->table.world->daemon, &e->call);
}

static void on_nodes(struct call *call)
{
	struct epochs *e = call->owner;
	uint32_t size = call->rsp.data_length, count = call->rsp.node.nr_nodes;

	if (call->rsp.result != SD_RES_SUCCESS) {
		table_fail(&e->table, sheep_errno(call->rsp.result),
		    "the daemon does not tell its nodes: %s", sheep_result_name(call->rsp.result));
		table_finish(&e->table);
		return;
	}
	e->node_size = NODE_SIZE;
	if (count && size / count == DISK_NODE_SIZE)
		e->node_size = DISK_NODE_SIZE;
	e->nr_nodes = count && count <= SD_MAX_NODES ? count : 1;
	ask_history(e);
}

static bool begin(struct table *t)
{
	struct epochs *e = (struct epochs *)t;

	e->nodes = malloc(SD_NODE_LIST_SIZE);
	if (!e->nodes)
		return false;
	call_init(&e->call, SD_OP_GET_NODE_LIST, LANE_CONTROL, on_nodes, e);
	e->call.receive = e->nodes;
	e->call.receive_size = SD_NODE_LIST_SIZE;
	daemon_submit(t->world->daemon, &e->call);
	return true;
}

static void end(struct table *t)
{
	struct epochs *e = (struct epochs *)t;

	free(e->nodes);
	free(e->history);
}

const struct table_kind epochs_kind = {sizeof(struct epochs), begin, end, NULL};
