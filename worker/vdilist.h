/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdi/list: what `dog vdi list` prints (P 8.1).
 */
#ifndef SHEEPFS_WORKER_VDILIST_H
#define SHEEPFS_WORKER_VDILIST_H

#include "worker/table.h"
#include "worker/usage.h"

#define VDILIST_ROW_MAX 1024 /* bytes of one row, with its NUL */

extern const struct table_kind vdilist_kind;

/* Writes a VDI's row with its newline into line; returns its length.  Names and tags stand there as
 * they are. */
size_t vdilist_row(const struct usage *u, char line[VDILIST_ROW_MAX]);

#endif
