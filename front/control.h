/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control files: what is written to them and read from them, for each open file.
 *
 * Owns every open file of vdi/ and config/ and the commands that wait for the master.  One command
 * a write; the write is answered with the command's errno; then reading the same open file gives,
 * from byte 0, the sentence about it.  Reading one afresh gives its usage; a knob's, its value.  A
 * table is one snapshot for one open.  Never executes a command, never blocks.
 */
#ifndef SHEEPFS_FRONT_CONTROL_H
#define SHEEPFS_FRONT_CONTROL_H

#include "front/front.h"
#include "front/session.h"

struct control;

/* NULL when memory is short.  `f` must outlive it. */
struct control *control_new(struct front *f);

/* OPEN of the file of this verb, called `path`; answered now or when the master has. */
void control_open(struct control *c, fuse_req_t req, enum verb verb, const char *path, int flags);

void control_read(struct control *c, fuse_req_t req, uint64_t fh, size_t size, off_t offset);
void control_write(struct control *c, fuse_req_t req, enum verb verb, const char *path, uint64_t fh,
    const char *text, size_t size);
void control_release(struct control *c, fuse_req_t req, uint64_t fh);

/* The master's answers.  Returns false when nobody waits for it, or not for that.  A table's
 * descriptor is owned from now on. */
bool control_answered(struct control *c, const struct msg_answered *answer, const char *sentence);
bool control_table(struct control *c, uint64_t number, int fd);

/* The tree's connection is ending: answers whoever waits. */
void control_end(struct control *c);

#endif
