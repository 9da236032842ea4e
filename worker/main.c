/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sheepfs-worker: where it begins, and its conversations.
 *
 * sheepfs-worker cluster|volume [NAME] is started by sheepfs, with its conversation with the master
 * as descriptor 3; NAME is for ps(1) only.  The order of things: the first message says who to be;
 * everything that needs a right is done; the jail; the loop.  One process is one generation: it
 * talks to one daemon and one front, and when it loses any of them it says why and exits with the
 * word for it (include/words.h).
 *
 * Never connects, never opens a file, never decides what a volume's bytes are: that is the engine's
 * (serve.c) or, for the cluster worker, cluster.c's.
 */
#include "include/bounds.h"
#include "include/words.h"
#include "ipc/arena.h"
#include "ipc/chan.h"
#include "ipc/log.h"
#include "ipc/loop.h"
#include "worker/cluster.h"
#include "worker/connection.h"
#include "worker/jail.h"
#include "worker/nodes.h"
#include "worker/pace.h"
#include "worker/serve.h"
#include "worker/settle.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define DATA_CONNECTIONS 2
/* To a daemon that is slow while much is in flight.  More win little; and each may hold one of its
 * 32 threads for the network while this worker is stopped and does not read, until that is found
 * (rule 11). */
#define DATA_CONNECTIONS_MORE 10
#define RETRY_PAUSE 500  /* milliseconds until what the cluster could not do is asked again */
#define LAST_WORDS 1000  /* milliseconds that they may take */
#define SETTLE_FIRST 100 /* milliseconds that what is unsettled holds up the beginning */
#define SETTLE_SERVER                                                                              \
	3000 /* ... when it is of this very daemon: has the cluster lost its locks?                \
	      */
#define IO_LIMIT                                                                                   \
	55000 /* milliseconds without any I/O until the daemon is asked for a READ; 5 s later      \
	       * (sheep.h) others are                                                              \
	       */
#define LARGE_MEMORY (128 * 1024) /* from here on what is freed goes back to the system */

struct worker {
	enum kind kind;
	uint32_t volume, generation; /* the head of every message */
	uid_t uid;
	gid_t gid;
	struct event_base *base;
	struct chan *master;
	struct chan *front; /* the volume's data socket */
	struct sheep *sheep;
	struct pace pace;  /* the daemon's */
	bool widened;      /* it was slow: there are more connections */
	bool refused_more; /* ... or it did not take them all */
	bool witnessed;    /* the witness is there */
	bool connected;    /* the control connection is there */
	bool begun;
	bool ready;
	bool draining;
	struct cluster *cluster;
	uint64_t cluster_ctime;     /* of the cluster that it must be; 0: any */
	struct node_links *nodes;   /* other daemons, for a moment */
	uint64_t others;            /* how many a volume's worker was given */
	uint64_t compared, visited; /* their numbers */
	struct serve *serve;
	struct serve_volume what;
	struct vdi_identity was;
	struct settle *settle; /* the earlier generations'; a volume's */
	bool died;             /* a daemon of theirs */
	bool refused;          /* one was seen to be away: the cluster may have lost its locks */
	bool rewrite;          /* what is asked again cannot be told from the new */
	bool settle_all;       /* nothing is begun before that */
	struct event *try_again;
	struct event *settle_first; /* pending while the beginning waits */
	char name[NAME_FIELD_SIZE], tag[NAME_FIELD_SIZE];
	struct arena out, in;
	struct event *answers_due; /* activated by the first answer of a turn */
	unsigned nr_answers;
	struct record_answer answers[BATCH_MAX];
};

/* ---- endings ---- */

static void send_batch(struct worker *w)
{
	struct msg_answers payload = {.allocated = 0};

	if (w->nr_answers && w->front) {
		payload.allocated = serve_allocated(w->serve);
		send_answers(w->front, w->volume, w->generation, &payload, w->answers,
		    w->nr_answers * sizeof w->answers[0], NULL);
	}
	w->nr_answers = 0;
}

