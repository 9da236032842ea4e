/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deliberate misbehaviour: see fault.h.
 */
#include "lamb/fault.h"

#include "ipc/log.h"
#include "lamb/exclusion.h"
#include "lamb/gateway.h"
#include "lamb/lamb.h"
#include "lamb/request.h"
#include "lamb/vdi.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_SIZE 200
#define SHUFFLE_MILLISECONDS 2
#define SHUFFLE_BAG 64
#define ERROR_PAYLOAD 512U
#define FREEZE_TURN 1000 /* microseconds from look to look */

struct knobs {
	bool any, mute, half_dead, freeze, shuffle, wait_for_join, trim, error_payload;
	uint32_t data_result; /* forced on writes to data objects, or 0 */
	uint32_t snapshot_pause;
	char mute_vdi[SD_NAME_SIZE], mute_data[SD_NAME_SIZE], locked[SD_NAME_SIZE];
	uint32_t delay[256];                                        /* milliseconds, by opcode */
	uint32_t drop_before[256], drop_after[256], freeze_at[256]; /* at the Nth, by opcode */
};

struct fault {
	struct lamb *lamb;
	struct knobs knobs;
	uint32_t begun[256], ended[256]; /* requests since the knobs were set, by opcode */
	bool freezing;                   /* stops as soon as nothing is under way */
	struct request *muted, **last_muted;
	struct request *bag[SHUFFLE_BAG];
	unsigned in_bag;
	struct event *bag_timer, *freeze_timer;
};

const char *const fault_help =
    "  mute                accept and read, never answer (what was held runs once it is unset)\n"
    "  mute-vdi=NAME       object I/O of the VDI and its snapshots is never answered\n"
    "  mute-data=NAME      the same for its data objects only\n"
    "  half-dead           answer everything but object I/O\n"
    "  freeze              stop, as by SIGSTOP, as soon as no lock is held; SIGCONT ends it, and\n"
    "                      what has come meanwhile runs then\n"
    "  freeze=OP:N         the same at the Nth OP, which runs after SIGCONT\n"
    "  delay=OP:MS         run every OP so much later\n"
    "  shuffle             answer in random order\n"
    "  readonly, halt, no-space\n"
    "                      the result of every write to a data object\n"
    "  wait-for-join       as if members of the cluster were missing\n"
    "  locked=NAME         somebody else holds the lock of NAME\n"
    "  trim                READ answers without the zeros at their ends (old releases)\n"
    "  error-payload       error answers carry 512 bytes\n"
    "  drop-before=OP:N    close the connection instead of running the Nth OP\n"
    "  drop-after=OP:N     run the Nth OP, and close the connection instead of answering\n"
    "  snapshot-pause=MS   as upstream, between a snapshot's reading and writing of the inode\n"
    "  OP: create read write remove discard new-vdi lock-vdi release-vdi vdi-info flush\n"
    "      delete-vdi cluster-default node-list stat-cluster ..., or a number\n";

static void empty_bag(evutil_socket_t fd, short what, void *argument);
static void on_freeze(evutil_socket_t fd, short what, void *argument);

struct fault *fault_new(struct lamb *lamb)
{
	struct fault *fault = calloc(1, sizeof *fault);

	if (!fault)
		return NULL;
	fault->lamb = lamb;
	fault->last_muted = &fault->muted;
	fault->bag_timer = event_new(lamb->base, -1, 0, empty_bag, fault);
	fault->freeze_timer = event_new(lamb->base, -1, 0, on_freeze, fault);
	return fault;
}

/* What is still held is not run any more, nor freed: the process ends. */
void fault_free(struct fault *fault)
{
	event_free(fault->bag_timer);
	event_free(fault->freeze_timer);
	free(fault);
}

static int parse_number(const char *text, uint32_t *number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value > 1000000000)
		return -EINVAL;
	*number = (uint32_t)value;
	return 0;
}

