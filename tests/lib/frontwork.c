/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workers of frontpeer: see frontwork.h.
 */
#include "tests/lib/frontwork.h"

#include "ipc/arena.h"
#include "ipc/msg.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct work {
	int fd;
	struct msg_head head; /* of what it sends */
	struct arena out, in;
	uint64_t size, allocated;
	uint8_t *memory;
	uint8_t *objects; /* one flag each */
};

static void answer(const struct work *w, const struct record_answer *answers, unsigned count)
{
	struct {
		struct msg_head head;
		struct msg_answers payload;
		struct record_answer answers[BATCH_MAX];
	} m = {.head = w->head, .payload = {.allocated = w->allocated}};
	size_t tail = count * sizeof *answers;

	m.head.size = (uint32_t)(sizeof m.payload + tail);
	memcpy(m.answers, answers, tail);
	send(w->fd, &m, sizeof m.head + m.head.size, MSG_NOSIGNAL);
}

/* Serves from memory. */
static int work_ram(struct work *w, const struct record_request *r)
{
	uint64_t object = r->offset >> FRONTWORK_SHIFT;

	if (r->length > w->size || r->offset > w->size - r->length)
		return -ERANGE;
	if (r->op == REQUEST_READ)
		memcpy(arena_slot(&w->in, r->slot), w->memory + r->offset, r->length);
	if (r->op == REQUEST_WRITE) {
		memcpy(w->memory + r->offset, arena_slot(&w->out, r->slot), r->length);
		for (; object <= (r->offset + r->length - 1) >> FRONTWORK_SHIFT; object++) {
			w->allocated += w->objects[object] ? 0 : 1U << FRONTWORK_SHIFT;
			w->objects[object] = 1;
		}
	}
	return 0;
}

/* Answers at once and touches nothing: what the road itself costs. */
static int work_null(struct work *w, const struct record_request *r)
{
	(void)w;
	(void)r;
	return 0;
}

static int work_slow(struct work *w, const struct record_request *r)
{
	usleep(20000);
	return work_ram(w, r);
}

static int work_error(struct work *w, const struct record_request *r)
{
	(void)w;
	(void)r;
	return -512; /* means something to the kernel alone */
}

/* Each of these breaks the rules with its first answer. */
static int work_liar(struct work *w, const struct record_request *r)
{
	answer(w, &(struct record_answer){.id = r->id + 256}, 1);
	return 0;
}

static int work_twice(struct work *w, const struct record_request *r)
{
	answer(w, &(struct record_answer){.id = r->id}, 1);
	return 0;
}

static int work_old(struct work *w, const struct record_request *r)
{
	(void)r;
	w->head.generation--;
	return 0;
}

static int work_stranger(struct work *w, const struct record_request *r)
{
	(void)r;
	w->head.volume++;
	return 0;
}

static int work_garbage(struct work *w, const struct record_request *r)
{
	send(w->fd, r, sizeof *r, MSG_NOSIGNAL);
	return 0;
}

static int work_crash(struct work *w, const struct record_request *r)
{
	(void)w;
	(void)r;
	_exit(0);
}

static int work_mute(struct work *w, const struct record_request *r)
{
	(void)w;
	(void)r;
	while (pause() < 0)
		;
	return 0;
}

static const struct {
	const char *name;
	int (*work)(struct work *w, const struct record_request *r);
} workers[] = {
    {"ram", work_ram},
    {"ro", work_ram}, /* attached read-only */
    {"null", work_null},
    {"slow", work_slow},
    {"error", work_error},
    {"liar", work_liar},
    {"twice", work_twice},
    {"old", work_old},
    {"stranger", work_stranger},
    {"garbage", work_garbage},
    {"crash", work_crash},
    {"mute", work_mute},
};

#define NR_WORKERS (sizeof workers / sizeof workers[0])

static size_t find(const char *name)
{
	size_t i, length = strcspn(name, "-");

	for (i = 0; i < NR_WORKERS; i++)
		if (strlen(workers[i].name) == length && !strncmp(workers[i].name, name, length))
			break;
	return i;
}

bool frontwork_exists(const char *volume)
{
	return find(volume) < NR_WORKERS;
}

static void work_batch(struct work *w, const struct msg *m, size_t which)
{
	struct record_answer answers[BATCH_MAX];

	for (unsigned i = 0; i < m->records; i++) {
		struct record_request r;

		msg_record(m, i, &r);
		answers[i] =
		    (struct record_answer){.id = r.id, .error = workers[which].work(w, &r)};
	}
	answer(w, answers, m->records);
}

void frontwork_run(const char *volume, uint32_t number, uint64_t size, int fd, int out, int in)
{
	static const struct msg_edge edge = {KIND_VOLUME, KIND_FRONT, TALK_SERVING};
	struct work w = {.fd = fd, .size = size};
	size_t which = find(volume);
	const char *why;
	struct msg m;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	w.head = (struct msg_head){
	    .id = MSG_ANSWERS, .volume = number, .generation = FRONTWORK_GENERATION};
	w.memory = mmap(
	    NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	w.objects = calloc((size >> FRONTWORK_SHIFT) + 1, 1);
	if (arena_map(&w.out, out, SLOTS_PER_VOLUME, false) ||
	    arena_map(&w.in, in, SLOTS_PER_VOLUME, true) || w.memory == MAP_FAILED || !w.objects)
		_exit(1);
	while (msg_receive(fd, &edge, &m, &why) == 1)
		work_batch(&w, &m, which);
	_exit(0);
}
