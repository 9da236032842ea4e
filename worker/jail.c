/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All that a worker may do once it runs.
 *
 * The tables below are this process's whole permission: what is not listed kills it.  No call here
 * opens a file or a socket, connects, or names another process; descriptors come through the
 * conversation with the master alone.
 */
#include "worker/jail.h"

#include "include/bounds.h"
#include "ipc/confine.h"
#include "worker/table.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILES_MAX 512 /* descriptors: the daemons', the arenas', tables on their way */

/* Fast open is connect(2) in disguise; with zero copy, TCP would resend bytes that have changed. */
#define SEND_NEVER (MSG_FASTOPEN | MSG_ZEROCOPY)
#define PRIVATE_MEMORY (MAP_PRIVATE | MAP_ANONYMOUS)
#define NO_FD UINT32_MAX

#define ARG_IS(n, value) SCMP_CMP(n, SCMP_CMP_EQ, (value))
#define ARG_WITHOUT(n, bits) SCMP_CMP(n, SCMP_CMP_MASKED_EQ, (bits), 0)
#define ARG32_IS(n, value) SCMP_CMP(n, SCMP_CMP_MASKED_EQ, UINT32_MAX, (value))

static const struct confine_rule common_rules[] = {
    /* the loop */
    CONFINE_ALLOW(epoll_wait),
    CONFINE_ALLOW(epoll_pwait),
    CONFINE_ALLOW(epoll_ctl),
    CONFINE_ALLOW(sched_yield),
    CONFINE_ALLOW(clock_gettime), /* these three are real calls where the vDSO has no clock */
    CONFINE_ALLOW(gettimeofday),
    CONFINE_ALLOW(time),
    /* talking, on descriptors that were handed to us */
    CONFINE_ALLOW(recvmsg),
    CONFINE_ALLOW_IF(sendmsg, 1, ARG_WITHOUT(2, SEND_NEVER)),
    CONFINE_ALLOW(poll), /* last words */
    CONFINE_ALLOW(close),
    /* the log */
    CONFINE_ALLOW_IF(write, 1, ARG32_IS(0, STDERR_FILENO)),
    /* memory: private, never executable; MADV_REMOVE would punch holes into the arena */
    CONFINE_ALLOW(brk),
    CONFINE_ALLOW_IF(
	mmap, 3, ARG_WITHOUT(2, PROT_EXEC), ARG32_IS(3, PRIVATE_MEMORY), ARG32_IS(4, NO_FD)),
    CONFINE_ALLOW(munmap),
    CONFINE_ALLOW_IF(madvise, 1, ARG32_IS(2, MADV_DONTNEED)),
    /* being stopped and continued; the end */
    CONFINE_ALLOW(restart_syscall),
    CONFINE_ALLOW(rt_sigreturn),
    CONFINE_ALLOW(exit_group),
    /* what a library may try, and is told no */
    CONFINE_REFUSE(socket, EPERM),
};

/* A volume's worker settles what earlier generations left, and its loop pauses. */
static const struct confine_rule volume_rules[] = {
    CONFINE_ALLOW_IF(shutdown, 1, ARG32_IS(1, SHUT_WR)),
    CONFINE_ALLOW(getrandom),
    CONFINE_ALLOW(clock_nanosleep),
};

/* The cluster worker makes tables: text in sealed memory. */
static const struct confine_rule cluster_rules[] = {
    CONFINE_ALLOW(memfd_create),
    CONFINE_ALLOW(pwrite64),
    CONFINE_ALLOW_IF(fcntl, 1, ARG32_IS(1, F_ADD_SEALS)),
    /* one for several readers */
    CONFINE_ALLOW_IF(fcntl, 1, ARG32_IS(1, F_DUPFD_CLOEXEC)),
};

#ifdef SANITIZE
/* AddressSanitizer and UndefinedBehaviorSanitizer: their own memory, stacks and last reports. */
static const struct confine_rule sanitizer_rules[] = {
    CONFINE_ALLOW_IF(mmap, 1, ARG_WITHOUT(2, PROT_EXEC)),
    CONFINE_ALLOW(mprotect),
    CONFINE_ALLOW(mremap),
    CONFINE_ALLOW_IF(madvise, 1, ARG32_IS(2, MADV_NOHUGEPAGE)),
    CONFINE_ALLOW_IF(madvise, 1, ARG32_IS(2, MADV_DONTDUMP)),
    CONFINE_ALLOW(futex),
    CONFINE_ALLOW(sigaltstack),
    CONFINE_ALLOW(rt_sigaction),
    CONFINE_ALLOW(rt_sigprocmask),
    CONFINE_ALLOW(getpid),
    CONFINE_ALLOW(gettid),
    CONFINE_ALLOW(getrusage),
    CONFINE_ALLOW(getrlimit),
    CONFINE_ALLOW(prlimit64),
    CONFINE_ALLOW(read),
    CONFINE_ALLOW(writev),
    CONFINE_REFUSE(ioctl, ENOTTY),
    CONFINE_REFUSE(open, ENOENT),
    CONFINE_REFUSE(openat, ENOENT),
    CONFINE_REFUSE(readlink, ENOENT),
    CONFINE_REFUSE(stat, ENOENT),
    CONFINE_REFUSE(newfstatat, ENOENT),
    CONFINE_REFUSE(pipe, EPERM),
    CONFINE_REFUSE(pipe2, EPERM),
};

/* LeakSanitizer stops its own process with ptrace, which no jail allows. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define RULES_MAX 64

struct rules {
	struct confine_rule rules[RULES_MAX];
	size_t count;
};

static void add(struct rules *all, const struct confine_rule *table, size_t count)
{
	memcpy(all->rules + all->count, table, count * sizeof *table);
	all->count += count;
}

int jail_enter(enum kind kind, uid_t uid, gid_t gid)
{
	const struct confine_limits limits = {
	    .files = FILES_MAX, .file_bytes = kind == KIND_CLUSTER ? TABLE_TEXT_MAX : 0};
	struct rules all = {.count = 0};
	int error = confine_root();

	add(&all, common_rules, COUNT(common_rules));
	if (kind == KIND_CLUSTER)
		add(&all, cluster_rules, COUNT(cluster_rules));
	else
		add(&all, volume_rules, COUNT(volume_rules));
#ifdef SANITIZE
	add(&all, sanitizer_rules, COUNT(sanitizer_rules));
#endif
	if (!error)
		error = confine_user(uid, gid, &limits);
	if (!error)
		confine_memory();
	if (!error)
		error = confine_filter(all.rules, all.count);
	return error;
}
