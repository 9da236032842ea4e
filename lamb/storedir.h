/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store directory itself: is it ours, is it free, what was left over.
 *
 * Owns the lock that keeps a second lamb away, the first format of an empty directory and the
 * clean-up after a death.  Knows no objects.
 */
#ifndef LAMB_STOREDIR_H
#define LAMB_STOREDIR_H

#include "lamb/meta.h"

#include <stddef.h>

/* As store_open(); *root is the open and locked directory. */
int storedir_open(
    const char *path, const char *shown, struct meta *meta, int *root, char *why, size_t why_size);

/* The open directory "new", made or emptied; or -errno. */
int storedir_new(int root);

/* The open directory "obj.<generation>", made if missing; or -errno. */
int storedir_objects(int root, uint32_t generation);

/* Removes the objects of every other generation: what a format gave up. */
void storedir_remove_others(int root, uint32_t generation);

#endif
