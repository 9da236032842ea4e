/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line, the config file and the addresses in them: what is understood, and that what is
 * not is named.
 */
#include "tests/unit/unit.h"

#include "master/conf.h"
#include "master/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define WORDS_MAX 8

/* With a config file FILE of this text; NULL: without. */
static int parse_with(
    const char *text, const char *const *words, struct conf *c, char *why, size_t why_size)
{
	static char copy[4096]; /* what a conf holds points into it */
	char *argv[WORDS_MAX + 2] = {(char *)"sheepfs"};
	int argc = 1;

	for (; argc <= WORDS_MAX && words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];
	why[0] = 0;
	snprintf(copy, sizeof copy, "%s", text ? text : "");
	return conf_parse(argc, argv, "FILE", text ? copy : NULL, c, why, why_size);
}

static int parse(const char *const *words, struct conf *c, char *why, size_t why_size)
{
	return parse_with(NULL, words, c, why, why_size);
}

static void test_defaults(void **state)
{
	static const char *const words[] = {"/mnt", NULL};
	char why[512];
	struct conf c;

	(void)state;
	unsetenv("SHEEPFS_LIBEXEC");
	assert_int_equal(parse(words, &c, why, sizeof why), 0);
	assert_string_equal(c.mountpoint, "/mnt");
	assert_int_equal(c.targets.count, 1);
	assert_string_equal(c.targets.targets[0].text, "127.0.0.1:7000");
	assert_int_equal(c.timeout, 10);
	assert_int_equal(c.uid_first, 1879050000);
	assert_int_equal(c.uid_last, 1879054095);
	assert_false(c.foreground || c.debug || c.help || c.version);
	assert_null(c.log);
	assert_string_equal(c.libexec, LIBEXECDIR);
	setenv("SHEEPFS_LIBEXEC", "/build/libexec", 1);
	assert_int_equal(parse(words, &c, why, sizeof why), 0);
	assert_string_equal(c.libexec, "/build/libexec");
	/* a relative one would mean something else after chdir(2) */
	setenv("SHEEPFS_LIBEXEC", "libexec", 1);
	assert_int_equal(parse(words, &c, why, sizeof why), 0);
	assert_string_equal(c.libexec, LIBEXECDIR);
	unsetenv("SHEEPFS_LIBEXEC");
}

static void test_options(void **state)
{
	static const char *const short_words[] = {
	    "-fd", "-s", "10.0.0.1,10.0.0.2:7001", "-t", "25", "--log=/l", "/mnt", NULL};
	static const char *const long_words[] = {"--uids", "500-599", "--sheep", "unix:/run/s",
	    "--timeout=1", "/mnt", "--foreground", NULL};
	static const char *const upstream[] = {"-a", "10.1.2.3", "-p", "7007", "-f", "/mnt", NULL};
	static const char *const upstream6[] = {"--address=fe80::1", "/mnt", NULL};
	static const char *const debug[] = {"-d", "/mnt", NULL};
	static const char *const caches[] = {"-k", "--objectcache", "/mnt", NULL};
	static const char *const other_caches[] = {"--pagecache", "-o", "/mnt", NULL};
	char why[512];
	struct conf c;

	(void)state;
	assert_int_equal(parse(short_words, &c, why, sizeof why), 0);
	assert_true(c.foreground && c.debug);
	assert_int_equal(c.targets.count, 2);
	assert_string_equal(c.targets.targets[0].text, "10.0.0.1:7000");
	assert_string_equal(c.targets.targets[1].text, "10.0.0.2:7001");
	assert_int_equal(c.timeout, 25);
	assert_string_equal(c.log, "/l");
	assert_int_equal(parse(long_words, &c, why, sizeof why), 0);
	assert_int_equal(c.uid_first, 500);
	assert_int_equal(c.uid_last, 599);
	assert_true(c.foreground);
	assert_string_equal(c.mountpoint, "/mnt");
	assert_int_equal(parse(upstream, &c, why, sizeof why), 0);
	assert_string_equal(c.targets.targets[0].text, "10.1.2.3:7007");
	assert_int_equal(parse(upstream6, &c, why, sizeof why), 0);
	assert_string_equal(c.targets.targets[0].text, "[fe80::1]:7000");
	assert_false(c.foreground || c.page_cache || c.object_cache);
	assert_int_equal(parse(debug, &c, why, sizeof why), 0);
	assert_true(c.debug && c.foreground);
	assert_int_equal(parse(caches, &c, why, sizeof why), 0);
	assert_true(c.page_cache && c.object_cache && !c.foreground);
	assert_int_equal(parse(other_caches, &c, why, sizeof why), 0);
	assert_true(c.page_cache && c.object_cache);
}

