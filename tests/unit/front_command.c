/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of control files: what is accepted, and that every refusal names the value.
 */
#include "tests/unit/unit.h"

#include "front/command.h"

#include <errno.h>
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
	    {"d 1G copies=2", -EINVAL, NULL, 0, 0, "\"copies=2\""},
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
	for (enum verb verb = VERB_MOUNT; verb <= VERB_CREATE; verb++) {
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
	    cmocka_unit_test(test_mount),
	    cmocka_unit_test(test_noise),
	    cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests_name("front_command", tests, NULL, NULL);
}
