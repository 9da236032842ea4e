/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cluster/info: see epochs.h.
 */
#include "worker/epochs.h"

#include "worker/format.h"
#include "worker/history.h"

#include <string.h>

struct epochs {
	struct table table;
	struct history history;
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

	for (; n < HISTORY_DISKS_MAX; n++) {
		memcpy(&id, node + HISTORY_NODE_SIZE + n * 16, sizeof id);
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
	if (e->history.node_size == HISTORY_DISK_NODE_SIZE)
		table_print(&e->table, "(%u)", disks_of(at));
}

static void print_epoch(struct epochs *e, size_t n, const struct sd_epoch_log *log)
{
	char when[FORMAT_TIME_MAX];
	const uint8_t *node;

	table_print(&e->table, "%s %6d [", format_second(log->time, when), (int)log->epoch);
	for (uint32_t k = 0; (node = history_node(&e->history, n, k)); k++)
		print_node(e, node, k == 0);
	table_print(&e->table, "]\n");
}

static void print_all(struct epochs *e)
{
	char when[FORMAT_TIME_MAX];
	struct sd_epoch_log log = {.ctime = 0};
	bool told = history_record(&e->history, 0, &log);

	if (e->history.result == SD_RES_SUCCESS)
		table_print(&e->table, "Cluster status: running, auto-recovery %s\n\n",
		    log.disable_recovery ? "disabled" : "enabled");
	else
		table_print(&e->table, "Cluster status: %s\n\n", status_text(e->history.result));
	if (!told)
		return;
	table_print(&e->table,
	    "Cluster created at %s\n\nEpoch Time           Version [Host:Port:V-Nodes,,,]\n",
	    format_ctime(log.ctime >> 32, when));
	for (size_t n = 0; history_record(&e->history, n, &log); n++)
		print_epoch(e, n, &log);
}

static void on_history(struct history *h)
{
	struct epochs *e = h->owner;

	if (h->error)
		table_fail(&e->table, h->error, "the daemon does not tell its history: %s", h->why);
	else
		print_all(e);
	table_finish(&e->table);
}

static bool begin(struct table *t)
{
	struct epochs *e = (struct epochs *)t;

	e->history.daemon = t->world->daemon;
	e->history.done = on_history;
	e->history.owner = e;
	history_begin(&e->history);
	return true;
}

static void end(struct table *t)
{
	struct epochs *e = (struct epochs *)t;

	history_end(&e->history);
}

const struct table_kind epochs_kind = {sizeof(struct epochs), begin, end, NULL};
