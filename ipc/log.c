/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: see log.h.
 *
 * Owns the only process-wide state of ipc: the program's name and the chosen sink, set once at
 * start.
 */
#include "ipc/log.h"

#include "include/words.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syslog.h>
#include <time.h>
#include <unistd.h>

static const char *log_program = "sheepfs";
static enum log_sink log_sink = LOG_TO_STDERR;
static int log_debug_on;

/* JOURNAL_STREAM is the device and inode of the journal's stream (systemd.exec(5)), which may have
 * been replaced since it was set. */
enum log_sink log_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	    !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode)
		return LOG_TO_JOURNAL;
	return LOG_TO_STDERR;
}

void log_open(const char *program, enum log_sink sink, int debug)
{
	log_program = program;
	log_sink = sink;
	log_debug_on = debug;
	if (sink == LOG_TO_SYSLOG)
		openlog(program, LOG_PID, LOG_DAEMON);
	if (sink == LOG_TO_JOURNAL)
		fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
}

int log_debugging(void)
{
	return log_debug_on;
}

/* Appends text to line, unprintable bytes as \xNN; returns the new length, below size. */
static size_t append_printable(char *line, size_t used, size_t size, const char *text)
{
	for (; *text && used + 5 < size; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte >= 0x20 && byte < 0x7f)
			line[used++] = *text;
		else
			used += (size_t)snprintf(line + used, size - used, "\\x%02x", byte);
	}
	line[used] = 0;
	return used;
}

static size_t write_prefix(char *line, size_t size, int level)
{
	struct timespec now;
	struct tm tm;
	int n = 0;

	if (log_sink == LOG_TO_PARENT || log_sink == LOG_TO_JOURNAL) {
		n = snprintf(line, size, "<%d>", level);
	} else if (log_sink == LOG_TO_STDERR) {
		n = snprintf(line, size, "%s: ", log_program);
	} else if (log_sink == LOG_TO_FILE) {
		clock_gettime(CLOCK_REALTIME, &now);
		localtime_r(&now.tv_sec, &tm);
		n = (int)strftime(line, size, "%Y-%m-%d %H:%M:%S", &tm);
		n += snprintf(line + n, size - (size_t)n, ".%03ld %s[%d]: ", now.tv_nsec / 1000000,
		    log_program, (int)getpid());
	}
	return (size_t)n;
}

__attribute__((format(printf, 2, 0))) static void emit(int level, const char *format, va_list ap)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX + 64];
	size_t used;

	if (level == LOG_DEBUG && !log_debug_on)
		return;
	vsnprintf(text, sizeof text, format, ap);
	used = write_prefix(line, 64, level);
	used = append_printable(line, used, sizeof line - 1, text);
	if (log_sink == LOG_TO_SYSLOG) {
		syslog(level, "%s", line);
		return;
	}
	line[used++] = '\n';
	/* a full pipe drops the line: a log never holds up the work it tells of */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

#define EMIT(level)                                                                                \
	do {                                                                                       \
		va_list ap;                                                                        \
		va_start(ap, format);                                                              \
		emit(level, format, ap);                                                           \
		va_end(ap);                                                                        \
	} while (0)

void log_error(const char *format, ...)
{
	EMIT(LOG_ERR);
}

void log_warning(const char *format, ...)
{
	EMIT(LOG_WARNING);
}

void log_info(const char *format, ...)
{
	EMIT(LOG_INFO);
}

void log_debug(const char *format, ...)
{
	EMIT(LOG_DEBUG);
}

void log_line(int level, const char *format, ...)
{
	EMIT(level);
}

void fatal(const char *format, ...)
{
	EMIT(LOG_CRIT);
	exit(EXIT_ENVIRONMENT);
}

void bug(const char *format, ...)
{
	EMIT(LOG_CRIT);
	_exit(EXIT_INVARIANT);
}