/* "OP:NUMBER" into table[opcode] */
static int parse_by_op(const char *text, uint32_t *table)
{
	const char *colon = strchr(text, ':');
	const struct op *op;
	char name[32];

	if (!colon || (size_t)(colon - text) >= sizeof name)
		return -EINVAL;
	snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
	op = request_op_named(name);
	return op ? parse_number(colon + 1, &table[op->opcode]) : -EINVAL;
}

static int parse_name(const char *text, char *name)
{
	if (!*text || strlen(text) >= SD_NAME_SIZE)
		return -EINVAL;
	strcpy(name, text);
	return 0;
}

static int set_plain(struct knobs *knobs, const char *text)
{
	if (!strcmp(text, "mute"))
		knobs->mute = true;
	else if (!strcmp(text, "half-dead"))
		knobs->half_dead = true;
	else if (!strcmp(text, "freeze"))
		knobs->freeze = true;
	else if (!strcmp(text, "shuffle"))
		knobs->shuffle = true;
	else if (!strcmp(text, "readonly"))
		knobs->data_result = SD_RES_READONLY;
	else if (!strcmp(text, "halt"))
		knobs->data_result = SD_RES_HALT;
	else if (!strcmp(text, "no-space"))
		knobs->data_result = SD_RES_NO_SPACE;
	else if (!strcmp(text, "wait-for-join"))
		knobs->wait_for_join = true;
	else if (!strcmp(text, "trim"))
		knobs->trim = true;
	else if (!strcmp(text, "error-payload"))
		knobs->error_payload = true;
	else
		return -EINVAL;
	return 0;
}

static int set_valued(struct knobs *knobs, const char *text, const char *value)
{
	size_t size = (size_t)(value - text);

#define IS(knob) (size == sizeof(knob) - 1 && !memcmp(text, knob, size))
	if (IS("mute-vdi="))
		return parse_name(value, knobs->mute_vdi);
	if (IS("mute-data="))
		return parse_name(value, knobs->mute_data);
	if (IS("locked="))
		return parse_name(value, knobs->locked);
	if (IS("delay="))
		return parse_by_op(value, knobs->delay);
	if (IS("drop-before="))
		return parse_by_op(value, knobs->drop_before);
	if (IS("drop-after="))
		return parse_by_op(value, knobs->drop_after);
	if (IS("freeze="))
		return parse_by_op(value, knobs->freeze_at);
	if (IS("snapshot-pause="))
		return parse_number(value, &knobs->snapshot_pause);
#undef IS
	return -EINVAL;
}

static int set(struct knobs *knobs, const char *text, char *why)
{
	const char *equals = strchr(text, '=');
	int error = equals ? set_valued(knobs, text, equals + 1) : set_plain(knobs, text);

	if (error)
		snprintf(why, WHY_SIZE, "\"%.100s\" is no fault knob: see --help for them", text);
	else
		knobs->any = true;
	return error;
}

static int set_from_file(struct knobs *knobs, const char *path, char *why)
{
	FILE *file = fopen(path, "re");
	char line[512];
	int error = 0;

	if (!file) {
		error = -errno;
		snprintf(why, WHY_SIZE, "cannot read %.100s: %s", path, strerror(-error));
		return error;
	}
	while (!error && fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = 0;
		if (*line && *line != '#')
			error = set(knobs, line, why);
	}
	fclose(file);
	return error;
}

static void release_held(struct fault *fault)
{
	struct request *held = fault->muted;

	fault->muted = NULL;
	fault->last_muted = &fault->muted;
	while (held) {
		struct request *request = held;

		held = request->next;
		request_release(request);
	}
}

static void freeze_in(struct fault *fault, long microseconds);

/* Only here does it stop: between events, with no write, no cluster operation and no lock. */
static void on_freeze(evutil_socket_t fd, short what, void *argument)
{
	struct fault *fault = argument;
	const struct lamb *lamb = fault->lamb;

	(void)fd;
	(void)what;
	if (!fault->freezing)
		return;
	if (lamb->order.writing || lamb->order.exclusive || exclusion_is_busy(lamb->exclusion)) {
		freeze_in(fault, FREEZE_TURN);
		return;
	}
	log_info("frozen: SIGCONT ends it");
	raise(SIGSTOP);
	log_info("goes on after the freeze");
	fault->freezing = false;
	release_held(fault);
	gateway_settle(lamb->gateway);
}

