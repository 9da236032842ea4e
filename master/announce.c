/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Going to the background: see announce.h.
 *
 * The parent reads a pipe: one byte says how it went, nothing that we died without a word.
 */
#include "master/announce.h"

#include "ipc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVED 's'
#define FAILED 'f'

static int parent = -1;   /* the pipe to it; -1: there is none */
static int terminal = -1; /* where the line goes; -1: no more */
static bool in_background, log_is_elsewhere;

static _Noreturn void parent_main(int from, pid_t child)
{
	char how = 0;

	while (read(from, &how, 1) < 0 && errno == EINTR)
		;
	if (!how)
		fputs("sheepfs: the process in the background died at its start; the system's log "
		      "may tell more\n",
		    stderr);
	if (how == SERVED)
		exit(0);
	/* when we have said that it failed, nothing of it is left */
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	exit(1);
}

int announce_open(bool background)
{
	int ends[2];
	pid_t pid;

	terminal = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 4);
	in_background = background;
	if (!background)
		return 0;
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		close(ends[1]);
		parent_main(ends[0], pid);
	}
	close(ends[0]);
	parent = ends[1];
	setsid();
	return 0;
}

void announce_log_is_elsewhere(void)
{
	log_is_elsewhere = true;
}

static void tell_parent(char how)
{
	if (parent >= 0 && write(parent, &how, 1) == 1)
		close(parent);
	parent = -1;
	if (terminal >= 0)
		close(terminal);
	terminal = -1;
}

/* Descriptors 0 and 1, and 2 when it still is the terminal. */
static void let_go(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct stat there, here;

	if (null < 0)
		return;
	if (terminal >= 0 && !fstat(terminal, &there) && !fstat(STDERR_FILENO, &here) &&
	    there.st_dev == here.st_dev && there.st_ino == here.st_ino)
		dup2(null, STDERR_FILENO);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close(null);
}

void announce_served(void)
{
	if (in_background)
		let_go();
	tell_parent(SERVED);
}

void announce_failed(const char *format, ...)
{
	char text[LOG_LINE_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	/* else the log is there, too */
	if (terminal >= 0 && log_is_elsewhere)
		dprintf(terminal, "sheepfs: %s\n", text);
	log_error("%s", text);
	tell_parent(FAILED);
}
