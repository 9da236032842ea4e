/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes: what the master knows of each that is attached, being attached, detached or deleted.
 *
 * Owns the list and a volume's memory.  The road up is attach.c's, the road down detach.c's, the
 * worker generation.c's.  Never forks, never connects.
 */
#ifndef SHEEPFS_MASTER_VOLUME_H
#define SHEEPFS_MASTER_VOLUME_H

#include "ipc/name.h"
#include "master/generation.h"
#include "master/identity.h"
#include "master/master.h"
#include "master/past.h"
#include "master/policy.h"

#include <limits.h>

enum volume_state {
	VOLUME_SEEKING,    /* its first generation is sought (seek.h) */
	VOLUME_MOUNTING,   /* it is ready; its mount is being made and served */
	VOLUME_READY,      /* callers use it */
	VOLUME_RECOVERING, /* the next generation is sought; its callers wait */
	VOLUME_DELETING,   /* its worker deletes it; nobody uses it */
	VOLUME_FAILED,     /* it has none, and none is sought: callers get errors */
	VOLUME_DETACHING,  /* umount(2) is being tried, which may say "busy", or was done by hand */
	VOLUME_ENDING,     /* on the road down, from which nothing comes back */
};

struct volume {
	TAILQ_ENTRY(volume) link;
	struct master *master;
	uint32_t number;                       /* never used twice */
	enum volume_state state, state_before; /* before DETACHING */
	struct name name;
	char shown[NAME_SHOWN_SIZE];
	char path[PATH_MAX];             /* of its file */
	struct command *attach, *detach; /* that wait for us; NULL: none; a deletion is an attach */
	bool doomed;                   /* it is not to be mounted, but to be deleted (deletion.h) */
	uint32_t cut;                  /* the vid whose deletion has begun; 0: none */
	bool held;                     /* it waits for another volume to be settled */
	struct snapshot *snapshot;     /* being taken; NULL: none */
	bool page_cache, object_cache; /* the knobs, when it was attached */
	struct event *timer; /* attach: its limit; ending: how long the current step may take */
	struct event *pause; /* until the next try */
	struct trial *trial; /* of the targets */
	struct dial *dial;   /* the connection being made for the next generation */
	struct generation generation;
	struct msg_ready face; /* what its first generation said of it: what the front shows */
	struct identity identity;
	struct past_list pasts; /* generations that are not settled */
	struct policy_history history;
	uint64_t lost; /* milliseconds: when its last generation ended; 0: it has one */
	bool died; /* a daemon that it had: what is asked again is written again, index and all */
	bool refused;    /* nobody was where a past's daemon had been, since the last generation */
	bool rewrite;    /* since then somebody asked again who cannot be told from the new */
	bool settle_all; /* what the next front is asked again nobody can tell from the new */
	unsigned restarts; /* of its generations */
	bool blames;       /* a request may have been the end of one since the front had one */
	char trouble[SENTENCE_MAX]; /* why the last one ended */
	int out[2]; /* the arena of writes: writable, until the front has it; read-only; -1 */
	struct errand *errand;          /* a mount or umount under way */
	int device;                     /* the FUSE device: fronts come and go; -1: there is none */
	uint8_t init[INIT_REQUEST_MAX]; /* the kernel's FUSE_INIT, for the next front */
	size_t init_size;
	struct msg_attributes attributes; /* of its file, once somebody has changed them */
	bool owned;
	bool shown_by_front; /* its placeholder */
	bool mounted;
	int mount_id;
	unsigned connection; /* its number, while mounted */
	bool serving;        /* the front has its device, and the kernel has not ended it */
	bool lingers;        /* its connection outlived its mount: somebody uses it */
	uint64_t end_by;   /* milliseconds: when the road down should be over; 0: it is not on it */
	bool forced;       /* its users are not asked */
	bool anew;         /* ENDING: its attach begins again, with the next front */
	bool settling;     /* ENDING: a generation is sought once more, to settle what was */
	char *lines;       /* of it in the state as it was saved last; NULL: none */
	size_t lines_size; /* bytes */
	bool lock_is_late; /* nobody waits for its release any more */
	int error;         /* ENDING: what the commands are answered */
	char sentence[SENTENCE_MAX];
};

/* NULL: there is none. */
struct volume *volume_find(const struct master *m, const struct name *name);
struct volume *volume_by_number(const struct master *m, uint32_t number);

/* A volume in VOLUME_SEEKING under a number that nobody has had.  NULL when memory is short. */
struct volume *volume_new(struct master *m, uint32_t number, const struct name *name);

/* Nothing of it is left but this. */
void volume_free(struct volume *v);

/* Its generation says what it is. */
void volume_identify(struct volume *v, const struct msg_identity *identity);

/* What a search that failed has come to: "was not attached", say. */
const char *volume_fate(const struct volume *v);

/* It is mounted and not on the road down: callers use it, wait, or get errors. */
bool volume_is_up(const struct volume *v);

/* (Re)starts its timer. */
void volume_set_timer(struct volume *v, unsigned milliseconds);
void volume_clear_timer(struct volume *v);

#endif
