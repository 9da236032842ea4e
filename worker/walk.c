/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk through all VDIs: see walk.h.
 */
#include "worker/walk.h"

#include "ipc/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* One VDI of the window. */
struct walk_item {
	struct usage usage; /* first: on_usage() finds the rest by it */
	bool finished;      /* waits for its turn */
};

static void fail(struct walk *w, int error, const char *what, uint32_t result)
{
	if (w->error)
		return;
	w->error = error;
	snprintf(w->sentence, sizeof w->sentence, "%s: %s", what, sheep_result_name(result));
}

/* The next vid that is used and not deleted; 0 when there is none. */
static uint32_t next_vid(struct walk *w)
{
	for (; w->next_vid < SD_NR_VDIS; w->next_vid++) {
		uint64_t word = w->bitmaps[0][w->next_vid / 64] >> w->next_vid % 64;

		if (word & 1)
			return w->next_vid++;
		if (!word)
			w->next_vid |= 63;
	}
	return 0;
}

/* A daemon that stopped serving ends the walk; one VDI that cannot be read does not. */
static void judge(struct walk *w, const struct usage *u)
{
	char what[64];

	if (u->result == SD_RES_SUCCESS || u->result == SD_RES_NO_OBJ) /* just deleted: no news */
		return;
	snprintf(what, sizeof what, "VDI %x cannot be read", u->vid);
	if (u->result == SD_RES_WAIT_FOR_FORMAT || u->result == SD_RES_WAIT_FOR_JOIN ||
	    u->result == SD_RES_SHUTDOWN || u->result == SD_RES_KILLED)
		fail(w, sheep_errno(u->result), what, u->result);
	else
		log_warning("a table is without a row: %s: %s", what, sheep_result_name(u->result));
}

static void walk_turn(struct walk *w);

static void on_usage(struct usage *u)
{
	struct walk *w = u->owner;

	w->in_flight--;
	((struct walk_item *)u)->finished = true;
	judge(w, u);
	walk_turn(w);
}

static bool item_begin(struct walk *w)
{
	struct walk_item *i = &w->items[(w->head + w->used) % WALK_WINDOW];
	uint32_t vid = next_vid(w);

	if (!vid)
		return false;
	w->used++;
	w->in_flight++;
	i->finished = false;
	i->usage.counted = w->counted;
	i->usage.now = w->now;
	i->usage.header_only = w->headers_only;
	usage_read(&i->usage, w->daemon, vid, on_usage, w);
	return true;
}

/* VDIs out at one end and in at the other; the walk is over when the window is empty. */
static void walk_turn(struct walk *w)
{
	while (w->used && w->items[w->head].finished && !w->error) {
		const struct usage *u = &w->items[w->head].usage;

		if (u->result == SD_RES_SUCCESS && u->first.header.name[0])
			w->vdi(w->arg, u);
		w->head = (w->head + 1) % WALK_WINDOW;
		w->used--;
	}
	while (!w->error && w->used < WALK_WINDOW && item_begin(w))
		;
	if (!w->in_flight && (w->error || !w->used))
		w->ended(w->arg, w->error, w->sentence);
}

static void on_bitmap(struct call *call)
{
	struct walk *w = call->owner;
	uint32_t result = call->rsp.result;

	w->in_flight--;
	if (result != SD_RES_SUCCESS || call->rsp.data_length != SD_VDI_BITMAP_SIZE)
		fail(w, result ? sheep_errno(result) : -EPROTO,
		    "the daemon does not tell which VDIs there are", result);
	if (w->in_flight)
		return;
	for (size_t i = 0; i < SD_NR_VDIS / 64; i++)
		w->bitmaps[0][i] &= ~w->bitmaps[1][i];
	free(w->bitmaps[1]);
	w->bitmaps[1] = NULL;
	w->next_vid = 1;
	walk_turn(w);
}

bool walk_begin(struct walk *w)
{
	static const enum sd_op ops[2] = {SD_OP_READ_VDIS, SD_OP_READ_DEL_VDIS};

	w->items = calloc(WALK_WINDOW, sizeof *w->items);
	w->bitmaps[0] = malloc(SD_VDI_BITMAP_SIZE);
	w->bitmaps[1] = malloc(SD_VDI_BITMAP_SIZE);
	if (!w->items || !w->bitmaps[0] || !w->bitmaps[1])
		return false;
	for (unsigned i = 0; i < 2; i++) {
		call_init(&w->bitmap_calls[i], ops[i], LANE_CONTROL, on_bitmap, w);
		w->bitmap_calls[i].receive = w->bitmaps[i];
		w->bitmap_calls[i].receive_size = SD_VDI_BITMAP_SIZE;
		w->in_flight++;
		daemon_submit(w->daemon, &w->bitmap_calls[i]);
	}
	return true;
}

void walk_free(struct walk *w)
{
	free(w->bitmaps[0]);
	free(w->bitmaps[1]);
	free(w->items);
	w->bitmaps[0] = w->bitmaps[1] = NULL;
	w->items = NULL;
}
