/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deliberate misbehaviour, for the tests of clients.
 *
 * Owns the knobs (fault_help names them for a person) and every request they hold back.  The rest
 * of lamb knows only these hooks; with no knob set each is one test of a flag.  Belongs to the
 * loop.
 */
#ifndef LAMB_FAULT_H
#define LAMB_FAULT_H

#include <stdbool.h>
#include <stdint.h>

struct fault;
struct lamb;
struct request;

/* The knobs, one a line, for --help. */
extern const char *const fault_help;

struct fault *fault_new(struct lamb *lamb); /* NULL on lack of memory */
void fault_free(struct fault *fault);

/*
 * Unsets all knobs, sets those of `given` (nr of them) and those in the file (may be NULL; one a
 * line, empty lines and # comments allowed), and lets go what is not to be held any more.
 * 0, or -errno with a sentence in why[200]: then nothing has changed.
 */
int fault_reload(struct fault *fault, char *const *given, unsigned nr, const char *path, char *why);

/* Drops what is muted, and its connections: the process ends. */
void fault_abandon(struct fault *fault);

/* A request has come. True: it is held, answered or dropped here; else run it. */
bool fault_holds(struct request *request);

/* A request has ended: answers it, as it is or worse. */
void fault_answer(struct request *request);

/* Calls then(request) in so many milliseconds. */
void fault_later(struct request *request, uint32_t milliseconds, void (*then)(struct request *));

/* Milliseconds between the making of a snapshot's inode and the marking of the old one. */
uint32_t fault_snapshot_pause(const struct fault *fault);

/* True: a foreign owner holds the lock of that VDI. */
bool fault_locked(const struct fault *fault, const char *name);

#endif