/* Says what is still to be said, and exits with the word for it. */
static _Noreturn void leave(struct worker *w, enum exit_word word)
{
	send_batch(w);
	if (w->front)
		chan_linger(w->front, LAST_WORDS);
	chan_linger(w->master, LAST_WORDS);
	log_debug("at most %u calls to the daemon were in flight", sheep_in_flight_peak(w->sheep));
	exit((int)word);
}

static void refuse(struct worker *w, int error, bool elsewhere, const char *sentence)
{
	struct msg_refused payload = {.error = error, .elsewhere = elsewhere};

	send_refused(w->master, w->volume, w->generation, &payload, sentence,
	    strnlen(sentence, SENTENCE_MAX), NULL);
}

static _Noreturn void bad_message(struct worker *w, const char *peer, const char *why)
{
	log_error("a message of the %s was refused: %s", peer, why);
	leave(w, EXIT_BAD_MESSAGE);
}

/* The generation cannot go on: who waits for it to be ready hears why. */
static _Noreturn void give_up(struct worker *w, enum exit_word word, int error, const char *why)
{
	log_warning("%s", why);
	if (!w->ready)
		refuse(w, error, true, why);
	leave(w, word);
}

static void on_lost(void *arg, enum exit_word word, const char *why)
{
	struct worker *w = arg;
	int error = -ECONNRESET;

	if (word == EXIT_DAEMON_MUTE)
		error = -ETIMEDOUT;
	else if (word == EXIT_DAEMON_LIES)
		error = -EPROTO;
	if (w->cluster)
		cluster_lost(w->cluster, why);
	give_up(w, word, error, why);
}

static void on_epoch(void *arg, uint32_t epoch)
{
	struct worker *w = arg;
	const struct msg_epoch payload = {.epoch = epoch};

	if (w->kind == KIND_VOLUME)
		send_epoch(w->master, w->volume, w->generation, &payload, NULL, 0, NULL);
}

static void on_stalled(void *arg)
{
	struct worker *w = arg;

	serve_stalled(w->serve);
}

static const struct sheep_calls sheep_calls = {on_lost, on_epoch, on_stalled};

static void on_drained(void *arg)
{
	struct worker *w = arg;
	struct msg_drained payload = {.pad = {0}};

	send_batch(w);
	send_drained(w->master, w->volume, w->generation, &payload, NULL, 0, NULL);
	leave(w, EXIT_DRAINED);
}

/* ---- what the engine tells ---- */

static void on_answers_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	send_batch(arg);
}

static void on_answer(void *arg, uint64_t id, int error)
{
	struct worker *w = arg;

	if (!w->nr_answers)
		event_active(w->answers_due, EV_WRITE, 0);
	w->answers[w->nr_answers++] = (struct record_answer){.id = id, .error = error};
	if (w->nr_answers == BATCH_MAX)
		send_batch(w);
}

static void on_locked(void *arg, uint32_t vid)
{
	struct worker *w = arg;
	struct msg_locked payload = {.vid = vid};

	send_locked(w->master, w->volume, w->generation, &payload, NULL, 0, NULL);
}

static void on_identified(void *arg, const struct msg_identity *identity)
{
	struct worker *w = arg;

	send_identity(w->master, w->volume, w->generation, identity, NULL, 0, NULL);
}

static void on_ready(void *arg, const struct msg_ready *ready, const char *sentence)
{
	struct worker *w = arg;

	w->ready = true;
	sheep_watch(w->sheep, SHEEP_WITNESSED);
	sheep_watch_io(w->sheep, IO_LIMIT);
	send_ready(w->master, w->volume, w->generation, ready, sentence,
	    strnlen(sentence, SENTENCE_MAX), NULL);
	if (w->draining)
		return;
	chan_talk(w->master, TALK_SERVING);
	if (w->front)
		chan_talk(w->front, TALK_SERVING);
}

static void on_refused(void *arg, int error, bool elsewhere, const char *sentence)
{
	struct worker *w = arg;

	refuse(w, error, elsewhere, sentence);
	leave(w, EXIT_REFUSED);
}

static void on_ended(void *arg, enum exit_word word, const char *why)
{
	give_up(arg, word, word == EXIT_VOLUME_CHANGED ? -ESTALE : -EIO, why);
}

static void on_order_answer(void *arg, uint64_t number, int error, const char *sentence);

