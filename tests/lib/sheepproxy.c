/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sheepproxy: stands between a client and a Sheepdog daemon and misbehaves when it is told to.
 *
 *	sheepproxy LISTEN TARGET [--mode MODE] [--control FIFO] [--count FILE]
 *
 * LISTEN is a port of 127.0.0.1 (0: a free one) or unix:/path; TARGET is ip:port or unix:/path.
 * It prints "sheepproxy: ADDRESS" when it listens.  A line with a mode's name on its input, or on
 * FIFO, changes the mode for all connections:
 *
 *	pass          forwards everything
 *	stall         forwards requests and keeps the answers until the mode changes
 *	mute          reads everything and forwards nothing; a connection muted once stays so
 *	garbage       random bytes instead of answers
 *	wrong-id      answers with another id
 *	huge-length   answers that announce an absurd length
 *	short-header  half a header of an answer, then the end
 *	close         ends every connection, new ones as well
 *	refuse-new    does not listen; what is open passes
 *	mute-new      is mute on what is opened now; what is open passes
 *
 * FILE always holds "peak N total M requests R": the most requests without an answer on one
 * connection, on all together, and how many there have been.
 */
#include "include/sheepdog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINKS_MAX 128
#define BUFFER_SIZE (256 * 1024)
#define CHUNK 65536

enum mode {
	PASS,
	STALL,
	MUTE,
	GARBAGE,
	WRONG_ID,
	HUGE_LENGTH,
	SHORT_HEADER,
	CLOSE,
	REFUSE_NEW,
	MUTE_NEW,
	MODES
};

static const char *const mode_names[MODES] = {"pass", "stall", "mute", "garbage", "wrong-id",
    "huge-length", "short-header", "close", "refuse-new", "mute-new"};

/* Bytes on their way in one direction, and where its framing stands. */
struct stream {
	uint8_t *buffer;
	size_t from, to;
	uint8_t header[48];
	size_t header_size;
	uint64_t payload; /* bytes of it that are still to come */
	bool ended;       /* nothing more will be read */
};

struct link {
	int client, target;
	bool muted;
	bool doomed; /* to be closed when what is left for the client is written */
	unsigned outstanding;
	struct stream requests, answers;
};

struct proxy {
	enum mode mode;
	int listener;
	int control;
	struct sockaddr_storage listen_at, target_at;
	socklen_t listen_size, target_size;
	const char *count_file;
	unsigned peak, total, total_peak, requests;
	bool counted;
	char command[64];
	size_t command_size;
	struct link *links[LINKS_MAX];
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "sheepproxy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static socklen_t parse_address(const char *text, struct sockaddr_storage *at)
{
	struct sockaddr_un *un = (struct sockaddr_un *)at;
	struct sockaddr_in *in = (struct sockaddr_in *)at;
	char host[64] = "127.0.0.1";
	const char *colon = strrchr(text, ':');

	memset(at, 0, sizeof *at);
	if (!strncmp(text, "unix:", 5)) {
		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof un->sun_path, "%s", text + 5);
		return sizeof *un;
	}
	if (colon)
		snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)atoi(colon ? colon + 1 : text));
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1) {
		errno = EINVAL;
		die(text);
	}
	return sizeof *in;
}

