/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * workerpeer: plays the master and the front for one sheepfs-worker, without FUSE, for tests.
 *
 *	workerpeer WORKER DAEMON cluster|volume NAME|- COMMAND...
 *
 * DAEMON is ip:port or unix:/path.  Starts the worker in its own namespaces as the master does,
 * gives it its connections, prints what it says, and then does the commands one after the other:
 *
 *	create NAME SIZE SHIFT   list   release VID          orders to the cluster worker
 *	fill OFFSET LENGTH SEED  check OFFSET LENGTH SEED    a pattern; seed 0 is all zeros
 *	flush
 *	load SECONDS DEPTH MIB   random reads and writes of the first MIB, compared with a copy
 *	bench SECONDS DEPTH MIB  random 4 KiB reads
 *	status                   the worker's own view of its confinement
 *	bad                      a message that no table allows
 *	sleep SECONDS   drain   wait                         the last two wait for its end
 *
 * The worker gets the uid in the environment's WORKERPEER_UID, or 65533.  Ends with 0 when
 * everything was as it should be: each check equal, each order answered.
 */
#include "tests/lib/workerpeer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Noreturn void die(const char *what)
{
	fprintf(stderr, "workerpeer: %s: %s\n", what, strerror(errno));
	exit(2);
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int dial(const char *address)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET};
	const char *colon = strrchr(address, ':');
	bool local = !strncmp(address, "unix:", 5);
	int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	char host[64] = "";

	if (local) {
		snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
		if (connect(fd, (struct sockaddr *)&un, sizeof un))
			die(address);
		return fd;
	}
	snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
	in.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		die("the address is not one");
	if (connect(fd, (struct sockaddr *)&in, sizeof in))
		die(address);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void give_connection(struct peer *p)
{
	static uint32_t serial;
	struct msg_daemon payload = {.serial = ++serial};
	int fd = dial(p->daemon);

	send_daemon(p->master, 1, 1, &payload, p->daemon, strlen(p->daemon), &fd);
}

/* ---- what the worker says ---- */

static void print_table(int fd)
{
	char text[65536];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, text, sizeof text, at)) > 0) {
		fwrite(text, 1, (size_t)n, stdout);
		at += n;
	}
}

static void on_master_message(struct chan *c, struct msg *m, void *arg)
{
	struct peer *p = arg;
	const char *text = (const char *)m->tail;

	if (m->id == MSG_DIAL) {
		for (unsigned i = 0; i < m->body.dial.count; i++)
			give_connection(p);
	} else if (m->id == MSG_CLUSTER_READY) {
		printf("ready\n");
		p->spoke = p->ready = true;
		chan_talk(c, TALK_SERVING);
	} else if (m->id == MSG_READY) {
		const struct msg_ready *r = &m->body.ready;

		printf("ready vid=%" PRIx32 " size=%" PRIu64 " allocated=%" PRIu64 " shift=%" PRIu32
		       " read_only=%" PRIu32 ": %s\n",
		    r->vid, r->size, r->allocated, r->shift, r->read_only, text);
		p->spoke = p->ready = true;
		p->size = r->size;
		chan_talk(c, TALK_SERVING);
	} else if (m->id == MSG_REFUSED) {
		printf("refused %s elsewhere=%" PRIu32 ": %s\n", strerror(-m->body.refused.error),
		    m->body.refused.elsewhere, text);
		p->spoke = true;
	} else if (m->id == MSG_ANSWER) {
		p->last_error = m->body.answered.error;
		printf("answer %s: %s\n", p->last_error ? strerror(-p->last_error) : "ok", text);
		p->answers++;
	} else if (m->id == MSG_LOOKED) {
		const struct msg_change change = {.number = m->body.looked.number};

		send_change(c, 1, 1, &change, NULL, 0, NULL);
	} else if (m->id == MSG_TABLE) {
		print_table(m->fds[0]);
		p->last_error = 0;
		p->answers++;
	} else if (m->id == MSG_LOCKED) {
		printf("locked %" PRIx32 "\n", m->body.locked.vid);
	} else if (m->id == MSG_DRAINED) {
		printf("drained\n");
		p->drained = true;
	}
}

static void on_master_ended(struct chan *c, int error, const char *why, void *arg)
{
	struct peer *p = arg;

	if (error)
		printf("the worker's message was refused: %s\n", why);
	chan_close(c);
	p->master = NULL;
	p->over = true;
}

void wrong(struct peer *p, const char *what, uint64_t at)
{
	if (p->failures++ < 10)
		printf("WRONG: %s at %" PRIu64 "\n", what, at);
}

static void on_front_message(struct chan *c, struct msg *m, void *arg)
{
	struct record_answer a;

	(void)c;
	for (unsigned i = 0; i < m->records; i++) {
		msg_record(m, i, &a);
		load_answered(arg, &a);
	}
}

