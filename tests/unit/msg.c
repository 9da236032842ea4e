/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The message table's own test, made from the table: of every message a valid one is accepted, and
 * every way to malform it is refused, at the one receive edge and over a real socket.
 */
#include "tests/unit/unit.h"

#include "ipc/msg.c"

#include <fcntl.h>
#include <stdlib.h>

static const unsigned kinds[] = {KIND_MASTER, KIND_FRONT, KIND_CLUSTER, KIND_VOLUME};
static const unsigned talks[] = {TALK_STARTING, TALK_SERVING, TALK_ENDING};

/* A datagram and who says it to whom in which state. */
struct sample {
	uint8_t bytes[DATAGRAM_MAX + 64];
	size_t size;
	unsigned nr_fds;
	struct msg_edge edge;
};

static unsigned lowest_bit(unsigned bits)
{
	return bits & -bits;
}

static void fill_fields(const struct field *f, uint8_t *p)
{
	for (; f->kind != FIELD_END; p += f->size, f++) {
		memset(p, 0, f->size);
		if (f->kind == FIELD_STR)
			memset(p, 'n', f->size - 1);
		else if (f->kind != FIELD_PAD)
			memcpy(p, &f->high, f->size);
	}
}

static void seal(struct sample *s)
{
	uint32_t body = (uint32_t)(s->size - sizeof(struct msg_head));

	memcpy(s->bytes + offsetof(struct msg_head, size), &body, sizeof body);
}

/* A valid message with every field at its upper bound and the longest tail. */
static void make(struct sample *s, enum msg_id id)
{
	const struct row *row = &rows[id];
	struct msg_head head = {.id = (uint16_t)id, .volume = 7, .generation = 9};
	uint8_t *tail = s->bytes + sizeof head + row->payload;

	memset(s, 0, sizeof *s);
	memcpy(s->bytes, &head, sizeof head);
	fill_fields(row->fields, s->bytes + sizeof head);
	memset(tail, 't', row->tail_max);
	for (size_t i = 0; row->record && i < row->tail_max; i += row->record)
		fill_fields(row->record_fields, tail + i);
	s->size = sizeof head + row->payload + row->tail_max;
	s->nr_fds = row->descriptors;
	s->edge.peer = lowest_bit(row->from);
	s->edge.self = lowest_bit(row->to);
	s->edge.talk = lowest_bit(row->talk);
	seal(s);
}

static int judge(const struct sample *s)
{
	const char *why = NULL;
	struct msg m;
	int error = msg_check(&s->edge, s->bytes, s->size, s->nr_fds, &m, &why);

	if (error) {
		assert_int_equal(error, -EBADMSG);
		assert_non_null(why);
	}
	return error;
}

#define FOR_EACH_MESSAGE(id) for (enum msg_id id = MSG_NONE + 1; id < MSG_COUNT; id++)

static void test_valid_is_accepted(void **state)
{
	struct sample s;
	const char *why;
	struct msg m;

	(void)state;
	FOR_EACH_MESSAGE (id) {
		make(&s, id);
		assert_int_equal(msg_check(&s.edge, s.bytes, s.size, s.nr_fds, &m, &why), 0);
		assert_int_equal(m.id, id);
		assert_int_equal(m.volume, 7);
		assert_int_equal(m.generation, 9);
		assert_int_equal(m.tail_size, rows[id].tail_max);
		assert_memory_equal(&m.body, s.bytes + sizeof(struct msg_head), rows[id].payload);
		assert_int_equal(m.tail[m.tail_size], 0);
	}
}

static void test_without_tail_is_accepted(void **state)
{
	struct sample s;

	(void)state;
	FOR_EACH_MESSAGE (id) {
		make(&s, id);
		s.size -= rows[id].tail_max;
		seal(&s);
		assert_int_equal(judge(&s), 0);
	}
}

/* Every sender, receiver and state: accepted exactly where the table says so. */
static void test_who_and_when(void **state)
{
	struct sample s;
	unsigned accepted = 0;

	(void)state;
	FOR_EACH_MESSAGE (id) {
		make(&s, id);
		for (unsigned i = 0; i < 4 * 4 * 3; i++) {
			bool good;

			s.edge.peer = kinds[i % 4];
			s.edge.self = kinds[i / 4 % 4];
			s.edge.talk = talks[i / 16];
			good = (rows[id].from & s.edge.peer) && (rows[id].to & s.edge.self) &&
			       (rows[id].talk & s.edge.talk);
			assert_int_equal(judge(&s), good ? 0 : -EBADMSG);
			accepted += good;
		}
	}
	assert_true(accepted >= MSG_COUNT - 1);
}

