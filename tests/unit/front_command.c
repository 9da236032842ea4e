/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of control files: what is accepted, and that every refusal names the value.
 */
#include "tests/unit/unit.h"

#include "front/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K UINT64_C(1024)

static void test_create(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *name;
		uint64_t size;
		uint32_t shift;
		const char *word; /* in the sentence */
	} cases[] = {
	    {"d 1", 0, "d", 1, 0, NULL},
	    {"d 20G", 0, "d", 20 * K * K * K, 0, NULL},
	    {"d 20g", 0, "d", 20 * K * K * K, 0, NULL},
	    {"d 3KiB", 0, "d", 3 * K, 0, NULL},
	    {"d 7M", 0, "d", 7 * K * K, 0, NULL},
	    {"  d\t 1TiB  ", 0, "d", K * K * K * K, 0, NULL},
	    {"d 2P", 0, "d", 2 * K * K * K * K * K, 0, NULL},
	    {"d 2251799813685248", 0, "d", VOLUME_SIZE_MAX, 0, NULL},
	    {"d 1G object_size=4M", 0, "d", K * K * K, 22, NULL},
	    {"d 1G object_size=4096", 0, "d", K * K * K, 12, NULL},
	    {"d 1G object_size=2G", 0, "d", K * K * K, 31, NULL},
	    {"%41%40b 1G", 0, "A@b", K * K * K, 0, NULL},
	    {"d", -EINVAL, NULL, 0, 0, "\"d\""},
	    {"  ", -EINVAL, NULL, 0, 0, "20G"},
	    {"d 0", -EINVAL, NULL, 0, 0, "\"0\""},
	    {"d 0G", -EINVAL, NULL, 0, 0, "\"0G\""},
	    {"d -1", -EINVAL, NULL, 0, 0, "\"-1\""},
	    {"d 1.5G", -EINVAL, NULL, 0, 0, "\"1.5G\""},
	    {"d 1KB", -EINVAL, NULL, 0, 0, "\"1KB\""},
	    {"d G", -EINVAL, NULL, 0, 0, "\"G\""},
	    {"d 1\n", -EINVAL, NULL, 0, 0, "\\x0a"},
	    {"d 3P", -EFBIG, NULL, 0, 0, "\"3P\""},
	    {"d 2251799813685249", -EFBIG, NULL, 0, 0, "2P"},
	    {"d 18446744073709551617", -EFBIG, NULL, 0, 0, "2P"},
	    {"d 99999999999P", -EFBIG, NULL, 0, 0, "2P"},
	    {"d 1G object_size=3M", -EINVAL, NULL, 0, 0, "\"3M\""},
	    {"d 1G object_size=2K", -EINVAL, NULL, 0, 0, "\"2K\""},
	    {"d 1G object_size=4G", -EINVAL, NULL, 0, 0, "\"4G\""},
	    {"d 1G object_size=", -EINVAL, NULL, 0, 0, "\"\""},
	    {"d 1G object_size=4M object_size=4M", -EINVAL, NULL, 0, 0, "twice"},
	    {"d 1G copies=2", 0, "d", K * K * K, 0, NULL},
	    {"d 1G copies=4:2 object_size=1M", 0, "d", K * K * K, 20, NULL},
	    {"d 1G colour=2", -EINVAL, NULL, 0, 0, "\"colour=2\""},
	    {"d 1G copies=2 copies=2", -EINVAL, NULL, 0, 0, "twice"},
	    {"d@t 1G", -EINVAL, NULL, 0, 0, "%40"},
	    {"a/b 1G", -EINVAL, NULL, 0, 0, "a%2Fb"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char sentence[SENTENCE_MAX] = "";
		struct msg_command c;
		int error =
		    command_parse(VERB_CREATE, cases[i].text, strlen(cases[i].text), &c, sentence);

		if (error != cases[i].error)
			print_message("\"%s\"\n", cases[i].text);
		assert_int_equal(error, cases[i].error);
		if (error) {
			assert_non_null(strstr(sentence, cases[i].word));
			continue;
		}
		assert_int_equal(c.verb, VERB_CREATE);
		assert_string_equal(c.name, cases[i].name);
		assert_int_equal(c.size, cases[i].size);
		assert_int_equal(c.shift, cases[i].shift);
	}
}

