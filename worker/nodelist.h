/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node/list and node/info: what `dog node list` and `dog node info` print (P 8.3, 8.4).
 *
 * For node/info every node is asked itself, over a connection of its own that the master makes if
 * it may; our own daemon over the one we have.  A node that cannot be asked is left out, as dog
 * does, with a line in the log.
 */
#ifndef SHEEPFS_WORKER_NODELIST_H
#define SHEEPFS_WORKER_NODELIST_H

#include "worker/table.h"

extern const struct table_kind nodelist_kind, nodeinfo_kind;

#endif