static void test_sizes(void **state)
{
	struct sample s;

	(void)state;
	FOR_EACH_MESSAGE (id) {
		make(&s, id);
		for (size_t size = 0; size < sizeof(struct msg_head) + rows[id].payload; size++) {
			s.size = size;
			if (size >= sizeof(struct msg_head))
				seal(&s);
			assert_int_equal(judge(&s), -EBADMSG);
		}
		make(&s, id);
		s.size++; /* the head says less */
		assert_int_equal(judge(&s), -EBADMSG);
		seal(&s); /* the tail is too long, or no whole record */
		assert_int_equal(judge(&s), -EBADMSG);
		make(&s, id);
		s.bytes[offsetof(struct msg_head, size)] ^= 1;
		assert_int_equal(judge(&s), -EBADMSG);
		if (!rows[id].record)
			continue;
		make(&s, id);
		s.size--;
		seal(&s);
		assert_int_equal(judge(&s), -EBADMSG);
	}
}

static void test_descriptors(void **state)
{
	struct sample s;

	(void)state;
	FOR_EACH_MESSAGE (id)
		for (unsigned n = 0; n <= MSG_FDS_MAX + 2; n++) {
			make(&s, id);
			s.nr_fds = n;
			assert_int_equal(judge(&s), n == rows[id].descriptors ? 0 : -EBADMSG);
		}
}

static void test_head(void **state)
{
	struct sample s;
	uint16_t unknown[] = {MSG_NONE, MSG_COUNT, 0x7fff, 0xffff};

	(void)state;
	FOR_EACH_MESSAGE (id) {
		for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
			make(&s, id);
			memcpy(s.bytes, &unknown[i], sizeof unknown[i]);
			assert_int_equal(judge(&s), -EBADMSG);
		}
		make(&s, id);
		s.bytes[offsetof(struct msg_head, reserved) + 1] = 0x80;
		assert_int_equal(judge(&s), -EBADMSG);
	}
}

static void poison(uint8_t *p, const struct field *f, uint64_t value)
{
	memcpy(p, &value, f->size < sizeof value ? f->size : sizeof value);
}

static uint64_t widest(const struct field *f)
{
	return f->size == 4 ? UINT32_MAX : UINT64_MAX;
}

/* Drives one field beyond its bounds in every way it has; returns how many ways that were. */
static unsigned break_field(struct sample *s, const struct field *f, uint8_t *p)
{
	uint8_t saved[NAME_FIELD_SIZE];
	unsigned ways = 0;

	memcpy(saved, p, f->size);
	if (f->kind == FIELD_STR) {
		memset(p, 'x', f->size); /* no end */
		assert_int_equal(judge(s), -EBADMSG);
		memset(p, 0, f->size);
		p[f->size - 1] = 'x'; /* something behind its end */
		assert_int_equal(judge(s), -EBADMSG);
		ways = 2;
	} else if (f->kind == FIELD_PAD) {
		for (size_t i = 0; i < f->size; i++, ways++) {
			p[i] = 1;
			assert_int_equal(judge(s), -EBADMSG);
			p[i] = 0;
		}
	} else {
		bool sign = f->kind == FIELD_I32;

		if (sign || f->high < widest(f)) {
			poison(p, f, f->high + 1);
			assert_int_equal(judge(s), -EBADMSG);
			ways++;
		}
		if (sign || f->low > 0) {
			poison(p, f, f->low - 1);
			assert_int_equal(judge(s), -EBADMSG);
			ways++;
		}
	}
	memcpy(p, saved, f->size);
	assert_int_equal(judge(s), 0);
	return ways;
}

static void test_fields(void **state)
{
	struct sample s;
	unsigned ways = 0;

	(void)state;
	FOR_EACH_MESSAGE (id) {
		uint8_t *p = s.bytes + sizeof(struct msg_head);
		const struct field *f;

		make(&s, id);
		for (f = rows[id].fields; f->kind != FIELD_END; p += f->size, f++)
			ways += break_field(&s, f, p);
		if (!rows[id].record)
			continue;
		p += rows[id].tail_max - rows[id].record; /* the last record */
		for (f = rows[id].record_fields; f->kind != FIELD_END; p += f->size, f++)
			ways += break_field(&s, f, p);
	}
	assert_true(ways > 2 * (MSG_COUNT - 1));
}

