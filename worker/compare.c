/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparing: see compare.h.
 */
#include "worker/compare.h"

#include "ipc/log.h"

static void on_read(struct call *call)
{
	struct compare *c = call->owner;

	c->reading = false;
	c->asked = 0;
}

void compare_begin(struct compare *c)
{
	if (!c->reading) {
		c->reading = true;
		vdi_call_header(&c->read, c->vdi->vid, &c->header, VDI_IDENTITY_SIZE, on_read, c);
		c->read.lane = LANE_DATA;
		daemon_submit(c->vdi->daemon, &c->read);
	} else if (compare_is_wanted(c)) {
		c->wanted(c->arg, c->asked++ > 0);
	}
}

/* What has become of a volume of this cluster is for the next generation to find out. */
static bool reads_it(const struct vdi_proof *p)
{
	return p->verdict == VDI_SAME || (p->word == EXIT_VOLUME_CHANGED && p->vdi->cluster_told);
}

/* Once is enough for people. */
static void not_better(struct compare *c, const char *why)
{
	log_line(c->asked > 1 ? 7 : 6,
	    "volume %s: another daemon does not read it either, so it stays at this one: %s",
	    c->vdi->shown, why);
	c->compared(c->arg);
}

static void on_proof(struct vdi_proof *proof)
{
	struct compare *c = proof->owner;

	c->proving = false;
	if (!c->reading)
		c->compared(c->arg);
	else if (reads_it(proof))
		c->better(c->arg);
	else
		not_better(c, proof->why);
}

void compare_with(struct compare *c, struct daemon *other)
{
	c->proving = true;
	c->proof = (struct vdi_proof){
	    .vdi = c->vdi, .daemon = other, .lane = LANE_CONTROL, .done = on_proof, .owner = c};
	vdi_prove(&c->proof);
}

void compare_lost(struct compare *c, const char *why)
{
	c->proving = false;
	not_better(c, why);
}
