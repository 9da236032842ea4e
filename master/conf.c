/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options and the config file: see conf.h.
 */
#include "master/conf.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SHEEP "127.0.0.1"
#define DEFAULT_TIMEOUT 10
#define TIMEOUT_MAX 3600
#define DEFAULT_FENCE_TIMEOUT 60
#define LONG_TIMEOUT_MAX 1000000
#define DEFAULT_UID_FIRST 1879050000
#define DEFAULT_UID_LAST 1879054095
#define UIDS_MIN 4 /* front, cluster worker, lamb, one volume */
#define UIDS_MAX 65536
#define SENTENCE_SIZE 800 /* of what a setter has to say about a value */

enum conf_flag {
	NOT_IN_FILE = 1,
	ONLY_IN_FILE = 2,
	IS_PATH = 4, /* in the file it is absolute: nobody knows where sheepfs is started */
	REPEATS = 8,
};

struct conf_option {
	char letter;    /* 0: only the long name */
	unsigned flags; /* enum conf_flag */
	const char *name;
	const char *value; /* what the help calls it; NULL: it takes none */
	const char *help;
	/* the sentence in why is about the value; NULL: conf_file() has seen to it */
	int (*set)(struct conf *c, const char *value, char *why, size_t why_size);
};

/* Decimal digits only. */
static bool parse_number(const char *text, size_t size, unsigned long max, unsigned long *number)
{
	*number = 0;
	if (!size || size > 10)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*number = *number * 10 + (unsigned long)(text[i] - '0');
	}
	return *number <= max;
}

static int set_sheep(struct conf *c, const char *value, char *why, size_t why_size)
{
	c->sheep = value;
	return target_parse_list(value, &c->targets, why, why_size);
}

/* The daemon that address and port name, as far as they do. */
static int use_address(struct conf *c, char *why, size_t why_size)
{
	const char *address = c->address ? c->address : DEFAULT_SHEEP;
	char one[ADDRESS_TEXT_MAX];
	bool v6 = strchr(address, ':');

	if (strpbrk(address, ",/") || (size_t)snprintf(one, sizeof one, v6 ? "[%s]:%s" : "%s:%s",
					  address, c->port ? c->port : "7000") >= sizeof one) {
		snprintf(why, why_size, "\"%.100s\" is no ip address", address);
		return -EINVAL;
	}
	return target_parse_list(one, &c->targets, why, why_size);
}

static int set_address(struct conf *c, const char *value, char *why, size_t why_size)
{
	c->address = value;
	return use_address(c, why, why_size);
}

/* --sheep and the other way to say it. */
static int refuse_two_ways(const struct conf *c, char *why, size_t why_size)
{
	if (!c->sheep || !(c->address || c->port))
		return 0;
	snprintf(why, why_size, "sheep names the daemons already; leave %s out",
	    c->address ? "address" : "port");
	return -EINVAL;
}

static int set_port(struct conf *c, const char *value, char *why, size_t why_size)
{
	unsigned long port;

	c->port = value;
	if (parse_number(value, strlen(value), 65535, &port) && port)
		return 0;
	snprintf(why, why_size, "\"%.100s\" is no port; ports go from 1 to 65535", value);
	return -EINVAL;
}

static int set_timeout(struct conf *c, const char *value, char *why, size_t why_size)
{
	unsigned long seconds;

	if (!parse_number(value, strlen(value), TIMEOUT_MAX, &seconds) || !seconds) {
		snprintf(why, why_size, "\"%.100s\" is no number of seconds from 1 to %d", value,
		    TIMEOUT_MAX);
		return -EINVAL;
	}
	c->timeout = (unsigned)seconds;
	return 0;
}

/* Seconds, or 0 or "forever" for no limit. */
static int set_long_timeout(unsigned *timeout, const char *value, char *why, size_t why_size)
{
	unsigned long seconds = 0;

	if (strcmp(value, "forever") != 0 &&
	    !parse_number(value, strlen(value), LONG_TIMEOUT_MAX, &seconds)) {
		snprintf(why, why_size,
		    "\"%.100s\" is no number of seconds from 0 to %d; 0 and \"forever\" mean no "
		    "limit",
		    value, LONG_TIMEOUT_MAX);
		return -EINVAL;
	}
	*timeout = (unsigned)seconds;
	return 0;
}

