/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dialling: one connection to one target, made without ever waiting for it.
 *
 * The connected descriptor goes to a worker.  Never reads or writes a byte of what is said over it.
 */
#ifndef SHEEPFS_MASTER_DIAL_H
#define SHEEPFS_MASTER_DIAL_H

#include "master/target.h"

#include <event2/event.h>

struct dial;

/*
 * Begins to connect; gives up after `milliseconds`.  done() is called once, from the loop, with a
 * descriptor that it owns (non-blocking, O_CLOEXEC) or -errno; the dial is gone then.  Returns NULL
 * when memory is short.
 */
struct dial *dial_start(struct event_base *base, const struct target *target, unsigned milliseconds,
    void (*done)(int fd, void *arg), void *arg);

/* What an error of done() means, for people. */
const char *dial_words(int error);

/* Does that error mean that no process listens there? */
bool dial_found_nobody(int error);

/* Forgets it; done() is not called. NULL is fine. */
void dial_cancel(struct dial *d);

#endif
