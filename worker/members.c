/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The members of the cluster: see members.h.
 */
#include "worker/members.h"

#include <stdlib.h>
#include <string.h>

bool members_call(struct members *m, struct call *call, void (*done)(struct call *), void *owner)
{
	m->list = malloc(SD_NODE_LIST_SIZE);
	if (!m->list)
		return false;
	call_init(call, SD_OP_GET_NODE_LIST, LANE_CONTROL, done, owner);
	call->receive = m->list;
	call->receive_size = SD_NODE_LIST_SIZE;
	return true;
}

/* A daemon with disk vnodes sends more of each (P 2.5). */
bool members_take(struct members *m, const struct call *call)
{
	size_t size = call->rsp.data_length;

	if (size > SD_NODE_LIST_SIZE)
		size = SD_NODE_LIST_SIZE;
	m->count = call->rsp.node.nr_nodes;
	m->stride = m->count ? size / m->count : 0;
	return m->stride >= sizeof(struct sd_node);
}

struct sd_node members_at(const struct members *m, unsigned i)
{
	struct sd_node node;

	memcpy(&node, m->list + i * m->stride, sizeof node);
	return node;
}

static bool is_among(const uint32_t *zones, unsigned count, uint32_t zone)
{
	while (count--)
		if (zones[count] == zone)
			return true;
	return false;
}

unsigned members_zones(const struct members *m, unsigned most)
{
	uint32_t zones[MEMBERS_ZONES_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < m->count && count < most; i++) {
		struct sd_node node = members_at(m, i);

		/* a gateway has no vnodes, and stores nothing */
		if (node.nr_vnodes && !is_among(zones, count, node.zone))
			zones[count++] = node.zone;
	}
	return count;
}

void members_free(struct members *m)
{
	free(m->list);
	*m = (struct members){.list = NULL};
}
