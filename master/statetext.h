/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state's text, which state.c keeps in its memory file: written by statewrite.c, read by
 * stateread.c.
 *
 * A line is a word that says what it is, and a fixed number of fields, one space between them.
 * Bytes that are no plain letters are written %XX in a field, and an empty one is a lone "%".  The
 * first line has the version, the last one is "end".
 */
#ifndef SHEEPFS_MASTER_STATETEXT_H
#define SHEEPFS_MASTER_STATETEXT_H

#include "master/state.h"

#include <stdio.h>

#define STATE_FIRST_WORD "sheepfs-state"
#define STATE_VERSION 4

/* Writes all of it; what is written of a volume is kept for the next time (struct volume: lines).
 */
int statewrite_text(FILE *f, const struct master *m);

/* See state_take(). */
int stateread_take(
    struct master *m, const char *text, struct bundle *b, char *why, size_t why_size);

/* Only what it tells of the tree; false when there is none. */
bool stateread_find_tree(const char *text, struct state_tree *tree);

#endif
