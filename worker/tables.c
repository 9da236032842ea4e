/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text tables: see tables.h.
 *
 * vdi/list reads the two bitmaps of vids, then up to WINDOW VDIs at once: the header with the
 * beginning of the index in one read, which for most is all, then the rest in pieces.  Rows come
 * out in the order of vids, so a finished VDI waits for those before it.  Memory is bounded by the
 * window, whatever the cluster says of itself; a VDI that cannot be read costs its row and a
 * line in the log.
 */
#include "worker/tables.h"

#include "ipc/log.h"
#include "ipc/name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define WINDOW 32
#define TEXT_BUFFER 16384

/* One VDI of the window. */
struct item {
	struct usage usage; /* first: on_usage() finds the rest by it */
	bool finished;      /* waits for its turn */
};

struct table {
	struct daemon *daemon;
	tables_done *done;
	void *arg;
	struct call bitmap_calls[2];
	uint64_t *bitmaps[2]; /* used, deleted */
	uint32_t next_vid;
	unsigned head, used; /* the window: items[head] is the lowest vid of `used` */
	unsigned in_flight;
	struct item *items;
	int error;
	char sentence[256];
	int fd;
	off_t size;
	size_t buffered;
	char buffer[TEXT_BUFFER];
};

/* ---- formats ---- */

