/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receive edge.
 *
 * Owns the rules made from msg.def and the only code that turns another process's bytes into a
 * struct msg.  Decides nothing about what a message means.
 */
#include "ipc/msg.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum field_kind { FIELD_END, FIELD_U32, FIELD_U64, FIELD_I32, FIELD_STR, FIELD_PAD };

struct field {
	const char *name;
	enum field_kind kind;
	size_t size; /* bytes; fields lie one behind the other */
	uint64_t low, high;
};

enum tail_kind { TAIL_NONE, TAIL_TEXT, TAIL_BYTES, TAIL_RECORDS };

struct row {
	const char *name;
	unsigned from, to, talk, descriptors;
	size_t payload;
	size_t tail_max; /* bytes */
	size_t record;   /* bytes of an element, or 0 */
	enum tail_kind tail;
	const struct field *fields;
	const struct field *record_fields;
};

/* Every struct is exactly its fields: no padding carries bytes nobody judges. */
#define U32(n, low, high) +4
#define U64(n, low, high) +8
#define I32(n, low, high) +4
#define STR(n, size) +(size)
#define PAD(n, size) +(size)
#define RECORD(n, ...) _Static_assert(sizeof(struct record_##n) == 0 __VA_ARGS__, #n);
#define MSG(ID, n, from, to, talk, fds, tail, max, answer, ...)                                    \
	_Static_assert(sizeof(struct msg_##n) == 0 __VA_ARGS__, #n);                               \
	_Static_assert((fds) <= MSG_FDS_MAX, #n);
#include "ipc/msg.def"
#undef U32
#undef U64
#undef I32
#undef STR
#undef PAD
#undef RECORD
#undef MSG

#define U32(n, low, high) {#n, FIELD_U32, 4, (low), (high)},
#define U64(n, low, high) {#n, FIELD_U64, 8, (low), (high)},
#define I32(n, low, high) {#n, FIELD_I32, 4, (uint64_t)(int64_t)(low), (uint64_t)(int64_t)(high)},
#define STR(n, size) {#n, FIELD_STR, (size), 0, 0},
#define PAD(n, size) {#n, FIELD_PAD, (size), 0, 0},
#define RECORD(n, ...)                                                                             \
	static const struct field record_fields_##n[] = {__VA_ARGS__{NULL, FIELD_END, 0, 0, 0}};
#define MSG(ID, n, from, to, talk, fds, tail, max, answer, ...)                                    \
	static const struct field fields_##n[] = {__VA_ARGS__{NULL, FIELD_END, 0, 0, 0}};
#include "ipc/msg.def"
#undef RECORD
#undef MSG

#define TAIL_KIND_NONE TAIL_NONE, 0, NULL, 1
#define TAIL_KIND_TEXT TAIL_TEXT, 0, NULL, 1
#define TAIL_KIND_BYTES TAIL_BYTES, 0, NULL, 1
#define TAIL_KIND_request                                                                          \
	TAIL_RECORDS, sizeof(struct record_request), record_fields_request,                        \
	    sizeof(struct record_request)
#define TAIL_KIND_answer                                                                           \
	TAIL_RECORDS, sizeof(struct record_answer), record_fields_answer,                          \
	    sizeof(struct record_answer)
#define ROW_(n, label, from_, to_, talk_, fds, max, kind, size, record_rules, unit)                \
	{                                                                                          \
		.name = label, .from = (from_), .to = (to_), .talk = (talk_),                      \
		.descriptors = (fds), .payload = sizeof(struct msg_##n),                           \
		.tail_max = (size_t)(max) * (unit), .record = (size), .tail = (kind),              \
		.fields = fields_##n, .record_fields = (record_rules)                              \
	}
#define ROW(...) ROW_(__VA_ARGS__)
#define RECORD(n, ...)
#define MSG(ID, n, from, to, talk, fds, tail, max, answer, ...)                                    \
	[MSG_##ID] = ROW(n, #ID, from, to, talk, fds, max, TAIL_KIND_##tail),
static const struct row rows[MSG_COUNT] = {
#include "ipc/msg.def"
};
#undef RECORD
#undef MSG

#define DATAGRAM_MAX (sizeof(struct msg_head) + sizeof(union msg_body) + MSG_TAIL_SIZE)

static bool zero(const uint8_t *p, size_t size)
{
	while (size--)
		if (*p++)
			return false;
	return true;
}

/* A string ends within its field and nothing lies behind its end. */
static bool field_string_good(const uint8_t *p, size_t size)
{
	const uint8_t *end = memchr(p, 0, size);

	return end && zero(end, size - (size_t)(end - p));
}

static bool field_good(const struct field *f, const uint8_t *p)
{
	uint32_t u32;
	uint64_t u64;
	int32_t i32;

	switch (f->kind) {
	case FIELD_U32:
		memcpy(&u32, p, sizeof u32);
		return u32 >= f->low && u32 <= f->high;
	case FIELD_U64:
		memcpy(&u64, p, sizeof u64);
		return u64 >= f->low && u64 <= f->high;
	case FIELD_I32:
		memcpy(&i32, p, sizeof i32);
		return i32 >= (int64_t)f->low && i32 <= (int64_t)f->high;
	case FIELD_STR:
		return field_string_good(p, f->size);
	case FIELD_PAD:
		return zero(p, f->size);
	case FIELD_END:
		break;
	}
	return false;
}

static bool fields_good(const struct field *f, const uint8_t *p)
{
	for (; f->kind != FIELD_END; p += f->size, f++)
		if (!field_good(f, p))
			return false;
	return true;
}

static const char *tail_check(const struct row *row, const uint8_t *tail, size_t size)
{
	if (size > row->tail_max)
		return "its tail is longer than the table allows";
	if (row->tail == TAIL_TEXT && memchr(tail, 0, size))
		return "its text contains a NUL";
	if (row->tail != TAIL_RECORDS)
		return NULL;
	if (size % row->record)
		return "its tail is no whole number of records";
	for (; size; tail += row->record, size -= row->record)
		if (!fields_good(row->record_fields, tail))
			return "a record has a field out of bounds";
	return NULL;
}

/* Known, from whom, now, exact size, exact descriptors, bounded tail, every field. */
static const char *check(const struct msg_edge *edge, const struct msg_head *head,
    const uint8_t *body, size_t size, unsigned nr_fds)
{
	const struct row *row;

	if (head->id == MSG_NONE || head->id >= MSG_COUNT)
		return "no such message";
	row = &rows[head->id];
	if (!(row->from & edge->peer))
		return "this sender may not say it";
	if (!(row->to & edge->self))
		return "it is not meant for this receiver";
	if (!(row->talk & edge->talk))
		return "it is not permitted now";
	if (head->reserved)
		return "reserved bits are set";
	if (head->size != size)
		return "its size is not what its head says";
	if (size < row->payload)
		return "its payload is too short";
	if (nr_fds != row->descriptors)
		return "it has the wrong number of descriptors";
	if (!fields_good(row->fields, body))
		return "a field is out of bounds";
	return tail_check(row, body + row->payload, size - row->payload);
}

int msg_check(const struct msg_edge *edge, const void *datagram, size_t size, unsigned nr_fds,
    struct msg *m, const char **why)
{
	const uint8_t *body = (const uint8_t *)datagram + sizeof(struct msg_head);
	const struct row *row;
	struct msg_head head;

	*why = "it is shorter than a head";
	if (size < sizeof head)
		return -EBADMSG;
	memcpy(&head, datagram, sizeof head);
	*why = check(edge, &head, body, size - sizeof head, nr_fds);
	if (*why)
		return -EBADMSG;
	row = &rows[head.id];
	m->id = head.id;
	m->volume = head.volume;
	m->generation = head.generation;
	memcpy(&m->body, body, row->payload);
	m->tail_size = head.size - row->payload;
	m->records = row->record ? (unsigned)(m->tail_size / row->record) : 0;
	memcpy(m->tail, body + row->payload, m->tail_size);
	m->tail[m->tail_size] = 0;
	return 0;
}

/* Collects the descriptors of a received message into fds; closes what is beyond MSG_FDS_MAX. */
static unsigned collect_fds(struct msghdr *h, int *fds)
{
	unsigned count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (count < MSG_FDS_MAX)
				fds[count] = fd;
			else
				close(fd);
			count++;
		}
	}
	return count;
}

int msg_receive(int fd, const struct msg_edge *edge, struct msg *m, const char **why)
{
	uint8_t datagram[DATAGRAM_MAX];
	union {
		struct cmsghdr align;
		/* room for one more than is ever right, so that an excess is seen */
		uint8_t bytes[CMSG_SPACE((MSG_FDS_MAX + 1) * sizeof(int))];
	} control;
	struct iovec iov = {datagram, sizeof datagram};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof control};
	unsigned nr_fds;
	ssize_t n;
	int error;

	for (unsigned i = 0; i < MSG_FDS_MAX; i++)
		m->fds[i] = -1;
	/* a peer that left something of ours unread: the kernel says so once, before its last words
	 */
	do
		n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n == 0)
		return 0;
	if (n < 0)
		return -errno;
	nr_fds = collect_fds(&h, m->fds);
	if (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		*why = "it is longer than any message, or has too many descriptors";
		error = -EBADMSG;
	} else {
		error = msg_check(edge, datagram, (size_t)n, nr_fds, m, why);
	}
	if (error) {
		msg_drop_fds(m);
		return error;
	}
	return 1;
}

int msg_take_fd(struct msg *m, unsigned n)
{
	int fd = m->fds[n];

	m->fds[n] = -1;
	return fd;
}

void msg_drop_fds(struct msg *m)
{
	for (unsigned i = 0; i < MSG_FDS_MAX; i++)
		if (m->fds[i] >= 0)
			close(msg_take_fd(m, i));
}

void msg_record(const struct msg *m, unsigned n, void *record)
{
	size_t size = rows[m->id].record;

	memcpy(record, m->tail + n * size, size);
}

size_t msg_payload_size(enum msg_id id)
{
	return rows[id].payload;
}

size_t msg_record_size(enum msg_id id)
{
	return rows[id].record;
}

unsigned msg_descriptors(enum msg_id id)
{
	return rows[id].descriptors;
}

size_t msg_tail_max(enum msg_id id)
{
	return rows[id].tail_max;
}

const char *msg_name(enum msg_id id)
{
	return id > MSG_NONE && id < MSG_COUNT ? rows[id].name : "unknown message";
}

static int describe_field(const struct field *f, const uint8_t *p, char *text, size_t size)
{
	uint64_t u64;
	uint32_t u32;
	int32_t i32;

	switch (f->kind) {
	case FIELD_U32:
		memcpy(&u32, p, sizeof u32);
		return snprintf(text, size, " %s=%" PRIu32, f->name, u32);
	case FIELD_U64:
		memcpy(&u64, p, sizeof u64);
		return snprintf(text, size, " %s=%" PRIu64, f->name, u64);
	case FIELD_I32:
		memcpy(&i32, p, sizeof i32);
		return snprintf(text, size, " %s=%" PRId32, f->name, i32);
	case FIELD_STR:
		return snprintf(text, size, " %s=\"%s\"", f->name, (const char *)p);
	default:
		return 0;
	}
}

void msg_describe(const struct msg *m, char *text, size_t size)
{
	const struct row *row = &rows[m->id];
	const uint8_t *p = (const uint8_t *)&m->body;
	size_t used = 0;
	int n = snprintf(text, size, "%s volume %" PRIu32 " generation %" PRIu32, row->name,
	    m->volume, m->generation);

	for (const struct field *f = row->fields;; p += f->size, f++) {
		used += n > 0 ? (size_t)n : 0;
		if (used >= size || f->kind == FIELD_END)
			break;
		n = describe_field(f, p, text + used, size - used);
	}
	if (used < size && row->tail == TAIL_RECORDS)
		snprintf(text + used, size - used, " records=%u", m->records);
	else if (used < size && row->tail == TAIL_TEXT)
		snprintf(text + used, size - used, " text=\"%s\"", (const char *)m->tail);
}