static void on_later(void *arg)
{
	static const struct timeval pause = {0, RETRY_PAUSE * 1000};
	struct worker *w = arg;

	if (!event_pending(w->try_again, EV_TIMEOUT, NULL))
		event_add(w->try_again, &pause);
}

static void on_try_again(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	serve_try_again(w->serve);
}

static void on_compare_wanted(void *arg, bool again)
{
	struct worker *w = arg;
	const struct msg_stalled payload = {.again = again};

	send_stalled(w->master, w->volume, w->generation, &payload, NULL, 0, NULL);
}

static void on_compared(void *arg)
{
	struct worker *w = arg;

	nodes_hang_up(w->nodes, w->compared);
}

static void on_unsure(void *arg, const char *address)
{
	static const struct msg_unsure payload = {.pad = {0}};
	struct worker *w = arg;

	send_unsure(w->master, w->volume, w->generation, &payload, address, strlen(address), NULL);
}

static void on_visited(void *arg)
{
	struct worker *w = arg;

	nodes_hang_up(w->nodes, w->visited);
}

static void on_progressed(void *arg)
{
	static const struct msg_progressed payload = {.pad = {0}};
	struct worker *w = arg;

	send_progressed(w->master, w->volume, w->generation, &payload, NULL, 0, NULL);
}

static const struct serve_calls serve_calls = {on_answer, on_locked, on_identified, on_ready,
    on_refused, on_ended, on_drained, on_later, on_order_answer, on_compare_wanted, on_compared,
    on_progressed, on_order_answer};

/* ---- what the cluster worker tells ---- */

static void on_cluster_ready(void *arg, bool waiting)
{
	struct worker *w = arg;
	struct msg_cluster_ready payload = {.waiting = waiting};

	w->ready = true;
	send_cluster_ready(w->master, w->volume, w->generation, &payload, NULL, 0, NULL);
	if (!w->draining)
		chan_talk(w->master, TALK_SERVING);
}

static void on_cluster_refused(void *arg, int error, const char *sentence)
{
	on_refused(arg, error, true, sentence);
}

static void on_order_answer(void *arg, uint64_t number, int error, const char *sentence)
{
	struct worker *w = arg;
	struct msg_answered payload = {.number = number, .error = error};

	send_answered(w->master, w->volume, w->generation, &payload, sentence,
	    strnlen(sentence, SENTENCE_MAX), NULL);
}

static void on_order_looked(void *arg, uint64_t number, uint32_t vid)
{
	struct worker *w = arg;
	const struct msg_looked payload = {.number = number, .vid = vid};

	send_looked(w->master, w->volume, w->generation, &payload, NULL, 0, NULL);
}

static void on_order_table(void *arg, uint64_t number, int fd)
{
	struct worker *w = arg;
	struct msg_table payload = {.number = number};

	send_table(w->master, w->volume, w->generation, &payload, NULL, 0, &fd);
}

static void on_members(
    void *arg, uint64_t number, uint64_t cluster_ctime, const char *text, bool first, bool last)
{
	struct worker *w = arg;
	const struct msg_members payload = {
	    .number = number, .cluster_ctime = cluster_ctime, .first = first, .last = last};

	send_members(w->master, w->volume, w->generation, &payload, text, strlen(text), NULL);
}

static void on_busy(void *arg, bool busy)
{
	struct worker *w = arg;

	sheep_watch(w->sheep, busy ? SHEEP_STRICT : SHEEP_PATIENT);
}

static void on_dial_node(void *arg, uint64_t number, const char *address)
{
	struct worker *w = arg;
	const struct msg_dial_node payload = {.number = number};

	send_dial_node(
	    w->master, w->volume, w->generation, &payload, address, strlen(address), NULL);
}

static void on_hang_up(void *arg, uint64_t number)
{
	struct worker *w = arg;

	nodes_hang_up(w->nodes, number);
}

static const struct cluster_calls cluster_calls = {
    .ready = on_cluster_ready,
    .refused = on_cluster_refused,
    .answer = on_order_answer,
    .looked = on_order_looked,
    .table = on_order_table,
    .members = on_members,
    .busy = on_busy,
    .drained = on_drained,
    .dial = on_dial_node,
    .hang_up = on_hang_up,
    .now = connection_now,
};

