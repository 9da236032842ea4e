/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager: see notify.h.
 */
#include "master/notify.h"

#include "ipc/log.h"
#include "master/errand.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>

#define MANAGER "org.freedesktop.systemd1"
#define UNITS "/org/freedesktop/systemd1/unit"
#define BARRIER_LIMIT 5000000                        /* microseconds */
#define PRIVATE_BUS "unix:path=/run/systemd/private" /* root's own, without a bus daemon */

static struct event *alive;

static void tell(const char *text)
{
	int error = sd_notify(0, text);

	if (error < 0)
		log_warning("the service manager does not listen: %s", strerror(-error));
}

static void on_alive(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	tell("WATCHDOG=1");
}

int notify_open(struct event_base *base)
{
	struct timeval interval;
	uint64_t limit; /* microseconds */

	if (sd_watchdog_enabled(0, &limit) <= 0)
		return 0;
	/* several times, so that one that comes late is not the end */
	interval.tv_sec = (time_t)(limit / 4 / 1000000);
	interval.tv_usec = (suseconds_t)(limit / 4 % 1000000);
	alive = event_new(base, -1, EV_PERSIST, on_alive, NULL);
	return alive && !event_add(alive, &interval) ? 0 : -ENOMEM;
}

void notify_close(void)
{
	if (alive)
		event_free(alive);
	alive = NULL;
}

bool notify_is_service(void)
{
	return getenv("NOTIFY_SOCKET");
}

void notify_ready(const char *status)
{
	char text[256];

	snprintf(text, sizeof text, "READY=1\nSTATUS=%.200s", status);
	tell(text);
}

void notify_stopping(const char *status)
{
	char text[256];

	snprintf(text, sizeof text, "STOPPING=1\nSTATUS=%.200s", status);
	tell(text);
}

void notify_keep(const char *name, int fd)
{
	char text[NOTIFY_NAME_MAX + 32];
	int error;

	if (!notify_is_service())
		return;
	snprintf(text, sizeof text, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	error = sd_pid_notify_with_fds(0, 0, text, &fd, 1);
	if (error < 0)
		log_error("descriptor %s cannot be given to the service manager: %s; should this "
			  "process die, it is lost",
		    name, strerror(-error));
}

void notify_drop(const char *name)
{
	char text[NOTIFY_NAME_MAX + 32];

	if (!notify_is_service())
		return;
	snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	tell(text);
}

void notify_barrier(void)
{
	if (notify_is_service())
		sd_notify_barrier(0, BARRIER_LIMIT);
}

/* ---- which job ---- */

static int connect_to_manager(sd_bus **bus)
{
	int error = sd_bus_new(bus);

	if (error < 0)
		return error;
	error = sd_bus_set_address(*bus, PRIVATE_BUS);
	if (error >= 0)
		error = sd_bus_start(*bus);
	if (error >= 0)
		return 0;
	sd_bus_unref(*bus);
	return sd_bus_open_system(bus);
}

/* The job's path in `path`; empty: there is none. */
static int find_job(sd_bus *bus, char *path, size_t size)
{
	sd_bus_message *answer = NULL;
	char *unit = NULL, *object = NULL;
	const char *job = "";
	uint32_t number = 0;
	int error = sd_pid_get_unit(0, &unit);

	if (error >= 0)
		error = sd_bus_path_encode(UNITS, unit, &object);
	if (error >= 0)
		error = sd_bus_get_property(
		    bus, MANAGER, object, MANAGER ".Unit", "Job", NULL, &answer, "(uo)");
	if (error >= 0)
		error = sd_bus_message_read(answer, "(uo)", &number, &job);
	if (error >= 0)
		snprintf(path, size, "%s", number ? job : "");
	sd_bus_message_unref(answer);
	free(object);
	free(unit);
	return error < 0 ? error : 0;
}

int notify_job_work(const void *arg, int keep, char *text)
{
	char job[256], *type = NULL;
	sd_bus *bus;
	int error = connect_to_manager(&bus);

	(void)arg;
	(void)keep;
	if (error < 0)
		return error;
	error = find_job(bus, job, sizeof job);
	if (!error && job[0])
		error = sd_bus_get_property_string(
		    bus, MANAGER, job, MANAGER ".Job", "JobType", NULL, &type);
	if (error >= 0 && type)
		snprintf(text, ERRAND_TEXT_MAX, "%s", type);
	free(type);
	sd_bus_unref(bus);
	return error < 0 ? error : 0;
}
