/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pasts: the connections of dead generations in which requests may still be (rule 5).
 *
 * Owns duplicates of their descriptors until a later generation says that they are settled.  What a
 * volume leaves behind when it is detached before that is kept by its name, with its lock, for the
 * next attach.  The service manager keeps them, too, for the next sheepfs.  Never reads or writes a
 * byte of them.
 */
#ifndef SHEEPFS_MASTER_PAST_H
#define SHEEPFS_MASTER_PAST_H

#include "include/bounds.h"
#include "ipc/chan.h"
#include "ipc/name.h"
#include "master/identity.h"
#include "master/notify.h"

#include <stdbool.h>
#include <sys/queue.h>

struct master;
struct volume;

struct past {
	TAILQ_ENTRY(past) link;
	uint32_t volume; /* its number, never used twice */
	uint32_t number; /* of the generation: never used twice by a volume */
	uint32_t epoch;  /* the last that its daemon showed */
	uint64_t since;  /* milliseconds: its generation's end */
	char address[ADDRESS_TEXT_MAX];
	bool fenced; /* its daemon will never run again, somebody said */
	unsigned count;
	int fds[CONNECTIONS_MAX]; /* the witness first */
};

TAILQ_HEAD(past_list, past);

/* What a volume left. */
struct left {
	LIST_ENTRY(left) link;
	struct name name;
	char shown[NAME_SHOWN_SIZE];
	struct identity identity;
	struct past_list pasts;
};

/* The name under which the service manager keeps a connection of a generation, and how it is told
 * that some are needed no more. */
void past_name(char name[NOTIFY_NAME_MAX], uint32_t volume, uint32_t number, unsigned index);
void past_drop(uint32_t volume, uint32_t number, unsigned count);

/* A descriptor for a connection that is lost without a trace: it says nothing and never ends.
 * Returns it, the caller's, or -errno. */
int past_stand_in(void);

/*
 * Takes over `count` descriptors of a generation of a volume, which ended at `since`.  Returns
 * false when memory is short: they are closed then, and a line in the log says what that may cost.
 */
bool past_add(struct past_list *list, uint32_t volume, uint32_t number, uint32_t epoch,
    uint64_t since, const char *address, const int *fds, unsigned count);

/* Gives duplicates of all to a new generation.  Returns 0 or -errno: it was not given all, and must
 * not believe that it was. */
int past_give(const struct past_list *list, struct chan *c, uint32_t volume, uint32_t generation);

/* Nobody listens at that address.  Where a past's daemon was, that may be a restart which forgot
 * the volume's lock. */
void past_note_nobody(struct volume *v, const char *address);

/* Its daemon will never run again, somebody says; returns whether there is one in the list. */
bool past_fence(struct past_list *list, const char *address);

/* Those of which that was said are settled, by that word; returns whether there were any. */
bool past_close_fenced(struct master *m, struct volume *v, struct past_list *list);

/* The one of the volume with that number is settled. Returns false when there is none. */
bool past_settled(struct volume *v, uint32_t number);

unsigned past_count(const struct past_list *list);

/* All of them are of no use any more.  v: whose they are; NULL: nobody's who is listed. */
void past_close(struct master *m, struct volume *v, struct past_list *list);

/* What is left of a volume that goes; its lock stays held until it is attached again.  Afterwards
 * the volume has none. */
void past_leave(struct volume *v);

/* The volume that comes takes over what was left under its name. */
void past_take_over(struct volume *v);

/* The master ends: the locks stay. */
void past_forget_all(struct master *m);

#endif