static void test_text_has_no_nul(void **state)
{
	struct sample s;
	unsigned texts = 0;

	(void)state;
	FOR_EACH_MESSAGE (id) {
		if (rows[id].tail != TAIL_TEXT)
			continue;
		make(&s, id);
		s.bytes[s.size - 1] = 0;
		assert_int_equal(judge(&s), -EBADMSG);
		texts++;
	}
	assert_true(texts > 0);
}

/* Random datagrams: none may crash, and none that lies about its size may pass. */
static void test_random_bytes(void **state)
{
	struct sample s;

	(void)state;
	srandom(1);
	for (unsigned round = 0; round < 200000; round++) {
		make(&s, MSG_NONE + 1 + (unsigned)random() % (MSG_COUNT - 1));
		for (unsigned i = (unsigned)random() % 4; i--;)
			s.bytes[(size_t)random() % s.size] = (uint8_t)random();
		s.size = (unsigned)random() % 4 ? s.size : (size_t)random() % (s.size + 1);
		judge(&s);
	}
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void send_raw(int fd, const struct sample *s, unsigned nr_fds)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(16 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)s->bytes, s->size};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[16];

	for (unsigned i = 0; i < nr_fds; i++)
		fds[i] = STDERR_FILENO;
	if (nr_fds) {
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, nr_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &h, 0), s->size);
}

/* Over a socket: what is refused leaves no descriptor behind, what is accepted brings its own. */
static void test_socket(void **state)
{
	int sv[2], before;
	const char *why;
	struct sample s;
	struct msg m;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	before = open_descriptors();
	FOR_EACH_MESSAGE (id)
		for (unsigned n = 0; n < 16; n++) {
			bool good = n == rows[id].descriptors;

			make(&s, id);
			send_raw(sv[0], &s, n);
			assert_int_equal(
			    msg_receive(sv[1], &s.edge, &m, &why), good ? 1 : -EBADMSG);
			assert_int_equal(open_descriptors(), before + (good ? (int)n : 0));
			msg_drop_fds(&m);
			assert_int_equal(open_descriptors(), before);
		}
	make(&s, MSG_COMMAND);
	s.size = DATAGRAM_MAX + 1;
	seal(&s);
	send_raw(sv[0], &s, 0);
	assert_int_equal(msg_receive(sv[1], &s.edge, &m, &why), -EBADMSG);
	close(sv[0]);
	assert_int_equal(msg_receive(sv[1], &s.edge, &m, &why), 0);
	close(sv[1]);
}

/* A peer that left something unread: its last words come all the same, then the end. */
static void test_last_words(void **state)
{
	const char *why;
	struct sample s;
	struct msg m;
	int sv[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	make(&s, MSG_REFUSED);
	send_raw(sv[0], &s, 0);
	send_raw(sv[0], &s, 0);
	send_raw(sv[1], &s, 0);
	close(sv[0]);
	for (unsigned n = 0; n < 2; n++)
		assert_int_equal(msg_receive(sv[1], &s.edge, &m, &why), 1);
	assert_int_equal(msg_receive(sv[1], &s.edge, &m, &why), 0);
	close(sv[1]);
}

static void test_describe(void **state)
{
	const char *why;
	char text[2048], tiny[10];
	struct sample s;
	struct msg m;

	(void)state;
	FOR_EACH_MESSAGE (id) {
		make(&s, id);
		assert_int_equal(msg_check(&s.edge, s.bytes, s.size, s.nr_fds, &m, &why), 0);
		msg_describe(&m, text, sizeof text);
		assert_int_equal(strncmp(text, msg_name(id), strlen(msg_name(id))), 0);
		assert_non_null(strstr(text, "volume 7 generation 9"));
		msg_describe(&m, tiny, sizeof tiny);
		assert_true(strlen(tiny) < sizeof tiny);
	}
	assert_string_equal(msg_name(MSG_COUNT), "unknown message");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_valid_is_accepted),
	    cmocka_unit_test(test_without_tail_is_accepted),
	    cmocka_unit_test(test_who_and_when),
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_descriptors),
	    cmocka_unit_test(test_head),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_text_has_no_nul),
	    cmocka_unit_test(test_random_bytes),
	    cmocka_unit_test(test_socket),
	    cmocka_unit_test(test_last_words),
	    cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
