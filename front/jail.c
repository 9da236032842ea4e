/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All that the front may do once it runs.
 *
 * The tables below are this process's whole permission: what is not listed kills it.  No call here
 * opens a file or a socket, connects, duplicates a descriptor or names another process;
 * descriptors come through the conversation with the master alone.
 */
#include "front/jail.h"

#include "include/bounds.h"
#include "ipc/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptors: four a volume (device, data socket, two arenas), tables, those on their way. */
#define FILES_MAX 4096

#define PRIVATE_MEMORY (MAP_PRIVATE | MAP_ANONYMOUS)
#define NO_FD UINT32_MAX

#define ARG_IS(n, value) SCMP_CMP(n, SCMP_CMP_MASKED_EQ, UINT32_MAX, (value))
#define ARG_WITHOUT(n, bits) SCMP_CMP(n, SCMP_CMP_MASKED_EQ, (bits), 0)

static const struct confine_rule rules[] = {
    /* the loop */
    CONFINE_ALLOW(epoll_wait),
    CONFINE_ALLOW(epoll_pwait),
    CONFINE_ALLOW(epoll_ctl),
    CONFINE_ALLOW(poll),
    CONFINE_ALLOW(sched_yield),
    CONFINE_ALLOW(clock_gettime), /* these three are real calls where the vDSO has no clock */
    CONFINE_ALLOW(gettimeofday),
    CONFINE_ALLOW(time),
    /* FUSE: a request into a slot, an answer from one */
    CONFINE_ALLOW(readv),
    CONFINE_ALLOW(writev),
    /* talking to the master and to workers, on descriptors that were handed to us; fast open is
     * connect(2) in disguise */
    CONFINE_ALLOW(recvmsg),
    CONFINE_ALLOW_IF(sendmsg, 1, ARG_WITHOUT(2, MSG_FASTOPEN)),
    CONFINE_ALLOW(close),
    CONFINE_ALLOW_IF(fcntl, 1, ARG_IS(1, F_GETFL)),
    CONFINE_ALLOW_IF(fcntl, 1, ARG_IS(1, F_SETFL)), /* O_NONBLOCK */
    CONFINE_ALLOW_IF(fcntl, 1, ARG_IS(1, F_GET_SEALS)),
    /* tables */
    CONFINE_ALLOW(pread64),
    /* arenas: mapped, looked at, given back; never executable */
    CONFINE_ALLOW_IF(mmap, 2, ARG_WITHOUT(2, PROT_EXEC), ARG_IS(3, MAP_SHARED)),
    CONFINE_ALLOW(munmap),
    CONFINE_ALLOW(fstat),
    CONFINE_ALLOW_IF(newfstatat, 1, ARG_IS(3, AT_EMPTY_PATH)), /* the C library's fstat(3) */
    CONFINE_ALLOW_IF(fallocate, 1, ARG_IS(1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)),
    /* our own memory */
    CONFINE_ALLOW(brk),
    CONFINE_ALLOW_IF(
	mmap, 3, ARG_WITHOUT(2, PROT_EXEC), ARG_IS(3, PRIVATE_MEMORY), ARG_IS(4, NO_FD)),
    CONFINE_ALLOW(futex),
    CONFINE_ALLOW(getuid), /* libfuse, for every session */
    /* the log */
    CONFINE_ALLOW_IF(write, 1, ARG_IS(0, STDERR_FILENO)),
    /* being stopped and continued; the end */
    CONFINE_ALLOW(restart_syscall),
    CONFINE_ALLOW(rt_sigreturn),
    CONFINE_ALLOW(exit_group),
#ifdef SANITIZE
    /* AddressSanitizer and UndefinedBehaviorSanitizer: their own memory, stacks and reports */
    CONFINE_ALLOW_IF(mmap, 1, ARG_WITHOUT(2, PROT_EXEC)),
    CONFINE_ALLOW(mprotect),
    CONFINE_ALLOW(mremap),
    CONFINE_ALLOW(madvise),
    CONFINE_ALLOW(sigaltstack),
    CONFINE_ALLOW(rt_sigaction),
    CONFINE_ALLOW(rt_sigprocmask),
    CONFINE_ALLOW(getpid),
    CONFINE_ALLOW(gettid),
    CONFINE_ALLOW(getrusage),
    CONFINE_ALLOW(getrlimit),
    CONFINE_ALLOW(prlimit64),
    CONFINE_ALLOW(read),
    CONFINE_REFUSE(ioctl, ENOTTY),
    CONFINE_REFUSE(open, ENOENT),
    CONFINE_REFUSE(openat, ENOENT),
    CONFINE_REFUSE(readlink, ENOENT),
    CONFINE_REFUSE(stat, ENOENT),
    CONFINE_REFUSE(pipe, EPERM),
    CONFINE_REFUSE(pipe2, EPERM),
#endif
};

#ifdef SANITIZE
/* LeakSanitizer stops its own process with ptrace, which no jail allows. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

int jail_enter(uid_t uid, gid_t gid)
{
	const struct confine_limits limits = {.files = FILES_MAX};
	int error = confine_root();

	if (!error)
		error = confine_user(uid, gid, &limits);
	if (!error)
		confine_memory();
	if (!error)
		error = confine_filter(rules, sizeof rules / sizeof rules[0]);
	return error;
}
