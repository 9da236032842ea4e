/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of names: what may be typed, what is shown, and that both are one another's inverse.
 */
#include "tests/unit/unit.h"

#include "ipc/name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_typed(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *name, *tag;
		uint32_t snap_id;
	} cases[] = {
	    {"a", 0, "a", "", 0},
	    {"a@t", 0, "a", "t", 0},
	    {"a@7", 0, "a", "", 7},
	    {"a@%37", 0, "a", "7", 0},
	    {"a@7x", 0, "a", "7x", 0},
	    {"a@0", 0, "a", "0", 0},
	    {"a@4294967295", 0, "a", "", 4294967295},
	    {"a@4294967296", 0, "a", "4294967296", 0},
	    {"a%40b", 0, "a@b", "", 0},
	    {"%41", 0, "A", "", 0},
	    {"a%2fb", 0, "a/b", "", 0},
	    {"%2e.", 0, "..", "", 0},
	    {"$(touch x)", -EINVAL, NULL, NULL, 0},
	    {"$(touch%20x)", 0, "$(touch x)", "", 0},
	    {"\xc3\xa4", 0, "\xc3\xa4", "", 0},
	    {"", -EINVAL, NULL, NULL, 0},
	    {"@t", -EINVAL, NULL, NULL, 0},
	    {"a@", -EINVAL, NULL, NULL, 0},
	    {"a@b@c", -EINVAL, NULL, NULL, 0},
	    {"a/b", -EINVAL, NULL, NULL, 0},
	    {"../x", -EINVAL, NULL, NULL, 0},
	    {".x", -EINVAL, NULL, NULL, 0},
	    {"a b", -EINVAL, NULL, NULL, 0},
	    {"a\nb", -EINVAL, NULL, NULL, 0},
	    {"a\x7f", -EINVAL, NULL, NULL, 0},
	    {"%", -EINVAL, NULL, NULL, 0},
	    {"%4", -EINVAL, NULL, NULL, 0},
	    {"%4g", -EINVAL, NULL, NULL, 0},
	    {"%00", -EINVAL, NULL, NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *why = NULL;
		struct name n;

		assert_int_equal(
		    name_parse(cases[i].text, strlen(cases[i].text), &n, &why), cases[i].error);
		if (cases[i].error) {
			assert_non_null(why);
			continue;
		}
		assert_string_equal(n.name, cases[i].name);
		assert_string_equal(n.tag, cases[i].tag);
		assert_int_equal(n.snap_id, cases[i].snap_id);
	}
}

static void test_nul_inside(void **state)
{
	const char *why;
	struct name n;

	(void)state;
	assert_int_equal(name_parse("a\0b", 3, &n, &why), -EINVAL);
}

static void test_length(void **state)
{
	char text[3 * 256 + 1];
	const char *why;
	struct name n;

	(void)state;
	memset(text, 'x', sizeof text);
	assert_int_equal(name_parse(text, 255, &n, &why), 0);
	assert_int_equal(strlen(n.name), 255);
	assert_int_equal(name_parse(text, 256, &n, &why), -ENAMETOOLONG);
	assert_int_equal(name_parse(text, 300, &n, &why), -ENAMETOOLONG);
	for (size_t i = 0; i < 256; i++)
		memcpy(text + 3 * i, "%20", 3);
	assert_int_equal(name_parse(text, 3 * 255, &n, &why), 0);
	assert_int_equal(name_parse(text, 3 * 256, &n, &why), -ENAMETOOLONG);
}

static void random_part(char *raw)
{
	size_t length = 1 + (size_t)random() % NAME_LENGTH_MAX;

	for (size_t i = 0; i < length; i++)
		raw[i] = (char)(1 + random() % 255);
}

/* Whatever a cluster allows is shown so that typing it names the same, in a safe alphabet. */
static void test_shown_can_be_typed(void **state)
{
	char shown[NAME_SHOWN_SIZE];

	(void)state;
	srandom(2);
	for (unsigned round = 0; round < 20000; round++) {
		struct name n = {0}, back;
		const char *why;
		size_t size;

		random_part(n.name);
		if (round % 3 == 1)
			random_part(n.tag);
		else if (round % 3 == 2)
			n.snap_id = 1 + (uint32_t)random();
		if (round % 30 == 1)
			snprintf(n.tag, sizeof n.tag, "%ld", random());
		size = name_show(&n, shown);
		assert_int_equal(size, strlen(shown));
		assert_null(strpbrk(shown, "/ \n\t"));
		assert_true(shown[0] != '.');
		assert_int_equal(name_parse(shown, size, &back, &why), 0);
		/* a tag buffer may hold bytes behind its end from the number case above */
		assert_string_equal(back.name, n.name);
		assert_string_equal(back.tag, n.tag);
		assert_int_equal(back.snap_id, n.snap_id);
	}
}

static void test_compare(void **state)
{
	struct name a, b;
	const char *why;

	(void)state;
	assert_int_equal(name_parse("a%40b", 5, &a, &why), 0);
	assert_int_equal(name_parse("a@b", 3, &b, &why), 0);
	assert_int_not_equal(name_compare(&a, &b), 0);
	assert_int_equal(name_parse("%61%40b", 7, &b, &why), 0);
	assert_int_equal(name_compare(&a, &b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_typed),
	    cmocka_unit_test(test_nul_inside),
	    cmocka_unit_test(test_length),
	    cmocka_unit_test(test_shown_can_be_typed),
	    cmocka_unit_test(test_compare),
	};

	return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
