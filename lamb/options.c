/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of lamb: see options.h.
 */
#include "lamb/options.h"

#include "include/sheepdog.h"
#include "lamb/fault.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unreleased"
#endif

#define USAGE_ERROR 2

enum { OPTION_UNIX = 256, OPTION_FAULT, OPTION_FAULT_FILE, OPTION_NO_LOCK, OPTION_CHILD };

static const struct option long_options[] = {
    {"child", no_argument, NULL, OPTION_CHILD}, /* no business of people's */
    {"address", required_argument, NULL, 'b'},
    {"debug", no_argument, NULL, 'd'},
    {"fault", required_argument, NULL, OPTION_FAULT},
    {"fault-file", required_argument, NULL, OPTION_FAULT_FILE},
    {"help", no_argument, NULL, 'h'},
    {"no-lock", no_argument, NULL, OPTION_NO_LOCK},
    {"port", required_argument, NULL, 'p'},
    {"unix", required_argument, NULL, OPTION_UNIX},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static void show_help(void)
{
	printf(
	    "Usage: lamb [OPTION]... STORE\n"
	    "Serves the directory STORE as a node of a Sheepdog cluster; an empty or missing\n"
	    "one is formatted.  What is acknowledged is on the disk.  Several lambs on one STORE\n"
	    "are the nodes of one cluster.\n\n"
	    "  -p, --port=PORT     listen on TCP port PORT (default %u; 0: a free one)\n"
	    "  -b, --address=ADDR  listen on ADDR (default 127.0.0.1)\n"
	    "      --unix=PATH     listen on a unix socket; without -p and -b on that only\n"
	    "      --no-lock       format without enforced VDI locks\n"
	    "  -d, --debug         say more\n"
	    "  -h, --help          show this\n"
	    "  -V, --version       show the version\n"
	    "      --fault=KNOB[=VALUE], --fault-file=PATH\n"
	    "                      misbehave, for tests; SIGHUP reads PATH (a knob a line) "
	    "again\n\n"
	    "Fault knobs:\n%s",
	    SD_DEFAULT_PORT, fault_help);
}

__attribute__((format(printf, 1, 2))) static _Noreturn void refuse(const char *format, ...)
{
	va_list arguments;

	fputs("lamb: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\n", stderr);
	exit(USAGE_ERROR);
}

static uint16_t parse_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || port > UINT16_MAX)
		refuse("port \"%s\" is no number from 0 to 65535", text);
	return (uint16_t)port;
}

static void set_format(struct meta *format)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	*format = (struct meta){
	    .generation = 1,
	    .epoch = 1,
	    .ctime = (uint64_t)now.tv_sec << 32 | (uint32_t)now.tv_nsec,
	    .formatted = (uint64_t)now.tv_sec,
	    .flags = SD_CLUSTER_AUTO_VNODES | SD_CLUSTER_USE_LOCK,
	    .copies = 1,
	    .shift = SD_SHIFT_DEFAULT,
	};
}

static void take_option(int option, struct options *options, bool *named_tcp)
{
	switch (option) {
	case 'b':
		options->address = optarg;
		*named_tcp = true;
		break;
	case 'd':
		options->debug = true;
		break;
	case 'h':
		show_help();
		exit(EXIT_SUCCESS);
	case 'p':
		options->port = parse_port(optarg);
		*named_tcp = true;
		break;
	case 'V':
		puts("lamb " PACKAGE_VERSION);
		exit(EXIT_SUCCESS);
	case OPTION_UNIX:
		if (strlen(optarg) >= sizeof((struct sockaddr_un *)0)->sun_path)
			refuse("the path \"%s\" is too long for a unix socket: use a shorter one",
			    optarg);
		options->socket = optarg;
		break;
	case OPTION_FAULT:
		if (options->nr_faults == OPTIONS_FAULTS_MAX)
			refuse("more than %d --fault options", OPTIONS_FAULTS_MAX);
		options->faults[options->nr_faults++] = optarg;
		break;
	case OPTION_FAULT_FILE:
		options->fault_file = optarg;
		break;
	case OPTION_CHILD:
		options->child = true;
		break;
	case OPTION_NO_LOCK:
		options->format.flags &= ~(uint32_t)SD_CLUSTER_USE_LOCK;
		break;
	default:
		exit(USAGE_ERROR);
	}
}

void options_parse(int argc, char **argv, struct options *options)
{
	bool named_tcp = false;
	int option;

	options->address = "127.0.0.1";
	options->port = SD_DEFAULT_PORT;
	set_format(&options->format);
	while ((option = getopt_long(argc, argv, "b:dhp:V", long_options, NULL)) != -1)
		take_option(option, options, &named_tcp);
	if (optind + 1 != argc)
		refuse(
		    "exactly one STORE directory is needed (%d given); see --help", argc - optind);
	options->store = argv[optind];
	options->tcp = named_tcp || !options->socket;
}
