/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keeper DIRECTORY PROGRAM [ARGUMENT...]: plays the service manager's part for one sheepfs.
 *
 * It starts the program with NOTIFY_SOCKET set, keeps the descriptors that it is given (FDSTORE,
 * FDNAME, FDPOLL, FDSTOREREMOVE as sd_notify(3) has them: without FDPOLL=0 one whose other end is
 * closed is dropped), and when the program dies by a signal or with an error, waits for the end of
 * everything that it had started and starts it again with them.  With status 0 all ends.  Each
 * event is a line on standard output; DIRECTORY/pid holds the program's process number.
 *
 * It is the watchdog, too: who has said READY=1 and then is silent is ended by SIGABRT, and one
 * that does not heed that, as when it is stopped, by SIGKILL.  It is silent after three times
 * WATCHDOG_USEC: a busy machine is no death.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEPT_MAX 4096
#define FIRST_FD 3
#define WATCHDOG_USEC 2000000
#define SILENCE (3 * WATCHDOG_USEC / 1000) /* milliseconds */
#define GRACE 1000                         /* from SIGABRT to SIGKILL */

struct kept {
	char name[256];
	int fd;
	bool polled;
};

static struct kept kept[KEPT_MAX];
static unsigned nr_kept;
static const char *directory;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
/* When it was heard last, since READY=1, and when it was sent SIGABRT, in milliseconds; or 0. */
static int64_t heard, aborted;

static void die(const char *what)
{
	fprintf(stderr, "keeper: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void drop(unsigned i)
{
	close(kept[i].fd);
	kept[i] = kept[--nr_kept];
}

/* The same open file, whatever its number. */
static bool is_kept(int fd)
{
	for (unsigned i = 0; i < nr_kept; i++)
		if (!syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, kept[i].fd))
			return true;
	return false;
}

static void keep(const char *name, int fd, bool polled)
{
	if (is_kept(fd) || nr_kept == KEPT_MAX) {
		close(fd);
		return;
	}
	snprintf(kept[nr_kept].name, sizeof kept[0].name, "%s", name);
	kept[nr_kept].fd = fd;
	kept[nr_kept++].polled = polled;
}

static void drop_named(const char *name)
{
	for (unsigned i = nr_kept; i-- > 0;)
		if (!strcmp(kept[i].name, name))
			drop(i);
}

static void drop_ended(void)
{
	for (unsigned i = nr_kept; i-- > 0;) {
		struct pollfd p = {.fd = kept[i].fd, .events = 0};

		if (kept[i].polled && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)))
			drop(i);
	}
}

static int take_fd(struct msghdr *m)
{
	int fd = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

static void hear(int socket)
{
	char text[4096] = "", control[CMSG_SPACE(sizeof(int)) + 64], name[256] = "stored";
	struct iovec iov = {text, sizeof text - 1};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof control};
	bool store = false, removes = false, polled = true;
	char *line, *rest = text;
	int fd;

	if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) < 0)
		return;
	fd = take_fd(&m);
	while ((line = strsep(&rest, "\n"))) {
		store = store || !strcmp(line, "FDSTORE=1");
		removes = removes || !strcmp(line, "FDSTOREREMOVE=1");
		polled = polled && strcmp(line, "FDPOLL=0") != 0;
		if (!strncmp(line, "FDNAME=", 7))
			snprintf(name, sizeof name, "%s", line + 7);
		if (!strcmp(line, "READY=1")) {
			puts("ready");
			heard = now();
		}
		if (!strcmp(line, "WATCHDOG=1") && heard)
			heard = now();
		if (!strcmp(line, "STOPPING=1"))
			heard = 0; /* its end may take longer */
	}
	if (store && fd >= 0)
		keep(name, fd, polled);
	else if (fd >= 0)
		close(fd); /* a barrier waits for that */
	if (removes)
		drop_named(name);
}

static int listen_at(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", directory);
	unlink(address.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address))
		die(address.sun_path);
	return fd;
}

/* Descriptor FIRST_FD + i becomes kept[i]'s, in the child. */
static void place_fds(void)
{
	for (unsigned i = 0; i < nr_kept; i++)
		kept[i].fd = fcntl(kept[i].fd, F_DUPFD, FIRST_FD + (int)nr_kept);
	for (unsigned i = 0; i < nr_kept; i++) {
		dup2(kept[i].fd, FIRST_FD + (int)i);
		close(kept[i].fd);
	}
}

static void set_environment(void)
{
	static char names[KEPT_MAX * 64], number[16];
	size_t used = 0;

	for (unsigned i = 0; i < nr_kept && used < sizeof names; i++)
		used += (size_t)snprintf(
		    names + used, sizeof names - used, "%s%s", i ? ":" : "", kept[i].name);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	snprintf(number, sizeof number, "%d", WATCHDOG_USEC);
	setenv("WATCHDOG_USEC", number, 1);
	if (!nr_kept)
		return;
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(number, sizeof number, "%u", nr_kept);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof number, "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
}

static pid_t start(char **argv)
{
	char path[300];
	pid_t pid;
	FILE *f;

	drop_ended();
	heard = aborted = 0;
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		set_environment();
		place_fds();
		execv(argv[0], argv);
		die(argv[0]);
	}
	snprintf(path, sizeof path, "%s/pid", directory);
	f = fopen(path, "we");
	if (!f || fprintf(f, "%d\n", (int)pid) < 0 || fclose(f))
		die(path);
	printf("started %d with %u descriptors\n", (int)pid, nr_kept);
	return pid;
}

/* What it has said is heard already. */
static void watch(pid_t pid)
{
	if (aborted) {
		if (now() - aborted >= GRACE)
			kill(pid, SIGKILL);
	} else if (heard && now() - heard >= SILENCE) {
		printf("the watchdog ends %d: it said nothing for %" PRId64 " ms\n", (int)pid,
		    now() - heard);
		aborted = now();
		kill(pid, SIGABRT);
	}
}

/* What it had started became our children. */
static void end_the_rest(void)
{
	char path[64], line[4096];
	int pid, used;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	if (f && fgets(line, sizeof line, f))
		for (char *at = line; sscanf(at, "%d%n", &pid, &used) == 1; at += used)
			kill(pid, SIGKILL);
	if (f)
		fclose(f);
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

/* Returns true when there is to be another one. */
static bool over(int status)
{
	if (WIFSIGNALED(status))
		printf("killed by signal %d\n", WTERMSIG(status));
	else
		printf("exited with %d, %u descriptors are kept\n", WEXITSTATUS(status), nr_kept);
	end_the_rest();
	return WIFSIGNALED(status) || WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	struct pollfd p[2] = {{.events = POLLIN}, {.events = POLLIN}};
	sigset_t watched;
	int status = 0;
	pid_t pid;

	if (argc < 3) {
		fputs("usage: keeper DIRECTORY PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	directory = argv[1];
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigprocmask(SIG_BLOCK, &watched, NULL);
	p[0].fd = listen_at();
	p[1].fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
	pid = start(argv + 2);
	for (;;) {
		struct signalfd_siginfo ignored;

		if (poll(p, 2, 100) < 0 && errno != EINTR)
			die("poll");
		/* what it said before it died counts */
		while (poll(p, 1, 0) > 0)
			hear(p[0].fd);
		drop_ended();
		while (read(p[1].fd, &ignored, sizeof ignored) > 0)
			;
		if (waitpid(pid, &status, WNOHANG) != pid) {
			watch(pid);
			continue;
		}
		while (poll(p, 1, 0) > 0)
			hear(p[0].fd);
		if (!over(status))
			return 0;
		pid = start(argv + 2);
	}
}
