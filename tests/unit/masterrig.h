/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A master without processes, for unit tests of its parts.
 */
#ifndef SHEEPFS_TESTS_UNIT_MASTERRIG_H
#define SHEEPFS_TESTS_UNIT_MASTERRIG_H

#include "tests/unit/unit.h"

#include "master/cluster.h"
#include "master/discover.h"
#include "master/master.h"

#include <event2/event.h>

/* m is zeroed, c stays with it.  Afterwards cluster_close(), discover_close(), event_base_free(). */
static inline void make_master(struct master *m, struct conf *c)
{
	m->conf = c;
	m->targets = &c->targets;
	m->io_timeout = c->io_timeout;
	m->fence_timeout = c->fence_timeout;
	m->device = -1;
	TAILQ_INIT(&m->volumes);
	TAILQ_INIT(&m->commands);
	STAILQ_INIT(&m->results);
	LIST_INIT(&m->locks);
	LIST_INIT(&m->lefts);
	STAILQ_INIT(&m->failovers);
	m->base = event_base_new();
	assert_non_null(m->base);
	assert_int_equal(discover_open(m), 0);
	assert_int_equal(cluster_open(m), 0);
}

#endif
