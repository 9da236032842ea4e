/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume is in the cluster, by its latest generation's word (rule 6).
 */
#ifndef SHEEPFS_MASTER_IDENTITY_H
#define SHEEPFS_MASTER_IDENTITY_H

#include <stdint.h>

struct identity {
	uint64_t cluster_ctime, create_time;
	uint64_t size; /* bytes that callers were told */
	uint32_t vid;  /* 0: not known yet */
	uint32_t lock; /* the vid whose lock is held; 0: none */
};

#endif
