/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names and control files, with the test as kernel and master.
 */
#include "tests/unit/unit.h"

#include "tests/unit/front_fixture.h"

#include "front/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOT FUSE_ROOT_ID

static int setup(void **state)
{
	*state = fixture_new();
	fixture_tree(*state);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static int lookup(struct fixture *x, uint64_t parent, const char *name, struct fuse_entry_out *e)
{
	fixture_request(x, x->tree, FUSE_LOOKUP, parent, name, strlen(name) + 1);
	return fixture_reply(x->tree, NULL, e, NULL);
}

/* The node of "DIRECTORY/NAME". */
static uint64_t node(struct fixture *x, const char *directory, const char *name)
{
	struct fuse_entry_out e;

	assert_int_equal(lookup(x, ROOT, directory, &e), 0);
	assert_int_equal(lookup(x, e.nodeid, name, &e), 0);
	return e.nodeid;
}

static int open_node(struct fixture *x, uint64_t n, int flags, uint64_t *fh)
{
	const struct fuse_open_in in = {.flags = (uint32_t)flags};
	struct fuse_open_out out;
	int error;

	fixture_request(x, x->tree, FUSE_OPEN, n, &in, sizeof in);
	error = fixture_reply(x->tree, NULL, &out, NULL);
	*fh = error ? 0 : out.fh;
	return error;
}

static uint64_t write_file(
    struct fixture *x, uint64_t n, uint64_t fh, const void *text, size_t size)
{
	static struct {
		struct fuse_write_in in;
		uint8_t text[8192];
	} w;

	w.in = (struct fuse_write_in){.fh = fh, .size = (uint32_t)size};
	memcpy(w.text, text, size);
	return fixture_request(x, x->tree, FUSE_WRITE, n, &w, sizeof w.in + size);
}

/* Reads at most `size` bytes into text, which is terminated; the offset is 0, as in any stream. */
static int read_file(struct fixture *x, uint64_t n, uint64_t fh, uint32_t size, char *text)
{
	const struct fuse_read_in in = {.fh = fh, .size = size};
	size_t got = 0;
	int error;

	fixture_request(x, x->tree, FUSE_READ, n, &in, sizeof in);
	error = fixture_reply(x->tree, NULL, text, &got);
	text[got] = 0;
	return error;
}

static void tell(struct fixture *x, uint64_t number, int error, const char *sentence)
{
	const struct msg_answered payload = {.number = number, .error = error};

	fixture_send(x->master, MSG_ANSWER, 0, 0, &payload, sentence, strlen(sentence));
	fixture_run(x);
}

static void test_names(void **state)
{
	struct fixture *x = *state;
	struct fuse_entry_out e, placeholder;
	struct fuse_open_out out;
	struct fuse_getattr_in in = {0};
	uint64_t volume, again;

	assert_int_equal(lookup(x, ROOT, "volume", &e), 0);
	assert_int_equal(e.entry_valid, INT64_C(9000000000000000000));
	assert_int_equal(e.attr.mode, 040755);
	assert_int_equal(e.attr.uid, 10);
	volume = e.nodeid;
	assert_int_equal(lookup(x, ROOT, "nosuch", &e), -ENOENT);
	assert_int_equal(lookup(x, volume, "v", &e), -ENOENT);
	assert_int_equal(volume_add(&x->front, 9, "v", true), 0);
	assert_int_equal(lookup(x, volume, "v", &placeholder), 0);
	assert_int_equal(placeholder.entry_valid, INT64_C(9000000000000000000));
	assert_int_equal(placeholder.attr_valid, 0);
	assert_int_equal(placeholder.attr.mode, 0100400);
	assert_int_equal(open_node(x, placeholder.nodeid, O_RDONLY, &out.fh), -EIO);
	/* gone: the kernel asks the name again when its node is stale, and a new one is the same */
	volume_remove(volume_by_number(&x->front, 9));
	fixture_request(x, x->tree, FUSE_GETATTR, placeholder.nodeid, &in, sizeof in);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -ESTALE);
	assert_int_equal(lookup(x, volume, "v", &e), -ENOENT);
	assert_int_equal(open_node(x, placeholder.nodeid, O_RDONLY, &again), -ESTALE);
	assert_int_equal(volume_add(&x->front, 10, "w", false), 0);
	assert_int_equal(volume_add(&x->front, 11, "v", false), 0);
	assert_int_equal(lookup(x, volume, "v", &e), 0);
	assert_int_equal(e.nodeid, placeholder.nodeid);
	assert_int_equal(lookup(x, volume, "w", &e), 0);
	assert_true(e.nodeid != placeholder.nodeid);
}

