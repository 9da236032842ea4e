/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes: what the master knows of each that is attached, being attached or being detached.
 *
 * Owns the list and a volume's memory.  The road up is attach.c's, the road down detach.c's, the
 * worker generation.c's.  Never forks, never connects.
 */
#ifndef SHEEPFS_MASTER_VOLUME_H
#define SHEEPFS_MASTER_VOLUME_H

#include "ipc/name.h"
#include "master/generation.h"
#include "master/master.h"

#include <limits.h>

enum volume_state {
	VOLUME_DIALLING,  /* a connection is being made, or there is a pause before the next try */
	VOLUME_STARTING,  /* its worker looks it up */
	VOLUME_MOUNTING,  /* it is ready; its mount is being made and served */
	VOLUME_READY,     /* callers use it */
	VOLUME_FAILED,    /* its worker is gone: callers get errors until it is detached */
	VOLUME_DETACHING, /* umount(2) is being tried, which may say "busy", or was done by hand */
	VOLUME_ENDING,    /* on the road down, from which nothing comes back */
};

struct volume {
	TAILQ_ENTRY(volume) link;
	struct master *master;
	uint32_t number;                       /* never used twice */
	enum volume_state state, state_before; /* before DETACHING */
	struct name name;
	char shown[NAME_SHOWN_SIZE];
	char path[PATH_MAX];             /* of its file */
	struct command *attach, *detach; /* that wait for us; NULL: none */
	struct snapshot *snapshot;       /* being taken; NULL: none */
	bool page_cache, object_cache;   /* the knobs, when it was attached */
	struct event *timer; /* attach: its limit; ending: how long the current step may take */
	struct event *pause; /* attach: until the next try */
	struct trial *trial; /* attach: of the targets */
	struct dial *dial;   /* attach: the connection being made */
	struct generation generation;
	struct errand *errand; /* a mount or umount under way */
	int device;            /* the FUSE device until the front has it; -1 */
	bool shown_by_front;   /* its placeholder */
	bool mounted;
	int mount_id;
	unsigned connection; /* its number, while mounted */
	bool serving;        /* the front has its device, and the kernel has not ended it */
	bool lingers;        /* its connection outlived its mount: somebody uses it */
	bool forced;         /* its users are not asked */
	bool lock_is_late;   /* nobody waits for its release any more */
	int error;           /* ENDING: what the commands are answered */
	char sentence[SENTENCE_MAX];
};

/* NULL: there is none. */
struct volume *volume_find(const struct master *m, const struct name *name);
struct volume *volume_by_number(const struct master *m, uint32_t number);

/* A volume in VOLUME_DIALLING, for that command.  NULL when memory is short. */
struct volume *volume_new(struct master *m, struct command *attach);

/* Nothing of it is left but this. */
void volume_free(struct volume *v);

/* (Re)starts its timer. */
void volume_set_timer(struct volume *v, unsigned milliseconds);
void volume_clear_timer(struct volume *v);

#endif
