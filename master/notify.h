/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager, where it is one that started us: systemd.
 *
 * Owns what is said to it: that we serve, that we end, that we live (the watchdog), and which
 * descriptors it keeps for the next sheepfs should this one die (its fd store).  Where nobody
 * listens, nothing is said.  Never decides anything.
 */
#ifndef SHEEPFS_MASTER_NOTIFY_H
#define SHEEPFS_MASTER_NOTIFY_H

#include <event2/event.h>
#include <stdbool.h>

#define NOTIFY_NAME_MAX 64 /* bytes of a kept descriptor's name, with its NUL */

/* Begins to say that we live, as often as is asked for.  Returns 0 or -ENOMEM. */
int notify_open(struct event_base *base);
void notify_close(void);

/* Somebody listens, and keeps what notify_keep() gives it. */
bool notify_is_service(void);

/* We serve; or we end.  `status` is a short text for people. */
void notify_ready(const char *status);
void notify_stopping(const char *status);

/*
 * A duplicate of fd is kept under this name (letters, digits, "-") until notify_drop(), whoever
 * dies.  It is kept when its other end is closed, too: what is left in it is evidence.
 */
void notify_keep(const char *name, int fd);
void notify_drop(const char *name);

/* Comes back when all of that is done, or nobody does it. */
void notify_barrier(void);

/*
 * Errand: the type of the job that systemd runs on our unit ("restart", "stop", ...), empty when
 * there is none; it sends SIGTERM for all of them.  arg is not used.
 */
int notify_job_work(const void *arg, int keep, char *text);

#endif