static void on_node_failed(void *arg, uint64_t number, const char *why)
{
	struct worker *w = arg;

	if (w->cluster)
		cluster_node_failed(w->cluster, number, why);
	else if (number == w->visited)
		settle_visit_lost(w->settle);
	else
		serve_compare_lost(w->serve, why);
}

static const struct nodes_calls nodes_calls = {on_node_failed};

/* ---- the master ---- */

static void dial(struct worker *w, uint32_t count)
{
	struct msg_dial payload = {.count = count};

	send_dial(w->master, w->volume, w->generation, &payload, NULL, 0, NULL);
}

static void begin(struct worker *w)
{
	if (w->begun || !w->connected)
		return;
	w->begun = true;
	event_del(w->settle_first);
	/* a connection that broke without anybody's death looks like a restart, too */
	if (settle_cluster_restarted(w->settle) && w->refused)
		serve_lock_is_lost(w->serve);
	if (w->rewrite)
		serve_rewrite(w->serve);
	serve_begin(w->serve, settle_is_over(w->settle), w->died);
}

static void on_settle_first(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	begin(arg);
}

static void on_settled(void *arg, uint32_t past, bool died, const char *sentence)
{
	struct worker *w = arg;
	const struct msg_settled payload = {.past = past, .died = died};

	w->died = w->died || died;
	send_settled(w->master, w->volume, w->generation, &payload, sentence,
	    strnlen(sentence, SENTENCE_MAX), NULL);
	if (w->begun && w->refused && settle_cluster_restarted(w->settle) &&
	    serve_lock_is_assumed(w->serve)) {
		serve_lock_is_lost(w->serve);
		give_up(w, EXIT_DAEMON_LOST, -EIO,
		    "the cluster was started again and has forgotten the lock: it is taken again");
	}
	if (!settle_is_over(w->settle))
		return;
	if (w->begun)
		serve_settled(w->serve, w->died);
	else
		begin(w);
}

static const struct settle_calls settle_calls = {on_settled, on_unsure, on_visited};

/* What can be settled at once is settled before all else: then nothing has to wait for it later. */
static void begin_soon(struct worker *w, const char *address)
{
	unsigned wait = SETTLE_FIRST;
	struct timeval first;

	settle_served(w->settle, address);
	if (settle_concerns_server(w->settle))
		wait = SETTLE_SERVER;
	first = (struct timeval){wait / 1000, wait % 1000 * 1000};
	if (settle_is_over(w->settle))
		begin(w);
	else if (!w->settle_all)
		event_add(w->settle_first, &first);
}

static void take_past(struct worker *w, struct msg *m)
{
	int error = settle_add(w->settle, &m->body.past, msg_take_fd(m, 0), (const char *)m->tail);

	if (error)
		fatal("a connection of an earlier generation cannot be settled: %s",
		    strerror(-error));
}

static void take_witness(struct worker *w, struct msg *m)
{
	int error = sheep_add_witness(w->sheep, msg_take_fd(m, 0), (const char *)m->tail);

	if (error)
		fatal("the witness of the daemon cannot be used: %s", strerror(-error));
	w->witnessed = true;
	settle_begin(w->settle);
	dial(w, w->what.purpose == PURPOSE_ATTACH ? 1 + DATA_CONNECTIONS : 1);
}

/* The first connection, after a volume's witness, is the control connection, and the work begins
 * with it. */
static void take_daemon(struct worker *w, struct msg *m)
{
	int number;

	if (w->draining)
		return;
	if (w->kind == KIND_VOLUME && !w->witnessed) {
		take_witness(w, m);
		return;
	}
	if (w->connected && w->kind == KIND_CLUSTER)
		bad_message(w, "master", "DAEMON, where one connection is all that is needed");
	number = sheep_add(w->sheep, msg_take_fd(m, 0), (const char *)m->tail);
	if (number < 0) {
		log_warning("a connection to the daemon at %s is not used: %s",
		    (const char *)m->tail, strerror(-number));
		return;
	}
	log_debug("connection %d leads to the daemon at %s", number, (const char *)m->tail);
	if (w->connected) {
		serve_connected(w->serve, (unsigned)number);
		return;
	}
	w->connected = true;
	if (w->kind == KIND_CLUSTER) {
		cluster_begin(w->cluster, (const char *)m->tail, w->cluster_ctime);
		return;
	}
	sheep_watch(w->sheep, SHEEP_STRICT);
	begin_soon(w, (const char *)m->tail);
}