static void on_front_ended(struct chan *c, int error, const char *why, void *arg)
{
	struct peer *p = arg;

	if (error)
		printf("the worker's answer was refused: %s\n", why);
	chan_close(c);
	p->front = NULL;
}

static const struct chan_calls master_calls = {on_master_message, on_master_ended, NULL};
static const struct chan_calls front_calls = {on_front_message, on_front_ended, NULL};

static void on_log(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	char text[4096];
	ssize_t n = read(fd, text, sizeof text);

	(void)what;
	if (n > 0)
		fwrite(text, 1, (size_t)n, stderr);
	else
		event_del(p->log);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* The tick ends every turn of the loop. */
static bool wait_until(struct peer *p, const bool *flag, double seconds)
{
	double end = now() + seconds;

	while (!*flag && !p->over && now() < end)
		event_base_loop(p->base, EVLOOP_ONCE);
	return *flag;
}

/* ---- starting it ---- */

static void exec_worker(
    const char *worker, const char *kind, const char *name, int control, int log)
{
	/* both may lie where they are to be put */
	int c = fcntl(control, F_DUPFD, 10), l = fcntl(log, F_DUPFD, 10);

	if (c < 0 || l < 0 || dup2(l, STDERR_FILENO) < 0 || dup2(c, CONTROL_FD) < 0)
		die("dup2");
	syscall(SYS_close_range, CONTROL_FD + 1, ~0U, 0);
	execl(worker, "sheepfs-worker", kind, name, (char *)NULL);
	_exit(127);
}

static void start_process(struct peer *p, const char *worker, const char *kind, const char *name)
{
	unsigned long flags =
	    CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
	int control[2], log[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) ||
	    pipe2(log, O_CLOEXEC | O_NONBLOCK))
		die("socketpair");
	fflush(stdout);
	p->pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
	if (p->pid < 0)
		die("clone");
	if (!p->pid)
		exec_worker(worker, kind, name, control[1], log[1]);
	close(control[1]);
	close(log[1]);
	p->log = event_new(p->base, log[0], EV_READ | EV_PERSIST, on_log, p);
	event_add(p->log, NULL);
	p->master = chan_open(p->base, control[0], KIND_MASTER,
	    p->volume ? KIND_VOLUME : KIND_CLUSTER, TALK_STARTING, &master_calls, p);
}

static uint32_t worker_uid(void)
{
	const char *uid = getenv("WORKERPEER_UID");

	return uid ? (uint32_t)strtoul(uid, NULL, 10) : 65533;
}

static void start_volume(struct peer *p, const char *name)
{
	struct msg_start_volume start = {.uid = worker_uid(), .gid = worker_uid(), .slots = SLOTS};
	const char *at = strchr(name, '@');
	int data[2], out[2], in[2];

	snprintf(start.name, sizeof start.name, "%.*s", at ? (int)(at - name) : 255, name);
	snprintf(start.tag, sizeof start.tag, "%s", at ? at + 1 : "");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, data) ||
	    arena_create("out", SLOTS, &out[0], &out[1]) ||
	    arena_create("in", SLOTS, &in[0], &in[1]) || arena_map(&p->out, out[0], SLOTS, true) ||
	    arena_map(&p->in, in[1], SLOTS, false))
		die("arenas");
	p->front =
	    chan_open(p->base, data[0], KIND_FRONT, KIND_VOLUME, TALK_SERVING, &front_calls, p);
	send_start_volume(p->master, 1, 1, &start, NULL, 0, (int[]){data[1], out[1], in[0]});
}

/* ---- commands ---- */

static void run_order(struct peer *p, struct msg_order *order)
{
	unsigned before = p->answers;
	bool done = false;

	order->number = before + 1;
	send_order(p->master, 1, 1, order, NULL, 0, NULL);
	for (double end = now() + PATIENCE; !done && !p->over && now() < end;) {
		wait_until(p, &done, 0.02);
		done = p->answers > before;
	}
	if (!done)
		wrong(p, "no answer to an order", order->number);
}

static void run_release(struct peer *p, uint32_t vid)
{
	struct msg_release payload = {.number = 99, .vid = vid};
	unsigned before = p->answers;
	bool done = false;

	send_release(p->master, 1, 1, &payload, NULL, 0, NULL);
	for (double end = now() + PATIENCE; !done && !p->over && now() < end;) {
		wait_until(p, &done, 0.02);
		done = p->answers > before;
	}
}