static int set_io_timeout(struct conf *c, const char *value, char *why, size_t why_size)
{
	return set_long_timeout(&c->io_timeout, value, why, why_size);
}

static int set_fence_timeout(struct conf *c, const char *value, char *why, size_t why_size)
{
	return set_long_timeout(&c->fence_timeout, value, why, why_size);
}

static int set_uids(struct conf *c, const char *value, char *why, size_t why_size)
{
	const char *dash = strchr(value, '-');
	unsigned long first, last;

	if (!dash || !parse_number(value, (size_t)(dash - value), UINT32_MAX - 2, &first) ||
	    !parse_number(dash + 1, strlen(dash + 1), UINT32_MAX - 2, &last) || !first) {
		snprintf(why, why_size,
		    "\"%.100s\" is no range of user numbers; write FIRST-LAST, like %d-%d", value,
		    DEFAULT_UID_FIRST, DEFAULT_UID_LAST);
		return -EINVAL;
	}
	if (last < first + UIDS_MIN - 1 || last - first >= UIDS_MAX) {
		snprintf(why, why_size,
		    "%.100s must hold from %d to %d numbers: front, cluster worker, lamb and "
		    "one for each attached volume",
		    value, UIDS_MIN, UIDS_MAX);
		return -EINVAL;
	}
	c->uid_first = (uid_t)first;
	c->uid_last = (uid_t)last;
	return 0;
}

static int set_nodes(struct conf *c, const char *value, char *why, size_t why_size)
{
	c->nodes_given = true;
	return prefix_parse_list(value, &c->nodes, why, why_size);
}

static int set_log(struct conf *c, const char *value, char *why, size_t why_size)
{
	(void)why;
	(void)why_size;
	c->log = value;
	return 0;
}

static int set_mountpoint(struct conf *c, const char *value, char *why, size_t why_size)
{
	(void)why;
	(void)why_size;
	c->mountpoint = value;
	return 0;
}

/* One that is there already is not there twice. */
static int set_volume(struct conf *c, const char *value, char *why, size_t why_size)
{
	const char *wrong;
	struct name name, *more;
	int error = name_parse(value, strlen(value), &name, &wrong);

	if (error) {
		snprintf(why, why_size, "\"%.200s\" is no volume's name: %s", value, wrong);
		return error;
	}
	for (unsigned i = 0; i < c->nr_volumes; i++)
		if (!name_compare(&c->volumes[i], &name))
			return 0;
	more = realloc(c->volumes, (c->nr_volumes + 1) * sizeof *more);
	if (!more) {
		snprintf(why, why_size, "out of memory after %u volumes", c->nr_volumes);
		return -ENOMEM;
	}
	c->volumes = more;
	c->volumes[c->nr_volumes++] = name;
	return 0;
}

#define SWITCH(field)                                                                              \
	static int set_##field(struct conf *c, const char *value, char *why, size_t why_size)      \
	{                                                                                          \
		(void)value;                                                                       \
		(void)why;                                                                         \
		(void)why_size;                                                                    \
		c->field = true;                                                                   \
		return 0;                                                                          \
	}
SWITCH(foreground)
SWITCH(debug)
SWITCH(page_cache)
SWITCH(object_cache)
SWITCH(discover)
SWITCH(replace)
SWITCH(help)
SWITCH(version)

