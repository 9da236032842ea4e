/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sheepfs: where it begins, and the order of things.
 *
 * Options; the background; the checks; the loop; the tree's mount, or what another sheepfs left;
 * the front; the cluster worker; the line in utab; the jail.  From then on commands come through
 * the front (front.c), the first of them from the configuration (startup.c); volumes go up
 * (attach.c) and down (detach.c), until something asks for the end (stop.c).
 */
#include "include/words.h"
#include "ipc/log.h"
#include "master/announce.h"
#include "master/cluster.h"
#include "master/command.h"
#include "master/conf.h"
#include "master/conffile.h"
#include "master/discover.h"
#include "master/errand.h"
#include "master/front.h"
#include "master/handover.h"
#include "master/heartbeat.h"
#include "master/inherit.h"
#include "master/jail.h"
#include "master/lamb.h"
#include "master/locks.h"
#include "master/master.h"
#include "master/mount.h"
#include "master/mountinfo.h"
#include "master/notify.h"
#include "master/past.h"
#include "master/reap.h"
#include "master/replace.h"
#include "master/start.h"
#include "master/startup.h"
#include "master/state.h"
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
#define JOB_LIMIT 3000   /* milliseconds for systemd's answer */

/* ---- the log ---- */

/* Returns 0 or -errno.  With a file, descriptor 2 is that file from now on. */
static int open_log(const struct conf *c)
{
	int fd;

	if (!c->log) {
		log_open("sheepfs", c->foreground ? log_stderr() : LOG_TO_SYSLOG, c->debug);
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
	}
	return 0;
}

/* Where another sheepfs ended, or with a mount of our own. */
static int begin(struct master *m, struct inheritance *i)
{
	char why[SENTENCE_MAX];
	int error;

	if (notify_is_service() && state_open(m, i->text ? inherit_take_fd(i) : -1))
		fatal("no memory for what the next sheepfs must know");
	if (!i->text)
		error = mount_and_serve(m);
	else if ((error = inherit_go_on(m, i, why, sizeof why)))
		announce_failed("what the sheepfs before left at %s cannot be gone on with: %s",
		    m->mountpoint, why);
	if (error)
		return error;
	error = replace_open(m);
	if (error)
		log_warning(
		    "sheepfs --replace will not work here: /run/sheepfs: %s", strerror(-error));
	lamb_start(m);
	cluster_start(m);
	discover_start(m);
	if (!errand_start(
		m->base, mount_enter_utab_work, m->mountpoint, -1, UTAB_LIMIT, on_utab, m))
		on_utab(-ENOMEM, "", m);
	return 0;
}

/* ---- the loop ---- */

static void end(struct master *m, const char *why)
{
	if (m->stop)
		log_warning("%s again: hurrying", why);
	else
		log_info("%s: everything is unmounted", why);
	stop_begin(m, m->exit_status);
}

static void on_handed_over(struct master *m)
{
	log_info("the service manager keeps what is mounted for the next sheepfs");
	m->handed_over = true;
	event_base_loopbreak(m->base);
}

/* The service manager sends the same signal for "restart" and "stop". */
static void on_job(int error, const char *job, void *arg)
{
	struct master *m = arg;
	const char *obstacle = handover_obstacle(m);
	bool restart = !strcmp(job, "restart") || !strcmp(job, "try-restart");

	m->asking = NULL;
	if (m->stop)
		return; /* it was asked for once more, and nobody waited for this answer */
	if (error)
		log_warning("systemd does not tell which job runs, so this is the end: %s",
		    strerror(-error));
	if (restart && obstacle)
		log_error("the mounts end with this restart: %s", obstacle);
	notify_stopping(restart && !obstacle ? "handing over" : "unmounting");
	if (restart && !obstacle)
		handover_begin(m, on_handed_over);
	else
		end(m, "stop");
}

static void on_end_signal(evutil_socket_t number, short what, void *arg)
{
	struct master *m = arg;

	(void)what;
	if (m->handover) {
		m->end_wanted = true;
		log_info("%s: another sheepfs is about to go on here", strsignal((int)number));
		return;
	}
	if (m->stop || m->asking || !notify_is_service()) {
		end(m, strsignal((int)number));
		return;
	}
	m->asking = errand_start(m->base, notify_job_work, NULL, -1, JOB_LIMIT, on_job, m);
	if (!m->asking)
		end(m, strsignal((int)number));
}

