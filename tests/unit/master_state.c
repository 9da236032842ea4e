/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one master writes and the next one reads: all of it comes back, whatever bytes a name has;
 * what is missing counts as lost; what is none of it is refused.
 */
#include "tests/unit/masterrig.h"

#include "master/command.h"
#include "master/front.h"
#include "master/locks.h"
#include "master/past.h"
#include "master/state.h"
#include "master/statetext.h"
#include "master/status.h"
#include "master/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESS "10.0.0.1:7000"

struct pair {
	struct conf conf;
	struct master old, new;
	struct bundle bundle;
};

static int some_fd(void)
{
	return memfd_create("some", MFD_CLOEXEC);
}

static void keep(struct pair *p, const char *name)
{
	assert_int_equal(bundle_add(&p->bundle, name, some_fd()), 0);
}

static struct volume *add_volume(struct pair *p, uint32_t number, const struct name *name)
{
	struct volume *v = volume_new(&p->old, number, name);
	char device[NOTIFY_NAME_MAX];
	int fds[2] = {some_fd(), some_fd()};

	assert_non_null(v);
	v->state = VOLUME_READY;
	v->device = some_fd();
	v->serving = v->owned = v->died = true;
	v->init_size = 3;
	memcpy(v->init, "\0 %", 3);
	v->identity = (struct identity){UINT64_MAX, 77, 1 << 20, 0xabc, 0xabd};
	v->face.size = 1 << 20;
	v->face.allocated = 4096;
	v->face.shift = 22;
	v->connection = 45;
	v->mount_id = 99;
	v->restarts = 7;
	v->rewrite = v->refused = true;
	v->died = false;
	v->lost = 12345;
	v->generation.number = 9;
	v->attributes.mode = 0640;
	v->attributes.uid = 1000;
	v->attributes.gid = 1001;
	assert_true(past_add(&v->pasts, number, 8, 3, 4711, ADDRESS, fds, 2));
	assert_true(past_fence(&v->pasts, ADDRESS));
	state_device_name(device, number);
	keep(p, device);
	return v;
}

static const struct name odd = {.name = "a b%/\n\x80\xff@", .tag = "t g", .snap_id = 0};
static const struct name plain = {.name = "plain"};

static struct pair *begin(void)
{
	static const struct front_memory memory = {.incarnation = 4,
	    .started = 1234567890,
	    .resend = true,
	    .pid = 4242,
	    .init = {1, 2, 0, 37, 255},
	    .init_size = 5};
	struct pair *p = calloc(1, sizeof *p);
	char why[SENTENCE_MAX];

	assert_non_null(p);
	assert_int_equal(target_parse_list(ADDRESS, &p->conf.targets, why, sizeof why), 0);
	p->conf.timeout = 10;
	p->conf.io_timeout = 5;
	p->conf.fence_timeout = 60;
	make_master(&p->old, &p->conf);
	make_master(&p->new, &p->conf);
	strcpy(p->old.mountpoint, "/mnt/a b");
	p->old.connection = 44;
	assert_int_equal(front_remember(&p->old, some_fd(), &memory), 0);
	keep(p, STATE_TREE_NAME);
	return p;
}

static void forget_master(struct master *m)
{
	struct volume *v;

	while ((v = TAILQ_FIRST(&m->volumes)))
		volume_free(v);
	front_forget(m);
	locks_forget_all(m);
	past_forget_all(m);
	status_forget_all(m);
	command_forget_results(m);
	cluster_close(m);
	discover_close(m);
	event_base_free(m->base);
}

static void end(struct pair *p)
{
	forget_master(&p->old);
	forget_master(&p->new);
	bundle_close(&p->bundle);
	free(p);
}

/* The state of the old one, as text. */
static char *written(struct pair *p, struct state_tree *tree)
{
	char why[SENTENCE_MAX], *text;
	int fd = state_write(&p->old);

	assert_true(fd >= 0);
	assert_int_equal(state_read(fd, &text, tree, why, sizeof why), 0);
	close(fd);
	return text;
}