/* The master said ADD_VOLUME before the kernel asked: the name is there, whatever is read first. */
static void test_name_on_its_way(void **state)
{
	struct fixture *x = *state;
	const struct msg_add_volume add = {0};
	struct fuse_entry_out e;
	uint64_t volume;
	char name[8];

	assert_int_equal(lookup(x, ROOT, "volume", &e), 0);
	volume = e.nodeid;
	for (uint32_t i = 1; i <= 50; i++) {
		/* enough to fill more than one turn of the conversation */
		for (uint32_t k = 0; k < 40; k++) {
			snprintf(name, sizeof name, "v%u", i * 100 + k);
			fixture_send(
			    x->master, MSG_ADD_VOLUME, i * 100 + k, 0, &add, name, strlen(name));
		}
		assert_int_equal(lookup(x, volume, name, &e), 0);
	}
}

static unsigned names_in(const uint8_t *buffer, size_t size, uint64_t *last)
{
	struct fuse_dirent d;
	unsigned count = 0;

	for (size_t at = 0; at < size;
	     at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + (size_t)d.namelen)) {
		memcpy(&d, buffer + at, FUSE_NAME_OFFSET);
		assert_true(d.off > *last);
		*last = d.off;
		count++;
	}
	return count;
}

/* A listing in small pieces, while a volume goes and another one comes: who stays is listed once.
 */
static void test_listing(void **state)
{
	struct fixture *x = *state;
	struct fuse_read_in in = {.size = 256};
	static uint8_t buffer[65536];
	struct fuse_entry_out e;
	unsigned count = 0, pieces = 0;
	uint64_t last = 0;
	char name[8];
	size_t size;

	for (uint32_t i = 1; i <= 100; i++) {
		snprintf(name, sizeof name, "v%u", i);
		assert_int_equal(volume_add(&x->front, i, name, false), 0);
		volume_by_number(&x->front, i)->listed = i != 50;
	}
	assert_int_equal(lookup(x, ROOT, "volume", &e), 0);
	do {
		in.offset = last;
		fixture_request(x, x->tree, FUSE_READDIR, e.nodeid, &in, sizeof in);
		assert_int_equal(fixture_reply(x->tree, NULL, buffer, &size), 0);
		assert_true(size <= 256);
		count += names_in(buffer, size, &last);
		if (++pieces == 3)
			volume_remove(volume_by_number(&x->front, 1));
	} while (size);
	assert_int_equal(count, 2 + 99);
	in = (struct fuse_read_in){.size = 65536};
	last = 0;
	fixture_request(x, x->tree, FUSE_READDIR, ROOT, &in, sizeof in);
	assert_int_equal(fixture_reply(x->tree, NULL, buffer, &size), 0);
	assert_int_equal(names_in(buffer, size, &last), 2 + 6);
}

static void test_command(void **state)
{
	struct fixture *x = *state;
	uint64_t n = node(x, "vdi", "mount"), fh, unique, replied;
	struct fuse_write_out written;
	char text[8192];
	struct msg m;

	assert_int_equal(open_node(x, n, O_RDWR, &fh), 0);
	assert_int_equal(read_file(x, n, fh, 5, text), 0);
	assert_string_equal(text, "usage");
	unique = write_file(x, n, fh, "vol@t\n", 6);
	fixture_silent(x->tree);
	fixture_message(x->master, KIND_MASTER, MSG_COMMAND, &m);
	assert_int_equal(m.body.command.number, unique);
	assert_int_equal(m.body.command.verb, VERB_MOUNT);
	assert_int_equal(m.body.command.uid, 77);
	assert_string_equal(m.body.command.name, "vol");
	assert_string_equal(m.body.command.tag, "t");
	assert_string_equal((char *)m.tail, "vol@t");
	/* one at a time */
	write_file(x, n, fh, "b", 1);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -EBUSY);
	assert_int_equal(read_file(x, n, fh, 100, text), -EBUSY);
	tell(x, unique, 0, "it is there");
	assert_int_equal(fixture_reply(x->tree, &replied, &written, NULL), 0);
	assert_int_equal(replied, unique);
	assert_int_equal(written.size, 6);
	/* the sentence from byte 0, in pieces, then the end */
	assert_int_equal(read_file(x, n, fh, 6, text), 0);
	assert_string_equal(text, "it is ");
	assert_int_equal(read_file(x, n, fh, 100, text), 0);
	assert_string_equal(text, "there\n");
	assert_int_equal(read_file(x, n, fh, 100, text), 0);
	assert_string_equal(text, "");
	/* an error of the master's */
	unique = write_file(x, n, fh, "c", 1);
	fixture_message(x->master, KIND_MASTER, MSG_COMMAND, &m);
	tell(x, unique, -EEXIST, "it is there already\n");
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -EEXIST);
	assert_int_equal(read_file(x, n, fh, 100, text), 0);
	assert_string_equal(text, "it is there already\n");
}

