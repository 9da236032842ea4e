/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cluster/info: what `dog cluster info` prints (P 8.2).
 */
#ifndef SHEEPFS_WORKER_EPOCHS_H
#define SHEEPFS_WORKER_EPOCHS_H

#include "worker/table.h"

extern const struct table_kind epochs_kind;

#endif
