/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume may hold: each cell of `cell` bytes has the set of writes that a read may find
 * there.
 *
 * A write is a candidate from its begin.  It stops being one for reads that begin after another
 * write was acknowledged that had begun after it was over.  Unanswered requests are concurrent: a
 * read may find any of their results, byte by byte.  Write 0 is what the volume held at first.
 */
#ifndef SHEEPFS_TESTS_MODEL_H
#define SHEEPFS_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;

/* initial: cells * cell bytes, copied. */
struct model *model_open(unsigned cells, size_t cell, const uint8_t *initial);
void model_close(struct model *m);

/* The bytes of write number `write` (1, 2, ...) to cells [first, first + n). */
void model_fill(const struct model *m, uint32_t write, unsigned first, unsigned n, uint8_t *bytes);

/* A moment: later calls return larger ones. */
uint64_t model_now(struct model *m);

void model_write_begun(struct model *m, uint32_t write, unsigned first, unsigned n);
/* It is over: acknowledged, or failed with an outcome that is not known.  No read is under way that
 * began before `oldest`. */
void model_write_over(struct model *m, uint32_t write, unsigned first, unsigned n,
    bool acknowledged, uint64_t oldest);

/* May a read that began at that moment and is over now have found these bytes?  Fails the test. */
void model_read_over(
    struct model *m, uint64_t began, unsigned first, unsigned n, const uint8_t *bytes);

#endif
