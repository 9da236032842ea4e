/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Confinement primitives: see confine.h.
 *
 * Owns how a privilege is given up, never who gives up which: that is each program's jail.c.
 */
#include "ipc/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

int confine_root(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=755") ||
	    chdir("/proc") || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
	    mount(NULL, "/", NULL,
		MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) ||
	    chdir("/"))
		return -errno;
	return 0;
}

static int limit(int what, rlim_t value)
{
	struct rlimit r = {value, value};

	return setrlimit((__rlimit_resource_t)what, &r) ? -errno : 0;
}

static int limits(rlim_t files, rlim_t file_bytes)
{
	int error = limit(RLIMIT_CORE, 0);

	if (!error)
		error = limit(RLIMIT_NPROC, 0);
	if (!error)
		error = limit(RLIMIT_NOFILE, files);
	if (!error)
		error = limit(RLIMIT_FSIZE, file_bytes);
	return error;
}

/* libcap-ng reads /proc; it must have looked before confine_root() hides it. */
static int become(uid_t uid, gid_t gid)
{
	capng_clear(CAPNG_SELECT_BOUNDS);
	if (capng_apply(CAPNG_SELECT_BOUNDS))
		return -EPERM;
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	capng_clear(CAPNG_SELECT_ALL);
	return capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) ? -EPERM : 0;
}

int confine_user(uid_t uid, gid_t gid, rlim_t files, rlim_t file_bytes)
{
	int error = become(uid, gid);

	if (error)
		return error;
	/* after the last change of credentials, which would undo it */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
#ifndef SANITIZE
	/* refuses executable memory for good; kernels before 6.3 do not know it */
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) && errno != EINVAL)
		return -errno;
#endif
	return limits(files, file_bytes);
}

int confine_filter(const struct confine_rule *rules, size_t count)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int error = 0;

	if (!filter)
		return -ENOMEM;
	for (size_t i = 0; i < count && !error; i++)
		error = seccomp_rule_add_array(filter,
		    rules[i].error ? SCMP_ACT_ERRNO((uint32_t)rules[i].error) : SCMP_ACT_ALLOW,
		    rules[i].call, rules[i].nr_args, rules[i].args);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}

int confine_capabilities(const int *keep)
{
	capng_clear(CAPNG_SELECT_BOTH);
	for (; *keep >= 0; keep++)
		if (capng_update(CAPNG_ADD,
			CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, (unsigned)*keep))
			return -EPERM;
	return capng_apply(CAPNG_SELECT_BOTH) ? -EPERM : 0;
}
