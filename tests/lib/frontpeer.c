/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frontpeer FRONT MOUNTPOINT: plays master and workers for a real front, for tests and benchmarks
 * of the front alone.
 *
 * Mounts the tree, starts FRONT in its namespaces, and obeys what is written to vdi/mount,
 * vdi/unmount and vdi/create.  A volume's worker is named by what stands before the first "-" of
 * its name: see the table in frontwork.c.  Prints one line an event; ends at SIGTERM, at umount, or
 * with the front, and leaves no mount and no process behind.
 */
#include "include/bounds.h"
#include "include/words.h"
#include "ipc/arena.h"
#include "ipc/chan.h"
#include "ipc/log.h"
#include "ipc/name.h"
#include "tests/lib/frontwork.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRONT_UID 64999
#define SIZE_DEFAULT (UINT64_C(1) << 30)

struct peer_volume {
	LIST_ENTRY(peer_volume) link;
	struct peer *peer;
	uint32_t number;
	uint64_t command; /* who waits for attach or detach; 0 */
	char shown[NAME_SHOWN_SIZE];
	int device;
	pid_t worker, mounter, unmounter;
	uint64_t size;
	bool read_only;
};

struct peer {
	struct event_base *base;
	struct chan *front;
	pid_t front_pid;
	bool front_ended; /* it closed the conversation */
	int device;
	const char *mountpoint;
	uint32_t last_number;
	uint64_t created; /* size of the last vdi/create */
	LIST_HEAD(, peer_volume) volumes;
};

/* ---- attach and detach ---- */

static void tell(struct peer *p, uint64_t number, int error, const char *sentence)
{
	struct msg_answered payload = {.number = number, .error = error};

	send_answered(p->front, 0, 0, &payload, sentence, strlen(sentence), NULL);
}

static void event(const char *what, const char *name)
{
	printf("%s %s\n", what, name);
	fflush(stdout);
}

static void volume_path(const struct peer_volume *v, char *path, size_t size)
{
	snprintf(path, size, "%s/volume/%s", v->peer->mountpoint, v->shown);
}

/* In a child: the LOOKUPs need the front. */
static pid_t mount_volume(struct peer_volume *v)
{
	char path[4096], options[128], place[64], source[NAME_SHOWN_SIZE + 16];
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	volume_path(v, path, sizeof path);
	fd = open(path, O_PATH | O_CLOEXEC);
	snprintf(place, sizeof place, "/proc/self/fd/%d", fd);
	snprintf(source, sizeof source, "frontpeer:%s", v->shown);
	snprintf(options, sizeof options,
	    "fd=%d,rootmode=0100600,user_id=0,group_id=0,allow_other,default_permissions",
	    v->device);
	_exit(fd < 0 || mount(source, place, "fuse.sheepfs", MS_NOSUID | MS_NODEV, options));
}

static pid_t unmount_volume(const struct peer_volume *v)
{
	char path[4096];
	pid_t pid = fork();

	if (pid)
		return pid;
	volume_path(v, path, sizeof path);
	_exit(umount2(path, 0) ? errno : 0);
}

static void mounted(struct peer_volume *v)
{
	struct msg_start_generation start = {.blame = 0};
	struct msg_serve_volume serve = {.size = v->size,
	    .shift = FRONTWORK_SHIFT,
	    .read_only = v->read_only,
	    .slots = SLOTS_PER_VOLUME};
	int sockets[2], out[2], in[2], device = dup(v->device);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) ||
	    arena_create("out", SLOTS_PER_VOLUME, &out[0], &out[1]) ||
	    arena_create("in", SLOTS_PER_VOLUME, &in[0], &in[1]) || device < 0)
		fatal("descriptors: %s", strerror(errno));
	v->worker = fork();
	if (!v->worker)
		frontwork_run(v->shown, v->number, v->size, sockets[1], out[1], in[0]);
	close(sockets[1]);
	close(out[1]);
	close(in[0]);
	send_serve_volume(v->peer->front, v->number, FRONTWORK_GENERATION, &serve, NULL, 0,
	    (int[]){device, out[0]});
	send_start_generation(v->peer->front, v->number, FRONTWORK_GENERATION, &start, NULL, 0,
	    (int[]){sockets[0], in[1]});
}

static struct peer_volume *find(const struct peer *p, const struct msg_command *c, char *shown)
{
	struct name n = {.snap_id = c->snap_id};
	struct peer_volume *v;

	memcpy(n.name, c->name, sizeof n.name);
	memcpy(n.tag, c->tag, sizeof n.tag);
	name_show(&n, shown);
	LIST_FOREACH (v, &p->volumes, link)
		if (!strcmp(v->shown, shown))
			break;
	return v;
}