static void take_node(struct worker *w, struct msg *m)
{
	uint64_t number = m->body.node.number;
	struct daemon *node = nodes_add(w->nodes, number, msg_take_fd(m, 0), "that address");

	if (node)
		cluster_node_connected(w->cluster, number, node);
	else
		cluster_node_failed(w->cluster, number, "too many nodes are asked at once");
}

static void take_other(struct worker *w, struct msg *m)
{
	const char *address = (const char *)m->tail;
	bool visit = m->body.other.visit;
	bool wanted = visit ? settle_wants(w->settle, address) : serve_wants_comparison(w->serve);
	struct daemon *other;

	w->refused = w->refused || m->body.other.refused;
	if (!wanted)
		return;
	other = nodes_add(w->nodes, ++w->others, msg_take_fd(m, 0), address);
	if (other && visit) {
		w->visited = w->others;
		settle_visit(w->settle, other, address);
	} else if (other) {
		w->compared = w->others;
		serve_compare(w->serve, other);
	}
}

static void drain(struct worker *w, bool keep)
{
	w->draining = true;
	chan_talk(w->master, TALK_ENDING);
	if (!w->connected || (w->kind == KIND_VOLUME && !w->begun))
		on_drained(w);
	else if (w->kind == KIND_CLUSTER)
		cluster_drain(w->cluster);
	else if (keep)
		serve_hand_over(w->serve);
	else
		serve_drain(w->serve);
}

/* Without a control connection there is nothing to begin with. */
static void no_connection(struct worker *w, const char *why)
{
	char sentence[SENTENCE_MAX];

	if (!w->refused_more)
		log_warning("the daemon takes no further connection: %s", why);
	w->refused_more = true;
	if (w->connected || w->draining)
		return;
	snprintf(sentence, sizeof sentence, "the daemon takes no second connection: %s", why);
	on_refused(w, -ECONNREFUSED, true, sentence);
}

static void pong(struct worker *w, uint64_t number)
{
	const struct msg_pong payload = {.number = number, .in_flight = sheep_in_flight(w->sheep)};

	send_pong(w->master, w->volume, w->generation, &payload, NULL, 0, NULL);
}

static void on_master_message(struct chan *c, struct msg *m, void *arg)
{
	struct worker *w = arg;
	bool deletes = w->what.purpose != PURPOSE_ATTACH;
	char text[512];

	(void)c;
	if (log_debugging()) {
		msg_describe(m, text, sizeof text);
		log_debug("%s", text);
	}
	if (m->volume != w->volume || m->generation != w->generation)
		bad_message(w, "master", "it is for another volume or generation");
	if (m->id == MSG_DAEMON)
		take_daemon(w, m);
	else if (m->id == MSG_DIAL_FAILED)
		no_connection(w, (const char *)m->tail);
	else if (m->id == MSG_DRAIN)
		drain(w, m->body.drain.keep);
	else if (m->id == MSG_PING)
		pong(w, m->body.ping.number);
	else if (m->id == MSG_PAST)
		take_past(w, m);
	else if (m->id == MSG_FENCED)
		settle_fence(w->settle, (const char *)m->tail);
	else if (m->id == MSG_RELEASE)
		cluster_release(w->cluster, &m->body.release);
	else if (m->id == MSG_OTHER)
		take_other(w, m);
	else if (m->id == MSG_CHANGE)
		cluster_change(w->cluster, m->body.change.number);
	else if (m->id == MSG_LEARN)
		cluster_learn(w->cluster, m->body.learn.number);
	else if (m->id == MSG_NODE)
		take_node(w, m);
	else if (m->id == MSG_NODE_FAILED)
		cluster_node_failed(w->cluster, m->body.node_failed.number, (const char *)m->tail);
	else if (m->id == MSG_ORDER && w->cluster && m->body.order.verb != VERB_DELETE)
		cluster_order(w->cluster, &m->body.order);
	else if (m->id == MSG_ORDER && m->body.order.verb == VERB_SNAPSHOT && !deletes)
		serve_snapshot(w->serve, m->body.order.number, m->body.order.tag);
	else if (m->id == MSG_ORDER && m->body.order.verb == VERB_DELETE && deletes)
		serve_delete(w->serve, m->body.order.number);
	else
		bad_message(w, "master", msg_name(m->id));
}