static const struct conf_option options[] = {
    {'c', NOT_IN_FILE, "config", "FILE",
	"settings, NAME = VALUE a line: the long options without their dashes, and\n"
	"mountpoint; what stands on the command line counts more",
	NULL},
    {'s', 0, "sheep", "TARGET[,TARGET...]",
	"the daemons: ip:port, [v6]:port, unix:/path, or lamb:/store for a sheep\n"
	"of our own on that directory; the first that answers is used\n"
	"(127.0.0.1:7000)",
	set_sheep},
    {'a', 0, "address", "IP", "one daemon, with --port, instead of --sheep", set_address},
    {'p', 0, "port", "PORT", "its port (7000)", set_port},
    {'t', 0, "timeout", "SECONDS", "how long an attach or a detach may take (10)", set_timeout},
    {0, 0, "io-timeout", "SECONDS",
	"how long a caller waits for I/O when no daemon can be reached, before it\n"
	"gets EIO (config/io_timeout; 0: for ever)",
	set_io_timeout},
    {0, 0, "fence-timeout", "SECONDS",
	"when a daemon can be neither reached nor proved dead: how long what it was\n"
	"asked is waited for (config/fence_timeout; 60; 0: for ever)",
	set_fence_timeout},
    {0, 0, "nodes", "PREFIX[,PREFIX...]",
	"where members of the cluster may be dialled, for node/info and --discover:\n"
	"addresses like 10.1.0.0/16, or none (the targets' own networks and ports)",
	set_nodes},
    {0, 0, "discover", NULL,
	"members of the cluster are targets as well, behind those of --sheep\n"
	"(config/discover)",
	set_discover},
    {0, 0, "uids", "FIRST-LAST",
	"user numbers for the front, the cluster worker, lamb and the volumes'\n"
	"workers (1879050000-1879054095); nobody else should have them",
	set_uids},
    {0, REPEATS, "volume", "NAME[@TAG]",
	"attach that volume before the mount is said to serve; may be repeated", set_volume},
    {0, ONLY_IN_FILE | IS_PATH, "mountpoint", "PATH", NULL, set_mountpoint},
    {0, IS_PATH, "log", "FILE",
	"log there; else to the terminal or journal with -f, to syslog without", set_log},
    {'k', 0, "pagecache", NULL, "cache volumes in this host's page cache (config/page_cache)",
	set_page_cache},
    {'o', 0, "objectcache", NULL, "have daemons before 1.0 cache objects (config/object_cache)",
	set_object_cache},
    {0, NOT_IN_FILE, "replace", NULL,
	"take the place of the sheepfs that serves MOUNTPOINT, to upgrade it or to\n"
	"change options: volumes stay mounted, their users wait a moment",
	set_replace},
    {'f', 0, "foreground", NULL, "stay in the foreground", set_foreground},
    {'d', 0, "debug", NULL, "log every message between the processes but I/O; implies -f",
	set_debug},
    {'h', NOT_IN_FILE, "help", NULL, "this text", set_help},
    {'V', NOT_IN_FILE, "version", NULL, "the version", set_version},
};

#define NR_OPTIONS (sizeof options / sizeof *options)

/* The same table, the way getopt_long(3) wants it.  An option's value is its index + 256. */
static void make_getopt(struct option *longs, char *shorts)
{
	optind = 0; /* from the beginning, also when called again */
	opterr = 0;
	*shorts++ = ':';
	for (size_t i = 0; i < NR_OPTIONS; i++) {
		if (options[i].flags & ONLY_IN_FILE)
			continue;
		*longs++ = (struct option){.name = options[i].name,
		    .has_arg = options[i].value ? required_argument : no_argument,
		    .val = (int)i + 256};
		if (!options[i].letter)
			continue;
		*shorts++ = options[i].letter;
		if (options[i].value)
			*shorts++ = ':';
	}
	*shorts = 0;
}

static const struct conf_option *find_option(int value)
{
	if (value >= 256)
		return &options[value - 256];
	for (size_t i = 0; i < NR_OPTIONS; i++)
		if (options[i].letter == value)
			return &options[i];
	return NULL;
}

