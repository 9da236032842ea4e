/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lamb: a Sheepdog cluster of one node, on a directory.
 *
 * Owns the order of things: options, the store, the listening sockets, the loop, the end.
 */
#include "ipc/log.h"
#include "lamb/child.h"
#include "lamb/fault.h"
#include "lamb/gateway.h"
#include "lamb/lamb.h"
#include "lamb/listen.h"
#include "lamb/locks.h"
#include "lamb/options.h"
#include "lamb/pool.h"
#include "lamb/store.h"
#include "lamb/vdi.h"

#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL_THREADS 16 /* that many writes wait for the disk at once */
#define END_SECONDS 5   /* for clients to take their last answers */

struct daemon {
	struct lamb lamb;
	struct options options;
	struct event *terminate, *interrupt, *reload;
	struct child child; /* with options.child */
	bool ending;
};

static void on_ended(struct lamb *lamb)
{
	event_base_loopbreak(lamb->base);
}

/* Requests under way are finished. */
static void end(void *argument)
{
	static const struct timeval patience = {END_SECONDS, 0};
	struct daemon *daemon = argument;

	daemon->ending = true;
	event_base_loopexit(daemon->lamb.base, &patience);
	fault_abandon(daemon->lamb.fault);
	gateway_stop(daemon->lamb.gateway, on_ended);
}

static void on_end(evutil_socket_t signal, short what, void *argument)
{
	struct daemon *daemon = argument;

	(void)what;
	if (daemon->ending) {
		event_base_loopbreak(daemon->lamb.base);
		return;
	}
	log_info("ending on %s: requests under way are finished", strsignal((int)signal));
	end(daemon);
}

static void on_reload(evutil_socket_t signal, short what, void *argument)
{
	struct daemon *daemon = argument;
	const struct options *options = &daemon->options;
	char why[200];

	(void)signal;
	(void)what;
	if (fault_reload(
		daemon->lamb.fault, options->faults, options->nr_faults, options->fault_file, why))
		log_error("the fault knobs stay as they are: %s", why);
	else
		log_info("fault knobs read again");
	gateway_settle(daemon->lamb.gateway);
}

static void settle(void *gateway)
{
	gateway_settle(gateway);
}

static struct event *on_signal(struct daemon *daemon, int number, event_callback_fn callback)
{
	struct event *event = evsignal_new(daemon->lamb.base, number, callback, daemon);

	if (!event || event_add(event, NULL))
		fatal("out of memory");
	return event;
}

static _Noreturn void refuse(const struct daemon *daemon, const char *why)
{
	if (daemon->options.child)
		child_refuse(why);
	fatal("%s", why);
}

/* Everything but the sockets. */
static void open_rooms(struct daemon *daemon)
{
	struct options *options = &daemon->options;
	struct lamb *lamb = &daemon->lamb;
	char why[600];
	int error;

	lamb->meta = options->format;
	if (store_open(options->child ? "/" : options->store, options->store, &lamb->meta,
		&lamb->store, why, sizeof why))
		refuse(daemon, why);
	lamb->base = event_base_new();
	lamb->vdis = vdi_table_new();
	lamb->locks = locks_new();
	if (!lamb->base || !lamb->vdis || !lamb->locks)
		fatal("out of memory");
	order_init(&lamb->order);
	error = vdi_table_load(lamb->vdis, lamb->store);
	if (error) {
		snprintf(why, sizeof why, "cannot read the VDIs in %.400s: %s", options->store,
		    strerror(-error));
		refuse(daemon, why);
	}
	lamb->fault = fault_new(lamb);
	lamb->gateway = gateway_new(lamb);
	if (!lamb->fault || !lamb->gateway)
		fatal("out of memory");
	if (fault_reload(
		lamb->fault, options->faults, options->nr_faults, options->fault_file, why))
		fatal("%s", why);
	error = pool_start(lamb->base, POOL_THREADS, settle, lamb->gateway, &lamb->pool);
	if (error)
		fatal("cannot start threads: %s", strerror(-error));
	daemon->terminate = on_signal(daemon, SIGTERM, on_end);
	daemon->interrupt = on_signal(daemon, SIGINT, on_end);
	daemon->reload = on_signal(daemon, SIGHUP, on_reload);
}

/* The socket is sheepfs'. */
static void begin_child_service(struct daemon *daemon)
{
	if (gateway_listen(daemon->lamb.gateway, daemon->child.listener))
		fatal("out of memory");
	daemon->child.end = end;
	daemon->child.arg = daemon;
	child_serve(&daemon->child, daemon->lamb.base);
}

/* Opens the sockets and says so. */
static void begin_service(struct daemon *daemon)
{
	const struct options *options = &daemon->options;
	char shown[400] = "", why[300];
	int fd;

	if (options->tcp) {
		fd = listen_tcp(options->address, options->port, &daemon->lamb.node, shown,
		    sizeof shown, why, sizeof why);
		if (fd < 0 || gateway_listen(daemon->lamb.gateway, fd))
			fatal("%s", fd < 0 ? why : "out of memory");
	}
	if (options->socket) {
		fd = listen_unix(options->socket, why, sizeof why);
		if (fd < 0 || gateway_listen(daemon->lamb.gateway, fd))
			fatal("%s", fd < 0 ? why : "out of memory");
		snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "%sunix:%s",
		    options->tcp ? " and " : "", options->socket);
	}
	printf("lamb: serving %s on %s\n", options->store, shown);
	fflush(stdout);
}

static void close_rooms(struct daemon *daemon)
{
	struct lamb *lamb = &daemon->lamb;

	pool_stop(lamb->pool);
	gateway_free(lamb->gateway);
	fault_free(lamb->fault);
	event_free(daemon->terminate);
	event_free(daemon->interrupt);
	event_free(daemon->reload);
	event_base_free(lamb->base);
	locks_free(lamb->locks);
	vdi_table_free(lamb->vdis);
	store_close(lamb->store);
	if (daemon->options.socket)
		unlink(daemon->options.socket);
}

int main(int argc, char **argv)
{
	struct daemon daemon = {0};

	options_parse(argc, argv, &daemon.options);
	if (daemon.options.child) {
		log_open("lamb", LOG_TO_PARENT, getenv("SHEEPFS_DEBUG") != NULL);
		child_begin(&daemon.child, daemon.options.store);
	} else {
		log_open("lamb", LOG_TO_STDERR, daemon.options.debug);
	}
	daemon.lamb.log_level = daemon.options.debug ? 7 : 6;
	/* payload buffers come and go: they are not to be given back to the kernel each time */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	mallopt(M_TOP_PAD, 4 << 20);
	signal(SIGPIPE, SIG_IGN);
	open_rooms(&daemon);
	if (daemon.options.child)
		begin_child_service(&daemon);
	else
		begin_service(&daemon);
	if (event_base_dispatch(daemon.lamb.base) < 0)
		fatal("the event loop failed");
	if (daemon.options.child)
		child_drained(&daemon.child);
	close_rooms(&daemon);
	return EXIT_SUCCESS;
}