static void test_refused_here(void **state)
{
	struct fixture *x = *state;
	uint64_t n = node(x, "vdi", "create"), fh;
	char text[8192];

	assert_int_equal(open_node(x, n, O_WRONLY | O_APPEND, &fh), 0);
	memset(text, 'a', sizeof text);
	write_file(x, n, fh, text, COMMAND_TEXT_MAX + 1);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -E2BIG);
	assert_int_equal(read_file(x, n, fh, 1000, text), 0);
	assert_non_null(strstr(text, "4097"));
	write_file(x, n, fh, "\n", 1);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -EINVAL);
	write_file(x, n, fh, "v 1Q", 4);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(read_file(x, n, fh, 1000, text), 0);
	assert_non_null(strstr(text, "\"1Q\""));
	write_file(x, n, fh + 1, "v 1G", 4);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -ESTALE);
	fixture_silent(x->master);
}

static void interrupt(struct fixture *x, uint64_t unique)
{
	const struct fuse_interrupt_in in = {.unique = unique};

	fixture_request(x, x->tree, FUSE_INTERRUPT, 0, &in, sizeof in);
}

static void test_interrupt(void **state)
{
	struct fixture *x = *state;
	uint64_t n = node(x, "vdi", "unmount"), fh, unique, replied;
	const struct fuse_release_in release = {0};
	struct fuse_release_in in = release;
	char text[2048];
	struct msg m;

	assert_int_equal(open_node(x, n, O_RDWR, &fh), 0);
	unique = write_file(x, n, fh, "a", 1);
	fixture_message(x->master, KIND_MASTER, MSG_COMMAND, &m);
	interrupt(x, unique);
	assert_int_equal(fixture_reply(x->tree, &replied, NULL, NULL), -EINTR);
	assert_int_equal(replied, unique);
	/* the command goes on, and nothing else starts on this file meanwhile */
	write_file(x, n, fh, "b", 1);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -EBUSY);
	tell(x, unique, 0, "gone after all");
	fixture_silent(x->tree);
	assert_int_equal(read_file(x, n, fh, 1000, text), 0);
	assert_string_equal(text, "gone after all\n");
	/* interrupted, closed, answered */
	unique = write_file(x, n, fh, "a", 1);
	fixture_message(x->master, KIND_MASTER, MSG_COMMAND, &m);
	interrupt(x, unique);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -EINTR);
	in.fh = fh;
	fixture_request(x, x->tree, FUSE_RELEASE, n, &in, sizeof in);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), 0);
	tell(x, unique, 0, "gone after all");
	tell(x, unique, 0, "once more: nobody waits");
	fixture_silent(x->tree);
}