static int parse_options(int argc, char **argv, struct conf *c, char *why, size_t why_size)
{
	struct option longs[NR_OPTIONS + 1] = {{0}};
	char shorts[2 * NR_OPTIONS + 2];
	int value;

	make_getopt(longs, shorts);
	while ((value = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
		const struct conf_option *option = find_option(value);
		char sentence[SENTENCE_SIZE];
		int error;

		if (value == ':' || value == '?' || !option) {
			const char *word = optopt && optopt < 256 ? NULL : argv[optind - 1];

			if (word)
				snprintf(why, why_size, "option %s %s", word,
				    value == ':' ? "needs a value"
				    : optopt     ? "takes no value"
						 : "is not known");
			else
				snprintf(why, why_size, "option -%c %s", optopt,
				    value == ':' ? "needs a value" : "is not known");
			return -EINVAL;
		}
		error = option->set ? option->set(c, optarg, sentence, sizeof sentence) : 0;
		if (error) {
			snprintf(why, why_size, "--%s: %s", option->name, sentence);
			return error;
		}
	}
	return 0;
}

/* ---- the config file ---- */

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	for (end = text + strlen(text); end > text && isspace((unsigned char)end[-1]); end--)
		;
	*end = 0;
	return text;
}

static const struct conf_option *find_setting(const char *name)
{
	for (size_t i = 0; i < NR_OPTIONS; i++)
		if (!strcmp(options[i].name, name) && !(options[i].flags & NOT_IN_FILE))
			return &options[i];
	return NULL;
}

static int apply(struct conf *c, const struct conf_option *o, const char *value, char *why)
{
	if (!o->value && !strcmp(value, "no"))
		return 0;
	if (!o->value && strcmp(value, "yes") != 0) {
		snprintf(why, SENTENCE_SIZE, "\"%.100s\" is neither yes nor no", value);
		return -EINVAL;
	}
	if (!*value) {
		snprintf(why, SENTENCE_SIZE, "the value is missing; it is %s", o->value);
		return -EINVAL;
	}
	if (o->flags & IS_PATH && *value != '/') {
		snprintf(why, SENTENCE_SIZE, "\"%.200s\" does not begin with \"/\"", value);
		return -EINVAL;
	}
	return o->set(c, value, why, SENTENCE_SIZE);
}

/* One line, which is cut up.  lines: where each option was set, 0: nowhere yet. */
static int parse_line(struct conf *c, char *line, unsigned number, unsigned *lines, char *why)
{
	char *name = trim(line), *equals = strchr(name, '='), sentence[SENTENCE_SIZE];
	const struct conf_option *o;
	int error;

	if (!*name || *name == '#')
		return 0;
	if (!equals) {
		snprintf(why, SENTENCE_SIZE,
		    "\"%.100s\" is no setting; write NAME = VALUE, or # before a comment", name);
		return -EINVAL;
	}
	*equals = 0;
	name = trim(name);
	o = find_setting(name);
	if (!o) {
		snprintf(why, SENTENCE_SIZE,
		    "there is no setting \"%.100s\"; sheepfs(8) tells which there are", name);
		return -EINVAL;
	}
	if (lines[o - options] && !(o->flags & REPEATS)) {
		snprintf(why, SENTENCE_SIZE, "%s is set a second time, after line %u; leave one",
		    name, lines[o - options]);
		return -EINVAL;
	}
	lines[o - options] = number;
	error = apply(c, o, trim(equals + 1), sentence);
	if (!error)
		error = refuse_two_ways(c, sentence, sizeof sentence);
	if (error)
		snprintf(why, SENTENCE_SIZE, "%s: %.*s", name, SENTENCE_SIZE - 100, sentence);
	return error;
}

static int parse_file(struct conf *c, const char *file, char *text, char *why, size_t why_size)
{
	unsigned lines[NR_OPTIONS] = {0}, number = 0;
	char sentence[SENTENCE_SIZE], *line;

	while ((line = strsep(&text, "\n"))) {
		int error = parse_line(c, line, ++number, lines, sentence);

		if (error) {
			snprintf(why, why_size, "%s:%u: %s", file, number, sentence);
			return error;
		}
	}
	return 0;
}

/* ---- both ---- */