static void all_of_it_comes_back(void **state)
{
	struct pair *p = begin();
	const struct front_memory *memory;
	struct state_tree tree;
	char why[SENTENCE_MAX], *text;
	const struct result *r;
	struct volume *v;
	struct past *past;

	(void)state;
	add_volume(p, 3, &odd);
	keep(p, "v3-g8-0");
	keep(p, "v3-g8-1");
	keep(p, "v3-g8-2"); /* after the state was saved */
	p->old.last_volume = 17;
	p->old.io_timeout = 6;
	p->old.page_cache = true;
	command_remember(&p->old, 11, -EBUSY, "no: 100%\nreally");
	command_remember_unfinished(&p->old, 12, 0x123, 5, true);
	text = written(p, &tree);
	assert_string_equal(tree.mountpoint, "/mnt/a b");
	assert_int_equal(tree.connection, 44);
	assert_true(tree.resend);
	assert_int_equal(tree.front, 4242);
	assert_int_equal(state_take(&p->new, text, &p->bundle, why, sizeof why), 0);
	free(text);

	assert_string_equal(p->new.mountpoint, "/mnt/a b");
	assert_int_equal(p->new.last_volume, 17);
	assert_int_equal(p->new.io_timeout, 6);
	assert_int_equal(p->new.fence_timeout, 60);
	assert_true(p->new.page_cache);
	memory = front_memory(&p->new);
	assert_non_null(memory);
	assert_int_equal(memory->incarnation, 4);
	assert_int_equal(memory->started, 1234567890);
	assert_int_equal(memory->init_size, 5);
	assert_memory_equal(memory->init, "\1\2\0\45\377", 5);

	v = TAILQ_FIRST(&p->new.volumes);
	assert_non_null(v);
	assert_null(TAILQ_NEXT(v, link));
	assert_int_equal(name_compare(&v->name, &odd), 0);
	assert_int_equal(v->state, VOLUME_RECOVERING);
	assert_true(v->settle_all && v->serving && v->mounted && v->shown_by_front);
	assert_true(v->device >= 0);
	assert_int_equal(v->identity.cluster_ctime, UINT64_MAX);
	assert_int_equal(v->identity.lock, 0xabd);
	assert_int_equal(v->generation.number, 9);
	assert_int_equal(v->restarts, 7);
	assert_int_equal(v->lost, 12345);
	assert_int_equal(v->attributes.uid, 1000);
	assert_int_equal(v->init_size, 3);
	assert_memory_equal(v->init, "\0 %", 3);
	past = TAILQ_FIRST(&v->pasts);
	assert_non_null(past);
	assert_int_equal(past->number, 8);
	assert_int_equal(past->epoch, 3);
	assert_int_equal(past->count, 3);
	assert_string_equal(past->address, ADDRESS);
	assert_int_equal(past->since, 4711);
	assert_true(past->fenced);
	assert_true(v->rewrite && v->refused && !v->died);

	r = STAILQ_FIRST(&p->new.results);
	assert_int_equal(r->number, 11);
	assert_int_equal(r->error, -EBUSY);
	assert_string_equal(r->sentence, "no: 100%\nreally");
	r = STAILQ_NEXT(r, next);
	assert_true(r->unfinished);
	assert_int_equal(r->vid, 0x123);
	assert_true(r->created == 5);
	assert_true(r->looked);
	assert_int_equal(r->created, 5);
	end(p);
}

/* Members that were learnt are targets of the next one, unless it is not to have any. */
static void members_come_back(void **state)
{
	static const struct msg_members told = {.cluster_ctime = 77, .first = 1, .last = 1};

	(void)state;
	for (unsigned on = 0; on < 2; on++) {
		struct pair *p = begin();
		const struct target_list *targets;
		struct state_tree tree;
		char why[SENTENCE_MAX], *text;

		p->old.discover = on;
		discover_take(&p->old, &told, "10.0.0.2:7000,10.0.0.3:7000");
		text = written(p, &tree);
		assert_int_equal(state_take(&p->new, text, &p->bundle, why, sizeof why), 0);
		free(text);
		assert_int_equal(p->new.discover, on);
		targets = discover_targets(&p->new);
		assert_int_equal(targets->count, on ? 3 : 1);
		if (on) {
			assert_string_equal(targets->targets[2].text, "10.0.0.3:7000");
			assert_int_equal(targets->targets[2].cluster_ctime, 77);
		}
		end(p);
	}
}

