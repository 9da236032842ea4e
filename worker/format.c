/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formats: see format.h.
 */
#include "worker/format.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *format_size(uint64_t bytes, char text[FORMAT_SIZE_MAX])
{
	static const char *const units[] = {"MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes / (1 << 20);
	unsigned unit = 0;

	for (; value >= 1024 && unit < 4; unit++)
		value /= 1024;
	snprintf(text, FORMAT_SIZE_MAX, value >= 10 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return text;
}

static bool local(uint64_t seconds, struct tm *tm)
{
	time_t moment = (time_t)seconds;

	memset(tm, 0, sizeof *tm);
	return localtime_r(&moment, tm) != NULL;
}

const char *format_minute(uint64_t seconds, char text[FORMAT_TIME_MAX])
{
	struct tm tm;

	text[0] = 0;
	if (local(seconds, &tm))
		strftime(text, FORMAT_TIME_MAX, "%Y-%m-%d %H:%M", &tm);
	return text;
}

const char *format_second(uint64_t seconds, char text[FORMAT_TIME_MAX])
{
	struct tm tm;

	text[0] = 0;
	if (local(seconds, &tm))
		strftime(text, FORMAT_TIME_MAX, "%Y-%m-%d %H:%M:%S", &tm);
	return text;
}

/* ctime(3) itself would look for the time zone's file. */
const char *format_ctime(uint64_t seconds, char text[FORMAT_TIME_MAX])
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct tm tm;

	text[0] = 0;
	if (local(seconds, &tm))
		snprintf(text, FORMAT_TIME_MAX, "%s %s %2d %02d:%02d:%02d %d", days[tm.tm_wday],
		    months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		    tm.tm_year + 1900);
	return text;
}

/* An IPv4 address lies in the last four bytes (P 2.5). */
static bool is_v4(const struct sd_node_id *id)
{
	static const uint8_t zeros[12];

	return id->addr[12] && !memcmp(id->addr, zeros, sizeof zeros);
}

static const char *host(const struct sd_node_id *id, char text[INET6_ADDRSTRLEN])
{
	if (is_v4(id))
		return inet_ntop(AF_INET, id->addr + 12, text, INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, id->addr, text, INET6_ADDRSTRLEN);
}

const char *format_address(const struct sd_node_id *id, char text[FORMAT_ADDRESS_MAX])
{
	char address[INET6_ADDRSTRLEN];

	if (id->port)
		snprintf(text, FORMAT_ADDRESS_MAX, "%s:%u", host(id, address), id->port);
	else
		snprintf(text, FORMAT_ADDRESS_MAX, "%s", host(id, address));
	return text;
}

const char *format_target(const struct sd_node_id *id, char text[FORMAT_ADDRESS_MAX])
{
	char address[INET6_ADDRSTRLEN];

	snprintf(
	    text, FORMAT_ADDRESS_MAX, is_v4(id) ? "%s:%u" : "[%s]:%u", host(id, address), id->port);
	return text;
}
