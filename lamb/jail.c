/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All that lamb may do once it serves as a child of sheepfs.
 *
 * It is the only child that may open files, and all that it can find is its store.  What is not
 * listed kills it.  It makes no socket, no process, no thread; connections come through the
 * listening socket.
 */
#include "lamb/jail.h"

#include "ipc/confine.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define FILES_MAX 65536 /* objects that are kept open, and connections */
#define THREADS_MAX 64

#define ARG_WITHOUT(n, bits) SCMP_CMP(n, SCMP_CMP_MASKED_EQ, (bits), 0)
#define ARG32_IS(n, value) SCMP_CMP(n, SCMP_CMP_MASKED_EQ, UINT32_MAX, (value))

static const struct confine_rule rules[] = {
    /* the loop, and the threads between them */
    CONFINE_ALLOW(epoll_wait),
    CONFINE_ALLOW(epoll_pwait),
    CONFINE_ALLOW(epoll_ctl),
    CONFINE_ALLOW(poll),
    CONFINE_ALLOW(futex),
    CONFINE_ALLOW(sched_yield),
    CONFINE_ALLOW(clock_gettime),
    CONFINE_ALLOW(gettimeofday),
    CONFINE_ALLOW(time),
    /* a thread that was just started */
    CONFINE_ALLOW(set_robust_list),
    CONFINE_ALLOW(rseq),
    CONFINE_ALLOW(rt_sigprocmask),
    CONFINE_ALLOW(gettid),
    /* clients, through the socket that we were given; fast open is connect(2) in disguise */
    CONFINE_ALLOW(accept),
    CONFINE_ALLOW(accept4),
    CONFINE_ALLOW(getsockname),
    CONFINE_ALLOW(getpeername),
    CONFINE_ALLOW(getsockopt),
    CONFINE_ALLOW(setsockopt),
    CONFINE_ALLOW(shutdown),
    CONFINE_ALLOW(recvmsg),
    CONFINE_ALLOW(recvfrom),
    CONFINE_ALLOW_IF(sendmsg, 1, ARG_WITHOUT(2, MSG_FASTOPEN)),
    CONFINE_ALLOW_IF(sendto, 1, ARG_WITHOUT(3, MSG_FASTOPEN)),
    CONFINE_ALLOW(read),
    CONFINE_ALLOW(readv),
    CONFINE_ALLOW(write),
    CONFINE_ALLOW(writev),
    /* the store: the root directory is all there is */
    CONFINE_ALLOW(openat),
    CONFINE_ALLOW(close),
    CONFINE_ALLOW(fcntl),
    CONFINE_ALLOW(fstat),
    CONFINE_ALLOW(newfstatat),
    CONFINE_ALLOW(faccessat),
    CONFINE_ALLOW(fstatfs),
    CONFINE_ALLOW(lseek),
    CONFINE_ALLOW(getdents64),
    CONFINE_ALLOW(pread64),
    CONFINE_ALLOW(pwrite64),
    CONFINE_ALLOW(preadv),
    CONFINE_ALLOW(pwritev),
    CONFINE_ALLOW(preadv2),
    CONFINE_ALLOW(pwritev2),
    CONFINE_ALLOW(copy_file_range),
    CONFINE_ALLOW(ftruncate),
    CONFINE_ALLOW(fallocate),
    CONFINE_ALLOW(fsync),
    CONFINE_ALLOW(fdatasync),
    CONFINE_ALLOW(mkdirat),
    CONFINE_ALLOW(unlinkat),
    CONFINE_ALLOW(renameat),
    CONFINE_ALLOW(renameat2),
    /* memory: private, never executable */
    CONFINE_ALLOW(brk),
    CONFINE_ALLOW_IF(mmap, 2, ARG_WITHOUT(2, PROT_EXEC), ARG32_IS(4, UINT32_MAX)),
    CONFINE_ALLOW_IF(mprotect, 1, ARG_WITHOUT(2, PROT_EXEC)),
    CONFINE_ALLOW(mremap),
    CONFINE_ALLOW(munmap),
    CONFINE_ALLOW(madvise),
    CONFINE_ALLOW(getrandom),
    CONFINE_ALLOW(sched_getaffinity), /* malloc(3), for its arenas */
    /* being stopped and continued; the end */
    CONFINE_ALLOW(restart_syscall),
    CONFINE_ALLOW(rt_sigreturn),
    CONFINE_ALLOW(exit),
    CONFINE_ALLOW(exit_group),
    /* what a library may try, and is told no */
    CONFINE_REFUSE(socket, EPERM),
#ifdef SANITIZE
    /* AddressSanitizer and UndefinedBehaviorSanitizer: their own memory, stacks and reports */
    CONFINE_ALLOW_IF(mmap, 1, ARG_WITHOUT(2, PROT_EXEC)),
    CONFINE_ALLOW(sigaltstack),
    CONFINE_ALLOW(rt_sigaction),
    CONFINE_ALLOW(getpid),
    CONFINE_ALLOW(getrusage),
    CONFINE_ALLOW(getrlimit),
    CONFINE_ALLOW(prlimit64),
    CONFINE_REFUSE(ioctl, ENOTTY),
    CONFINE_REFUSE(open, ENOENT),
    CONFINE_REFUSE(readlink, ENOENT),
    CONFINE_REFUSE(stat, ENOENT),
    CONFINE_REFUSE(pipe, EPERM),
    CONFINE_REFUSE(pipe2, EPERM),
#endif
};

int jail_enter(const char *store, uid_t uid, gid_t gid)
{
	const struct confine_limits limits = {
	    .files = FILES_MAX, .file_bytes = RLIM_INFINITY, .processes = THREADS_MAX};
	int error = confine_root_at(store, uid, gid);

	return error ? error : confine_user(uid, gid, &limits);
}

int jail_close(void)
{
	int error = confine_no_processes();

	return error ? error : confine_filter(rules, sizeof rules / sizeof rules[0]);
}