static void freeze_in(struct fault *fault, long microseconds)
{
	const struct timeval time = {0, microseconds};

	fault->freezing = true;
	event_add(fault->freeze_timer, &time);
}

int fault_reload(struct fault *fault, char *const *given, unsigned nr, const char *path, char *why)
{
	struct knobs knobs = {0};
	int error = 0;

	for (unsigned i = 0; !error && i < nr; i++)
		error = set(&knobs, given[i], why);
	if (!error && path)
		error = set_from_file(&knobs, path, why);
	if (error)
		return error;
	fault->knobs = knobs;
	memset(fault->begun, 0, sizeof fault->begun);
	memset(fault->ended, 0, sizeof fault->ended);
	fault->freezing = false;
	if (knobs.freeze)
		freeze_in(fault, 0);
	release_held(fault);
	return 0;
}

void fault_abandon(struct fault *fault)
{
	while (fault->muted) {
		struct request *request = fault->muted;

		fault->muted = request->next;
		gateway_drop(request);
	}
	fault->last_muted = &fault->muted;
}

struct later {
	struct request *request;
	void (*then)(struct request *request);
};

static void on_later(evutil_socket_t fd, short what, void *argument)
{
	struct later later = *(struct later *)argument;
	struct gateway *gateway = later.request->lamb->gateway;

	(void)fd;
	(void)what;
	free(argument);
	later.then(later.request);
	gateway_settle(gateway);
}

void fault_later(struct request *request, uint32_t milliseconds, void (*then)(struct request *))
{
	struct timeval time = {milliseconds / 1000, milliseconds % 1000 * 1000};
	struct later *later = malloc(sizeof *later);

	if (!later || !request_keep(request))
		fatal("out of memory for a delayed request");
	*later = (struct later){request, then};
	if (event_base_once(request->lamb->base, -1, EV_TIMEOUT, on_later, later, &time))
		fatal("out of memory for a timer");
}

static bool is_object_io(const struct request *request)
{
	return request->req.opcode >= SD_OP_CREATE_AND_WRITE_OBJ &&
	       request->req.opcode <= SD_OP_DISCARD_OBJ;
}

static bool is_muted(const struct request *request)
{
	const struct knobs *knobs = &request->lamb->fault->knobs;
	uint64_t oid = request->req.obj.oid;
	const struct vdi *vdi;

	if (knobs->mute || (knobs->half_dead && is_object_io(request)))
		return true;
	if (!is_object_io(request) || (!*knobs->mute_vdi && !*knobs->mute_data))
		return false;
	vdi = vdi_find(request->lamb->vdis, sd_oid_vid(oid));
	if (!vdi || !*vdi->name)
		return false;
	return !strcmp(vdi->name, knobs->mute_vdi) ||
	       (!(oid & SD_OID_TYPES) && !strcmp(vdi->name, knobs->mute_data));
}

static bool is_data_write(const struct request *request)
{
	return (request->req.opcode == SD_OP_CREATE_AND_WRITE_OBJ ||
		   request->req.opcode == SD_OP_WRITE_OBJ) &&
	       !(request->req.obj.oid & SD_OID_TYPES);
}

static void hold_muted(struct fault *fault, struct request *request)
{
	if (!request_keep(request))
		fatal("out of memory for a held request");
	request->next = NULL;
	*fault->last_muted = request;
	fault->last_muted = &request->next;
}

