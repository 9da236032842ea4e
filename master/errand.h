/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errands: what may wait for ever (a path below our own mount, mount(2), umount(2)) is done by a
 * forked child that can be killed.
 *
 * The child holds no descriptor but those it needs, so that a stuck one keeps nothing alive.  Its
 * result is an errno and a text.
 */
#ifndef SHEEPFS_MASTER_ERRAND_H
#define SHEEPFS_MASTER_ERRAND_H

#include <event2/event.h>
#include <stddef.h>

#define ERRAND_TEXT_MAX 4096

/*
 * Runs in the child, on copies of everything, with `keep` as its only descriptor besides the log.
 * Returns 0 or -errno; text (ERRAND_TEXT_MAX bytes, empty at first) goes back with it.
 */
typedef int errand_work(const void *arg, int keep, char *text);

struct errand;

/*
 * Starts one.  `keep` is a descriptor that the child needs, or -1; it stays the caller's.  done()
 * is called once, from the loop, and the errand is gone then: error 0, the errno of work(), or
 * -ETIMEDOUT when it had to be killed after `milliseconds`.  Returns NULL when there can be no
 * child.
 */
struct errand *errand_start(struct event_base *base, errand_work *work, const void *arg, int keep,
    unsigned milliseconds, void (*done)(int error, const char *text, void *arg), void *done_arg);

/* Kills it; done() follows. NULL is fine. */
void errand_kill(struct errand *e);

/* The same without a loop, for the start: waits for it.  text has ERRAND_TEXT_MAX bytes. */
int errand_run(errand_work *work, const void *arg, unsigned milliseconds, char *text);

#endif
