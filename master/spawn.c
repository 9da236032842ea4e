/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spawning: see spawn.h.
 */
#include "master/spawn.h"

#include "include/bounds.h"
#include "include/words.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
#define ENVIRONMENT_MAX 8
#define VARIABLE_MAX 256

/* All that a child gets to know of our environment. */
static const char *const passed_on[] = {
    "TZ",
#ifdef SANITIZE
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
#endif
};

struct environment {
	char text[ENVIRONMENT_MAX][VARIABLE_MAX];
	char *pointers[ENVIRONMENT_MAX + 1];
	unsigned count;
};

static void add_variable(struct environment *e, const char *name, const char *value)
{
	char *text = e->text[e->count];

	if (!value || (size_t)snprintf(text, VARIABLE_MAX, "%s=%s", name, value) >= VARIABLE_MAX)
		return;
	e->pointers[e->count++] = text;
}

static void make_environment(struct environment *e, bool debug)
{
	memset(e, 0, sizeof *e);
	for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
		add_variable(e, passed_on[i], getenv(passed_on[i]));
	if (debug)
		add_variable(e, "SHEEPFS_DEBUG", "1");
}

/* Only what is safe between clone(2) and exec. */
static _Noreturn void child_main(
    const char *path, char *const *argv, char *const *environment, int null, int control, int log)
{
	char line[PIPE_BUF];
	sigset_t none;
	int n;

	/* the sources lie above CONTROL_FD, so none is overwritten before it is copied */
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log, 2) < 0 ||
	    dup2(control, CONTROL_FD) < 0 || close_range(CONTROL_FD + 1, ~0U, 0))
		_exit(EXIT_ENVIRONMENT);
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(path, argv, environment);
	n = snprintf(line, sizeof line, "<3>%s cannot be executed: %s\n", path, strerror(errno));
	if (n > 0 && write(2, line, (size_t)n) < 0)
		_exit(EXIT_INVARIANT);
	_exit(EXIT_ENVIRONMENT);
}

/* A copy of fd above CONTROL_FD. */
static int lift(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, CONTROL_FD + 1);
}

pid_t spawn_program(const char *path, char *const *argv, int control, int log, bool debug)
{
	static struct environment environment;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int high[3] = {lift(null), lift(control), lift(log)};
	pid_t pid;

	make_environment(&environment, debug);
	if (high[0] < 0 || high[1] < 0 || high[2] < 0)
		pid = -errno;
	else
		pid = (pid_t)syscall(SYS_clone, NAMESPACES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (!pid)
		child_main(path, argv, environment.pointers, high[0], high[1], high[2]);
	if (pid == -1)
		pid = -errno;
	for (unsigned i = 0; i < 3; i++)
		if (high[i] >= 0)
			close(high[i]);
	if (null >= 0)
		close(null);
	return pid;
}

static const struct {
	enum exit_word word;
	const char *text;
} words[] = {
    {EXIT_DRAINED, "it finished what it had accepted"},
    {EXIT_ENVIRONMENT, "the system refused something that it needs; its last log line says what"},
    {EXIT_INVARIANT, "it found itself in a state that cannot be: this is a fault of sheepfs; its "
		     "last log line says which"},
    {EXIT_MASTER_GONE, "its conversation with sheepfs ended"},
    {EXIT_BAD_MESSAGE, "it refused a message that it was sent; its last log line says why"},
    {EXIT_FRONT_GONE, "its conversation with the front ended"},
    {EXIT_REFUSED, "it could not serve"},
    {EXIT_DAEMON_LOST, "the connection to the daemon was lost"},
    {EXIT_DAEMON_MUTE, "the daemon does not answer any more"},
    {EXIT_DAEMON_STALLED,
	"the daemon answers, but has done no I/O for a minute, and another target does"},
    {EXIT_DAEMON_LIES, "the daemon answered what no daemon may answer"},
    {EXIT_VOLUME_CHANGED, "the volume was snapshotted, rolled back, resized or deleted by somebody "
			  "else"},
    {EXIT_UNMOUNTED, "the tree was unmounted"},
};

void spawn_words(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
		snprintf(
		    text, size, "its jail killed it for a system call that is not in its table");
		return;
	}
	if (WIFSIGNALED(status)) {
		snprintf(text, size, "it was killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
		return;
	}
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (WEXITSTATUS(status) == (int)words[i].word) {
			snprintf(text, size, "%s", words[i].text);
			return;
		}
	}
	snprintf(text, size, "it ended with the unknown exit status %d", WEXITSTATUS(status));
}
