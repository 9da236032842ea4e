/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One log line per event.
 *
 * Owns where lines go and how they look.  A child writes "<level>text" lines to descriptor 2, a
 * pipe whose other end the master reads and logs with the child's name before it.  Bytes that
 * are not printable ASCII are written as \xNN, so that nobody forges a line or a terminal escape.
 * Lines longer than LOG_LINE_MAX are cut.  Never blocks: what a full pipe refuses is dropped.
 */
#ifndef SHEEPFS_IPC_LOG_H
#define SHEEPFS_IPC_LOG_H

#define LOG_LINE_MAX 1200

enum log_sink {
	LOG_TO_PARENT,  /* descriptor 2, "<level>text" */
	LOG_TO_JOURNAL, /* the same, as sd-daemon(3) has it; descriptor 2 never blocks from then on
			 */
	LOG_TO_STDERR,  /* descriptor 2, "sheepfs: text", for a person */
	LOG_TO_SYSLOG,  /* syslog(3), facility daemon */
	LOG_TO_FILE,    /* descriptor 2, with date and time */
};

/* Where descriptor 2 leads: LOG_TO_JOURNAL or LOG_TO_STDERR. */
enum log_sink log_stderr(void);

/* program is kept, not copied.  debug: log_debug() lines are written too. */
void log_open(const char *program, enum log_sink sink, int debug);

int log_debugging(void);

#define LOG_PRINTF __attribute__((format(printf, 1, 2)))
LOG_PRINTF void log_error(const char *format, ...);   /* a person must act */
LOG_PRINTF void log_warning(const char *format, ...); /* something was lost or refused */
LOG_PRINTF void log_info(const char *format, ...);    /* an event worth a line */
LOG_PRINTF void log_debug(const char *format, ...);

/* Logs a line at a syslog level 0..7 (for the master, relaying children). */
__attribute__((format(printf, 2, 3))) void log_line(int level, const char *format, ...);

/* The environment failed us: logs and exits with EXIT_ENVIRONMENT. */
LOG_PRINTF _Noreturn void fatal(const char *format, ...);

/* Our own invariant does not hold: logs and exits with EXIT_INVARIANT. */
LOG_PRINTF _Noreturn void bug(const char *format, ...);

#endif
