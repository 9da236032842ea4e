/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the command line says: one table for every option, its help and its check.
 *
 * Never acts on it.
 */
#ifndef SHEEPFS_MASTER_CONF_H
#define SHEEPFS_MASTER_CONF_H

#include "master/prefix.h"
#include "master/target.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct conf {
	struct target_list targets;
	const char *sheep, *address, *port; /* as typed; NULL: not given */
	struct prefix_list nodes; /* --nodes; where members of the cluster may be dialled */
	bool nodes_given;         /* else the targets tell (nodes.h) */
	bool foreground;
	bool debug;
	bool help, version;
	bool replace;                  /* the sheepfs that serves the mount point */
	bool page_cache, object_cache; /* what the knobs begin with */
	bool discover;                 /* the same */
	unsigned timeout;              /* seconds that an attach or a detach may take */
	unsigned io_timeout;           /* seconds that a caller waits for I/O; 0: for ever */
	unsigned fence_timeout;        /* seconds (rule 5); 0: for ever */
	uid_t uid_first, uid_last;     /* front, cluster worker, lamb, then the volumes' workers */
	const char *log;               /* NULL: the terminal, or syslog */
	const char *mountpoint;        /* as typed */
	const char *libexec;           /* where the helper programs are */
	const char *lamb;              /* the program, for the target lamb:/store */
};

/*
 * Parses the command line.  Strings stay those of argv.  Returns 0, or -EINVAL with a sentence in
 * why.  With help or version set nothing else counts.
 */
int conf_parse(int argc, char **argv, struct conf *c, char *why, size_t why_size);

void conf_print_help(FILE *to);
void conf_print_version(FILE *to);

#endif
