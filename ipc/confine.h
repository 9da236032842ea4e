/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Confinement primitives, from which each program's jail.c is made.
 *
 * A child is born by the master in its own network, mount, pid, ipc and uts namespaces, with uid
 * 0.  It calls, in this order: confine_root(), confine_user(), confine_filter().
 * Each returns 0 or -errno; the caller must not go on when one fails.
 */
#ifndef SHEEPFS_IPC_CONFINE_H
#define SHEEPFS_IPC_CONFINE_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

/* One permitted system call; every comparison must hold.  Several rules may name one call. */
struct confine_rule {
	int call; /* SCMP_SYS(...) */
	unsigned nr_args;
	struct scmp_arg_cmp args[4];
	int error; /* 0: allowed; else it fails with this errno instead of killing */
};

#define CONFINE_ALLOW(name)                                                                        \
	{                                                                                          \
		.call = SCMP_SYS(name)                                                             \
	}
#define CONFINE_ALLOW_IF(name, n, ...)                                                             \
	{                                                                                          \
		.call = SCMP_SYS(name), .nr_args = (n), .args = { __VA_ARGS__ }                    \
	}
#define CONFINE_REFUSE(name, err)                                                                  \
	{                                                                                          \
		.call = SCMP_SYS(name), .error = (err)                                             \
	}

/* Makes the root directory an empty, read-only one of our own mount namespace. */
int confine_root(void);

/* Makes the directory `path`, which is uid's and gid's, the root directory, all there is. */
int confine_root_at(const char *path, uid_t uid, gid_t gid);

/* Each is lowered to this value, never raised. */
struct confine_limits {
	rlim_t files;      /* highest descriptor number + 1 that may be open */
	rlim_t file_bytes; /* largest file it may write */
	rlim_t processes;  /* and threads that it may have; 0: no new one */
};

/*
 * Becomes uid and gid without supplementary groups, empties all capability sets and the bounding
 * set, sets no_new_privs, not dumpable, death with the parent, no core, and these limits.
 */
int confine_user(uid_t uid, gid_t gid, const struct confine_limits *limits);

/* From now on no new process and no new thread. */
int confine_no_processes(void);

/* Loads a filter, for all threads, that permits `rules` and kills the process for anything else. */
int confine_filter(const struct confine_rule *rules, size_t count);

/* Keeps only these capabilities (terminated by -1) in every set and the bounding set. */
int confine_capabilities(const int *keep);

/*
 * What this process touches from now on stays in memory: it may be what dirty pages are written to,
 * and must not wait for that itself.  Nothing is done where RLIMIT_MEMLOCK is not infinite.
 */
void confine_memory(void);

#endif