bool fault_holds(struct request *request)
{
	struct fault *fault = request->lamb->fault;
	const struct knobs *knobs = &fault->knobs;
	uint8_t opcode = request->req.opcode;
	bool force = request->op->force;

	if (!knobs->any)
		return false;
	if (fault->freezing || is_muted(request)) {
		hold_muted(fault, request);
		return true;
	}
	if (!request->released) {
		fault->begun[opcode]++;
		if (knobs->drop_before[opcode] == fault->begun[opcode]) {
			gateway_drop(request);
			return true;
		}
		if (knobs->freeze_at[opcode] == fault->begun[opcode]) {
			freeze_in(fault, 0);
			hold_muted(fault, request);
			return true;
		}
		if (knobs->delay[opcode]) {
			fault_later(request, knobs->delay[opcode], request_release);
			return true;
		}
	}
	if (knobs->wait_for_join && !force) {
		request_finish(request, SD_RES_WAIT_FOR_JOIN);
		return true;
	}
	if (knobs->data_result && is_data_write(request)) {
		request_finish(request, knobs->data_result);
		return true;
	}
	return false;
}

/* P 1.4: data_length shorter than asked, and where in the object it begins. */
static void trim(struct request *request)
{
	struct sd_rsp *rsp = &request->rsp;
	uint32_t from = 0, to = rsp->data_length;
	uint64_t offset;

	while (to > from && !request->reply[to - 1])
		to--;
	while (from < to && !request->reply[from])
		from++;
	memmove(request->reply, request->reply + from, to - from);
	rsp->data_length = to - from;
	offset = (uint64_t)request->req.obj.offset + from;
	memcpy(rsp->obj.offset, &offset, sizeof offset);
}

static void add_error_payload(struct request *request)
{
	uint8_t *reply = request_reply(request, ERROR_PAYLOAD);

	if (reply)
		memset(reply, 0xee, ERROR_PAYLOAD);
}

static void empty_bag(evutil_socket_t fd, short what, void *argument)
{
	struct fault *fault = argument;

	(void)fd;
	(void)what;
	while (fault->in_bag) {
		unsigned i = (unsigned)random() % fault->in_bag;
		struct request *request = fault->bag[i];

		fault->bag[i] = fault->bag[--fault->in_bag];
		gateway_answer(request);
	}
	gateway_settle(fault->lamb->gateway);
}

static void shuffle(struct fault *fault, struct request *request)
{
	const struct timeval time = {0, SHUFFLE_MILLISECONDS * 1000};

	if (fault->in_bag == SHUFFLE_BAG) { /* one of them goes now */
		unsigned i = (unsigned)random() % SHUFFLE_BAG;

		gateway_answer(fault->bag[i]);
		fault->bag[i] = request;
		return;
	}
	fault->bag[fault->in_bag++] = request;
	if (fault->in_bag == 1)
		event_add(fault->bag_timer, &time);
}

void fault_answer(struct request *request)
{
	struct fault *fault = request->lamb->fault;
	const struct knobs *knobs = &fault->knobs;
	uint8_t opcode = request->req.opcode;

	if (!knobs->any) {
		gateway_answer(request);
		return;
	}
	fault->ended[opcode]++;
	if (knobs->drop_after[opcode] && knobs->drop_after[opcode] == fault->ended[opcode]) {
		gateway_drop(request);
		return;
	}
	if (knobs->trim && opcode == SD_OP_READ_OBJ && !request->rsp.result)
		trim(request);
	if (knobs->wait_for_join && opcode == SD_OP_STAT_CLUSTER)
		request->rsp.result = SD_RES_WAIT_FOR_JOIN; /* with its data (P 2.5) */
	else if (knobs->wait_for_join && opcode == SD_OP_CLUSTER_INFO && !request->rsp.result)
		((struct sd_cluster_info *)(void *)request->reply)->status = SD_STATUS_WAIT;
	else if (knobs->error_payload && request->rsp.result && !request->rsp.data_length)
		add_error_payload(request);
	if (knobs->shuffle)
		shuffle(fault, request);
	else
		gateway_answer(request);
}

uint32_t fault_snapshot_pause(const struct fault *fault)
{
	return fault->knobs.snapshot_pause;
}

bool fault_locked(const struct fault *fault, const char *name)
{
	return *fault->knobs.locked && !strcmp(fault->knobs.locked, name);
}
