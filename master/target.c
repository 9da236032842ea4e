/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Targets: see target.h.
 */
#include "master/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"
#define LAMB_PREFIX "lamb:"

/* Digits only; 0: no port. */
static unsigned parse_port(const char *text)
{
	unsigned port = 0;

	if (!*text || strlen(text) > 5)
		return 0;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return 0;
		port = port * 10 + (unsigned)(*text - '0');
	}
	return port > 65535 ? 0 : port;
}

static int parse_unix(const char *path, struct target *t, char *why, size_t why_size)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&t->address;

	if (path[0] != '/') {
		snprintf(why, why_size, "target \"%s%s\": the path of a socket begins with \"/\"",
		    UNIX_PREFIX, path);
		return -EINVAL;
	}
	if (strlen(path) >= sizeof sun->sun_path) {
		snprintf(why, why_size,
		    "target \"%s%s\": the path of a socket has at most %zu bytes", UNIX_PREFIX,
		    path, sizeof sun->sun_path - 1);
		return -EINVAL;
	}
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, strlen(path) + 1);
	t->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	snprintf(t->text, sizeof t->text, "%s%s", UNIX_PREFIX, path);
	return 0;
}

static int parse_lamb(const char *path, struct target *t, char *why, size_t why_size)
{
	size_t most = sizeof t->text - sizeof LAMB_PREFIX;

	if (path[0] != '/') {
		snprintf(why, why_size, "target \"%s%s\": the path of a store begins with \"/\"",
		    LAMB_PREFIX, path);
		return -EINVAL;
	}
	if (strlen(path) > most) {
		snprintf(why, why_size,
		    "target \"%s%.160s...\": the path of a store has at most %zu bytes",
		    LAMB_PREFIX, path, most);
		return -EINVAL;
	}
	snprintf(t->store, sizeof t->store, "%s", path);
	snprintf(t->text, sizeof t->text, "%s%.*s", LAMB_PREFIX, (int)most, path);
	return 0;
}

/* Fills in the address when `host` is one; the port in host order. */
static bool set_address(struct target *t, const char *host, bool bracketed, unsigned port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&t->address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&t->address;

	if (!bracketed && inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		t->size = sizeof *in;
		snprintf(t->text, sizeof t->text, "%.64s:%u", host, port);
	} else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		t->size = sizeof *in6;
		snprintf(t->text, sizeof t->text, "[%.64s]:%u", host, port);
	} else {
		return false;
	}
	return true;
}

/* Splits "host:port", "[host]:port" or "host" in place; *port is NULL when there is none. */
static bool split(char *text, char **host, char **port, bool *bracketed)
{
	char *colon = strrchr(text, ':');

	*bracketed = text[0] == '[';
	*host = text;
	*port = NULL;
	if (*bracketed) {
		char *end = strchr(text, ']');

		if (!end || (end[1] && end[1] != ':'))
			return false;
		*host = text + 1;
		*port = end[1] ? end + 2 : NULL;
		*end = 0;
	} else if (colon && strchr(text, ':') == colon) {
		*port = colon + 1;
		*colon = 0;
	}
	return true;
}

int target_parse(const char *text, struct target *t, char *why, size_t why_size)
{
	char copy[ADDRESS_TEXT_MAX], *host, *port;
	unsigned number = TARGET_PORT;
	bool bracketed;

	memset(t, 0, sizeof *t);
	t->listener = t->path_fd = -1;
	if (!strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)))
		return parse_unix(text + strlen(UNIX_PREFIX), t, why, why_size);
	if (!strncmp(text, LAMB_PREFIX, strlen(LAMB_PREFIX)))
		return parse_lamb(text + strlen(LAMB_PREFIX), t, why, why_size);
	snprintf(copy, sizeof copy, "%s", text);
	if (!text[0] || strlen(text) >= sizeof copy || !split(copy, &host, &port, &bracketed)) {
		snprintf(why, why_size,
		    "target \"%.200s\" is none: write ip:port, [v6]:port, unix:/path or "
		    "lamb:/store",
		    text);
		return -EINVAL;
	}
	if (port) {
		number = parse_port(port);
		if (!number) {
			snprintf(why, why_size,
			    "target \"%s\": \"%s\" is no port; ports go from 1 to 65535", text,
			    port);
			return -EINVAL;
		}
	}
	if (!set_address(t, host, bracketed, number)) {
		snprintf(why, why_size,
		    "target \"%s\": \"%s\" is no ip address (names are not looked up); write "
		    "ip:port, [v6]:port, unix:/path or lamb:/store",
		    text, host);
		return -EINVAL;
	}
	return 0;
}

