/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text tables: what a person reads about the cluster, in the formats of `dog` (P 8).
 *
 * Owns the formats, and the reading of every VDI that a table needs.  A finished table is a sealed
 * memfd: what a reader was given never changes.  Changes nothing in the cluster.
 */
#ifndef SHEEPFS_WORKER_TABLES_H
#define SHEEPFS_WORKER_TABLES_H

#include "worker/sheep.h"
#include "worker/usage.h"

#define TABLES_TEXT_MAX (32UL << 20) /* bytes of one table */
#define TABLES_ROW_MAX 1792          /* bytes of one row of vdi/list, with its NUL */
#define TABLES_SIZE_MAX 16           /* bytes of a size as people read it, with its NUL */

/* "4.0 MB": the number format of every table (P 8).  Returns text. */
const char *tables_size(uint64_t bytes, char text[TABLES_SIZE_MAX]);

/* The head line of vdi/list, with its newline. */
const char *tables_list_head(void);

/*
 * Writes a VDI's row of vdi/list with its newline into line; returns its length.  Bytes that cannot
 * be typed, or that would break the table, are shown as in commands (ipc/name.h).
 */
size_t tables_list_row(const struct usage *u, char line[TABLES_ROW_MAX]);

/* error 0: fd is the table, owned by the callee.  Else fd is -1 and the sentence tells why. */
typedef void tables_done(void *arg, int error, int fd, const char *sentence);

struct table;

/*
 * Makes the table vdi/list.  done() is called once, not before this returns, unless the table
 * is dropped; then the table is gone.  NULL when memory is short.
 */
struct table *tables_list(struct daemon *daemon, tables_done *done, void *arg);

/* Forgets a table whose daemon is lost: no call of it completes any more.  NULL is fine. */
void tables_drop(struct table *t);

#endif