static void attach(struct peer *p, const struct msg_command *c)
{
	struct msg_add_volume add = {.read_only = 0};
	char shown[NAME_SHOWN_SIZE];
	struct peer_volume *v = find(p, c, shown);

	if (v || !frontwork_exists(shown)) {
		tell(p, c->number, v ? -EEXIST : -ENOENT, "attached, or no such worker");
		return;
	}
	v = calloc(1, sizeof *v);
	v->peer = p;
	strcpy(v->shown, shown);
	v->number = ++p->last_number;
	v->command = c->number;
	v->size = p->created ? p->created : SIZE_DEFAULT;
	v->read_only = !strncmp(v->shown, "ro-", 3);
	v->device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	add.read_only = v->read_only;
	LIST_INSERT_HEAD(&p->volumes, v, link);
	send_add_volume(p->front, v->number, 0, &add, v->shown, strlen(v->shown), NULL);
	v->mounter = mount_volume(v);
}

static void detach(struct peer *p, const struct msg_command *c)
{
	char shown[NAME_SHOWN_SIZE];
	struct peer_volume *v = find(p, c, shown);

	if (!v || v->unmounter) {
		tell(p, c->number, -ENOENT, "it is not attached");
		return;
	}
	v->command = c->number;
	v->unmounter = unmount_volume(v);
}

static void forget(struct peer_volume *v)
{
	static const struct msg_remove_volume payload;

	close(v->device);
	if (v->worker)
		kill(v->worker, SIGKILL);
	send_remove_volume(
	    v->peer->front, v->number, FRONTWORK_GENERATION, &payload, NULL, 0, NULL);
	event("removed", v->shown);
	if (v->command)
		tell(v->peer, v->command, 0, "done");
	LIST_REMOVE(v, link);
	free(v);
}

/* ---- the front's words ---- */

static void send_list(struct peer *p, uint64_t number)
{
	struct msg_table payload = {.number = number};
	int fd = memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	for (unsigned i = 0; i < 20000; i++)
		dprintf(fd, "line %u of volume table %" PRIu64 "\n", i, number);
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	send_table(p->front, 0, 0, &payload, NULL, 0, &fd);
}

static void command(struct peer *p, const struct msg *m)
{
	const struct msg_command *c = &m->body.command;

	printf("command %u \"%s\" \"%s\" %u %" PRIu64 " %u uid %u text \"%s\"\n", c->verb, c->name,
	    c->tag, c->snap_id, c->size, c->shift, c->uid, (const char *)m->tail);
	fflush(stdout);
	if (!strcmp(c->name, "never"))
		return;
	if (c->verb == VERB_MOUNT)
		attach(p, c);
	else if (c->verb == VERB_UNMOUNT)
		detach(p, c);
	else if (c->verb == VERB_LIST)
		send_list(p, c->number);
	else if (c->verb == VERB_CREATE)
		p->created = c->size;
	if (c->verb == VERB_CREATE || c->verb == VERB_SHEEP_INFO)
		tell(p, c->number, 0, c->verb == VERB_CREATE ? "created" : "frontpeer");
}

static struct peer_volume *by_number(const struct peer *p, uint32_t number)
{
	struct peer_volume *v;

	LIST_FOREACH (v, &p->volumes, link)
		if (v->number == number)
			break;
	return v;
}

static void on_message(struct chan *c, struct msg *m, void *arg)
{
	static const struct msg_fail_volume failed = {.error = -EIO};
	struct peer *p = arg;
	struct peer_volume *v = m->volume ? by_number(p, m->volume) : NULL;

	(void)c;
	if (m->id == MSG_COMMAND) {
		command(p, m);
	} else if (m->id == MSG_FRONT_STARTED || !v) {
		event(msg_name(m->id), "tree");
	} else if (m->id == MSG_INIT_RECEIVED) {
		event("attached", v->shown);
		tell(p, v->command, 0, "attached");
		v->command = 0;
	} else if (m->id == MSG_CONNECTION_ENDED) {
		event("ended", v->shown);
		forget(v);
	} else if (m->id == MSG_WORKER_MISBEHAVED) {
		printf("misbehaved %s: %s\n", v->shown, (const char *)m->tail);
		send_fail_volume(p->front, v->number, FRONTWORK_GENERATION, &failed, m->tail,
		    m->tail_size, NULL);
	}
}

static void on_ended(struct chan *c, int error, const char *why, void *arg)
{
	struct peer *p = arg;

	(void)c;
	if (error)
		fprintf(stderr, "the front: %s\n", why);
	p->front_ended = true;
	event_base_loopbreak(p->base);
}