static void on_master_ended(struct chan *c, int error, const char *why, void *arg)
{
	(void)c;
	if (error == -EBADMSG)
		bad_message(arg, "master", why);
	leave(arg, EXIT_MASTER_GONE);
}

static const struct chan_calls master_calls = {on_master_message, on_master_ended, NULL};

/* ---- the front ---- */

static void on_front_message(struct chan *c, struct msg *m, void *arg)
{
	struct worker *w = arg;
	struct record_request request;

	(void)c;
	if (m->volume != w->volume || m->generation != w->generation)
		bad_message(w, "front", "it is for another volume or generation");
	for (unsigned i = 0; i < m->records && !w->draining; i++) {
		msg_record(m, i, &request);
		serve_request(w->serve, &request);
	}
}

static void on_front_ended(struct chan *c, int error, const char *why, void *arg)
{
	struct worker *w = arg;

	if (error == -EBADMSG)
		bad_message(w, "front", why);
	if (!w->draining) {
		if (error)
			log_warning("the front is lost: %s", why);
		leave(w, EXIT_FRONT_GONE);
	}
	chan_close(c);
	w->front = NULL;
}

static const struct chan_calls front_calls = {on_front_message, on_front_ended, NULL};

/* ---- from birth to the loop ---- */

/* The first message, which comes before there is a loop. */
static void receive_start(struct worker *w, struct msg *m)
{
	const struct msg_edge edge = {w->kind, KIND_MASTER, TALK_STARTING};
	enum msg_id expected = w->kind == KIND_CLUSTER ? MSG_START_CLUSTER : MSG_START_VOLUME;
	struct pollfd p = {.fd = CONTROL_FD, .events = POLLIN};
	const char *why = "";
	int n;

	do {
		poll(&p, 1, -1);
		n = msg_receive(CONTROL_FD, &edge, m, &why);
	} while (n == -EAGAIN);
	if (!n)
		exit(EXIT_MASTER_GONE);
	if (n < 0 && n != -EBADMSG)
		fatal("nothing can be received from the master: %s", strerror(-n));
	if (n < 0 || m->id != expected) {
		log_error("the first message of the master was refused: %s",
		    n < 0 ? why : msg_name(m->id));
		exit(EXIT_BAD_MESSAGE);
	}
	w->volume = m->volume;
	w->generation = m->generation;
}

static void start_volume(struct worker *w, struct msg *m)
{
	const struct msg_start_volume *start = &m->body.start_volume;
	int error;

	w->uid = start->uid;
	w->gid = start->gid;
	memcpy(w->name, start->name, sizeof w->name);
	memcpy(w->tag, start->tag, sizeof w->tag);
	w->was = (struct vdi_identity){
	    start->cluster_ctime, start->create_time, start->size, start->vid, start->lock};
	w->what = (struct serve_volume){w->name, w->tag, start->snap_id, start->slots,
	    start->object_cache, &w->was, start->purpose};
	w->front = chan_open(
	    w->base, msg_take_fd(m, 0), KIND_VOLUME, KIND_FRONT, TALK_STARTING, &front_calls, w);
	error = arena_map(&w->out, msg_take_fd(m, 1), start->slots, false);
	if (!error)
		error = arena_map(&w->in, msg_take_fd(m, 2), start->slots, true);
	if (error)
		fatal("the payload memory cannot be used: %s", strerror(-error));
	w->answers_due = event_new(w->base, -1, 0, on_answers_due, w);
	w->settle_all = start->settle_all;
	w->died = start->died;
	w->refused = start->refused;
	w->rewrite = start->rewrite;
	w->try_again = evtimer_new(w->base, on_try_again, w);
	w->settle_first = event_new(w->base, -1, 0, on_settle_first, w);
	w->settle = settle_open(w->base, sheep_daemon(w->sheep), start->cluster_ctime,
	    start->fence_timeout, &settle_calls, w);
	w->nodes = nodes_open(w->base, &nodes_calls, w);
	w->serve = serve_open(&w->what, sheep_daemon(w->sheep), &w->out, &w->in, &serve_calls, w);
	if (!w->front || !w->answers_due || !w->try_again || !w->settle_first || !w->settle ||
	    !w->nodes || !w->serve)
		fatal("no memory for the volume");
}

