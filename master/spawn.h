/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spawning: a helper program in namespaces of its own, with exactly the descriptors it is to have.
 *
 * Owns the clone(2), the environment and the words for how a child ended.  Never decides who is
 * started or what an end means for others.
 */
#ifndef SHEEPFS_MASTER_SPAWN_H
#define SHEEPFS_MASTER_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Starts `path` with descriptors 0 and 1 /dev/null, 2 `log`, CONTROL_FD `control`, nothing else, in
 * new network, mount, pid, ipc and uts namespaces.  The descriptors stay the caller's.  Returns the
 * pid or -errno; that the program cannot be executed is said over `log` and by its exit status.
 */
pid_t spawn_program(const char *path, char *const *argv, int control, int log, bool debug);

/* Says in words how a child ended, from the status of wait(2); at most `size` bytes. */
void spawn_words(int status, char *text, size_t size);

#endif
