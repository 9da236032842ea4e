/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume may hold: see model.h.
 */
#include "tests/unit/model.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

struct candidate {
	uint32_t write;
	uint64_t began, over, gone; /* 0: not yet */
};

struct cell {
	struct candidate *candidates;
	unsigned n, room;
};

struct model {
	unsigned nr_cells;
	size_t cell;
	uint8_t *initial;
	uint64_t clock;
	struct cell *cells;
	uint8_t *expected;
};

uint64_t model_now(struct model *m)
{
	return ++m->clock;
}

/* The bytes depend on the write and on their place, so that nothing misplaced looks right. */
static void fill(const struct model *m, uint32_t write, size_t at, size_t size, uint8_t *bytes)
{
	uint32_t mixed = write * UINT32_C(2654435761);

	if (!write)
		memcpy(bytes, m->initial + at, size);
	for (size_t n = 0; write && n < size; n++)
		bytes[n] = (uint8_t)((mixed >> (at + n) % 4 * 8) + (at + n) / 4);
}

void model_fill(const struct model *m, uint32_t write, unsigned first, unsigned n, uint8_t *bytes)
{
	fill(m, write, first * m->cell, n * m->cell, bytes);
}

static struct candidate *add(struct cell *c, uint32_t write)
{
	if (c->n == c->room) {
		c->room = c->room * 2 + 4;
		c->candidates = realloc(c->candidates, c->room * sizeof *c->candidates);
	}
	memset(&c->candidates[c->n], 0, sizeof *c->candidates);
	c->candidates[c->n].write = write;
	return &c->candidates[c->n++];
}

void model_write_begun(struct model *m, uint32_t write, unsigned first, unsigned n)
{
	uint64_t now = model_now(m);

	for (unsigned k = first; k < first + n; k++)
		add(&m->cells[k], write)->began = now;
}

void model_write_over(
    struct model *m, uint32_t write, unsigned first, unsigned n, bool acknowledged, uint64_t oldest)
{
	uint64_t now = model_now(m);

	for (unsigned k = first; k < first + n; k++) {
		struct cell *c = &m->cells[k];
		struct candidate *mine = c->candidates;
		unsigned kept = 0;

		while (mine->write != write)
			mine++;
		mine->over = now;
		for (unsigned i = 0; i < c->n; i++) {
			struct candidate *other = &c->candidates[i];

			if (acknowledged && other->over && !other->gone &&
			    other->over < mine->began)
				other->gone = now;
		}
		for (unsigned i = 0; i < c->n; i++)
			if (!c->candidates[i].gone || c->candidates[i].gone > oldest)
				c->candidates[kept++] = c->candidates[i];
		c->n = kept;
	}
}

static bool allowed(struct model *m, const struct cell *c, size_t at, uint64_t began, uint8_t byte)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct candidate *w = &c->candidates[i];

		if (w->gone && w->gone < began)
			continue;
		fill(m, w->write, at, 1, m->expected);
		if (m->expected[0] == byte)
			return true;
	}
	return false;
}

static void cell_check(struct model *m, unsigned k, uint64_t began, const uint8_t *bytes)
{
	const struct cell *c = &m->cells[k];
	size_t at = k * m->cell;

	for (unsigned i = c->n; i-- > 0;) {
		const struct candidate *w = &c->candidates[i];

		if (w->gone && w->gone < began)
			continue;
		fill(m, w->write, at, m->cell, m->expected);
		if (memcmp(m->expected, bytes, m->cell) == 0)
			return;
	}
	for (size_t n = 0; n < m->cell; n++)
		if (!allowed(m, c, at + n, began, bytes[n]))
			fail_msg(
			    "byte %zu of the volume is %02x, which none of %u writes left there",
			    at + n, bytes[n], c->n);
}

void model_read_over(
    struct model *m, uint64_t began, unsigned first, unsigned n, const uint8_t *bytes)
{
	for (unsigned k = 0; k < n; k++)
		cell_check(m, first + k, began, bytes + k * m->cell);
}

struct model *model_open(unsigned cells, size_t cell, const uint8_t *initial)
{
	struct model *m = calloc(1, sizeof *m);

	m->nr_cells = cells;
	m->cell = cell;
	m->initial = malloc(cells * cell);
	memcpy(m->initial, initial, cells * cell);
	m->expected = malloc(cell);
	m->cells = calloc(cells, sizeof *m->cells);
	m->clock = 1;
	for (unsigned k = 0; k < cells; k++) {
		struct candidate *w = add(&m->cells[k], 0);

		w->began = w->over = 1;
	}
	return m;
}

void model_close(struct model *m)
{
	for (unsigned k = 0; k < m->nr_cells; k++)
		free(m->cells[k].candidates);
	free(m->cells);
	free(m->initial);
	free(m->expected);
	free(m);
}