static void show_status(struct peer *p)
{
	char name[64], line[256];
	FILE *f;

	snprintf(name, sizeof name, "/proc/%d/status", (int)p->pid);
	f = fopen(name, "r");
	if (!f)
		die(name);
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, "Uid", 3) || !strncmp(line, "Cap", 3) ||
		    !strncmp(line, "NoNew", 5) || !strncmp(line, "Seccomp:", 8) ||
		    !strncmp(line, "VmRSS", 5) || !strncmp(line, "RssAnon", 7))
			fputs(line, stdout);
	fclose(f);
	snprintf(name, sizeof name, "ls -A /proc/%d/root | wc -l", (int)p->pid);
	fflush(stdout);
	if (system(name))
		wrong(p, "its root cannot be seen", 0);
}

static void finish(struct peer *p, bool drain)
{
	struct msg_drain payload = {.pad = {0}};
	bool never = false;
	int status;

	if (drain && p->master) {
		chan_talk(p->master, TALK_ENDING);
		send_drain(p->master, 1, 1, &payload, NULL, 0, NULL);
	}
	if (!p->over)
		wait_until(p, &never, PATIENCE);
	if (!p->over)
		kill(p->pid, SIGKILL);
	waitpid(p->pid, &status, 0);
	event_base_loop(p->base, EVLOOP_NONBLOCK);
	if (WIFEXITED(status))
		printf("exit %d\n", WEXITSTATUS(status));
	else
		printf("signal %d\n", WTERMSIG(status));
}

static uint64_t number(char **argv, int base)
{
	return strtoull(argv[0] ? argv[0] : "0", NULL, base);
}

/* Does one command; returns how many words it took, 0 when the worker's end was waited for. */
static int run(struct peer *p, char **argv)
{
	struct msg_order order = {.verb = VERB_LIST};

	if (!strcmp(argv[0], "drain") || !strcmp(argv[0], "wait")) {
		finish(p, argv[0][0] == 'd');
		return 0;
	} else if (!strcmp(argv[0], "create")) {
		order.verb = VERB_CREATE;
		snprintf(order.name, sizeof order.name, "%s", argv[1]);
		order.size = number(argv + 2, 10);
		order.shift = (uint32_t)number(argv + 3, 10);
		run_order(p, &order);
		return 4;
	} else if (!strcmp(argv[0], "list")) {
		run_order(p, &order);
	} else if (!strcmp(argv[0], "release")) {
		run_release(p, (uint32_t)number(argv + 1, 16));
		return 2;
	} else if (!strcmp(argv[0], "fill") || !strcmp(argv[0], "check")) {
		load_pattern(p, argv[0][0] == 'f' ? REQUEST_WRITE : REQUEST_READ,
		    number(argv + 1, 10), number(argv + 2, 10), (unsigned)number(argv + 3, 10));
		return 4;
	} else if (!strcmp(argv[0], "flush")) {
		load_flush(p);
	} else if (!strcmp(argv[0], "load") || !strcmp(argv[0], "bench")) {
		load_random(p, (double)number(argv + 1, 10), (unsigned)number(argv + 2, 10),
		    number(argv + 3, 10) << 20, argv[0][0] == 'b');
		return 4;
	} else if (!strcmp(argv[0], "status")) {
		show_status(p);
	} else if (!strcmp(argv[0], "sleep")) {
		bool never = false;

		wait_until(p, &never, (double)number(argv + 1, 10));
		return 2;
	} else if (!strcmp(argv[0], "bad")) {
		struct msg_drain payload = {.pad = {1}};

		send_drain(p->master, 1, 1, &payload, NULL, 0, NULL);
	} else {
		fprintf(stderr, "workerpeer: there is no command %s\n", argv[0]);
		exit(2);
	}
	return 1;
}

int main(int argc, char **argv)
{
	static struct peer p;
	struct msg_start_cluster start = {.uid = worker_uid(), .gid = worker_uid()};
	struct timeval interval = {0, 20000};
	struct event *tick;
	int used = 1;

	if (argc < 6) {
		fprintf(
		    stderr, "usage: workerpeer WORKER DAEMON cluster|volume NAME|- COMMAND...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	p.base = event_base_new();
	tick = event_new(p.base, -1, EV_PERSIST, on_tick, NULL);
	event_add(tick, &interval);
	p.daemon = argv[2];
	p.volume = !strcmp(argv[3], "volume");
	start_process(&p, argv[1], argv[3], argv[4]);
	if (p.volume)
		start_volume(&p, argv[4]);
	else
		send_start_cluster(p.master, 1, 1, &start, NULL, 0, NULL);
	give_connection(&p);
	wait_until(&p, &p.spoke, 20);
	if (!p.ready) {
		finish(&p, false);
		return 1;
	}
	for (char **word = argv + 5; *word && used && !p.over; word += used)
		used = run(&p, word);
	if (used)
		finish(&p, false);
	return p.failures ? 1 : 0;
}
