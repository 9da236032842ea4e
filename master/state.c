/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state: see state.h.
 *
 * The memory file has a head and two places for the text (statetext.h), which are written in turn;
 * the head, which names the one that counts, is written last and at once.
 */
#include "master/state.h"

#include "ipc/log.h"
#include "master/front.h"
#include "master/statetext.h"
#include "master/volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAD_SIZE 64
#define TEXT_MAX (64 << 20) /* bytes of a text, and between the two places */

struct state_file {
	int fd;
	unsigned place; /* that counts: 0 or 1 */
};

void state_device_name(char name[NOTIFY_NAME_MAX], uint32_t volume)
{
	snprintf(name, NOTIFY_NAME_MAX, "v%u-device", volume);
}

struct head {
	int version;
	long long at; /* of the text that counts, in the file */
	size_t size;
};

static bool read_head(int fd, struct head *h)
{
	char head[HEAD_SIZE + 1] = "";

	return pread(fd, head, HEAD_SIZE, 0) == HEAD_SIZE &&
	       sscanf(head, STATE_FIRST_WORD " %d %lld %zu", &h->version, &h->at, &h->size) == 3;
}

static int write_whole(int fd, const char *bytes, size_t size, off_t at)
{
	while (size) {
		ssize_t n = pwrite(fd, bytes, size, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
		at += n;
	}
	return 0;
}

static int write_to(const struct master *m, int fd, unsigned place)
{
	off_t at = HEAD_SIZE + (off_t)place * TEXT_MAX;
	char *text = NULL, head[HEAD_SIZE] = "";
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int error;

	if (!f)
		return -ENOMEM;
	error = statewrite_text(f, m);
	if (fclose(f) || size > TEXT_MAX)
		error = -ENOMEM;
	if (!error)
		error = write_whole(fd, text, size, at);
	snprintf(head, sizeof head, STATE_FIRST_WORD " %d %lld %zu\n", STATE_VERSION, (long long)at,
	    size);
	if (!error)
		error = write_whole(fd, head, sizeof head, 0);
	free(text);
	return error;
}

int state_open(struct master *m, int fd)
{
	struct state_file *s = calloc(1, sizeof *s);
	struct head head;

	if (s && fd < 0)
		fd = memfd_create("sheepfs-state", MFD_CLOEXEC);
	if (!s || fd < 0) {
		free(s);
		return -ENOMEM;
	}
	s->fd = fd;
	s->place = read_head(fd, &head) && head.at != HEAD_SIZE;
	m->state = s;
	notify_keep(STATE_NAME, fd);
	return 0;
}

void state_close(struct master *m)
{
	if (!m->state)
		return;
	notify_drop(STATE_NAME);
	close(m->state->fd);
	free(m->state);
	m->state = NULL;
}

void state_save_rest(struct master *m)
{
	struct state_file *s = m->state;
	int error;

	if (!s || !front_memory(m))
		return;
	error = write_to(m, s->fd, !s->place);
	if (error)
		log_error("what the next sheepfs must know cannot be kept: %s; should this process "
			  "die, volumes may end with it",
		    strerror(-error));
	else
		s->place = !s->place;
}

static void forget_lines(struct volume *v)
{
	free(v->lines);
	v->lines = NULL;
	v->lines_size = 0;
}

void state_save_volume(struct volume *v)
{
	forget_lines(v);
	state_save_rest(v->master);
}

static void forget_all_lines(struct master *m)
{
	struct volume *v;

	TAILQ_FOREACH (v, &m->volumes, link)
		forget_lines(v);
}

void state_save(struct master *m)
{
	forget_all_lines(m);
	state_save_rest(m);
}

int state_write(struct master *m)
{
	int fd = memfd_create("sheepfs-state", MFD_CLOEXEC);
	int error;

	forget_all_lines(m);
	error = fd < 0 ? -errno : write_to(m, fd, 0);
	if (!error)
		return fd;
	if (fd >= 0)
		close(fd);
	return error;
}

/* ---- the next one ---- */

/* Nothing is saved before all of it is taken: should we die in here, another one takes it whole. */
int state_take(struct master *m, const char *text, struct bundle *b, char *why, size_t why_size)
{
	struct state_file *file = m->state;
	int error;

	m->state = NULL;
	error = stateread_take(m, text, b, why, why_size);
	m->state = file;
	return error;
}

/* The text that counts, allocated; NULL when there is none. */
static char *load(int fd, const struct head *h)
{
	char *text = h->size <= TEXT_MAX ? malloc(h->size + 1) : NULL;

	if (text && pread(fd, text, h->size, h->at) != (ssize_t)h->size) {
		free(text);
		return NULL;
	}
	if (text)
		text[h->size] = 0;
	return text;
}

int state_read(int fd, char **text, struct state_tree *tree, char *why, size_t why_size)
{
	struct head head = {.version = 0};
	size_t end;

	*text = NULL;
	if (read_head(fd, &head) && head.version != STATE_VERSION) {
		snprintf(why, why_size,
		    "it is of version %d, and this sheepfs knows version %d only", head.version,
		    STATE_VERSION);
		return -EPROTO;
	}
	if (head.version)
		*text = load(fd, &head);
	end = *text ? strlen(*text) : 0;
	if (end < 5 || strcmp(*text + end - 5, "\nend\n") != 0 ||
	    !stateread_find_tree(*text, tree)) {
		snprintf(why, why_size, "it tells of no mount that was served");
		free(*text);
		*text = NULL;
		return -ENODATA;
	}
	return 0;
}