static void test_help_and_version_ask_for_nothing_else(void **state)
{
	static const char *const help[] = {"-h", NULL};
	static const char *const version[] = {"--version", NULL};
	char why[512];
	struct conf c;

	(void)state;
	assert_int_equal(parse(help, &c, why, sizeof why), 0);
	assert_true(c.help);
	assert_int_equal(parse(version, &c, why, sizeof why), 0);
	assert_true(c.version);
}

static void test_wrong_options(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		const char *named; /* is in the sentence */
	} cases[] = {
	    {{NULL}, "mount point"},
	    {{"/a", "/b"}, "/b"},
	    {{"-x", "/mnt"}, "-x"},
	    {{"--nosuch", "/mnt"}, "--nosuch"},
	    {{"--foreground=yes", "/mnt"}, "--foreground=yes"},
	    {{"/mnt", "-s"}, "-s"},
	    {{"/mnt", "--sheep"}, "--sheep"},
	    {{"-t", "0", "/mnt"}, "\"0\""},
	    {{"-t", "x", "/mnt"}, "\"x\""},
	    {{"-t", "-5", "/mnt"}, "\"-5\""},
	    {{"-t", "3601", "/mnt"}, "3601"},
	    {{"-t", "99999999999999999999", "/mnt"}, "99999999999999999999"},
	    {{"-p", "0", "/mnt"}, "\"0\""},
	    {{"-p", "70000", "/mnt"}, "70000"},
	    {{"-p", "7000x", "/mnt"}, "7000x"},
	    {{"-a", "sheep.example", "/mnt"}, "sheep.example"},
	    {{"-a", "", "/mnt"}, "\"\""},
	    {{"-a", "10.0.0.1,10.0.0.2", "/mnt"}, "10.0.0.1,10.0.0.2"},
	    {{"-s", "10.0.0.1", "-p", "7001", "/mnt"}, "leave port out"},
	    {{"-s", "10.0.0.1", "-a", "10.0.0.2", "/mnt"}, "leave address out"},
	    {{"--mountpoint=/mnt"}, "--mountpoint=/mnt"},
	    {{"--volume", "a b", "/mnt"}, "--volume: \"a b\""},
	    {{"--nodes", "x", "/mnt"}, "--nodes: \"x\""},
	    {{"--uids", "5", "/mnt"}, "\"5\""},
	    {{"--uids", "x-9", "/mnt"}, "x-9"},
	    {{"--uids", "0-100", "/mnt"}, "0-100"},
	    {{"--uids", "500-400", "/mnt"}, "500-400"},
	    {{"--uids", "500-502", "/mnt"}, "500-502"},
	    {{"--uids", "1-4294967295", "/mnt"}, "1-4294967295"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char why[512];
		struct conf c;

		assert_int_equal(parse(cases[i].words, &c, why, sizeof why), -EINVAL);
		if (!strstr(why, cases[i].named) || strchr(why, '\n'))
			fail_msg("case %zu: \"%s\"", i, why);
	}
}