static void test_copies(void **state)
{
	static const struct {
		const char *text;
		uint32_t copies, policy; /* 0: refused */
	} cases[] = {
	    {"1", 1, 0},
	    {"3", 3, 0},
	    {"31", 31, 0},
	    {"2:1", 3, 0x11},
	    {"4:2", 6, 0x22},
	    {"8:3", 11, 0x43},
	    {"16:15", 31, 0x8f},
	    {"", 0, 0},
	    {"0", 0, 0},
	    {"32", 0, 0},
	    {"3:1", 0, 0},
	    {"2:0", 0, 0},
	    {"2:16", 0, 0},
	    {"2:", 0, 0},
	    {":2", 0, 0},
	    {"2:1:1", 0, 0},
	    {"-1", 0, 0},
	    {"two", 0, 0},
	    {"99999999999", 0, 0},
	};
	char sentence[SENTENCE_MAX], text[64];
	struct msg_command c;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int size = snprintf(text, sizeof text, "d 1G copies=%s", cases[i].text);
		int error = command_parse(VERB_CREATE, text, (size_t)size, &c, sentence);

		if (!cases[i].copies) {
			assert_int_equal(error, -EINVAL);
			assert_non_null(strstr(sentence, "4:2"));
			assert_non_null(strstr(sentence, cases[i].text));
			continue;
		}
		assert_int_equal(error, 0);
		assert_int_equal(c.copies, cases[i].copies);
		assert_int_equal(c.policy, cases[i].policy);
	}
}

static int parse(enum verb verb, const char *text, struct msg_command *c, char *sentence)
{
	return command_parse(verb, text, strlen(text), c, sentence);
}

static void test_snapshot_clone_delete(void **state)
{
	static const struct {
		enum verb verb;
		const char *text, *word;
	} refused[] = {
	    {VERB_SNAPSHOT, "a", "a tag"},
	    {VERB_SNAPSHOT, "a b c", "\"a b c\""},
	    {VERB_SNAPSHOT, "a@b c", "NAME TAG"},
	    {VERB_SNAPSHOT, "a 7", "%31"},
	    {VERB_SNAPSHOT, "a b@c", "\"b@c\""},
	    {VERB_SNAPSHOT, "a b/c", "\"b/c\""},
	    {VERB_CLONE, "a@b", "new name"},
	    {VERB_CLONE, "a b", "NAME@TAG"},
	    {VERB_CLONE, "a@b c@d", "%40"},
	    {VERB_CLONE, "a@b c d", "\"a@b c d\""},
	    {VERB_DELETE, "a b", "\"a b\""},
	    {VERB_DELETE, "", "nothing was written"},
	    {VERB_DELETE, "a@", "\"a@\""},
	};
	char sentence[SENTENCE_MAX];
	struct msg_command c;

	(void)state;
	assert_int_equal(parse(VERB_SNAPSHOT, "disk%40home  mon%20day", &c, sentence), 0);
	assert_string_equal(c.name, "disk@home");
	assert_string_equal(c.tag, "mon day");
	assert_int_equal(c.snap_id, 0);
	assert_int_equal(parse(VERB_SNAPSHOT, "a %37", &c, sentence), 0);
	assert_string_equal(c.tag, "7");
	assert_int_equal(parse(VERB_CLONE, "a@t b%2Fc", &c, sentence), 0);
	assert_string_equal(c.name, "a");
	assert_string_equal(c.tag, "t");
	assert_string_equal(c.other, "b/c");
	assert_int_equal(parse(VERB_CLONE, "a@12 b", &c, sentence), 0);
	assert_int_equal(c.snap_id, 12);
	assert_int_equal(parse(VERB_DELETE, "a%40b", &c, sentence), 0);
	assert_string_equal(c.name, "a@b");
	assert_string_equal(c.tag, "");
	assert_int_equal(parse(VERB_DELETE, "a@b%40c", &c, sentence), 0);
	assert_string_equal(c.tag, "b@c");
	assert_int_equal(parse(VERB_DELETE, "a@12", &c, sentence), 0);
	assert_int_equal(c.snap_id, 12);
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		assert_int_equal(parse(refused[i].verb, refused[i].text, &c, sentence), -EINVAL);
		if (!strstr(sentence, refused[i].word))
			fail_msg("\"%s\" is not in \"%s\"", refused[i].word, sentence);
	}
}

