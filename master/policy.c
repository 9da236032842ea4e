/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policy of restarts: see policy.h.
 */
#include "master/policy.h"

#include <string.h>

#define USEFUL_LIFE 10000 /* milliseconds: who served that long starts with a clean record */
#define UNREADY_MAX 8     /* workers in a row that die before they serve */
#define WORKER_DELAY 10   /* milliseconds, the second time; doubled from then on */
#define UNREADY_DELAY 100
#define DAEMON_DELAY 50 /* after the first round through the targets */
#define DELAY_MAX 2000
#define DAEMON_DELAY_MAX 1000

/* first, twice that, ...: the n-th, counted from 0. */
static unsigned growing(unsigned first, unsigned n, unsigned most)
{
	return n < 16 && first << n < most ? first << n : most;
}

static struct policy_choice after_daemon(const struct policy_event *e, struct policy_history *h)
{
	unsigned targets = e->targets ? e->targets : 1;
	unsigned rounds = h->daemons++ / targets;
	struct policy_choice choice = {.next_target = true};

	if (rounds)
		choice.delay = growing(DAEMON_DELAY, rounds - 1, DAEMON_DELAY_MAX);
	return choice;
}

static struct policy_choice after_worker(const struct policy_event *e, struct policy_history *h)
{
	struct policy_choice choice = {.fail = false};

	if (!e->was_ready) {
		choice.delay = growing(UNREADY_DELAY, h->unready++, DELAY_MAX);
		choice.fail = h->unready >= UNREADY_MAX;
		choice.next_target = true; /* what this daemon says may be what breaks it */
		return choice;
	}
	h->unready = 0;
	if (h->workers++)
		choice.delay = growing(WORKER_DELAY, h->workers - 2, DELAY_MAX);
	return choice;
}

struct policy_choice policy_choose(const struct policy_event *e, struct policy_history *h)
{
	if (e->was_ready)
		h->strangers = 0;
	if (e->was_ready && e->served >= USEFUL_LIFE)
		memset(h, 0, sizeof *h);
	switch (e->cause) {
	case POLICY_DAEMON:
		h->strangers = 0;
		return after_daemon(e, h);
	case POLICY_STRANGER:
		if (++h->strangers >= e->targets)
			return (struct policy_choice){.fail = true};
		return after_daemon(e, h);
	case POLICY_MOVED:
		memset(h, 0, sizeof *h);
		return (struct policy_choice){.delay = 0};
	case POLICY_REFUSED:
		return (struct policy_choice){.fail = true};
	case POLICY_WORKER:
	case POLICY_CHANGED:
		break;
	}
	return after_worker(e, h);
}