static void test_config_file(void **state)
{
	static const char text[] = "# a comment\n"
				   "\n"
				   "mountpoint = /mnt/sheep\n"
				   "\tsheep=10.0.0.1,10.0.0.2:7001 \r\n"
				   "timeout = 25\n"
				   "  # pagecache = no\n"
				   "pagecache = yes\n"
				   "objectcache = no\n"
				   "io-timeout = forever\n"
				   "uids = 500-599\n"
				   "log = /var/log/a file = this\n"
				   "volume = one\n"
				   "volume = two@evening\n"
				   "volume = one";
	static const char *const none[] = {NULL};
	char why[1024];
	struct conf c;

	(void)state;
	assert_int_equal(parse_with(text, none, &c, why, sizeof why), 0);
	assert_string_equal(c.mountpoint, "/mnt/sheep");
	assert_int_equal(c.targets.count, 2);
	assert_string_equal(c.targets.targets[1].text, "10.0.0.2:7001");
	assert_int_equal(c.timeout, 25);
	assert_true(c.page_cache && !c.object_cache && !c.foreground);
	assert_int_equal(c.io_timeout, 0);
	assert_int_equal(c.uid_first, 500);
	assert_string_equal(c.log, "/var/log/a file = this");
	assert_int_equal(c.nr_volumes, 2);
	assert_string_equal(c.volumes[0].name, "one");
	assert_string_equal(c.volumes[1].name, "two");
	assert_string_equal(c.volumes[1].tag, "evening");
	conf_free(&c);
}

static void test_command_line_counts_more_than_the_file(void **state)
{
	static const struct {
		const char *text;
		const char *words[WORDS_MAX];
		const char *mountpoint, *target;
		unsigned timeout, volumes;
	} cases[] = {
	    {"timeout = 5\nmountpoint = /file\n", {NULL}, "/file", "127.0.0.1:7000", 5, 0},
	    {"timeout = 5\nmountpoint = /file\n", {"-t", "6", "/line"}, "/line", "127.0.0.1:7000",
		6, 0},
	    {"sheep = 10.0.0.1\n", {"/m"}, "/m", "10.0.0.1:7000", 10, 0},
	    {"sheep = 10.0.0.1\n", {"-s", "10.0.0.2", "/m"}, "/m", "10.0.0.2:7000", 10, 0},
	    {"sheep = 10.0.0.1\n", {"-a", "10.0.0.2", "/m"}, "/m", "10.0.0.2:7000", 10, 0},
	    {"sheep = 10.0.0.1\n", {"-p", "7003", "/m"}, "/m", "127.0.0.1:7003", 10, 0},
	    {"address = 10.0.0.1\nport = 7001\n", {"/m"}, "/m", "10.0.0.1:7001", 10, 0},
	    {"address = 10.0.0.1\nport = 7001\n", {"-p", "7003", "/m"}, "/m", "10.0.0.1:7003", 10,
		0},
	    {"address = 10.0.0.1\n", {"-s", "lamb:/srv", "/m"}, "/m", "lamb:/srv", 10, 0},
	    {"volume = a\nvolume = b\n", {"--volume=c", "--volume", "a", "/m"}, "/m",
		"127.0.0.1:7000", 10, 3},
	};
	char why[1024];
	struct conf c;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (parse_with(cases[i].text, cases[i].words, &c, why, sizeof why))
			fail_msg("case %zu: \"%s\"", i, why);
		assert_string_equal(c.mountpoint, cases[i].mountpoint);
		assert_int_equal(c.targets.count, 1);
		assert_string_equal(c.targets.targets[0].text, cases[i].target);
		assert_int_equal(c.timeout, cases[i].timeout);
		assert_int_equal(c.nr_volumes, cases[i].volumes);
		conf_free(&c);
	}
}

