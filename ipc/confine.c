/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Confinement primitives: see confine.h.
 *
 * Owns how a privilege is given up, never who gives up which: that is each program's jail.c.
 */
#include "ipc/confine.h"

#include "ipc/log.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
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

/*
 * The directory may be closed to root without its capabilities: what looks into it is done as its
 * owner, which leaves the right to mount.
 */
int confine_root_at(const char *path, uid_t uid, gid_t gid)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(path, "/proc", NULL, MS_BIND, NULL))
		return -errno;
	setfsgid(gid);
	setfsuid(uid);
	if (chdir("/proc") || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) ||
	    chdir("/"))
		return -errno;
	setfsuid(geteuid());
	setfsgid(getegid());
	return 0;
}

/* Never more than there was. */
static int limit(int what, rlim_t value)
{
	struct rlimit r;

	if (getrlimit((__rlimit_resource_t)what, &r))
		return -errno;
	if (value < r.rlim_max)
		r.rlim_max = value;
	r.rlim_cur = r.rlim_max;
	return setrlimit((__rlimit_resource_t)what, &r) ? -errno : 0;
}

static int set_limits(const struct confine_limits *limits)
{
	int error = limit(RLIMIT_CORE, 0);

	if (!error)
		error = limit(RLIMIT_NPROC, limits->processes);
	if (!error)
		error = limit(RLIMIT_NOFILE, limits->files);
	if (!error)
		error = limit(RLIMIT_FSIZE, limits->file_bytes);
	return error;
}

int confine_no_processes(void)
{
	return limit(RLIMIT_NPROC, 0);
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

int confine_user(uid_t uid, gid_t gid, const struct confine_limits *limits)
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
	return set_limits(limits);
}

void confine_memory(void)
{
#ifndef SANITIZE /* whose shadow is larger than any memory */
	struct rlimit r;

	/* under any limit the maps that are made later would be refused */
	if (getrlimit(RLIMIT_MEMLOCK, &r) || r.rlim_cur != RLIM_INFINITY)
		return;
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		log_warning("its memory may be paged out: %s", strerror(errno));
#endif
}

int confine_filter(const struct confine_rule *rules, size_t count)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int error = 0;

	if (!filter)
		return -ENOMEM;
	error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
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
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			(unsigned)*keep))
			return -EPERM;
	return capng_apply(CAPNG_SELECT_BOTH) ? -EPERM : 0;
}