static void give_table(struct fixture *x, uint64_t number, bool sealed)
{
	struct {
		struct msg_head head;
		struct msg_table payload;
	} m = {{.id = MSG_TABLE, .size = sizeof m.payload}, {number}};
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {&m, sizeof m};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof control};
	int fd = memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(write(fd, "the table\n", 10), 10);
	if (sealed)
		assert_int_equal(
		    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	control.align = (struct cmsghdr){
	    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
	memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
	assert_int_equal(sendmsg(x->master, &h, 0), sizeof m);
	close(fd);
	fixture_run(x);
}

static uint64_t ask_open(struct fixture *x, uint64_t n, enum verb verb)
{
	const struct fuse_open_in in = {.flags = O_RDONLY};
	uint64_t unique = fixture_request(x, x->tree, FUSE_OPEN, n, &in, sizeof in);
	struct msg m;

	fixture_silent(x->tree);
	fixture_message(x->master, KIND_MASTER, MSG_COMMAND, &m);
	assert_int_equal(m.body.command.verb, verb);
	assert_int_equal(m.body.command.number, unique);
	return unique;
}

static void test_tables(void **state)
{
	struct fixture *x = *state;
	uint64_t n = node(x, "vdi", "list"), unique;
	struct fuse_open_out out;
	char text[2048];
	uint64_t fh;

	assert_int_equal(open_node(x, n, O_WRONLY, &fh), -EACCES);
	unique = ask_open(x, n, VERB_LIST);
	give_table(x, unique, true);
	assert_int_equal(fixture_reply(x->tree, NULL, &out, NULL), 0);
	assert_int_equal(read_file(x, n, out.fh, 100, text), 0);
	assert_string_equal(text, "the table\n");
	/* again, from the offset that is asked */
	assert_int_equal(read_file(x, n, out.fh, 3, text), 0);
	assert_string_equal(text, "the");
	/* one that its maker could still change is none */
	unique = ask_open(x, n, VERB_LIST);
	give_table(x, unique, false);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -EIO);
	unique = ask_open(x, n, VERB_LIST);
	tell(x, unique, -ETIMEDOUT, "no daemon");
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -ETIMEDOUT);
	unique = ask_open(x, n, VERB_LIST);
	tell(x, unique, 0, "a sentence is no table");
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -EIO);
	unique = ask_open(x, n, VERB_LIST);
	interrupt(x, unique);
	assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), -EINTR);
	give_table(x, unique, true);
	give_table(x, unique + 1000, true);
	fixture_silent(x->tree);
}

static void test_sheep_info(void **state)
{
	struct fixture *x = *state;
	uint64_t n = node(x, "config", "sheep_info"), unique = ask_open(x, n, VERB_SHEEP_INFO);
	struct fuse_open_out out;
	char text[2048];

	tell(x, unique, 0, "127.0.0.1:7000");
	assert_int_equal(fixture_reply(x->tree, NULL, &out, NULL), 0);
	assert_int_equal(read_file(x, n, out.fh, 100, text), 0);
	assert_string_equal(text, "127.0.0.1:7000\n");
}

/* So many tables: the next opener is told, and commands are not held up. */
static void test_too_many_tables(void **state)
{
	struct fixture *x = *state;
	uint64_t n = node(x, "vdi", "list"), fh;
	unsigned count = 0;
	int error;

	for (;; count++) {
		const struct fuse_open_in in = {.flags = O_RDONLY};
		uint64_t unique = fixture_request(x, x->tree, FUSE_OPEN, n, &in, sizeof in);
		struct msg m;

		if (count >= 256)
			break;
		fixture_message(x->master, KIND_MASTER, MSG_COMMAND, &m);
		give_table(x, unique, true);
		assert_int_equal(fixture_reply(x->tree, NULL, NULL, NULL), 0);
	}
	error = fixture_reply(x->tree, NULL, NULL, NULL);
	assert_int_equal(error, -ENFILE);
	assert_int_equal(open_node(x, node(x, "vdi", "mount"), O_RDWR, &fh), 0);
}

static void test_ended_while_somebody_waits(void **state)
{
	struct fixture *x = *state;
	uint64_t n = node(x, "vdi", "mount"), fh;
	struct msg m;

	assert_int_equal(volume_add(&x->front, 1, "keeps-us-here", false), 0);
	assert_int_equal(open_node(x, n, O_RDWR, &fh), 0);
	write_file(x, n, fh, "a", 1);
	fixture_message(x->master, KIND_MASTER, MSG_COMMAND, &m);
	shutdown(x->tree, SHUT_RDWR);
	fixture_run(x);
	fixture_message(x->master, KIND_MASTER, MSG_CONNECTION_ENDED, &m);
	assert_int_equal(m.volume, 0);
	assert_null(x->front.tree);
	tell(x, 12345, 0, "too late");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_names),
	    TEST(test_name_on_its_way),
	    TEST(test_listing),
	    TEST(test_command),
	    TEST(test_refused_here),
	    TEST(test_interrupt),
	    TEST(test_tables),
	    TEST(test_sheep_info),
	    TEST(test_too_many_tables),
	    TEST(test_ended_while_somebody_waits),
	};

	return cmocka_run_group_tests_name("front_tree", tests, NULL, NULL);
}