/* It dies in the midst of it: what there was is what the next one finds. */
static void nothing_is_saved_before_all_is_taken(void **state)
{
	struct pair *p = begin();
	struct state_tree tree;
	char why[SENTENCE_MAX], *text, *after;
	int fd;

	(void)state;
	p->conf.discover = p->old.discover = p->new.discover = true;
	discover_take(&p->old,
	    &(struct msg_members){.cluster_ctime = 7, .first = true, .last = true},
	    "10.0.0.2:7000");
	add_volume(p, 1, &plain);
	fd = state_write(&p->old);
	assert_int_equal(state_read(fd, &text, &tree, why, sizeof why), 0);
	assert_non_null(strstr(text, "\nmembers "));
	assert_int_equal(state_open(&p->new, dup(fd)), 0);
	assert_int_equal(state_take(&p->new, text, &p->bundle, why, sizeof why), 0);
	assert_int_equal(state_read(fd, &after, &tree, why, sizeof why), 0);
	assert_string_equal(after, text);
	free(after);
	/* but afterwards it is */
	state_save(&p->new);
	assert_int_equal(state_read(fd, &after, &tree, why, sizeof why), 0);
	assert_non_null(strstr(after, "\nvolume 1 plain "));
	free(after);
	free(text);
	close(fd);
	state_close(&p->new);
	end(p);
}

