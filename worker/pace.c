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
#define STALE (100 * MILLISECOND) /* nobody looked for so long: it was idle */
#define SHARE 8                   /* a pause is this part of the time of an answer */
#define PAUSE_MIN (50 * MICROSECOND)
#define PAUSE_MAX (150 * MICROSECOND)
#define TOGETHER 2               /* answers that come in a pause, or it is none */
#define SLOW (500 * MICROSECOND) /* for an answer */
#define LASTING 10               /* measurements */

static void begin(struct pace *p, uint64_t now, uint64_t answered)
{
	p->since = now;
	p->answered = answered;
	p->sum = p->looks = 0;
}

static uint64_t pause_for(uint64_t answer_time, uint64_t answers, uint64_t elapsed)
{
	uint64_t pause = answer_time / SHARE;

	if (pause > PAUSE_MAX)
		pause = PAUSE_MAX;
	return pause >= PAUSE_MIN && pause * answers >= TOGETHER * elapsed ? pause : 0;
}

static void conclude(struct pace *p, uint64_t now, uint64_t answered)
{
	uint64_t mean = p->sum / p->looks, answers = answered - p->answered;
	uint64_t elapsed = now - p->since, answer_time;

	p->pause = 0;
	if (mean >= DEEP && answers) {
		answer_time = mean * elapsed / answers;
		p->pause = pause_for(answer_time, answers, elapsed);
		p->slow = answer_time >= SLOW ? p->slow + 1 : 0;
	} else {
		p->slow = 0;
	}
	begin(p, now, answered);
}

uint64_t pace_look(struct pace *p, uint64_t now, unsigned in_flight, uint64_t answered)
{
	if (now - p->since >= STALE) {
		p->pause = p->slow = 0;
		begin(p, now, answered);
	}
	p->sum += in_flight;
	p->looks++;
	if (now - p->since >= WINDOW)
		conclude(p, now, answered);
	return in_flight >= DEEP ? p->pause : 0;
}

bool pace_is_slow(const struct pace *p)
{
	return p->slow >= LASTING;
}