static void test_knobs(void **state)
{
	static const char *const refused[] = {"yes", "", "-1", "1 0", "0x1"};
	char sentence[SENTENCE_MAX];
	struct msg_command c;

	(void)state;
	assert_int_equal(parse(VERB_PAGE_CACHE, "1", &c, sentence), 0);
	assert_true(c.set && c.size == 1);
	assert_int_equal(parse(VERB_OBJECT_CACHE, " 0 ", &c, sentence), 0);
	assert_true(c.set && c.size == 0);
	assert_int_equal(parse(VERB_PAGE_CACHE, "7", &c, sentence), 0);
	assert_int_equal(c.size, 1);
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		assert_int_equal(parse(VERB_PAGE_CACHE, refused[i], &c, sentence), -EINVAL);
		assert_non_null(strstr(sentence, refused[i][0] ? "0 or 1" : "usage"));
	}
	assert_int_equal(parse(VERB_OBJECT_CACHE, "", &c, sentence), -EINVAL);
	assert_string_equal(sentence, "nothing was written; usage: echo 1 > config/object_cache, "
				      "or 0. Asks the daemon to cache "
				      "the objects of volumes that are attached from then on (1), "
				      "or not (0). Daemons from 1.0 "
				      "on have no object cache: there it is without effect.");
}

static void test_mount(void **state)
{
	char sentence[SENTENCE_MAX], text[COMMAND_TEXT_MAX];
	struct msg_command c;

	(void)state;
	assert_int_equal(command_parse(VERB_MOUNT, "a@7", 3, &c, sentence), 0);
	assert_string_equal(c.name, "a");
	assert_int_equal(c.snap_id, 7);
	assert_int_equal(command_parse(VERB_UNMOUNT, "a@t", 3, &c, sentence), 0);
	assert_string_equal(c.tag, "t");
	assert_int_equal(command_parse(VERB_MOUNT, "", 0, &c, sentence), -EINVAL);
	assert_non_null(strstr(sentence, "usage"));
	assert_null(strchr(sentence, '\n'));
	assert_int_equal(command_parse(VERB_MOUNT, "a b", 3, &c, sentence), -EINVAL);
	assert_non_null(strstr(sentence, "a%20b"));
	assert_int_equal(command_parse(VERB_MOUNT, "a\0b", 3, &c, sentence), -EINVAL);
	assert_non_null(strstr(sentence, "NUL"));
	/* the longest and worst of values leave a whole sentence */
	memset(text, '/', sizeof text);
	for (size_t size = 1; size <= sizeof text; size += 50) {
		assert_true(command_parse(VERB_MOUNT, text, size, &c, sentence) < 0);
		assert_true(strlen(sentence) < SENTENCE_MAX);
	}
}

static void test_noise(void **state)
{
	char sentence[SENTENCE_MAX], text[64];
	struct msg_command c;

	(void)state;
	srandom(3);
	for (unsigned round = 0; round < 100000; round++) {
		size_t size = (size_t)random() % sizeof text;

		for (size_t i = 0; i < size; i++)
			text[i] = round % 2 ? (char)random() : "ab 0129KMGTPi=@%_\n"[random() % 18];
		sentence[0] = 0;
		if (command_parse(VERB_CREATE, text, size, &c, sentence))
			assert_true(sentence[0]);
		else
			assert_true(c.name[0] && c.size && c.size <= VOLUME_SIZE_MAX);
	}
}

static void test_usage(void **state)
{
	(void)state;
	for (enum verb verb = VERB_MOUNT; verb <= VERB_DELETE; verb++) {
		const char *usage = command_usage(verb);

		assert_non_null(strstr(usage, "NAME"));
		assert_true(strlen(usage) < SENTENCE_MAX);
		assert_int_equal(usage[strlen(usage) - 1], '\n');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_create),
	    cmocka_unit_test(test_copies),
	    cmocka_unit_test(test_snapshot_clone_delete),
	    cmocka_unit_test(test_knobs),
	    cmocka_unit_test(test_mount),
	    cmocka_unit_test(test_noise),
	    cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests_name("front_command", tests, NULL, NULL);
}