/* A connection that nobody kept says nothing, and never ends. */
static void a_lost_connection_is_no_evidence(void **state)
{
	struct pair *p = begin();
	struct state_tree tree;
	char why[SENTENCE_MAX], *text, byte;
	struct past *past;

	(void)state;
	add_volume(p, 1, &plain);
	keep(p, "v1-g8-1");
	text = written(p, &tree);
	assert_int_equal(state_take(&p->new, text, &p->bundle, why, sizeof why), 0);
	free(text);
	past = TAILQ_FIRST(&TAILQ_FIRST(&p->new.volumes)->pasts);
	assert_int_equal(past->count, 2);
	shutdown(past->fds[0], SHUT_WR);
	assert_int_equal(recv(past->fds[0], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	end(p);
}

/* What it had asked for is kept for the next attach, with its lock. */
static void a_volume_without_its_device_was_detached(void **state)
{
	struct pair *p = begin();
	struct state_tree tree;
	char why[SENTENCE_MAX], *text;
	struct left *l;

	(void)state;
	add_volume(p, 1, &plain);
	close(bundle_take(&p->bundle, "v1-device"));
	text = written(p, &tree);
	assert_int_equal(state_take(&p->new, text, &p->bundle, why, sizeof why), 0);
	free(text);
	assert_true(TAILQ_EMPTY(&p->new.volumes));
	l = LIST_FIRST(&p->new.lefts);
	assert_non_null(l);
	assert_int_equal(name_compare(&l->name, &plain), 0);
	assert_int_equal(l->identity.lock, 0xabd);
	assert_int_equal(past_count(&l->pasts), 1);
	end(p);
}

/* One that was just being attached, and had said which lock it asks for. */
static void a_lock_alone_is_released(void **state)
{
	struct pair *p = begin();
	struct state_tree tree;
	char why[SENTENCE_MAX], *text;
	struct volume *v = volume_new(&p->old, 5, &plain);

	(void)state;
	v->identity.lock = 0x77;
	text = written(p, &tree);
	assert_int_equal(state_take(&p->new, text, &p->bundle, why, sizeof why), 0);
	free(text);
	assert_true(TAILQ_EMPTY(&p->new.volumes));
	assert_true(LIST_EMPTY(&p->new.lefts));
	assert_non_null(LIST_FIRST(&p->new.locks));
	assert_int_equal(LIST_FIRST(&p->new.locks)->vid, 0x77);
	end(p);
}

static void an_option_that_was_changed_counts(void **state)
{
	struct pair *p = begin();
	struct conf changed = p->conf;
	struct state_tree tree;
	char why[SENTENCE_MAX], *text;

	(void)state;
	changed.io_timeout = 8; /* nobody wrote to that knob */
	changed.fence_timeout = 9;
	p->old.fence_timeout = 70; /* but to this one */
	text = written(p, &tree);
	p->new.conf = &changed;
	p->new.io_timeout = 8;
	p->new.fence_timeout = 9;
	assert_int_equal(state_take(&p->new, text, &p->bundle, why, sizeof why), 0);
	free(text);
	assert_int_equal(p->new.io_timeout, 8);
	assert_int_equal(p->new.fence_timeout, 70);
	end(p);
}

/* Each line without its last field, with one more, and with a word that nobody knows. */
static void what_is_none_is_refused(void **state)
{
	unsigned refused = 0;

	(void)state;
	for (unsigned line = 1; line < 6; line++) {
		for (unsigned how = 0; how < 3; how++) {
			struct pair *p = begin();
			struct state_tree tree;
			char why[SENTENCE_MAX] = "", spoilt[16384] = "", *text, *at, *end_of;

			add_volume(p, 1, &plain);
			text = written(p, &tree);
			at = text;
			for (unsigned n = 0; n < line; n++)
				at = strchr(at, '\n') + 1;
			end_of = strchr(at, '\n');
			if (how == 0) {
				while (*--end_of != ' ')
					;
				snprintf(spoilt, sizeof spoilt, "%.*s%s", (int)(end_of - text),
				    text, strchr(at, '\n'));
			} else if (how == 1) {
				snprintf(spoilt, sizeof spoilt, "%.*s 1%s", (int)(end_of - text),
				    text, end_of);
			} else {
				snprintf(
				    spoilt, sizeof spoilt, "%.*sx%s", (int)(at - text), text, at);
			}
			free(text);
			refused += state_take(&p->new, spoilt, &p->bundle, why, sizeof why) < 0;
			assert_non_null(strstr(why, "none that this sheepfs knows"));
			end(p);
		}
	}
	assert_int_equal(refused, 15);
}

static void a_file_that_is_no_state_is_refused(void **state)
{
	/* what follows the first word */
	static const struct {
		int version, error;
		const char *rest;
	} files[] = {{STATE_VERSION + 1, -EPROTO, " 64 3\nend\n"}, {1, -EPROTO, " 64 3\nend\n"},
	    {STATE_VERSION, -ENODATA, " 64 99999999999\n"}, {STATE_VERSION, -ENODATA, " 64 8\n"},
	    {STATE_VERSION, -ENODATA, "nonsense"}};
	struct state_tree tree;
	char why[SENTENCE_MAX], *text, head[64];

	(void)state;
	for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
		int fd = some_fd();

		memset(head, 0, sizeof head);
		snprintf(head, sizeof head, "%s %d%s", STATE_FIRST_WORD, files[i].version,
		    files[i].rest);
		assert_int_equal(pwrite(fd, head, sizeof head, 0), sizeof head);
		why[0] = 0;
		assert_int_equal(state_read(fd, &text, &tree, why, sizeof why), files[i].error);
		assert_true(why[0]);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_of_it_comes_back),
	    cmocka_unit_test(members_come_back),
	    cmocka_unit_test(nothing_is_saved_before_all_is_taken),
	    cmocka_unit_test(a_lost_connection_is_no_evidence),
	    cmocka_unit_test(a_volume_without_its_device_was_detached),
	    cmocka_unit_test(a_lock_alone_is_released),
	    cmocka_unit_test(an_option_that_was_changed_counts),
	    cmocka_unit_test(what_is_none_is_refused),
	    cmocka_unit_test(a_file_that_is_no_state_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