static void test_wrong_config_files(void **state)
{
	static const struct {
		const char *text;
		const char *named[2]; /* are in the sentence */
	} cases[] = {
	    {"\nnosuch = 1\n", {"FILE:2: ", "\"nosuch\""}},
	    {"help = yes\n", {"FILE:1: ", "\"help\""}},
	    {"version = yes\n", {"FILE:1: ", "\"version\""}},
	    {"config = /other\n", {"FILE:1: ", "\"config\""}},
	    {"--timeout = 5\n", {"FILE:1: ", "\"--timeout\""}},
	    {"#\n#\ntimeout 5\n", {"FILE:3: ", "\"timeout 5\""}},
	    {"timeout =\n", {"FILE:1: timeout: ", "SECONDS"}},
	    {"timeout = 0\n", {"FILE:1: timeout: ", "\"0\""}},
	    {"timeout = 5\n\ntimeout = 5\n", {"FILE:3: ", "line 1"}},
	    {"pagecache = maybe\n", {"FILE:1: pagecache: ", "\"maybe\""}},
	    {"pagecache =\n", {"FILE:1: pagecache: ", "yes nor no"}},
	    {"nodes = x\n", {"FILE:1: nodes: ", "\"x\""}},
	    {"address = sheep.example\n", {"FILE:1: address: ", "sheep.example"}},
	    {"sheep = 10.0.0.1\naddress = 10.0.0.2\n", {"FILE:2: ", "leave address out"}},
	    {"port = 7001\nsheep = 10.0.0.1\n", {"FILE:2: ", "leave port out"}},
	    {"volume = a/b\n", {"FILE:1: volume: ", "\"a/b\""}},
	    {"mountpoint = mnt\n", {"FILE:1: mountpoint: ", "\"mnt\""}},
	    {"log = sheepfs.log\n", {"FILE:1: log: ", "\"sheepfs.log\""}},
	    {"# nothing\n", {"mount point", "FILE"}},
	};
	static const char *const none[] = {NULL};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char why[1024];
		struct conf c;

		assert_int_equal(parse_with(cases[i].text, none, &c, why, sizeof why), -EINVAL);
		if (!strstr(why, cases[i].named[0]) || !strstr(why, cases[i].named[1]) ||
		    strchr(why, '\n'))
			fail_msg("case %zu: \"%s\"", i, why);
		conf_free(&c);
	}
}

static void test_the_config_file_is_named_by_the_command_line(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		const char *file;
	} cases[] = {
	    {{"/mnt"}, NULL},
	    {{"-c", "/a", "/mnt"}, "/a"},
	    {{"/mnt", "--timeout=5", "--config", "/b"}, "/b"},
	    {{"-fc/c"}, "/c"},
	    /* a wrong option is told of by conf_parse() */
	    {{"-x", "--config=/d"}, "/d"},
	    {{"-c"}, NULL},
	    /* and these need none */
	    {{"-c", "/nosuch", "--help"}, NULL},
	    {{"-V", "-c", "/nosuch"}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *argv[WORDS_MAX + 2] = {(char *)"sheepfs"};
		const char *file;
		int argc = 1;

		for (; argc <= WORDS_MAX && cases[i].words[argc - 1]; argc++)
			argv[argc] = (char *)cases[i].words[argc - 1];
		file = conf_file(argc, argv);
		if (!cases[i].file != !file || (file && strcmp(file, cases[i].file) != 0))
			fail_msg("case %zu: %s", i, file ? file : "none");
	}
}

static void test_targets(void **state)
{
	static const struct {
		const char *text, *shown;
		int family;
		unsigned port;
	} cases[] = {
	    {"10.0.0.1", "10.0.0.1:7000", AF_INET, 7000}, {"10.0.0.1:1", "10.0.0.1:1", AF_INET, 1},
	    {"10.0.0.1:65535", "10.0.0.1:65535", AF_INET, 65535},
	    {"[::1]:7001", "[::1]:7001", AF_INET6, 7001}, {"[::1]", "[::1]:7000", AF_INET6, 7000},
	    {"fe80::1", "[fe80::1]:7000", AF_INET6, 7000},
	    {"unix:/run/sheep.sock", "unix:/run/sheep.sock", AF_UNIX, 0},
	    {"lamb:/srv/store", "lamb:/srv/store", AF_UNSPEC, 0}, /* its socket is made later */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct target_list list;
		const struct target *t = &list.targets[0];
		unsigned port = 0;
		char why[512];

		assert_int_equal(target_parse_list(cases[i].text, &list, why, sizeof why), 0);
		assert_int_equal(list.count, 1);
		assert_string_equal(t->text, cases[i].shown);
		assert_int_equal(t->address.ss_family, cases[i].family);
		if (cases[i].family == AF_INET)
			port = ntohs(((const struct sockaddr_in *)&t->address)->sin_port);
		else if (cases[i].family == AF_INET6)
			port = ntohs(((const struct sockaddr_in6 *)&t->address)->sin6_port);
		else if (cases[i].family == AF_UNSPEC)
			assert_string_equal(t->store, "/srv/store");
		else
			assert_string_equal(
			    ((const struct sockaddr_un *)&t->address)->sun_path, "/run/sheep.sock");
		assert_int_equal(port, cases[i].port);
	}
}

