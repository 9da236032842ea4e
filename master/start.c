/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before we begin: see start.h.
 */
#include "master/start.h"

#include "ipc/log.h"
#include "master/errand.h"
#include "master/mount.h"
#include "master/mountinfo.h"
#include "master/reap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROBE_LIMIT 3000 /* milliseconds that a living sheepfs has to answer */
#define CLEAN_LIMIT 5000
#define END_LIMIT 5000     /* milliseconds that a killed process may take */
#define OOM_SCORE "-900\n" /* of -1000, never, to 1000, first */
#define STALE_MAX 16       /* dead mounts one over the other */

static const char *const programs[] = {"sheepfs-front", "sheepfs-worker"};

int start_check_environment(const struct conf *c, char *why, size_t why_size)
{
	char path[PATH_MAX];
	int fd;

	if (geteuid() != 0) {
		snprintf(why, why_size, "mounting and confining need root: try sudo sheepfs");
		return -EPERM;
	}
	fd = mount_open_device();
	if (fd < 0) {
		snprintf(why, why_size, "/dev/fuse cannot be opened: %s; modprobe fuse may help",
		    strerror(-fd));
		return fd;
	}
	close(fd);
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
		snprintf(path, sizeof path, "%s/%s", c->libexec, programs[i]);
		if (access(path, X_OK)) {
			snprintf(why, why_size,
			    "the helper program %s cannot be executed: %s; SHEEPFS_LIBEXEC names "
			    "another directory",
			    path, strerror(errno));
			return -ENOENT;
		}
	}
	return 0;
}

int start_resolve(const char *typed, char mountpoint[PATH_MAX], char *why, size_t why_size)
{
	char text[ERRAND_TEXT_MAX];
	int error = errand_run(mount_resolve_work, typed, PROBE_LIMIT, text);

	if (error == -ENOENT)
		snprintf(why, why_size, "the mount point %s does not exist: mkdir makes it", typed);
	else if (error)
		snprintf(why, why_size, "the mount point %s cannot be used: %s", typed,
		    strerror(-error));
	else
		snprintf(mountpoint, PATH_MAX, "%s", text);
	return error;
}

/* What a process calls itself; empty: there is none. */
static void read_comm(int pid, char comm[32])
{
	char path[64];
	FILE *f;

	comm[0] = 0;
	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (!f)
		return;
	if (!fgets(comm, 32, f))
		comm[0] = 0;
	comm[strcspn(comm, "\n")] = 0;
	fclose(f);
}

/* As whom it runs. */
static uid_t user_of(pid_t pid)
{
	char path[64], line[128];
	unsigned uid = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f) && sscanf(line, "Uid: %u", &uid) != 1)
		;
	if (f)
		fclose(f);
	return uid;
}

static bool is_sheepfs(int pid)
{
	char comm[32];

	read_comm(pid, comm);
	return !strcmp(comm, "sheepfs");
}

void start_await_end(pid_t pid, const char *name)
{
	struct pollfd p = {.events = POLLIN};
	char comm[32];

	p.fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (p.fd < 0)
		return;
	/* asked after the descriptor is there, so that it is the same one */
	read_comm(pid, comm);
	if (!strncmp(comm, name, sizeof comm - 1)) {
		reap_as(user_of(pid));
		syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0);
		reap_as(0);
		if (poll(&p, 1, END_LIMIT) <= 0)
			log_warning("process %d (%s) was killed and does not end", (int)pid, comm);
	}
	close(p.fd);
}

static int refuse_living(const char *mountpoint, char *why, size_t why_size)
{
	int pid = mount_served_by(mountpoint);

	if (is_sheepfs(pid))
		snprintf(why, why_size, "%s is busy: it is already served by sheepfs, process %d",
		    mountpoint, pid);
	else
		snprintf(why, why_size,
		    "%s is busy: a sheepfs is mounted there, and its process lives (umount -l ends "
		    "it)",
		    mountpoint);
	return -EBUSY;
}

/* A mount of ours lies on top: dead, and then it goes with all that is mounted in it, or alive. */
static int clean(const char *mountpoint, const struct mountinfo *info, char *why, size_t why_size)
{
	struct mount_end_order order = {.lazy = true};
	char text[ERRAND_TEXT_MAX];
	int error = errand_run(mount_probe_work, mountpoint, PROBE_LIMIT, text);

	/* a dead one says so; one that says nothing is not for us to end */
	if (error != -ENOTCONN && error != -ECONNABORTED)
		return refuse_living(mountpoint, why, why_size);
	memcpy(order.path, mountpoint, strlen(mountpoint) + 1);
	error = errand_run(mount_end_work, &order, CLEAN_LIMIT, text);
	if (error) {
		snprintf(why, why_size,
		    "a stale mount of an earlier sheepfs at %s cannot be unmounted: %s; try umount "
		    "-l %s",
		    mountpoint, strerror(-error), mountpoint);
		return error;
	}
	log_info("a stale mount that an earlier sheepfs left at %s was cleaned up, with %u volumes "
		 "in it",
	    mountpoint, info->nested);
	return 0;
}

int start_check_mountpoint(const char *mountpoint, char *why, size_t why_size)
{
	struct mountinfo info;
	char text[ERRAND_TEXT_MAX];
	int error = errand_run(mount_directory_work, mountpoint, PROBE_LIMIT, text);

	/* a dead mount does not say what it is; it is one of directories, or we refuse it below */
	if (error == -ENOTDIR) {
		snprintf(why, why_size, "the mount point %s is no directory", mountpoint);
		return error;
	}
	error = 0;
	for (unsigned i = 0; !error && i < STALE_MAX; i++) {
		error = mountinfo_find(MOUNTINFO_FILE, mountpoint, &info);
		if (error)
			break;
		if (strcmp(info.type, MOUNTINFO_TYPE) != 0) {
			snprintf(why, why_size,
			    "%s is the mount point of another file system already: %s (%s); name "
			    "another directory",
			    mountpoint, info.type, info.source);
			return -EBUSY;
		}
		error = clean(mountpoint, &info, why, why_size);
	}
	if (error && error != -ENOENT && !why[0])
		snprintf(why, why_size, "%s cannot be read: %s", MOUNTINFO_FILE, strerror(-error));
	return error == -ENOENT ? 0 : error;
}

/* Not the first to be killed when memory is short. */
static bool spare_from_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, OOM_SCORE, strlen(OOM_SCORE)) > 0;

	if (fd >= 0)
		close(fd);
	return done;
}

void start_raise_limits(void)
{
	const struct rlimit memory = {RLIM_INFINITY, RLIM_INFINITY};
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files))
			log_debug("the limit of open files stays as it is: %s", strerror(errno));
	}
	/* all three are our children's, too: they may be what dirty pages are written to */
	if (setrlimit(RLIMIT_MEMLOCK, &memory) || prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) ||
	    !spare_from_oom())
		log_warning("short of memory this host may wait for itself: what keeps that from "
			    "happening is refused (%s); CAP_SYS_RESOURCE is needed",
		    strerror(errno));
}

static bool is_out_of_reach(const char *path)
{
	char text[ERRAND_TEXT_MAX];

	return errand_run(mount_reach_work, path, PROBE_LIMIT, text) == -EACCES;
}

bool start_needs_search(const struct conf *c, const char *mountpoint)
{
	bool needs = is_out_of_reach(mountpoint);

	for (unsigned i = 0; i < c->targets.count && !needs; i++)
		if (c->targets.targets[i].store[0])
			needs = is_out_of_reach(c->targets.targets[i].store);
	return needs;
}
