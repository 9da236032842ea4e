/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cluster's history: see history.h.
 */
#include "worker/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MOST (64UL << 20) /* bytes of an answer */

static void finish(struct history *h, int error, const char *why)
{
	free(h->nodes);
	h->nodes = NULL;
	h->error = error;
	h->why = why;
	h->done(h);
}

static void ask_records(struct history *h);

static void on_records(struct call *call)
{
	struct history *h = call->owner;

	if (call->rsp.result == SD_RES_BUFFER_SMALL && h->nr_nodes < SD_MAX_NODES) {
		h->nr_nodes *= 2;
		ask_records(h);
		return;
	}
	h->result = call->rsp.result;
	h->epoch = call->rsp.epoch;
	if (h->size > call->rsp.data_length)
		h->size = call->rsp.data_length;
	finish(h, 0, "");
}

static void ask_records(struct history *h)
{
	uint32_t records = h->call.rsp.epoch;

	if (h->most && records > h->most)
		records = h->most;
	h->record_size = sizeof(struct sd_epoch_log) + h->nr_nodes * h->node_size;
	h->size = records * h->record_size;
	if (h->size > SIZE_MOST)
		h->size = SIZE_MOST - SIZE_MOST % h->record_size;
	free(h->records);
	h->records = calloc(1, h->size + 1);
	if (!h->records) {
		h->size = 0;
		finish(h, -ENOMEM, "there is no memory for the cluster's history");
		return;
	}
	call_init(&h->call, SD_OP_STAT_CLUSTER, LANE_CONTROL, on_records, h);
	h->call.req.cluster.nodes_nr = h->nr_nodes;
	h->call.receive = h->records;
	h->call.receive_size = h->size;
	daemon_submit(h->daemon, &h->call);
}

static void on_nodes(struct call *call)
{
	struct history *h = call->owner;
	uint32_t size = call->rsp.data_length, count = call->rsp.node.nr_nodes;

	if (call->rsp.result != SD_RES_SUCCESS) {
		finish(h, sheep_errno(call->rsp.result), sheep_result_name(call->rsp.result));
		return;
	}
	h->node_size = HISTORY_NODE_SIZE;
	if (count && size / count == HISTORY_DISK_NODE_SIZE)
		h->node_size = HISTORY_DISK_NODE_SIZE;
	h->nr_nodes = count && count <= SD_MAX_NODES ? count : 1;
	ask_records(h);
}

void history_begin(struct history *h)
{
	history_end(h);
	h->nodes = malloc(SD_NODE_LIST_SIZE);
	if (!h->nodes) {
		finish(h, -ENOMEM, "there is no memory for the list of nodes");
		return;
	}
	call_init(&h->call, SD_OP_GET_NODE_LIST, LANE_CONTROL, on_nodes, h);
	h->call.receive = h->nodes;
	h->call.receive_size = SD_NODE_LIST_SIZE;
	daemon_submit(h->daemon, &h->call);
}

bool history_record(const struct history *h, size_t n, struct sd_epoch_log *log)
{
	if (!h->record_size || n >= h->size / h->record_size)
		return false;
	memcpy(log, h->records + n * h->record_size, sizeof *log);
	return true;
}

const uint8_t *history_node(const struct history *h, size_t n, uint32_t k)
{
	struct sd_epoch_log log;

	if (!history_record(h, n, &log) || k >= log.nr_nodes || k >= h->nr_nodes)
		return NULL;
	return h->records + n * h->record_size + sizeof log + k * h->node_size;
}

void history_end(struct history *h)
{
	free(h->records);
	free(h->nodes);
	h->records = h->nodes = NULL;
	h->size = 0;
}
