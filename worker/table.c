/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text tables: see table.h.
 */
#include "worker/table.h"

#include "worker/epochs.h"
#include "worker/nodelist.h"
#include "worker/vdilist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define LINE_MAX_SIZE 4096

/* ---- the text ---- */

void table_fail(struct table *t, int error, const char *format, ...)
{
	va_list ap;

	if (t->error)
		return;
	t->error = error;
	va_start(ap, format);
	vsnprintf(t->sentence, sizeof t->sentence, format, ap);
	va_end(ap);
}

static void flush(struct table *t)
{
	size_t done = 0;

	if (!t->error && t->size + (off_t)t->buffered > (off_t)TABLE_TEXT_MAX)
		table_fail(t, -EFBIG, "it has more lines than a table can show");
	while (!t->error && done < t->buffered) {
		ssize_t n = pwrite(t->fd, t->buffer + done, t->buffered - done, t->size);

		if (n <= 0) {
			table_fail(t, -ENOMEM, "there is no memory for it");
			return;
		}
		done += (size_t)n;
		t->size += n;
	}
	t->buffered = 0;
}

void table_add(struct table *t, const char *text, size_t size)
{
	while (size && !t->error) {
		size_t part = sizeof t->buffer - t->buffered;

		if (part > size)
			part = size;
		memcpy(t->buffer + t->buffered, text, part);
		t->buffered += part;
		text += part;
		size -= part;
		if (t->buffered == sizeof t->buffer)
			flush(t);
	}
}

void table_print(struct table *t, const char *format, ...)
{
	char line[LINE_MAX_SIZE];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	table_add(t, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
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

/* ---- life ---- */

static const struct table_kind *kind_of(enum verb verb)
{
	switch (verb) {
	case VERB_CLUSTER_INFO:
		return &epochs_kind;
	case VERB_NODE_LIST:
		return &nodelist_kind;
	case VERB_NODE_INFO:
		return &nodeinfo_kind;
	default:
		return &vdilist_kind;
	}
}

static void table_free(struct table *t)
{
	t->kind->end(t);
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}

void table_finish(struct table *t)
{
	int fd = -1;

	flush(t);
	if (!t->error &&
	    fcntl(t->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
		table_fail(t, -EIO, "it cannot be sealed");
	if (!t->error) {
		fd = t->fd;
		t->fd = -1;
	}
	t->done(t->arg, t->error, fd, t->sentence);
	table_free(t);
}

struct table *table_make(enum verb verb, struct table_world *world, table_done *done, void *arg)
{
	const struct table_kind *kind = kind_of(verb);
	struct table *t = calloc(1, kind->size);

	if (!t)
		return NULL;
	t->kind = kind;
	t->world = world;
	t->done = done;
	t->arg = arg;
	t->fd = text_open();
	if (t->fd < 0 || !kind->begin(t)) {
		table_free(t);
		return NULL;
	}
	return t;
}

void table_drop(struct table *t)
{
	if (t)
		table_free(t);
}

void table_node_connected(struct table *t, uint64_t number, struct daemon *node)
{
	if (t->kind->node)
		t->kind->node(t, number, node, "");
}

void table_node_failed(struct table *t, uint64_t number, const char *why)
{
	if (t->kind->node)
		t->kind->node(t, number, NULL, why);
}