static void test_wrong_targets(void **state)
{
	static const struct {
		const char *text, *named;
	} cases[] = {
	    {"", "\"\""},
	    {"nonsense", "nonsense"},
	    {"host.example:7000", "host.example"},
	    {"10.0.0.300:7000", "10.0.0.300"},
	    {"1.2.3:7000", "1.2.3"},
	    {"10.0.0.1:", "10.0.0.1:"},
	    {"10.0.0.1:0", "\"0\""},
	    {"10.0.0.1:70000", "70000"},
	    {"10.0.0.1:-1", "-1"},
	    {"10.0.0.1: 7000", " 7000"},
	    {"10.0.0.1:7000x", "7000x"},
	    {"[::1:7000", "[::1:7000"},
	    {"[::1]7000", "[::1]7000"},
	    {"[10.0.0.1]:7000", "10.0.0.1"},
	    {"10.0.0.1,,10.0.0.2", "\"\""},
	    {"10.0.0.1,", "\"\""},
	    {"unix:", "unix:"},
	    {"lamb:", "lamb:"},
	    {"lamb:store", "begins with"},
	    {"unix:relative", "relative"},
	    {"unix:/"
	     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	     "xxxxxxxxxx"
	     "xxxxxxxxxxxx",
		"107 bytes"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct target_list list;
		char why[512] = "";

		assert_int_equal(target_parse_list(cases[i].text, &list, why, sizeof why), -EINVAL);
		if (!strstr(why, cases[i].named) || strchr(why, '\n'))
			fail_msg("\"%s\": \"%s\"", cases[i].text, why);
	}
}

static void test_too_many_targets(void **state)
{
	char text[TARGETS_MAX * 10 + 10] = "10.0.0.1", why[512];
	struct target_list list;

	(void)state;
	for (unsigned i = 1; i < TARGETS_MAX; i++)
		strcat(text, ",10.0.0.1");
	assert_int_equal(target_parse_list(text, &list, why, sizeof why), 0);
	assert_int_equal(list.count, TARGETS_MAX);
	strcat(text, ",10.0.0.1");
	assert_int_equal(target_parse_list(text, &list, why, sizeof why), -EINVAL);
}

static void test_trial(void **state)
{
	struct target_list list;
	struct trial t;
	char text[512], small[24];

	(void)state;
	assert_int_equal(target_parse_list("10.0.0.1,10.0.0.2", &list, text, sizeof text), 0);
	trial_begin(&t, &list);
	assert_string_equal(trial_target(&t)->text, "10.0.0.1:7000");
	trial_failed(&t, "Connection refused");
	assert_string_equal(trial_target(&t)->text, "10.0.0.2:7000");
	trial_describe(&t, text, sizeof text);
	assert_string_equal(
	    text, "10.0.0.1:7000: Connection refused; 10.0.0.2:7000: no answer in time");
	trial_failed(&t, "it lies");
	assert_null(trial_target(&t));
	trial_failed(&t, "nobody is there to fail");
	trial_again(&t);
	assert_string_equal(trial_target(&t)->text, "10.0.0.1:7000");
	trial_failed(&t, "No route to host");
	trial_describe(&t, text, sizeof text);
	assert_string_equal(text, "10.0.0.1:7000: No route to host; 10.0.0.2:7000: it lies");
	trial_describe(&t, small, sizeof small);
	assert_string_equal(small, "10.0.0.1:7000: No route");
}

static void test_dial_words(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_string_equal(dial_words(-ETIMEDOUT), "Connection timed out");
	/* of a unit, whose filter says nothing */
	setenv("NOTIFY_SOCKET", "/nowhere", 1);
	assert_non_null(strstr(dial_words(-ETIMEDOUT), "IPAddressAllow="));
	assert_string_equal(dial_words(-ECONNREFUSED), "Connection refused");
	unsetenv("NOTIFY_SOCKET");
}

static void follow(struct trial *t, const char *targets)
{
	struct target_list list;
	char why[256];

	assert_int_equal(target_parse_list(targets, &list, why, sizeof why), 0);
	trial_follow(t, &list);
	memset(&list, 0xee, sizeof list); /* it is the trial's own */
}

static void on_turn(const struct trial *t, const char *target)
{
	assert_non_null(trial_target(t));
	assert_string_equal(trial_target(t)->text, target);
}

static void test_trial_of_a_list_that_changes(void **state)
{
	struct target_list list;
	struct trial t;
	char text[512];

	(void)state;
	assert_int_equal(target_parse_list("10.0.0.1", &list, text, sizeof text), 0);
	trial_begin(&t, &list);
	/* a longer one: behind the one that failed it goes on */
	trial_failed(&t, "it is dead");
	follow(&t, "10.0.0.1,10.0.0.2,[fd00::3],10.0.0.4");
	on_turn(&t, "10.0.0.2:7000");
	trial_failed(&t, "it lies");
	on_turn(&t, "[fd00::3]:7000");
	/* one that is new before those that were tried has to wait; words stay with their target */
	follow(&t, "10.0.0.1,10.0.0.9,10.0.0.2,10.0.0.4,[fd00:0::3]:7000");
	on_turn(&t, "10.0.0.4:7000");
	trial_describe(&t, text, sizeof text);
	assert_string_equal(text,
	    "10.0.0.1:7000: it is dead; 10.0.0.9:7000: no answer in time; 10.0.0.2:7000: it lies; "
	    "10.0.0.4:7000: no answer in time; [fd00:0::3]:7000: no answer in time");
	/* those that have left leave no gap */
	trial_failed(&t, "no");
	follow(&t, "10.0.0.1,[fd00::3]");
	on_turn(&t, "[fd00::3]:7000");
	trial_failed(&t, "no");
	follow(&t, "10.0.0.1,[fd00::3]");
	assert_null(trial_target(&t));
	/* whoever knows better says so */
	follow(&t, "10.0.0.1,[fd00::3],10.0.0.5,10.0.0.6");
	on_turn(&t, "10.0.0.5:7000");
	list.targets[0] = t.list.targets[3];
	trial_go_to(&t, &list.targets[0]);
	on_turn(&t, "10.0.0.6:7000");
	trial_go_to(&t, &(const struct target){.text = ""});
	on_turn(&t, "10.0.0.6:7000");
	/* none of it was tried */
	follow(&t, "10.9.9.9,unix:/run/x");
	on_turn(&t, "10.9.9.9:7000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_help_and_version_ask_for_nothing_else),
	    cmocka_unit_test(test_wrong_options),
	    cmocka_unit_test(test_config_file),
	    cmocka_unit_test(test_command_line_counts_more_than_the_file),
	    cmocka_unit_test(test_wrong_config_files),
	    cmocka_unit_test(test_the_config_file_is_named_by_the_command_line),
	    cmocka_unit_test(test_targets),
	    cmocka_unit_test(test_wrong_targets),
	    cmocka_unit_test(test_too_many_targets),
	    cmocka_unit_test(test_trial),
	    cmocka_unit_test(test_dial_words),
	    cmocka_unit_test(test_trial_of_a_list_that_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
