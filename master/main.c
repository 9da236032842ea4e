/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sheepfs: where it begins, and the order of things.
 *
 * Options; the background; the checks; the loop; the tree's mount; the front; the cluster worker;
 * the line in utab; the jail.  From then on commands come through the front (front.c), volumes go
 * up (attach.c) and down (detach.c), until something asks for the end (stop.c).
 */
#include "include/words.h"
#include "ipc/log.h"
#include "master/announce.h"
#include "master/cluster.h"
#include "master/command.h"
#include "master/conf.h"
#include "master/errand.h"
#include "master/front.h"
#include "master/heartbeat.h"
#include "master/jail.h"
#include "master/lamb.h"
#include "master/locks.h"
#include "master/master.h"
#include "master/mount.h"
#include "master/mountinfo.h"
#include "master/past.h"
#include "master/reap.h"
#include "master/start.h"
#include "master/status.h"
#include "master/stop.h"
#include "master/targets.h"
#include "master/uids.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define UTAB_LIMIT 10000 /* milliseconds; somebody else may hold its lock */

/* ---- the log ---- */

/* Returns 0 or -errno.  With a file, descriptor 2 is that file from now on. */
static int open_log(const struct conf *c)
{
	int fd;

	if (!c->log) {
		log_open("sheepfs", c->foreground ? LOG_TO_STDERR : LOG_TO_SYSLOG, c->debug);
		return 0;
	}
	fd = open(c->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		return -errno;
	close(fd);
	log_open("sheepfs", LOG_TO_FILE, c->debug);
	return 0;
}

/* ---- the tree ---- */

static void on_utab(int error, const char *text, void *arg)
{
	struct master *m = arg;

	(void)text;
	if (error)
		log_warning(
		    "/run/mount/utab cannot be written: %s; plain umount %s will not take volumes "
		    "down with it, umount -R does",
		    strerror(-error), m->mountpoint);
}

static int mount_and_serve(struct master *m)
{
	struct mountinfo info;
	int device = mount_open_device();
	int error;

	if (device < 0) {
		announce_failed("/dev/fuse cannot be opened: %s", strerror(-device));
		return device;
	}
	error = mount_tree(device, m->mountpoint);
	if (error) {
		announce_failed("%s cannot be mounted: %s", m->mountpoint, strerror(-error));
		close(device);
		return error;
	}
	if (!mountinfo_find(MOUNTINFO_FILE, m->mountpoint, &info))
		m->connection = info.device;
	error = front_start(m, device);
	if (error) {
		announce_failed("the front cannot be started: %s", strerror(-error));
		stop_begin(m, EXIT_FAILURE);
		return 0;
	}
	lamb_start(m);
	cluster_start(m);
	if (!errand_start(
		m->base, mount_enter_utab_work, m->mountpoint, -1, UTAB_LIMIT, on_utab, m))
		on_utab(-ENOMEM, "", m);
	return 0;
}

/* ---- the loop ---- */

static void on_end_signal(evutil_socket_t number, short what, void *arg)
{
	struct master *m = arg;

	(void)what;
	if (m->stop)
		log_warning("%s again: hurrying", strsignal((int)number));
	else
		log_info("%s: everything is unmounted", strsignal((int)number));
	stop_begin(m, m->exit_status);
}

static void make_master(struct master *m, const struct conf *c)
{
	static const int end_signals[] = {SIGTERM, SIGINT};

	m->conf = c;
	m->page_cache = c->page_cache;
	m->object_cache = c->object_cache;
	TAILQ_INIT(&m->volumes);
	TAILQ_INIT(&m->commands);
	STAILQ_INIT(&m->results);
	m->device = -1;
	LIST_INIT(&m->locks);
	LIST_INIT(&m->lefts);
	STAILQ_INIT(&m->failovers);
	m->targets = &c->targets;
	m->fence_timeout = c->fence_timeout;
	m->io_timeout = c->io_timeout;
	m->base = event_base_new();
	m->uids = uids_open(c->uid_first + 3, c->uid_last);
	if (!m->base || !m->uids || reap_open(m->base) || cluster_open(m) || lamb_open(m) ||
	    heartbeat_open(m))
		fatal("no memory for the loop");
	for (unsigned i = 0; i < sizeof end_signals / sizeof *end_signals; i++) {
		m->end_events[i] = evsignal_new(m->base, end_signals[i], on_end_signal, m);
		if (!m->end_events[i] || event_add(m->end_events[i], NULL))
			fatal("no memory for signals");
	}
}

static void unmake_master(struct master *m)
{
	heartbeat_close(m);
	cluster_close(m);
	lamb_close(m);
	locks_forget_all(m);
	past_forget_all(m);
	status_forget_all(m);
	command_forget_results(m);
	targets_free(m);
	stop_close(m);
	reap_close();
	for (unsigned i = 0; i < 2; i++)
		event_free(m->end_events[i]);
	uids_close(m->uids);
	event_base_free(m->base);
}

static int run(struct master *m, const struct conf *c)
{
	bool search = start_needs_search(c, m->mountpoint);
	int error;

	make_master(m, c);
	if (mount_and_serve(m)) {
		unmake_master(m);
		return EXIT_FAILURE;
	}
	error = jail_enter(search);
	if (error) {
		announce_failed("capabilities cannot be given up: %s", strerror(-error));
		stop_begin(m, EXIT_FAILURE);
	}
	event_base_dispatch(m->base);
	unmake_master(m);
	return m->exit_status;
}

int main(int argc, char **argv)
{
	static struct master master;
	static struct conf conf;
	char why[1024] = "";
	int error = conf_parse(argc, argv, &conf, why, sizeof why);

	log_open("sheepfs", LOG_TO_STDERR, 0);
	if (error) {
		log_error("%s (sheepfs --help tells more)", why);
		return EXIT_USAGE;
	}
	if (conf.help || conf.version) {
		(conf.help ? conf_print_help : conf_print_version)(stdout);
		return fflush(stdout) ? EXIT_FAILURE : 0;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	error = announce_open(!conf.foreground);
	if (error)
		fatal("it cannot go to the background: %s", strerror(-error));
	error = open_log(&conf);
	if (error) {
		announce_failed("the log file %s cannot be opened: %s", conf.log, strerror(-error));
		return EXIT_FAILURE;
	}
	if (conf.log || !conf.foreground)
		announce_log_is_elsewhere();
	start_raise_limits();
	if (start_check(&conf, master.mountpoint, why, sizeof why) ||
	    lamb_prepare(&conf, why, sizeof why)) {
		announce_failed("%s", why);
		return EXIT_FAILURE;
	}
	if (chdir("/"))
		fatal("the root directory cannot be reached: %s", strerror(errno));
	return run(&master, &conf);
}
