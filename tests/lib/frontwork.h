/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workers of frontpeer: honest ones that serve from memory or touch nothing at all, and ones
 * that break the rules, each in its own way.  One process each, over a real data socket and real
 * arenas.
 */
#ifndef SHEEPFS_TESTS_FRONTWORK_H
#define SHEEPFS_TESTS_FRONTWORK_H

#include <stdbool.h>
#include <stdint.h>

#define FRONTWORK_GENERATION 7 /* of every volume */
#define FRONTWORK_SHIFT 22

/* Whether a volume of this name has a worker: what stands before its first "-". */
bool frontwork_exists(const char *volume);

/* Serves the volume until the front ends it, in a process of its own. */
_Noreturn void frontwork_run(
    const char *volume, uint32_t number, uint64_t size, int fd, int out, int in);

#endif
