/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of what is written to control files.
 *
 *	mount, unmount	NAME[@TAG-OR-NUMBER]			(ipc/name.h)
 *	create		NAME SIZE [object_size=SIZE]
 *
 * SIZE is a number of bytes, or one followed by K, M, G, T or P (powers of 1024; KiB, MiB ... too).
 * Pure functions: no file, no message is sent.
 */
#ifndef SHEEPFS_FRONT_COMMAND_H
#define SHEEPFS_FRONT_COMMAND_H

#include "ipc/msg.h"

/*
 * Parses the text of a command, without the newline at its end, into c: all that its verb
 * needs (enum verb).  Returns 0, or -errno and in sentence[SENTENCE_MAX] what is wrong, with the
 * value, and how it is written.
 */
int command_parse(
    enum verb verb, const char *text, size_t size, struct msg_command *c, char *sentence);

/* How the control file of this verb is used; ends with a newline. */
const char *command_usage(enum verb verb);

#endif