const char *tables_size(uint64_t bytes, char text[TABLES_SIZE_MAX])
{
	static const char *const units[] = {"MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes / (1 << 20);
	unsigned unit = 0;

	for (; value >= 1024 && unit < 4; unit++)
		value /= 1024;
	snprintf(text, TABLES_SIZE_MAX, value >= 10 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return text;
}

const char *tables_list_head(void)
{
	return "  Name        Id    Size    Used  Shared    Creation time   VDI id  Copies  Tag"
	       "   Block Size Shift\n";
}

/* A name or tag of the cluster, in the form in which it is typed. */
static void show(const char *raw, char shown[NAME_SHOWN_SIZE])
{
	struct name n = {.snap_id = 0};

	memcpy(n.name, raw, strnlen(raw, NAME_LENGTH_MAX));
	name_show(&n, shown);
}

static char list_flag(const struct sd_inode_header *h)
{
	if (h->snap_ctime)
		return 's';
	return h->snap_id == 1 && h->parent_vdi_id ? 'c' : ' ';
}

/* The bytes of so many objects; 0 where the shift is beyond all reason. */
static uint64_t objects_size(uint64_t objects, uint8_t shift)
{
	return shift <= SD_SHIFT_MAX ? objects << shift : 0;
}

size_t tables_list_row(const struct usage *u, char line[TABLES_ROW_MAX])
{
	const struct sd_inode_header *h = &u->first.header;
	char name[NAME_SHOWN_SIZE], tag[NAME_SHOWN_SIZE], copies[16], date[32] = "";
	char size[TABLES_SIZE_MAX], own[TABLES_SIZE_MAX], shared[TABLES_SIZE_MAX];
	time_t created = (time_t)(h->create_time >> 32);
	struct tm tm;

	show(h->name, name);
	show(h->tag, tag);
	if (h->copy_policy)
		snprintf(
		    copies, sizeof copies, "%d:%d", (h->copy_policy >> 4) * 2, h->copy_policy & 15);
	else
		snprintf(copies, sizeof copies, "%d", h->nr_copies);
	if (localtime_r(&created, &tm))
		strftime(date, sizeof date, "%Y-%m-%d %H:%M", &tm);
	tables_size(h->vdi_size, size);
	tables_size(objects_size(u->own, h->block_size_shift), own);
	tables_size(objects_size(u->shared, h->block_size_shift), shared);
	return (size_t)snprintf(line, TABLES_ROW_MAX,
	    "%c %-8s %5d %7s %7s %7s %s  %7x %6s %13s %3u\n", list_flag(h), name,
	    h->snap_ctime ? (int)h->snap_id : 0, size, own, shared, date, u->vid, copies, tag,
	    h->block_size_shift);
}

/* ---- the text ---- */

static void table_fail(struct table *t, int error, const char *sentence)
{
	if (t->error)
		return;
	t->error = error;
	snprintf(t->sentence, sizeof t->sentence, "%s", sentence);
}

static void text_flush(struct table *t)
{
	size_t done = 0;

	if (t->error || t->size + (off_t)t->buffered > (off_t)TABLES_TEXT_MAX) {
		table_fail(t, -EFBIG, "the cluster has more VDIs than a table can show");
		return;
	}
	while (done < t->buffered) {
		ssize_t n = pwrite(t->fd, t->buffer + done, t->buffered - done, t->size);

		if (n <= 0) {
			table_fail(t, -ENOMEM, "there is no memory for the table");
			return;
		}
		done += (size_t)n;
		t->size += n;
	}
	t->buffered = 0;
}

static void text_add(struct table *t, const char *text, size_t size)
{
	if (t->buffered + size > sizeof t->buffer)
		text_flush(t);
	if (t->error)
		return;
	memcpy(t->buffer + t->buffered, text, size);
	t->buffered += size;
}

/* Written with pwrite(2), so that its reader finds the offset at 0. */
static int text_open(void)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("sheepfs-table", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* kernels before 6.3 do not know that seal */
		fd = memfd_create("sheepfs-table", flags);
	return fd;
}

static void table_free(struct table *t)
{
	free(t->bitmaps[0]);
	free(t->bitmaps[1]);
	free(t->items);
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}

static void table_finish(struct table *t)
{
	int fd = -1;

	text_flush(t);
	if (!t->error &&
	    fcntl(t->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
		table_fail(t, -EIO, "the table cannot be sealed");
	if (!t->error) {
		fd = t->fd;
		t->fd = -1;
	}
	t->done(t->arg, t->error, fd, t->sentence);
	table_free(t);
}

/* ---- the window ---- */

/* The next vid that is used and not deleted; 0 when there is none. */
static uint32_t next_vid(struct table *t)
{
	for (; t->next_vid < SD_NR_VDIS; t->next_vid++) {
		uint64_t word = t->bitmaps[0][t->next_vid / 64] >> t->next_vid % 64;

		if (word & 1)
			return t->next_vid++;
		if (!word)
			t->next_vid |= 63;
	}
	return 0;
}

/* A daemon that stopped serving ends the table; one VDI that cannot be read does not. */
static void judge(struct table *t, const struct usage *u)
{
	char sentence[128];

	if (u->result == SD_RES_SUCCESS || u->result == SD_RES_NO_OBJ) /* just deleted: no news */
		return;
	snprintf(sentence, sizeof sentence, "VDI %x cannot be read: %s", u->vid,
	    sheep_result_name(u->result));
	if (u->result == SD_RES_WAIT_FOR_FORMAT || u->result == SD_RES_WAIT_FOR_JOIN ||
	    u->result == SD_RES_SHUTDOWN || u->result == SD_RES_KILLED)
		table_fail(t, sheep_errno(u->result), sentence);
	else
		log_warning("vdi/list is without a row: %s", sentence);
}

static void table_turn(struct table *t);

static void on_usage(struct usage *u)
{
	struct table *t = u->owner;
	struct item *i = (struct item *)u;

	t->in_flight--;
	i->finished = true;
	judge(t, u);
	table_turn(t);
}

static bool item_begin(struct table *t)
{
	struct item *i = &t->items[(t->head + t->used) % WINDOW];
	uint32_t vid = next_vid(t);

	if (!vid)
		return false;
	t->used++;
	t->in_flight++;
	i->finished = false;
	usage_read(&i->usage, t->daemon, vid, on_usage, t);
	return true;
}

static void item_show(struct table *t, const struct item *i)
{
	char line[TABLES_ROW_MAX];

	if (i->usage.result == SD_RES_SUCCESS && i->usage.first.header.name[0])
		text_add(t, line, tables_list_row(&i->usage, line));
}

/* Rows out at one end, VDIs in at the other; the table is finished when the window is empty. */
static void table_turn(struct table *t)
{
	while (t->used && t->items[t->head].finished && !t->error) {
		item_show(t, &t->items[t->head]);
		t->head = (t->head + 1) % WINDOW;
		t->used--;
	}
	while (!t->error && t->used < WINDOW && item_begin(t))
		;
	if (!t->in_flight && (t->error || !t->used))
		table_finish(t);
}

static void on_bitmap(struct call *call)
{
	struct table *t = call->owner;
	uint32_t result = call->rsp.result;
	char sentence[160];

	t->in_flight--;
	if (result != SD_RES_SUCCESS || call->rsp.data_length != SD_VDI_BITMAP_SIZE) {
		snprintf(sentence, sizeof sentence,
		    "the daemon does not tell which VDIs there are: %s", sheep_result_name(result));
		table_fail(t, result ? sheep_errno(result) : -EPROTO, sentence);
	}
	if (t->in_flight)
		return;
	for (size_t i = 0; i < SD_NR_VDIS / 64; i++)
		t->bitmaps[0][i] &= ~t->bitmaps[1][i];
	free(t->bitmaps[1]);
	t->bitmaps[1] = NULL;
	t->next_vid = 1;
	text_add(t, tables_list_head(), strlen(tables_list_head()));
	table_turn(t);
}

struct table *tables_list(struct daemon *daemon, tables_done *done, void *arg)
{
	static const enum sd_op ops[2] = {SD_OP_READ_VDIS, SD_OP_READ_DEL_VDIS};
	struct table *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->daemon = daemon;
	t->done = done;
	t->arg = arg;
	t->fd = text_open();
	t->items = calloc(WINDOW, sizeof *t->items);
	t->bitmaps[0] = malloc(SD_VDI_BITMAP_SIZE);
	t->bitmaps[1] = malloc(SD_VDI_BITMAP_SIZE);
	if (t->fd < 0 || !t->items || !t->bitmaps[0] || !t->bitmaps[1]) {
		table_free(t);
		return NULL;
	}
	for (unsigned i = 0; i < 2; i++) {
		call_init(&t->bitmap_calls[i], ops[i], LANE_CONTROL, on_bitmap, t);
		t->bitmap_calls[i].receive = t->bitmaps[i];
		t->bitmap_calls[i].receive_size = SD_VDI_BITMAP_SIZE;
		t->in_flight++;
		daemon_submit(daemon, &t->bitmap_calls[i]);
	}
	return t;
}

void tables_drop(struct table *t)
{
	if (t)
		table_free(t);
}
