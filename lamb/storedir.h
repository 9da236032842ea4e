/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store directory itself: is it ours, is it free, what was left over.
 *
 * Owns the lock on the directory, the first format of an empty one and the clean-up after a death.
 * The nodes of one cluster hold that lock together; a lamb that serves alone holds it alone.
 * Whoever gets it alone knows that nobody lives here.  Knows no objects.
 */
#ifndef LAMB_STOREDIR_H
#define LAMB_STOREDIR_H

#include "lamb/meta.h"

#include <stdbool.h>
#include <stddef.h>

/* As store_open(); *root is the open and locked directory. */
int storedir_open(const char *path, const char *shown, bool alone, struct meta *meta, int *root,
    char *why, size_t why_size);

/* The open directory "new", made if missing; or -errno. */
int storedir_new(int root);

/* The name in "new" of the file that the node of that slot makes as its so-manieth. */
void storedir_new_name(char name[32], uint32_t slot, unsigned long number);

/* Removes what a dead node of that slot left in "new". */
void storedir_sweep_new(int root, uint32_t slot);

/* The open directory "obj.<generation>", made if missing; or -errno. */
int storedir_objects(int root, uint32_t generation);

/* Removes the objects of every other generation: what a format gave up. */
void storedir_remove_others(int root, uint32_t generation);

#endif