static void start_cluster(struct worker *w, const struct msg *m)
{
	w->uid = m->body.start_cluster.uid;
	w->gid = m->body.start_cluster.gid;
	w->cluster_ctime = m->body.start_cluster.cluster_ctime;
	tzset(); /* tables show local time, whose rules are out of reach later */
	w->cluster = cluster_open(sheep_daemon(w->sheep), &cluster_calls, w);
	w->nodes = nodes_open(w->base, &nodes_calls, w);
	if (!w->cluster || !w->nodes)
		fatal("no memory for the cluster worker");
}

/* Everything that the jail will not allow any more. */
static void start(struct worker *w)
{
	struct msg m;

	receive_start(w, &m);
	w->base = event_base_new();
	if (!w->base)
		fatal("no event loop");
	w->master =
	    chan_open(w->base, CONTROL_FD, w->kind, KIND_MASTER, TALK_STARTING, &master_calls, w);
	w->sheep = sheep_open(w->base, &sheep_calls, w);
	if (!w->master || !w->sheep)
		fatal("no memory for conversations");
	if (w->kind == KIND_VOLUME)
		start_volume(w, &m);
	else
		start_cluster(w, &m);
}

static enum kind kind_of(int argc, char **argv)
{
	int type = 0;
	socklen_t size = sizeof type;
	bool cluster = argc >= 2 && !strcmp(argv[1], "cluster");
	bool volume = argc >= 2 && !strcmp(argv[1], "volume");

	if ((!cluster && !volume) || getsockopt(CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &size) ||
	    type != SOCK_SEQPACKET) {
		log_open("sheepfs-worker", LOG_TO_STDERR, 0);
		fatal("this program is started by sheepfs and of no use by itself; see sheepfs "
		      "--help");
	}
	return cluster ? KIND_CLUSTER : KIND_VOLUME;
}

/* Towards the daemon; only callers' requests are worth to wait awake for. */
static unsigned in_flight(void *arg)
{
	const struct worker *w = arg;

	return w->serve && w->ready ? sheep_in_flight(w->sheep) : 0;
}

/* More connections stay for the rest of this generation. */
static uint64_t pause_now(void *arg)
{
	struct worker *w = arg;
	struct pace_sight sight;
	uint64_t pause;

	if (!w->ready || w->draining || w->kind != KIND_VOLUME || w->what.purpose != PURPOSE_ATTACH)
		return 0;
	sight = (struct pace_sight){
	    loop_now(), sheep_in_flight(w->sheep), sheep_answered(w->sheep), sheep_moved(w->sheep)};
	pause = pace_look(&w->pace, &sight);
	if (!w->widened && pace_is_slow(&w->pace)) {
		w->widened = true;
		log_debug("the daemon is slow: %d more connections", DATA_CONNECTIONS_MORE);
		dial(w, DATA_CONNECTIONS_MORE);
	}
	return pause;
}

static const struct loop_calls loop_calls = {in_flight, pause_now};

int main(int argc, char **argv)
{
	static struct worker worker;
	struct worker *w = &worker;
	int error;

	w->kind = kind_of(argc, argv);
	log_open("sheepfs-worker", LOG_TO_PARENT, getenv("SHEEPFS_DEBUG") != NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* a terminal's: the master says when it is over */
	signal(SIGHUP, SIG_IGN);
	mallopt(M_MMAP_THRESHOLD, LARGE_MEMORY);
	prctl(PR_SET_TIMERSLACK, 1UL); /* a pause is not longer than it is meant to be */
	start(w);
	error = jail_enter(w->kind, w->uid, w->gid);
	if (error)
		fatal("the jail cannot be entered: %s", strerror(-error));
	loop_run(w->base, &loop_calls, w);
}