bool target_is_same(const struct target *a, const struct target *b)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->address;
	const struct sockaddr_in *other_in = (const struct sockaddr_in *)&b->address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->address;
	const struct sockaddr_in6 *other_in6 = (const struct sockaddr_in6 *)&b->address;

	if (a->address.ss_family != b->address.ss_family)
		return false;
	if (a->address.ss_family == AF_INET)
		return in->sin_port == other_in->sin_port &&
		       in->sin_addr.s_addr == other_in->sin_addr.s_addr;
	if (a->address.ss_family == AF_INET6)
		return in6->sin6_port == other_in6->sin6_port &&
		       IN6_ARE_ADDR_EQUAL(&in6->sin6_addr, &other_in6->sin6_addr);
	return !strcmp(a->text, b->text);
}

int target_parse_list(const char *text, struct target_list *list, char *why, size_t why_size)
{
	char *copy = strdup(text), *rest = copy, *one;
	int error = copy ? 0 : -ENOMEM;

	list->count = 0;
	while (!error && (one = strsep(&rest, ","))) {
		if (list->count == TARGETS_MAX) {
			snprintf(why, why_size, "there are more than %d targets", TARGETS_MAX);
			error = -EINVAL;
		} else {
			error = target_parse(one, &list->targets[list->count++], why, why_size);
		}
	}
	free(copy);
	return error;
}

void target_list_text(const struct target_list *list, char *text, size_t size)
{
	size_t used = 0;

	text[0] = 0;
	for (unsigned i = 0; i < list->count && used < size; i++)
		used += (size_t)snprintf(
		    text + used, size - used, "%s%s", i ? "," : "", list->targets[i].text);
}

/* Only what there is of the list is copied: most are short. */
void trial_begin(struct trial *t, const struct target_list *list)
{
	t->list.count = list->count;
	memcpy(t->list.targets, list->targets, list->count * sizeof list->targets[0]);
	t->at = 0;
	for (unsigned i = 0; i < list->count; i++)
		t->errors[i][0] = 0;
}

const struct target *trial_target(const struct trial *t)
{
	return t->at < t->list.count ? &t->list.targets[t->at] : NULL;
}

void trial_failed(struct trial *t, const char *why)
{
	if (t->at < t->list.count)
		snprintf(t->errors[t->at++], TARGET_ERROR_MAX, "%s", why);
}

void trial_follow(struct trial *t, const struct target_list *list)
{
	const struct trial old = *t;

	trial_begin(t, list);
	for (unsigned i = 0; i < list->count; i++) {
		for (unsigned n = 0; n < old.list.count; n++) {
			if (!target_is_same(&list->targets[i], &old.list.targets[n]))
				continue;
			memcpy(t->errors[i], old.errors[n], sizeof t->errors[i]);
			if (n < old.at)
				t->at = i + 1;
		}
	}
}

void trial_go_to(struct trial *t, const struct target *target)
{
	for (unsigned i = 0; i < t->list.count; i++)
		if (target_is_same(&t->list.targets[i], target))
			t->at = i;
}

void trial_again(struct trial *t)
{
	t->at = 0;
}

void trial_describe(const struct trial *t, char *text, size_t size)
{
	size_t used = 0;

	text[0] = 0;
	for (unsigned i = 0; i < t->list.count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s: %s", i ? "; " : "",
		    t->list.targets[i].text, t->errors[i][0] ? t->errors[i] : "no answer in time");
}
