/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O of workerpeer: patterns, and random load compared with a copy in memory.
 */
#include "tests/lib/workerpeer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t pattern(uint64_t at, unsigned seed)
{
	uint64_t word = (at / 8 + 1) * (seed * UINT64_C(0x9e3779b97f4a7c15));

	word ^= word >> 29;
	return seed ? (uint8_t)(word >> at % 8 * 8) : 0;
}

/* One answer: the slot's work is over. */
void load_answered(struct peer *p, const struct record_answer *a)
{
	struct work *w = NULL;
	unsigned slot;

	for (slot = 0; slot < SLOTS && !w; slot++)
		if (p->work[slot].id == a->id)
			w = &p->work[slot];
	if (!w) {
		wrong(p, "an answer that nobody waits for", a->id);
		return;
	}
	slot--;
	p->last_error = a->error;
	if (a->error)
		wrong(p, strerror(-a->error), w->offset);
	else if (w->op == REQUEST_WRITE && p->copy)
		memcpy(p->copy + w->offset, arena_slot(&p->out, slot), w->length);
	else if (w->op == REQUEST_READ && p->copy &&
		 memcmp(p->copy + w->offset, arena_slot(&p->in, slot), w->length))
		wrong(p, "other bytes than were written", w->offset);
	w->id = 0;
	p->outstanding--;
	p->finished++;
}

/* Sends one request in a free slot whose payload is in place; returns its slot. */
static void request(struct peer *p, unsigned slot, uint32_t op, uint64_t offset, uint32_t length)
{
	struct record_request r = {
	    .id = ++p->next_id, .offset = offset, .length = length, .slot = slot, .op = op};
	struct msg_requests payload = {.pad = {0}};

	p->work[slot] = (struct work){r.id, op, offset, length};
	p->outstanding++;
	send_requests(p->front, 1, 1, &payload, &r, sizeof r, NULL);
}

static bool settle(struct peer *p, unsigned most)
{
	double end = now() + PATIENCE;

	while (p->outstanding > most && p->front && !p->over && now() < end)
		event_base_loop(p->base, EVLOOP_ONCE);
	if (p->outstanding > most)
		wrong(p, "no answer", p->outstanding);
	return p->outstanding <= most;
}

void load_pattern(struct peer *p, uint32_t op, uint64_t offset, uint64_t length, unsigned seed)
{
	unsigned before = p->failures;

	for (uint64_t at = offset; at < offset + length && settle(p, 0);) {
		uint64_t rest = offset + length - at;
		uint32_t n = rest < SLOT_SIZE ? (uint32_t)rest : SLOT_SIZE;
		uint8_t *out = arena_slot(&p->out, 0), *in = arena_slot(&p->in, 0);

		for (uint32_t i = 0; op == REQUEST_WRITE && i < n; i++)
			out[i] = pattern(at + i, seed);
		request(p, 0, op, at, n);
		if (!settle(p, 0) || p->last_error)
			break;
		for (uint32_t i = 0; op == REQUEST_READ && i < n; i++) {
			if (in[i] != pattern(at + i, seed)) {
				wrong(p, "other bytes than the pattern's", at + i);
				break;
			}
		}
		at += n;
	}
	printf("%s %s\n", op == REQUEST_READ ? "check" : "fill",
	    p->failures == before ? "ok" : "failed");
}

static bool overlaps(const struct peer *p, uint64_t offset, uint32_t length)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct work *w = &p->work[i];

		if (w->id && w->offset < offset + length && offset < w->offset + w->length)
			return true;
	}
	return false;
}

static void load_one(struct peer *p, unsigned slot, uint64_t span, bool bench)
{
	uint32_t length =
	    bench ? 4096 : (uint32_t)random() % (random() % 8 ? 16384 : SLOT_SIZE) + 1;
	uint64_t offset = (uint64_t)random() * 4096 % (span - length);
	bool write = !bench && random() % 2;
	uint8_t *out = arena_slot(&p->out, slot);

	if (!bench)
		offset = (offset + (uint64_t)random() % 4096) % (span - length);
	if (!bench && overlaps(p, offset, length))
		return;
	for (uint32_t i = 0; write && i < length; i++)
		out[i] = (uint8_t)(p->next_id * 31 + i * 7 + (i >> 8));
	request(p, slot, write ? REQUEST_WRITE : REQUEST_READ, offset, length);
}

void load_random(struct peer *p, double seconds, unsigned depth, uint64_t span, bool bench)
{
	double end = now() + seconds, begun = now();
	unsigned before = p->failures;

	if (!bench && !p->copy) {
		p->copy = calloc(1, span);
		if (!p->copy)
			die("calloc");
	}
	p->finished = 0;
	while (now() < end && !p->over && p->front) {
		for (unsigned slot = 0; slot < depth && slot < SLOTS; slot++)
			if (!p->work[slot].id)
				load_one(p, slot, span, bench);
		settle(p, depth - 1);
	}
	settle(p, 0);
	printf("%s %s: %" PRIu64 " requests, %.0f a second\n", bench ? "bench" : "load",
	    p->failures == before ? "ok" : "failed", p->finished,
	    (double)p->finished / (now() - begun));
	if (bench)
		return;
	free(p->copy);
	p->copy = NULL;
}

void load_flush(struct peer *p)
{
	request(p, 0, REQUEST_FLUSH, 0, 0);
	printf("flush %s\n", settle(p, 0) && !p->last_error ? "ok" : "failed");
}