const char *conf_file(int argc, char **argv)
{
	struct option longs[NR_OPTIONS + 1] = {{0}};
	char shorts[2 * NR_OPTIONS + 2];
	const char *file = NULL;
	int value;

	make_getopt(longs, shorts);
	while ((value = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
		const struct conf_option *option = find_option(value);

		if (option && (option->set == set_help || option->set == set_version))
			return NULL;
		if (option && !option->set)
			file = optarg;
	}
	return file;
}

/* What the command line says of the daemons counts more than what the file does. */
static int parse_both(
    int argc, char **argv, const char *file, char *text, struct conf *c, char *why, size_t why_size)
{
	int error = text ? parse_file(c, file, text, why, why_size) : 0;
	const char *sheep = c->sheep, *address = c->address, *port = c->port;

	c->sheep = c->address = c->port = NULL;
	if (!error)
		error = parse_options(argc, argv, c, why, why_size);
	if (!error)
		error = refuse_two_ways(c, why, why_size);
	if (error || c->sheep)
		return error;
	if (!c->address && !c->port)
		c->sheep = sheep;
	if (!c->address)
		c->address = address;
	if (!c->port)
		c->port = port;
	return c->sheep ? 0 : use_address(c, why, why_size);
}

int conf_parse(
    int argc, char **argv, const char *file, char *text, struct conf *c, char *why, size_t why_size)
{
	const char *libexec = getenv("SHEEPFS_LIBEXEC");
	const char *lamb = getenv("SHEEPFS_LAMB");
	int error;

	memset(c, 0, sizeof *c);
	c->timeout = DEFAULT_TIMEOUT;
	c->fence_timeout = DEFAULT_FENCE_TIMEOUT;
	c->uid_first = DEFAULT_UID_FIRST;
	c->uid_last = DEFAULT_UID_LAST;
	c->libexec = libexec && libexec[0] == '/' ? libexec : LIBEXECDIR;
	c->lamb = lamb && lamb[0] == '/' ? lamb : LAMBDIR "/lamb";
	error = parse_both(argc, argv, file, text, c, why, why_size);
	if (error || c->help || c->version)
		return error;
	c->foreground |= c->debug; /* as upstream's sheepfs does */
	if (argc - optind > 1) {
		snprintf(why, why_size, "there is more than one mount point: \"%s\" and \"%s\"",
		    argv[optind], argv[optind + 1]);
		return -EINVAL;
	}
	if (argc > optind)
		c->mountpoint = argv[optind];
	if (c->mountpoint)
		return 0;
	snprintf(why, why_size, "the mount point is missing%s%s%s",
	    text ? ": name it at the end, or in " : "", text ? file : "",
	    text ? " with mountpoint = PATH" : "");
	return -EINVAL;
}

void conf_free(struct conf *c)
{
	free(c->volumes);
	c->volumes = NULL;
	c->nr_volumes = 0;
}

void conf_print_help(FILE *to)
{
	fputs("usage: sheepfs [OPTION]... [MOUNTPOINT]\n"
	      "Shows a Sheepdog cluster as files, and every attached volume as a file that is a "
	      "disk.\n\n",
	    to);
	for (size_t i = 0; i < NR_OPTIONS; i++) {
		const struct conf_option *o = &options[i];
		const char *line = o->help, *end;
		char head[64];

		if (o->flags & ONLY_IN_FILE)
			continue;
		snprintf(head, sizeof head, "%c%c%c --%s %s", o->letter ? '-' : ' ',
		    o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
		    o->value ? o->value : "");
		fprintf(to, "  %-32s ", head);
		while ((end = strchr(line, '\n'))) {
			fprintf(to, "%.*s\n%35s", (int)(end - line), line, "");
			line = end + 1;
		}
		fprintf(to, "%s\n", line);
	}
	fputs("\nIt goes to the background when the mount serves.  SIGTERM, or umount MOUNTPOINT, "
	      "ends it.\n"
	      "SHEEPFS_LIBEXEC in the environment names another directory with the helper "
	      "programs,\nSHEEPFS_LAMB another lamb.\n",
	    to);
}

void conf_print_version(FILE *to)
{
	fputs("sheepfs " PACKAGE_VERSION "\n", to);
}
