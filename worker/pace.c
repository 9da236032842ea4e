/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's pace: see pace.h.
 *
 * The time that an answer takes is what is in flight over the rate of answers (Little's law): no
 * request needs a clock of its own.
 */
#include "worker/pace.h"

#define MICROSECOND 1000U         /* nanoseconds */
#define MILLISECOND 1000000U      /* nanoseconds */
#define DEEP 8                    /* requests in flight that are many */
#define WINDOW (10 * MILLISECOND) /* of one measurement, at least */
#define STALE (100 * MILLISECOND) /* since the last look */
#define SHARE 8                   /* a pause is this part of the time of an answer */
#define PAUSE_MIN (50 * MICROSECOND)
#define PAUSE_MAX (150 * MICROSECOND)
#define TOGETHER 2               /* answers that come in a pause, or it is none */
#define SLOW (500 * MICROSECOND) /* for an answer */
#define LARGE 65536              /* bytes of an answer */
#define LASTING 10               /* measurements */

static void begin(struct pace *p, const struct pace_sight *sight)
{
	p->began = *sight;
	p->sum = p->looks = 0;
}

static uint64_t pause_for(uint64_t answer_time, uint64_t answers, uint64_t elapsed)
{
	uint64_t pause = answer_time / SHARE;

	if (pause > PAUSE_MAX)
		pause = PAUSE_MAX;
	return pause >= PAUSE_MIN && pause * answers >= TOGETHER * elapsed ? pause : 0;
}

static void conclude(struct pace *p, const struct pace_sight *sight)
{
	uint64_t mean = p->sum / p->looks, elapsed = sight->now - p->began.now;
	uint64_t answers = sight->answered - p->began.answered;
	uint64_t bytes = sight->bytes - p->began.bytes;
	uint64_t answer_time;

	p->pause = 0;
	if (mean >= DEEP && answers) {
		answer_time = mean * elapsed / answers;
		p->pause = pause_for(answer_time, answers, elapsed);
		p->slow = answer_time >= SLOW && bytes / answers < LARGE ? p->slow + 1 : 0;
	} else if (mean >= DEEP) {
		p->slow = 0;
	}
	begin(p, sight);
}

/* Without much in flight nobody looks for a while: that is no measurement. */
static bool was_idle(const struct pace *p, const struct pace_sight *sight)
{
	return p->last.in_flight < DEEP && sight->now - p->last.now >= STALE;
}

uint64_t pace_look(struct pace *p, const struct pace_sight *sight)
{
	if (was_idle(p, sight)) {
		p->pause = p->slow = 0;
		begin(p, sight);
	}
	p->last = *sight;
	p->sum += sight->in_flight;
	p->looks++;
	if (sight->now - p->began.now >= WINDOW)
		conclude(p, sight);
	return sight->in_flight >= DEEP ? p->pause : 0;
}

bool pace_is_slow(const struct pace *p)
{
	return p->slow >= LASTING;
}
