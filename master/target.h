/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Targets: the addresses of daemons, as people type them, and a walk through their list.
 *
 * A target is "ip:port", "[v6]:port", "unix:/path", a bare ip, which means port 7000, or
 * "lamb:/store", whose socket is made later (lamb.h).  Names are not looked up: nothing here
 * resolves, connects or waits.
 */
#ifndef SHEEPFS_MASTER_TARGET_H
#define SHEEPFS_MASTER_TARGET_H

#include "include/bounds.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define TARGETS_MAX 32
#define TARGET_PORT 7000
#define TARGET_ERROR_MAX 240 /* bytes kept of a target's last error */

struct target {
	char text[ADDRESS_TEXT_MAX]; /* as the log shows it */
	struct sockaddr_storage address;
	socklen_t size;
	uint64_t cluster_ctime;       /* of the cluster that named it; 0: people did */
	char store[ADDRESS_TEXT_MAX]; /* of a lamb of ours; empty: it is none */
	int listener, path_fd;        /* its socket, lamb.c's */
};

struct target_list {
	unsigned count;
	struct target targets[TARGETS_MAX];
};

#define TARGET_LIST_TEXT_MAX (TARGETS_MAX * (ADDRESS_TEXT_MAX + 1)) /* bytes, with the NUL */

/* Parses one "TARGET".  Returns 0, or -EINVAL with a sentence in why. */
int target_parse(const char *text, struct target *t, char *why, size_t why_size);

/* Do both lead to the same daemon, however they were typed? */
bool target_is_same(const struct target *a, const struct target *b);

/* Parses "TARGET[,TARGET...]".  Returns 0, or -EINVAL with a sentence in why. */
int target_parse_list(const char *text, struct target_list *list, char *why, size_t why_size);

/* The list as it is parsed. */
void target_list_text(const struct target_list *list, char *text, size_t size);

/* One walk through a list, a copy of its own, and what went wrong at each target. */
struct trial {
	struct target_list list;
	unsigned at;
	char errors[TARGETS_MAX][TARGET_ERROR_MAX]; /* empty: not tried, or no word yet */
};

void trial_begin(struct trial *t, const struct target_list *list);

/* The target whose turn it is; NULL when the list is through. */
const struct target *trial_target(const struct trial *t);

/* It did not work at this target: notes why and goes on to the next. */
void trial_failed(struct trial *t, const char *why);

/* There is another list: what was tried of it stays tried, and the walk goes on behind that. */
void trial_follow(struct trial *t, const struct target_list *list);

/* It is this target's turn, if it is listed. */
void trial_go_to(struct trial *t, const struct target *target);

/* From the first target again; errors stay. */
void trial_again(struct trial *t);

/* "10.0.0.1:7000: Connection refused; 10.0.0.2:7000: no answer in time" */
void trial_describe(const struct trial *t, char *text, size_t size);

#endif
