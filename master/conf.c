/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line: see conf.h.
 */
#include "master/conf.h"

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

struct conf_option {
	char letter; /* 0: only the long name */
	const char *name;
	const char *value; /* what the help calls it; NULL: it takes none */
	const char *help;
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

static int set_address(struct conf *c, const char *value, char *why, size_t why_size)
{
	(void)why;
	(void)why_size;
	c->address = value;
	return 0;
}

static int set_port(struct conf *c, const char *value, char *why, size_t why_size)
{
	unsigned long port;

	c->port = value;
	if (parse_number(value, strlen(value), 65535, &port) && port)
		return 0;
	snprintf(why, why_size, "--port: \"%s\" is no port; ports go from 1 to 65535", value);
	return -EINVAL;
}

static int set_timeout(struct conf *c, const char *value, char *why, size_t why_size)
{
	unsigned long seconds;

	if (!parse_number(value, strlen(value), TIMEOUT_MAX, &seconds) || !seconds) {
		snprintf(why, why_size, "--timeout: \"%s\" is no number of seconds from 1 to %d",
		    value, TIMEOUT_MAX);
		return -EINVAL;
	}
	c->timeout = (unsigned)seconds;
	return 0;
}

/* Seconds, or 0 or "forever" for no limit. */
static int set_long_timeout(
    unsigned *timeout, const char *option, const char *value, char *why, size_t why_size)
{
	unsigned long seconds = 0;

	if (strcmp(value, "forever") != 0 &&
	    !parse_number(value, strlen(value), LONG_TIMEOUT_MAX, &seconds)) {
		snprintf(why, why_size,
		    "--%s: \"%s\" is no number of seconds from 0 to %d; 0 and \"forever\" mean no "
		    "limit",
		    option, value, LONG_TIMEOUT_MAX);
		return -EINVAL;
	}
	*timeout = (unsigned)seconds;
	return 0;
}

static int set_io_timeout(struct conf *c, const char *value, char *why, size_t why_size)
{
	return set_long_timeout(&c->io_timeout, "io-timeout", value, why, why_size);
}

static int set_fence_timeout(struct conf *c, const char *value, char *why, size_t why_size)
{
	return set_long_timeout(&c->fence_timeout, "fence-timeout", value, why, why_size);
}

static int set_uids(struct conf *c, const char *value, char *why, size_t why_size)
{
	const char *dash = strchr(value, '-');
	unsigned long first, last;

	if (!dash || !parse_number(value, (size_t)(dash - value), UINT32_MAX - 2, &first) ||
	    !parse_number(dash + 1, strlen(dash + 1), UINT32_MAX - 2, &last) || !first) {
		snprintf(why, why_size,
		    "--uids: \"%s\" is no range of user numbers; write FIRST-LAST, like %d-%d",
		    value, DEFAULT_UID_FIRST, DEFAULT_UID_LAST);
		return -EINVAL;
	}
	if (last < first + UIDS_MIN - 1 || last - first >= UIDS_MAX) {
		snprintf(why, why_size,
		    "--uids: %s must hold from %d to %d numbers: front, cluster worker, lamb and "
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
    {'s', "sheep", "TARGET[,TARGET...]",
	"the daemons: ip:port, [v6]:port, unix:/path, or lamb:/store for a sheep\n"
	"of our own on that directory; the first that answers is used\n"
	"(127.0.0.1:7000)",
	set_sheep},
    {'a', "address", "IP", "one daemon, with --port, instead of --sheep", set_address},
    {'p', "port", "PORT", "its port (7000)", set_port},
    {'t', "timeout", "SECONDS", "how long an attach or a detach may take (10)", set_timeout},
    {0, "io-timeout", "SECONDS",
	"how long a caller waits for I/O when no daemon can be reached, before it\n"
	"gets EIO (config/io_timeout; 0: for ever)",
	set_io_timeout},
    {0, "fence-timeout", "SECONDS",
	"when a daemon can be neither reached nor proved dead: how long what it was\n"
	"asked is waited for (config/fence_timeout; 60; 0: for ever)",
	set_fence_timeout},
    {0, "nodes", "PREFIX[,PREFIX...]",
	"where members of the cluster may be dialled, for node/info and --discover:\n"
	"addresses like 10.1.0.0/16, or none (the targets' own networks and ports)",
	set_nodes},
    {0, "discover", NULL,
	"members of the cluster are targets as well, behind those of --sheep\n"
	"(config/discover)",
	set_discover},
    {0, "uids", "FIRST-LAST",
	"user numbers for the front, the cluster worker, lamb and the volumes'\n"
	"workers (1879050000-1879054095); nobody else should have them",
	set_uids},
    {0, "log", "FILE", "log there; else to the terminal with -f, to syslog without", set_log},
    {'k', "pagecache", NULL, "cache volumes in this host's page cache (config/page_cache)",
	set_page_cache},
    {'o', "objectcache", NULL, "have daemons before 1.0 cache objects (config/object_cache)",
	set_object_cache},
    {0, "replace", NULL,
	"take the place of the sheepfs that serves MOUNTPOINT, to upgrade it or to\n"
	"change options: volumes stay mounted, their users wait a moment",
	set_replace},
    {'f', "foreground", NULL, "stay in the foreground", set_foreground},
    {'d', "debug", NULL, "log every message between the processes but I/O; implies -f", set_debug},
    {'h', "help", NULL, "this text", set_help},
    {'V', "version", NULL, "the version", set_version},
};

#define NR_OPTIONS (sizeof options / sizeof *options)

/* The same table, the way getopt_long(3) wants it.  An option's value is its index + 256. */
static void make_getopt(struct option *longs, char *shorts)
{
	*shorts++ = ':';
	for (size_t i = 0; i < NR_OPTIONS; i++) {
		longs[i] = (struct option){.name = options[i].name,
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
	optind = 0; /* from the beginning, also when called again */
	opterr = 0;
	while ((value = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
		const struct conf_option *option = find_option(value);
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
		error = option->set(c, optarg, why, why_size);
		if (error)
			return error;
	}
	return 0;
}

/* What -s, or -a and -p, or nobody said about the daemons. */
static int choose_targets(struct conf *c, char *why, size_t why_size)
{
	char one[ADDRESS_TEXT_MAX];
	const char *address = c->address ? c->address : DEFAULT_SHEEP;
	bool v6 = strchr(address, ':');

	if (c->sheep && (c->address || c->port)) {
		snprintf(why, why_size, "--sheep names the daemons already; leave --%s out",
		    c->address ? "address" : "port");
		return -EINVAL;
	}
	if (c->sheep)
		return 0;
	if (strpbrk(address, ",/") || (size_t)snprintf(one, sizeof one, v6 ? "[%s]:%s" : "%s:%s",
					  address, c->port ? c->port : "7000") >= sizeof one) {
		snprintf(why, why_size, "--address: \"%.100s\" is no ip address", address);
		return -EINVAL;
	}
	return target_parse_list(one, &c->targets, why, why_size);
}

int conf_parse(int argc, char **argv, struct conf *c, char *why, size_t why_size)
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
	error = parse_options(argc, argv, c, why, why_size);
	if (error || c->help || c->version)
		return error;
	c->foreground |= c->debug; /* as upstream's sheepfs does */
	error = choose_targets(c, why, why_size);
	if (error)
		return error;
	if (argc - optind != 1) {
		snprintf(why, why_size,
		    argc == optind ? "the mount point is missing"
				   : "there is more than one mount point: \"%s\" and \"%s\"",
		    argv[optind], argc == optind ? "" : argv[optind + 1]);
		return -EINVAL;
	}
	c->mountpoint = argv[optind];
	return 0;
}

void conf_print_help(FILE *to)
{
	fputs("usage: sheepfs [OPTION]... MOUNTPOINT\n"
	      "Shows a Sheepdog cluster as files, and every attached volume as a file that is a "
	      "disk.\n\n",
	    to);
	for (size_t i = 0; i < NR_OPTIONS; i++) {
		const struct conf_option *o = &options[i];
		const char *line = o->help, *end;
		char head[64];

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
