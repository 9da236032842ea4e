/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The volumes of the start: see startup.h.
 */
#include "master/startup.h"

#include "master/announce.h"
#include "master/command.h"
#include "master/notify.h"
#include "master/state.h"
#include "master/volume.h"

#include <errno.h>
#include <stdlib.h>

int startup_remember(struct master *m, const struct name *name)
{
	size_t size = (m->startup.nr_known + 1) * sizeof *name;
	struct name *more = realloc(m->startup.known, size);

	if (!more)
		return -ENOMEM;
	m->startup.known = more;
	more[m->startup.nr_known++] = *name;
	return 0;
}

void startup_close(struct master *m)
{
	free(m->startup.known);
	m->startup.known = NULL;
}

/* There already, or it was once. */
static bool is_done(const struct master *m, const struct name *name)
{
	for (unsigned i = 0; i < m->startup.nr_known; i++)
		if (!name_compare(&m->startup.known[i], name))
			return true;
	return volume_find(m, name);
}

static void attach_all(struct master *m)
{
	const struct conf *c = m->conf;

	m->startup.begun = true;
	m->startup.pending = 1; /* us: some are answered at once */
	for (unsigned i = 0; i < c->nr_volumes; i++) {
		if (is_done(m, &c->volumes[i]))
			continue;
		m->startup.pending++;
		command_attach(m, &c->volumes[i]);
	}
	m->startup.pending--;
}

static void turn(struct master *m)
{
	if (m->startup.over || m->startup.pending || m->stop || m->handover)
		return;
	m->startup.over = true;
	state_save_rest(m);
	notify_ready("serving");
	announce_served();
}

void startup_begin(struct master *m)
{
	if (!m->startup.begun)
		attach_all(m);
	turn(m);
}

void startup_answered(struct master *m)
{
	m->startup.pending--;
	turn(m);
}
