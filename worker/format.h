/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How people read numbers, moments and addresses: the formats of `dog` (P 8).
 *
 * Pure functions; local time is that of the time zone that was loaded before the jail.
 */
#ifndef SHEEPFS_WORKER_FORMAT_H
#define SHEEPFS_WORKER_FORMAT_H

#include "include/sheepdog.h"

#include <stddef.h>
#include <stdint.h>

#define FORMAT_SIZE_MAX 16    /* bytes of a size, with its NUL */
#define FORMAT_TIME_MAX 32    /* bytes of a moment, with its NUL */
#define FORMAT_ADDRESS_MAX 64 /* bytes of an address, with its NUL */

/* "4.0 MB".  Returns text. */
const char *format_size(uint64_t bytes, char text[FORMAT_SIZE_MAX]);

/* seconds since 1970, as "2026-11-22 15:15" or "2026-11-22 15:15:59" of local time.  Returns text.
 */
const char *format_minute(uint64_t seconds, char text[FORMAT_TIME_MAX]);
const char *format_second(uint64_t seconds, char text[FORMAT_TIME_MAX]);

/* The same as ctime(3) writes it, "Sun Nov 22 15:20:24 2026", without its newline.  Returns text.
 */
const char *format_ctime(uint64_t seconds, char text[FORMAT_TIME_MAX]);

/* A node's "10.0.0.1:7000", or an IPv6 address without brackets.  Returns text. */
const char *format_address(const struct sd_node_id *id, char text[FORMAT_ADDRESS_MAX]);

/* The same as targets are typed: IPv6 addresses in brackets. */
const char *format_target(const struct sd_node_id *id, char text[FORMAT_ADDRESS_MAX]);

#endif
