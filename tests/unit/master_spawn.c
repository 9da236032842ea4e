/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a child ended, in words: every exit word has its own, and so have signals.
 */
#include "tests/unit/unit.h"

#include "include/words.h"
#include "master/spawn.h"

#include <signal.h>
#include <string.h>

#define EXITED(code) ((code) << 8)

static void test_exit_words(void **state)
{
	static const int words[] = {EXIT_DRAINED, EXIT_ENVIRONMENT, EXIT_INVARIANT,
	    EXIT_MASTER_GONE, EXIT_BAD_MESSAGE, EXIT_FRONT_GONE, EXIT_REFUSED, EXIT_DAEMON_LOST,
	    EXIT_DAEMON_MUTE, EXIT_DAEMON_LIES, EXIT_VOLUME_CHANGED, EXIT_UNMOUNTED};
	const size_t count = sizeof words / sizeof *words;
	char text[sizeof words / sizeof *words][256];

	(void)state;
	for (size_t i = 0; i < count; i++) {
		spawn_words(EXITED(words[i]), text[i], sizeof text[i]);
		assert_null(strstr(text[i], "unknown"));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(text[i], text[k]);
	}
	assert_non_null(strstr(text[7], "daemon was lost"));
}

static void test_unknown_exit_status(void **state)
{
	char text[256];

	(void)state;
	spawn_words(EXITED(123), text, sizeof text);
	assert_string_equal(text, "it ended with the unknown exit status 123");
}

static void test_signals(void **state)
{
	char text[256];

	(void)state;
	spawn_words(SIGKILL, text, sizeof text);
	assert_string_equal(text, "it was killed by signal 9 (Killed)");
	spawn_words(SIGSEGV | 0x80, text, sizeof text); /* with a core */
	assert_non_null(strstr(text, "signal 11"));
	spawn_words(SIGSYS, text, sizeof text);
	assert_non_null(strstr(text, "jail"));
}

static void test_no_room(void **state)
{
	char text[8] = "xxxxxxx";

	(void)state;
	spawn_words(SIGKILL, text, sizeof text);
	assert_string_equal(text, "it was ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_exit_words),
	    cmocka_unit_test(test_unknown_exit_status),
	    cmocka_unit_test(test_signals),
	    cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
