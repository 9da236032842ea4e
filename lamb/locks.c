/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDI locks: see locks.h.
 */
#include "lamb/locks.h"

#include <stdlib.h>
#include <string.h>

struct locks {
	uint8_t state[SD_NR_VDIS]; /* 0: unlocked, else 1 + enum sd_lock_type; touched where used */
};

struct locks *locks_new(void)
{
	return calloc(1, sizeof(struct locks));
}

void locks_free(struct locks *locks)
{
	free(locks);
}

void locks_clear(struct locks *locks)
{
	memset(locks, 0, sizeof *locks);
}

bool locks_take(struct locks *locks, uint32_t vid, enum sd_lock_type type)
{
	if (locks->state[vid])
		return false;
	locks->state[vid] = (uint8_t)(1 + type);
	return true;
}

void locks_release(struct locks *locks, uint32_t vid, enum sd_lock_type type)
{
	if (vid < SD_NR_VDIS && locks->state[vid] == 1 + type)
		locks->state[vid] = 0;
}

enum sd_lock_state locks_state(const struct locks *locks, uint32_t vid)
{
	if (!locks->state[vid])
		return SD_LOCK_UNLOCKED;
	return locks->state[vid] == 1 + SD_LOCK_NORMAL ? SD_LOCK_LOCKED : SD_LOCK_IS_SHARED;
}
