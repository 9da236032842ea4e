/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state: all that the next sheepfs must know to go on where this one ended, as text.
 *
 * Owns the memory file that holds the text (statetext.h) beside the descriptors that the service
 * manager keeps; nothing of it is ever on a disk.  What a descriptor is, its name
 * tells: past_name() for connections, state_device_name() for a volume's FUSE device,
 * STATE_TREE_NAME for the tree's, STATE_NAME for the text itself.  Never decides what becomes of
 * what it reads.
 */
#ifndef SHEEPFS_MASTER_STATE_H
#define SHEEPFS_MASTER_STATE_H

#include "master/bundle.h"
#include "master/master.h"

struct volume;

#define STATE_NAME "state"
#define STATE_TREE_NAME "tree"

void state_device_name(char name[NOTIFY_NAME_MAX], uint32_t volume);

/*
 * Begins to keep it where the service manager keeps descriptors; only for who has one.  fd: the
 * memory file of the sheepfs before us, owned from now on, or -1.  Returns 0 or -ENOMEM.
 */
int state_open(struct master *m, int fd);

/* The end, in order: nobody is to go on with it. */
void state_close(struct master *m);

/*
 * Something has changed: anything, one volume, or what is no volume's (commands, locks, knobs).
 * Each comes back when the change is kept: whatever is done next, a successor knows of it.  One
 * that dies in here leaves the state as it was before.  Nothing where none is kept.
 */
void state_save(struct master *m);
void state_save_volume(struct volume *v);
void state_save_rest(struct master *m);

/* A memory file with the state of this moment, the caller's; or -errno. */
int state_write(struct master *m);

/* What is told of the tree before anything is taken over. */
struct state_tree {
	char mountpoint[PATH_MAX];
	unsigned connection;
	bool resend; /* the kernel can ask a new front what the last one did not answer */
	pid_t front; /* the last one, which must be dead before there is another */
};

/* The state in a memory file, as allocated text, and its tree; -errno with a sentence in why. */
int state_read(int fd, char **text, struct state_tree *tree, char *why, size_t why_size);

/*
 * Fills a new master in from the text, with the descriptors of the bundle: volumes that are sought
 * anew, what detached ones left, locks, results of commands, knobs.  A volume without its device is
 * one that was detached; a connection that is missing is never settled by reading it.  Nothing is
 * saved meanwhile.  Returns 0, or -errno with a sentence in why.
 */
int state_take(struct master *m, const char *text, struct bundle *b, char *why, size_t why_size);

#endif