static void reaped(struct peer *p, pid_t pid, int status)
{
	struct peer_volume *v;

	if (pid == p->front_pid) {
		p->front_pid = 0;
		event_base_loopbreak(p->base);
		printf("front exit %d signal %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		    WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	}
	LIST_FOREACH (v, &p->volumes, link) {
		if (pid == v->mounter && !status) {
			mounted(v);
		} else if (pid == v->mounter) {
			tell(p, v->command, -EIO, "it cannot be mounted");
			v->command = 0;
			forget(v);
			return;
		} else if (pid == v->unmounter) {
			v->unmounter = 0;
			if (status)
				tell(p, v->command, -WEXITSTATUS(status), "umount failed");
			if (status)
				v->command = 0;
		} else if (pid == v->worker) {
			v->worker = 0;
		}
	}
}

static void on_child(evutil_socket_t fd, short what, void *arg)
{
	int status;
	pid_t pid;

	(void)fd;
	(void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		reaped(arg, pid, status);
}

static void on_term(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(p->base);
}

/* The front logs into a pipe: it may not write a file. */
static void on_log(evutil_socket_t fd, short what, void *arg)
{
	char text[4096];
	ssize_t n = read(fd, text, sizeof text);

	(void)what;
	if (n > 0)
		fwrite(text, 1, (size_t)n, stderr);
	else
		event_del(*(struct event **)arg);
}

/* ---- the beginning and the end ---- */

static void spawn_front(struct peer *p, char *program, int log)
{
	const unsigned long spaces =
	    CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
	int sockets[2];
	static const struct chan_calls calls = {on_message, on_ended, NULL};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		fatal("socketpair: %s", strerror(errno));
	p->front_pid = (pid_t)syscall(SYS_clone, spaces | SIGCHLD, NULL, NULL, NULL, NULL);
	if (!p->front_pid) {
		dup2(log, STDERR_FILENO);
		if (sockets[1] == CONTROL_FD)
			fcntl(CONTROL_FD, F_SETFD, 0);
		else
			dup2(sockets[1], CONTROL_FD);
		execl(program, "sheepfs-front", (char *)NULL);
		_exit(127);
	}
	if (p->front_pid < 0)
		fatal("clone: %s", strerror(errno));
	close(sockets[1]);
	close(log);
	p->front =
	    chan_open(p->base, sockets[0], KIND_MASTER, KIND_FRONT, TALK_STARTING, &calls, p);
}

static void mount_tree(struct peer *p)
{
	char options[128];

	p->device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof options,
	    "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions", p->device);
	if (p->device < 0 ||
	    mount("frontpeer", p->mountpoint, "fuse.sheepfs", MS_NOSUID | MS_NODEV, options))
		fatal("mount: %s", strerror(errno));
}

static void start_front(struct peer *p)
{
	struct msg_start_front start = {.uid = FRONT_UID, .gid = FRONT_UID, .incarnation = 1};
	static const struct msg_read_tree read_tree;
	int device = dup(p->device);

	send_start_front(p->front, 0, 0, &start, NULL, 0, &device);
	send_read_tree(p->front, 0, 0, &read_tree, NULL, 0, NULL);
	chan_talk(p->front, TALK_STARTING | TALK_SERVING);
}

/* Nothing is asked of the front any more: it may be what hangs. */
static void clean_up(struct peer *p)
{
	struct peer_volume *v;

	for (unsigned i = 0; i < 100 && p->front_pid > 0 && p->front_ended; i++) {
		on_child(-1, 0, p);
		usleep(10000);
	}
	if (p->front_pid > 0)
		kill(p->front_pid, SIGKILL);
	while ((v = LIST_FIRST(&p->volumes))) {
		if (v->worker > 0)
			kill(v->worker, SIGKILL);
		close(v->device);
		LIST_REMOVE(v, link);
		free(v);
	}
	close(p->device);
	/* lets go of the volumes mounted below it, too */
	umount2(p->mountpoint, MNT_DETACH);
	while (wait(NULL) > 0)
		;
}

int main(int argc, char **argv)
{
	struct peer peer = {.device = -1}, *p = &peer;
	struct event *log_event, *child, *term, *interrupt;
	int log[2];

	log_open("frontpeer", LOG_TO_STDERR, 0);
	if (argc != 3)
		fatal("usage: frontpeer FRONT MOUNTPOINT");
	signal(SIGPIPE, SIG_IGN);
	LIST_INIT(&p->volumes);
	p->mountpoint = argv[2];
	p->base = event_base_new();
	if (pipe2(log, O_CLOEXEC))
		fatal("pipe: %s", strerror(errno));
	log_event = event_new(p->base, log[0], EV_READ | EV_PERSIST, on_log, &log_event);
	child = evsignal_new(p->base, SIGCHLD, on_child, p);
	term = evsignal_new(p->base, SIGTERM, on_term, p);
	interrupt = evsignal_new(p->base, SIGINT, on_term, p);
	if (event_add(log_event, NULL) || event_add(child, NULL) || event_add(term, NULL) ||
	    event_add(interrupt, NULL))
		fatal("no events");
	mount_tree(p);
	spawn_front(p, argv[1], log[1]);
	start_front(p);
	event_base_dispatch(p->base);
	event_base_loop(p->base, EVLOOP_NONBLOCK);
	clean_up(p);
	event_base_loop(p->base, EVLOOP_NONBLOCK);
	chan_close(p->front);
	event_free(log_event);
	event_free(child);
	event_free(term);
	event_free(interrupt);
	event_base_free(p->base);
	return 0;
}
