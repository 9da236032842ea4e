/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admission: see admission.h.
 */
#include "worker/admission.h"

#include "ipc/log.h"

static void prove_next(struct admission *a);

static void on_proof(struct vdi_proof *proof)
{
	struct admission *a = proof->owner;

	a->proving = false;
	if (a->doubtful) {
		a->doubtful = false;
		admission_add(a, proof->connection);
		return;
	}
	if (proof->verdict == VDI_OTHER) {
		a->failed(a->arg, proof->word, proof->why);
		return;
	}
	if (proof->verdict == VDI_SAME)
		daemon_admit(a->daemon, proof->connection);
	else
		log_warning("volume %s: connection %u to the daemon stays unused: %s",
		    a->vdi->shown, proof->connection, proof->why);
	prove_next(a);
}

static void prove_next(struct admission *a)
{
	if (!a->open || a->proving || !a->unproved)
		return;
	a->proving = true;
	a->proof.connection = (unsigned)__builtin_ctzll(a->unproved);
	a->unproved &= a->unproved - 1;
	a->proof.vdi = a->vdi;
	a->proof.lane = LANE_NEW;
	a->proof.by_name = false;
	a->proof.done = on_proof;
	a->proof.owner = a;
	vdi_prove(&a->proof);
}

void admission_add(struct admission *a, unsigned connection)
{
	if (!connection || connection >= ADMISSION_CONNECTIONS_MAX)
		bug("connection %u of %d", connection, ADMISSION_CONNECTIONS_MAX - 1);
	a->unproved |= UINT64_C(1) << connection;
	prove_next(a);
}

void admission_open(struct admission *a, bool open)
{
	a->open = open;
	a->doubtful = a->doubtful || (!open && a->proving);
	prove_next(a);
}