static void make_master(struct master *m, const struct conf *c)
{
	static const int end_signals[] = {SIGTERM, SIGINT};

	m->conf = c;
	m->page_cache = c->page_cache;
	m->object_cache = c->object_cache;
	m->discover = c->discover;
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
	if (!m->base || !m->uids || reap_open(m->base) || discover_open(m) || cluster_open(m) ||
	    lamb_open(m) || heartbeat_open(m) || notify_open(m->base))
		fatal("no memory for the loop");
	for (unsigned i = 0; i < sizeof end_signals / sizeof *end_signals; i++) {
		m->end_events[i] = evsignal_new(m->base, end_signals[i], on_end_signal, m);
		if (!m->end_events[i] || event_add(m->end_events[i], NULL))
			fatal("no memory for signals");
	}
}

static void unmake_master(struct master *m)
{
	replace_close(m);
	state_close(m);
	notify_close();
	heartbeat_close(m);
	cluster_close(m);
	discover_close(m);
	lamb_close(m);
	locks_forget_all(m);
	past_forget_all(m);
	status_forget_all(m);
	command_forget_results(m);
	startup_close(m);
	targets_free(m);
	stop_close(m);
	reap_close();
	for (unsigned i = 0; i < 2; i++)
		event_free(m->end_events[i]);
	uids_close(m->uids);
	event_base_free(m->base);
}

static int run(struct master *m, const struct conf *c, struct inheritance *i)
{
	bool search = start_needs_search(c, m->mountpoint);
	int error;

	make_master(m, c);
	if (begin(m, i)) {
		unmake_master(m);
		return EXIT_FAILURE;
	}
	error = jail_enter(search);
	if (error) {
		announce_failed("capabilities cannot be given up: %s", strerror(-error));
		stop_begin(m, EXIT_FAILURE);
	}
	event_base_dispatch(m->base);
	if (m->handed_over)
		return m->exit_status; /* nothing that there is is ours */
	unmake_master(m);
	return m->exit_status;
}

/* What must be so before, in an order that changes nothing for others until all of it is so.
 * Returns an exit status, or 0. */
static int prepare(struct master *m, struct conf *c, struct inheritance *i)
{
	char why[1024] = "";
	int error = start_check_environment(c, why, sizeof why);

	if (!error)
		error = start_resolve(c->mountpoint, m->mountpoint, why, sizeof why);
	if (!error && c->replace)
		error = inherit_by_replacing(i, m->mountpoint, why, sizeof why);
	else if (!error && !inherit_from_service(i, m->mountpoint))
		error = start_check_mountpoint(m->mountpoint, why, sizeof why);
	if (!error)
		error = lamb_prepare(c, why, sizeof why); /* no other lamb has the store by now */
	if (error)
		announce_failed("%s", why);
	if (error == -ENOENT && !m->mountpoint[0])
		return EXIT_USAGE; /* where to mount: no better the next time */
	return error ? EXIT_FAILURE : 0;
}

/* Returns 0, or -errno with a sentence in why. */
static int read_conf(int argc, char **argv, struct conf *c, char *why, size_t why_size)
{
	const char *file = conf_file(argc, argv);
	static char *text; /* for as long as what points into it */
	int error = file ? conffile_read(file, &text, why, why_size) : 0;

	return error ? error : conf_parse(argc, argv, file, text, c, why, why_size);
}

int main(int argc, char **argv)
{
	static struct master master;
	static struct conf conf;
	static struct inheritance inheritance;
	char why[1024] = "";
	int error = read_conf(argc, argv, &conf, why, sizeof why), status;

	log_open("sheepfs", log_stderr(), 0);
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
		return EXIT_USAGE;
	}
	if (conf.log || !conf.foreground)
		announce_log_is_elsewhere();
	start_raise_limits();
	status = prepare(&master, &conf, &inheritance);
	if (status)
		return status;
	if (chdir("/"))
		fatal("the root directory cannot be reached: %s", strerror(errno));
	status = run(&master, &conf, &inheritance);
	conf_free(&conf);
	return status;
}
