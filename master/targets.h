/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config/sheep_info: the list of targets, which can be replaced while everything runs; and what is
 * said of a daemon that will never run again (config/fenced).
 *
 * Owns lists that were written; the first one is the configuration's.
 */
#ifndef SHEEPFS_MASTER_TARGETS_H
#define SHEEPFS_MASTER_TARGETS_H

#include "master/master.h"

struct command;

/* Uses the list in the command's text from now on, moves everything there, and answers. */
void targets_replace(struct master *m, struct command *c);

/* Tells every volume that waits for the daemon at the address in the text, and answers. */
void targets_fence(struct master *m, struct command *c);

/* The same for a new master: the list that was written to the one before.  One that cannot be used
 * any more is told in the log. */
void targets_inherit(struct master *m, const char *text);

void targets_free(struct master *m);

#endif
