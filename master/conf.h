/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the command line and the config file say: one table for every option, its help and its
 * check.
 *
 * The file has NAME = VALUE a line: an option's long name without the dashes, yes or no for one
 * that takes no value, and mountpoint.  Lines that begin with # and empty ones count for nothing.
 * What stands on the command line counts more; volumes of both are attached.
 *
 * Never acts on it, and reads no file: that is conffile.c's.
 */
#ifndef SHEEPFS_MASTER_CONF_H
#define SHEEPFS_MASTER_CONF_H

#include "ipc/name.h"
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
	struct name *volumes;          /* to be attached at the start */
	unsigned nr_volumes;
	const char *log;        /* NULL: terminal, journal, or syslog */
	const char *mountpoint; /* as typed */
	const char *libexec;    /* where the helper programs are */
	const char *lamb;       /* the program, for the target lamb:/store */
};

/* The config file that the command line names; NULL: none, or none is needed for what it asks. */
const char *conf_file(int argc, char **argv);

/*
 * Parses the command line, and the text of the config file `file`, which is cut up; NULL: there is
 * none.  Strings stay those of argv and text.  Returns 0, or -EINVAL or -ENOMEM with a sentence in
 * why.  With help or version set nothing else counts.  Either way conf_free() gives back its
 * memory.
 */
int conf_parse(int argc, char **argv, const char *file, char *text, struct conf *c, char *why,
    size_t why_size);

void conf_free(struct conf *c);

void conf_print_help(FILE *to);
void conf_print_version(FILE *to);

#endif
