/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lamb: a node of a Sheepdog cluster that lives on one directory.
 *
 * Owns the order of things: options, the listening sockets, the store, membership, the loop, the
 * end.
 */
#include "ipc/log.h"
#include "lamb/child.h"
#include "lamb/exclusion.h"
#include "lamb/fault.h"
#include "lamb/gateway.h"
#include "lamb/lamb.h"
#include "lamb/listen.h"
#include "lamb/members.h"
#include "lamb/news.h"
#include "lamb/options.h"
#include "lamb/pool.h"
#include "lamb/request.h"
#include "lamb/shared.h"
#include "lamb/store.h"
#include "lamb/vdi.h"

#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL_THREADS 16        /* that many writes wait for the disk at once */
#define END_SECONDS 5          /* for clients to take their last answers */
#define WATCH_MILLISECONDS 100 /* how soon a death among the nodes is seen */

struct daemon {
	struct lamb lamb;
	struct options options;
	struct event *terminate, *interrupt, *reload, *watch;
	struct child child;  /* with options.child */
	struct member self;  /* as others see us */
	int tcp_fd, unix_fd; /* listening; -1: none */
	char shown[400];     /* where that is, for a person */
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

/* Nobody tells of a death, nor of the cluster's end. */
static void on_watch(evutil_socket_t fd, short what, void *argument)
{
	struct daemon *daemon = argument;
	struct lamb *lamb = &daemon->lamb;

	(void)fd;
	(void)what;
	news_look(lamb);
	if (!daemon->ending && atomic_load(&store_shared(lamb->store)->page->stopping)) {
		log_info("ending: the cluster was shut down");
		end(daemon);
	}
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
	if (daemon->unix_fd >= 0)
		unlink(daemon->options.socket);
	fatal("%s", why);
}

/* What needs no store. */
static void open_tools(struct daemon *daemon)
{
	const struct options *options = &daemon->options;
	struct lamb *lamb = &daemon->lamb;
	char why[200];
	int error;

	lamb->base = event_base_new();
	lamb->vdis = vdi_table_new();
	if (!lamb->base || !lamb->vdis)
		fatal("out of memory");
	order_init(&lamb->order, request_run);
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

/* Looks for deaths among the other nodes; a child has none. */
static void watch(struct daemon *daemon)
{
	static const struct timeval turn = {0, WATCH_MILLISECONDS * 1000};

	daemon->watch = event_new(daemon->lamb.base, -1, EV_PERSIST, on_watch, daemon);
	if (!daemon->watch || event_add(daemon->watch, &turn))
		fatal("out of memory");
}

/* The store, and our place among the nodes that serve it. */
static void open_rooms(struct daemon *daemon)
{
	const struct options *options = &daemon->options;
	struct lamb *lamb = &daemon->lamb;
	char why[600];
	int error;

	lamb->meta = options->format;
	if (store_open(options->child ? "/" : options->store, options->store, options->child,
		&lamb->meta, &lamb->store, why, sizeof why))
		refuse(daemon, why);
	if (members_join(store_shared(lamb->store), store_directory(lamb->store), options->store,
		&daemon->self, &lamb->members, why, sizeof why))
		refuse(daemon, why);
	lamb->exclusion = exclusion_new(lamb);
	if (!lamb->exclusion)
		fatal("out of memory");
	error = exclusion_load(lamb);
	if (error) {
		snprintf(why, sizeof why, "cannot read the VDIs in %.400s: %s", options->store,
		    strerror(-error));
		refuse(daemon, why);
	}
	if (!options->child)
		watch(daemon);
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

/* Opens the sockets: what they are is what we are as a node. */
static void open_sockets(struct daemon *daemon)
{
	const struct options *options = &daemon->options;
	struct sd_node_id node = {.port = 0};
	char *shown = daemon->shown, why[300];
	size_t size = sizeof daemon->shown;

	if (options->tcp) {
		daemon->tcp_fd = listen_tcp(
		    options->address, options->port, &node, shown, size, why, sizeof why);
		if (daemon->tcp_fd < 0)
			fatal("%s", why);
		memcpy(daemon->self.addr, node.addr, sizeof node.addr);
		daemon->self.port = node.port;
	}
	if (options->socket) {
		daemon->unix_fd = listen_unix(options->socket, why, sizeof why);
		if (daemon->unix_fd < 0)
			fatal("%s", why);
		snprintf(shown + strlen(shown), size - strlen(shown), "%sunix:%s",
		    options->tcp ? " and " : "", options->socket);
		if (!options->tcp)
			daemon->self.path = (uint32_t)sd_fnv(
			    options->socket, strlen(options->socket), SD_FNV_BASIS);
	}
}

/* Accepts, and says so. */
static void begin_service(struct daemon *daemon)
{
	const int fds[] = {daemon->tcp_fd, daemon->unix_fd};

	for (unsigned i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0 && gateway_listen(daemon->lamb.gateway, fds[i]))
			fatal("out of memory");
	printf("lamb: serving %s on %s\n", daemon->options.store, daemon->shown);
	fflush(stdout);
}

static void close_rooms(struct daemon *daemon)
{
	struct lamb *lamb = &daemon->lamb;

	if (daemon->options.socket)
		unlink(daemon->options.socket);
	if (exclusion_is_busy(lamb->exclusion)) /* a thread may wait for a stopped node */
		_exit(EXIT_SUCCESS);
	pool_stop(lamb->pool);
	gateway_free(lamb->gateway);
	fault_free(lamb->fault);
	event_free(daemon->terminate);
	event_free(daemon->interrupt);
	event_free(daemon->reload);
	if (daemon->watch)
		event_free(daemon->watch);
	event_base_free(lamb->base);
	vdi_table_free(lamb->vdis);
	exclusion_free(lamb->exclusion);
	members_free(lamb->members);
	store_close(lamb->store);
}

int main(int argc, char **argv)
{
	struct daemon daemon = {.tcp_fd = -1, .unix_fd = -1};

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
	open_tools(&daemon);
	if (!daemon.options.child)
		open_sockets(&daemon);
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