static void listen_now(struct proxy *p)
{
	int one = 1;

	if (p->listener >= 0)
		return;
	p->listener = socket(p->listen_at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (p->listen_at.ss_family == AF_UNIX)
		unlink(((struct sockaddr_un *)&p->listen_at)->sun_path);
	if (bind(p->listener, (struct sockaddr *)&p->listen_at, p->listen_size) ||
	    listen(p->listener, 64) ||
	    getsockname(p->listener, (struct sockaddr *)&p->listen_at, &p->listen_size))
		die("listen");
}

static void announce(const struct proxy *p)
{
	if (p->listen_at.ss_family == AF_UNIX)
		printf(
		    "sheepproxy: unix:%s\n", ((const struct sockaddr_un *)&p->listen_at)->sun_path);
	else
		printf("sheepproxy: 127.0.0.1:%u\n",
		    ntohs(((const struct sockaddr_in *)&p->listen_at)->sin_port));
	fflush(stdout);
}

static void link_close(struct proxy *p, unsigned n)
{
	struct link *l = p->links[n];

	p->total -= l->outstanding;
	close(l->client);
	close(l->target);
	free(l->requests.buffer);
	free(l->answers.buffer);
	free(l);
	p->links[n] = NULL;
}

static void link_open(struct proxy *p, int client)
{
	struct link *l = calloc(1, sizeof *l);
	unsigned n = 0;
	int one = 1;

	while (n < LINKS_MAX && p->links[n])
		n++;
	if (!l || n == LINKS_MAX || p->mode == CLOSE) {
		close(client);
		free(l);
		return;
	}
	l->client = client;
	l->muted = p->mode == MUTE_NEW;
	l->target = socket(p->target_at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	l->requests.buffer = malloc(BUFFER_SIZE);
	l->answers.buffer = malloc(BUFFER_SIZE);
	p->links[n] = l;
	if (!l->requests.buffer || !l->answers.buffer ||
	    connect(l->target, (struct sockaddr *)&p->target_at, p->target_size)) {
		link_close(p, n);
		return;
	}
	setsockopt(l->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(l->target, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(l->target, F_SETFL, O_NONBLOCK);
	fcntl(l->client, F_SETFL, O_NONBLOCK);
}

static void write_count(struct proxy *p)
{
	char text[128], name[4096];
	FILE *f;

	if (!p->count_file || !p->counted)
		return;
	p->counted = false;
	snprintf(text, sizeof text, "peak %u total %u requests %u\n", p->peak, p->total_peak,
	    p->requests);
	snprintf(name, sizeof name, "%s.new", p->count_file);
	f = fopen(name, "w");
	if (!f)
		die(name);
	fputs(text, f);
	fclose(f);
	rename(name, p->count_file);
}

static void put(struct stream *s, const void *bytes, size_t size)
{
	memcpy(s->buffer + s->to, bytes, size);
	s->to += size;
}

static void request_came(struct proxy *p, struct link *l)
{
	p->requests++;
	p->counted = true;
	if (++l->outstanding > p->peak)
		p->peak = l->outstanding;
	if (++p->total > p->total_peak)
		p->total_peak = p->total;
}

static void noise(uint8_t *bytes, size_t size)
{
	while (size--)
		*bytes++ = (uint8_t)(random() >> 7);
}

/* A whole header of an answer: what the client gets instead depends on the mode. */
static void answer_came(struct proxy *p, struct link *l)
{
	struct sd_rsp rsp;
	size_t size = sizeof rsp;

	memcpy(&rsp, l->answers.header, sizeof rsp);
	if (l->outstanding) {
		l->outstanding--;
		p->total--;
	}
	if (p->mode == GARBAGE)
		noise((uint8_t *)&rsp, sizeof rsp);
	else if (p->mode == WRONG_ID)
		rsp.id ^= 0x5a5a;
	else if (p->mode == HUGE_LENGTH)
		rsp.data_length = 0xfffffff0;
	else if (p->mode == SHORT_HEADER)
		size = 20;
	put(&l->answers, &rsp, size);
	l->doomed = p->mode == SHORT_HEADER;
}

/* The bytes that follow a header. */
static uint64_t payload_of(const struct stream *s, bool request)
{
	struct sd_req req;

	memcpy(&req, s->header, sizeof req);
	return !request || req.flags & SD_FLAG_WRITE ? req.data_length : 0;
}

static void frame(struct proxy *p, struct link *l, struct stream *s, uint8_t *bytes, size_t size)
{
	bool request = s == &l->requests;

	while (size && !l->doomed) {
		size_t n = s->payload < size ? (size_t)s->payload : size;

		if (n) {
			if (!request && p->mode == GARBAGE)
				noise(bytes, n);
			put(s, bytes, n);
			s->payload -= n;
		} else {
			n = sizeof s->header - s->header_size;
			n = n < size ? n : size;
			memcpy(s->header + s->header_size, bytes, n);
			s->header_size += n;
			if (s->header_size == sizeof s->header) {
				s->header_size = 0;
				s->payload = payload_of(s, request);
				if (request) {
					request_came(p, l);
					put(s, s->header, sizeof s->header);
				} else {
					answer_came(p, l);
				}
			}
		}
		bytes += n;
		size -= n;
	}
}

static bool has_room(const struct stream *s)
{
	return !s->ended && s->to + CHUNK + sizeof s->header <= BUFFER_SIZE;
}

static void take(struct proxy *p, struct link *l, struct stream *s, int fd)
{
	uint8_t bytes[CHUNK];
	ssize_t n = recv(fd, bytes, sizeof bytes, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		s->ended = true;
	else if (!l->muted)
		frame(p, l, s, bytes, (size_t)n);
}

static bool give(struct stream *s, int fd)
{
	ssize_t n =
	    s->to > s->from ? send(fd, s->buffer + s->from, s->to - s->from, MSG_NOSIGNAL) : 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	s->from += (size_t)n;
	if (s->from == s->to)
		s->from = s->to = 0;
	return true;
}

/* Returns false when the link is at its end. */
static bool link_turn(
    struct proxy *p, struct link *l, const struct pollfd *client, const struct pollfd *target)
{
	if (p->mode == CLOSE)
		return false;
	if (p->mode == MUTE)
		l->muted = true;
	if (client->revents && has_room(&l->requests))
		take(p, l, &l->requests, l->client);
	if (target->revents && has_room(&l->answers) && !l->doomed)
		take(p, l, &l->answers, l->target);
	if (!give(&l->requests, l->target) || (p->mode != STALL && !give(&l->answers, l->client)))
		return false;
	if (l->doomed && !l->answers.to)
		return false;
	if (l->muted)
		return !l->requests.ended;
	return (!l->requests.ended || l->requests.to) && (!l->answers.ended || l->answers.to);
}

static void set_mode(struct proxy *p, const char *name)
{
	for (unsigned m = 0; m < MODES; m++) {
		if (strcmp(name, mode_names[m]))
			continue;
		p->mode = (enum mode)m;
		if (p->mode == REFUSE_NEW && p->listener >= 0) {
			close(p->listener);
			p->listener = -1;
		} else if (p->mode != REFUSE_NEW) {
			listen_now(p);
		}
		fprintf(stderr, "sheepproxy: mode %s\n", name);
		return;
	}
	fprintf(stderr, "sheepproxy: there is no mode %s\n", name);
}

static void command_came(struct proxy *p)
{
	char byte;
	ssize_t n;

	while ((n = read(p->control, &byte, 1)) == 1) {
		if (byte != '\n') {
			if (p->command_size < sizeof p->command - 1)
				p->command[p->command_size++] = byte;
			continue;
		}
		p->command[p->command_size] = 0;
		p->command_size = 0;
		set_mode(p, p->command);
	}
	if (n == 0) {
		close(p->control);
		p->control = -1;
	}
}

static short wishes(const struct stream *in, const struct stream *out, bool may_give)
{
	return (short)((has_room(in) ? POLLIN : 0) | (may_give && out->to ? POLLOUT : 0));
}

static void proxy_turn(struct proxy *p)
{
	struct pollfd fds[2 + 2 * LINKS_MAX];
	int client;

	fds[0] = (struct pollfd){p->listener, POLLIN, 0};
	fds[1] = (struct pollfd){p->control, POLLIN, 0};
	for (unsigned n = 0; n < LINKS_MAX; n++) {
		struct link *l = p->links[n];
		struct pollfd *f = &fds[2 + 2 * n];

		f[0].fd = f[1].fd = -1;
		f[0].revents = f[1].revents = 0;
		if (!l)
			continue;
		f[0].events = wishes(&l->requests, &l->answers, p->mode != STALL);
		f[1].events = wishes(&l->answers, &l->requests, true);
		f[0].fd = f[0].events ? l->client : -1;
		f[1].fd = f[1].events && !(l->muted && l->answers.ended) ? l->target : -1;
	}
	poll(fds, 2 + 2 * LINKS_MAX, 200);
	if (fds[1].revents)
		command_came(p);
	for (unsigned n = 0; n < LINKS_MAX; n++)
		if (p->links[n] && !link_turn(p, p->links[n], &fds[2 + 2 * n], &fds[3 + 2 * n]))
			link_close(p, n);
	if (fds[0].revents && p->listener >= 0) {
		client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0)
			link_open(p, client);
	}
	write_count(p);
}

int main(int argc, char **argv)
{
	static struct proxy p = {.listener = -1, .control = STDIN_FILENO};
	const char *mode = "pass";

	if (argc < 3 || argc % 2 == 0) {
		fprintf(stderr, "usage: sheepproxy LISTEN TARGET [--mode MODE] [--control FIFO] "
				"[--count FILE]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	p.listen_size = parse_address(argv[1], &p.listen_at);
	p.target_size = parse_address(argv[2], &p.target_at);
	for (int i = 3; i < argc; i += 2) {
		if (!strcmp(argv[i], "--mode"))
			mode = argv[i + 1];
		else if (!strcmp(argv[i], "--count"))
			p.count_file = argv[i + 1];
		else if (!strcmp(argv[i], "--control"))
			p.control =
			    open(argv[i + 1], O_RDWR | O_CLOEXEC); /* O_RDWR: never at its end */
		if (p.control < 0)
			die(argv[i + 1]);
	}
	fcntl(p.control, F_SETFL, O_NONBLOCK);
	p.counted = true;
	listen_now(&p);
	announce(&p);
	set_mode(&p, mode);
	for (;;)
		proxy_turn(&p);
}
