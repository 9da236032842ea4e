/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of lamb.
 */
#ifndef LAMB_OPTIONS_H
#define LAMB_OPTIONS_H

#include "lamb/meta.h"

#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_FAULTS_MAX 64

struct options {
	const char *store;
	const char *address; /* of the TCP socket */
	uint16_t port;       /* 0: a free one */
	bool tcp;            /* not when only --unix is given */
	bool debug;
	bool child;         /* of sheepfs, which says the rest */
	const char *socket; /* path of the unix socket, or NULL */
	const char *fault_file;
	char *faults[OPTIONS_FAULTS_MAX];
	unsigned nr_faults;
	struct meta format; /* of a store that is made now */
};

/* Exits with a clear line when the command line is wrong, and after --help and --version. */
void options_parse(int argc, char **argv, struct options *options);

#endif
