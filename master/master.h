/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of this room share: one struct master for the process, made by main.c.
 *
 * Never a place for what one file owns alone: a volume's state is volume.h's, the cluster worker's
 * orders are cluster.c's, the front's conversation is front.c's.
 */
#ifndef SHEEPFS_MASTER_MASTER_H
#define SHEEPFS_MASTER_MASTER_H

#include "ipc/chan.h"
#include "master/conf.h"
#include "master/target.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

struct master {
	const struct conf *conf;
	struct event_base *base;
	char mountpoint[PATH_MAX]; /* absolute, without symbolic links */
	unsigned connection;       /* the tree's number in /sys/fs/fuse/connections */
	struct front *front; /* NULL before the first was started and after the last one's end */
	int device;          /* the tree's FUSE device; -1: there is none */
	struct cluster *cluster;
	struct lambs *lambs;                 /* of the targets lamb:/store */
	struct uids *uids;                   /* of the volumes' workers */
	const struct target_list *targets;   /* that people named */
	struct target_list *written_targets; /* the same, when config/sheep_info was written */
	char daemon[ADDRESS_TEXT_MAX];       /* the target that was used last; empty: none yet */
	unsigned fence_timeout;              /* seconds, 0: for ever; for generations to come */
	unsigned io_timeout;                 /* seconds, 0: for ever */
	TAILQ_HEAD(, volume) volumes;
	uint32_t last_volume; /* numbers are never used twice */
	struct {
		bool begun, over;
		unsigned pending;   /* volumes that are not answered */
		struct name *known; /* what the sheepfs before us has seen to */
		unsigned nr_known;
	} startup; /* startup.c's */
	TAILQ_HEAD(, command) commands;
	unsigned nr_commands;
	STAILQ_HEAD(, result) results; /* command.c's */
	unsigned nr_results;
	LIST_HEAD(, lock) locks;
	LIST_HEAD(, left) lefts;           /* past.c's */
	STAILQ_HEAD(, failover) failovers; /* status.c's */
	unsigned nr_failovers;
	struct event *heartbeat;
	bool page_cache, object_cache; /* the knobs, for volumes that are attached from now on */
	bool discover;                 /* the knob */
	struct discovered *discovered; /* discover.c's */
	struct stop *stop;             /* NULL: nobody asked for the end */
	struct handover *handover;     /* NULL: no other sheepfs goes on here */
	struct replace *replace;       /* NULL: nobody can ask for our place */
	bool handed_over;              /* all that there is is another sheepfs' */
	bool end_wanted;               /* should nobody take over after all */
	struct state_file *state;      /* NULL: nobody keeps it */
	struct event *end_events[2];   /* SIGTERM, SIGINT */
	struct errand *asking;         /* which job the service manager runs */
	int exit_status;
};

#endif
