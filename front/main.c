/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sheepfs-front: where it begins.
 *
 * Started by sheepfs, with its conversation with the master as descriptor 3.  The order of things:
 * the first message says who to be and brings the tree's FUSE device; whatever the jail forbids is
 * done; the jail; then the loop, which ends only with the process (orders.c knows the words).
 */
#include "front/control.h"
#include "front/front.h"
#include "front/jail.h"
#include "front/orders.h"
#include "front/session.h"
#include "front/tree.h"
#include "front/volume.h"
#include "include/words.h"
#include "ipc/log.h"
#include "ipc/loop.h"

#include <errno.h>
#include <fuse_log.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* libfuse's own words, which end with a newline. */
__attribute__((format(printf, 2, 0))) static void on_fuse_log(
    enum fuse_log_level level, const char *format, va_list ap)
{
	char line[LOG_LINE_MAX];

	vsnprintf(line, sizeof line, format, ap);
	line[strcspn(line, "\n")] = 0;
	log_line((int)level, "%s", line);
}

static void check_started_by_master(void)
{
	socklen_t size = sizeof(int);
	int type = 0;

	if (!getsockopt(CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET)
		return;
	log_open("sheepfs-front", LOG_TO_STDERR, 0);
	fatal("this program is started by sheepfs and of no use by itself; see sheepfs --help");
}

/* Without signals and locks: it would make descriptors for them. */
static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config && !event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) &&
	    !event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV))
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

/* Of the volume that is used now. */
static unsigned in_flight(void *arg)
{
	const struct front *f = arg;

	return f->latest ? request_in_flight(&f->latest->table) : 0;
}

static const struct loop_calls loop_calls = {.in_flight = in_flight};

int main(void)
{
	static struct front front;
	struct front *f = &front;
	struct msg_start_front start;
	uint8_t init[INIT_REQUEST_MAX];
	size_t init_size;
	int device, error;

	check_started_by_master();
	log_open("sheepfs-front", LOG_TO_PARENT, getenv("SHEEPFS_DEBUG") != NULL);
	fuse_set_log_func(on_fuse_log);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* a terminal's: the master says when it is over */
	signal(SIGHUP, SIG_IGN);
	device = orders_await_start(CONTROL_FD, &start, init, &init_size);
	f->incarnation = start.incarnation;
	f->owner_uid = start.owner_uid;
	f->owner_gid = start.owner_gid;
	f->started.tv_sec = (time_t)start.started;
	TAILQ_INIT(&f->volumes);
	f->base = make_base();
	f->scratch = malloc(SESSION_SCRATCH_SIZE);
	if (f->scratch)
		memset(f->scratch, 1, SESSION_SCRATCH_SIZE); /* its pages are there from now on */
	f->control = control_new(f);
	if (!f->base || !f->scratch || !f->control)
		fatal("no memory to serve the tree");
	error = tree_serve(f, device, init, init_size);
	if (error)
		fatal("the tree cannot be served: %s", strerror(-error));
	error = jail_enter(start.uid, start.gid);
	if (error)
		fatal("the jail cannot be entered: %s", strerror(-error));
	orders_open(f, CONTROL_FD);
	loop_run(f->base, &loop_calls, f);
}
