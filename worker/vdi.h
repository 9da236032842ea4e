/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Naming: which VDI a name leads to, whether it can be attached, and whether it is still the one
 * that was attached (rule 6: the same vid alone proves nothing).
 *
 * Owns the calls that concern names, locks and headers, and the checks of what they bring.  Never
 * reads an index or a data object, and never repeats a LOCK (rule 9).
 */
#ifndef SHEEPFS_WORKER_VDI_H
#define SHEEPFS_WORKER_VDI_H

#include "include/bounds.h"
#include "ipc/msg.h"
#include "worker/sheep.h"

#define VDI_SHOWN_SIZE 256 /* bytes of a name in a sentence, with its NUL; longer ones are cut */

/* A name as it goes over the wire: both fields NUL-padded (P 2.3). */
struct vdi_block {
	char name[SD_NAME_SIZE];
	char tag[SD_TAG_SIZE];
};

/* The name as people type it, cut where a sentence would be too long: with the number if snap_id is
 * not 0, else with the tag if there is one. */
void vdi_show(const struct vdi_block *block, uint32_t snap_id, char shown[VDI_SHOWN_SIZE]);

/* ---- calls: each prepares `call` wholly; blocks and buffers stay in place until done() ---- */

/* GET_VDI_INFO: name alone is the working VDI, with tag or snap_id a snapshot (P 4.3). */
void vdi_call_lookup(struct call *call, const struct vdi_block *block, uint32_t snap_id,
    void (*done)(struct call *), void *owner);

/* LOCK_VDI, type normal (P 6.3); of what vdi_call_lookup() finds. */
void vdi_call_lock(struct call *call, const struct vdi_block *block, uint32_t snap_id,
    void (*done)(struct call *), void *owner);

/* RELEASE_VDI, type normal. */
void vdi_call_release(struct call *call, uint32_t vid, void (*done)(struct call *), void *owner);

/* STAT_CLUSTER: which cluster this is; and whether its answer, a success, told that. */
void vdi_call_status(
    struct call *call, struct sd_epoch_log *log, void (*done)(struct call *), void *owner);
bool vdi_status_told(const struct call *call, const struct sd_epoch_log *log);

/* READ of the first `size` bytes of an inode. */
void vdi_call_header(struct call *call, uint32_t vid, struct sd_inode_header *header, size_t size,
    void (*done)(struct call *), void *owner);

/* NEW_VDI (P 2.3): a VDI of this name like `like` (size, copies, policies, object size).  base: the
 * snapshot to clone, or, with `snapshot`, the working VDI that becomes one; 0: none. */
void vdi_call_new(struct call *call, const struct vdi_block *block,
    const struct sd_inode_header *like, uint32_t base, bool snapshot, void (*done)(struct call *),
    void *owner);

/* Why a daemon refused NEW_VDI, for a sentence. */
const char *vdi_explain_new(uint32_t result);

/* Bytes of a header that tell which VDI it is. */
#define VDI_IDENTITY_SIZE offsetof(struct sd_inode_header, btree_counter)

/* ---- attach ---- */

/* What an earlier generation knew of the volume (rule 6); all but cluster_ctime is 0 when there was
 * none. */
struct vdi_identity {
	uint64_t cluster_ctime; /* 0: the daemon did not tell, or any will do */
	uint64_t create_time;
	uint64_t size; /* bytes that callers were told; it stays, whatever the VDI has become */
	uint32_t vid;  /* 0: there was no earlier generation */
	uint32_t lock; /* the vid whose lock is held; 0: none */
};

struct vdi_calls {
	/* error 0: everything below is known and fits.  Else a sentence; elsewhere: another daemon
	 * may do better.  The lock, if `locked`, is held in both cases. */
	void (*opened)(void *arg, int error, bool elsewhere, const char *sentence);
	void (*locked)(void *arg, uint32_t vid);
};

struct follow;

struct vdi {
	/* ---- what was asked for ---- */
	struct vdi_block block;
	uint32_t snap_id;
	bool snapshot; /* a snapshot was asked for: read-only, locked for deletion only */
	char shown[VDI_SHOWN_SIZE]; /* the name as people type it */
	struct vdi_identity was;    /* before us */
	enum purpose purpose;       /* for a deletion it need not be one that can be attached */
	/* ---- what was found ---- */
	bool cluster_told; /* the daemon told the next two */
	bool locks_enforced;
	uint64_t cluster_ctime;
	uint32_t vid;
	bool locked;          /* we asked for its lock and got it */
	bool lock_is_assumed; /* it was locked already: by an earlier generation, we take it */
	bool gone;     /* PURPOSE_DELETE_ON: it is deleted; there is no header, and no lock */
	bool nameless; /* ... and its inode is still there, without a name */
	uint64_t create_time;
	uint64_t size; /* bytes */
	unsigned shift;
	/* ---- under way ---- */
	struct daemon *daemon;
	const struct vdi_calls *calls;
	void *arg;
	bool locking;   /* LOCK_VDI is sent and not answered */
	bool abandoned; /* nobody wants the outcome */
	struct call call;
	struct sd_epoch_log epoch_log;
	struct sd_inode_header header;
	struct follow *follow;     /* with an earlier generation */
	struct vdi_block untagged; /* then: others may have the snapshot's tag by now */
};

/* Prepares a VDI, to be attached; name, tag and what it was are copied; was: NULL is as all zero.
 * Returns false when memory is short. */
bool vdi_init(struct vdi *v, const char *name, const char *tag, uint32_t snap_id,
    const struct vdi_identity *was, struct daemon *daemon, const struct vdi_calls *calls,
    void *arg);

/* Frees what vdi_init() made; a zeroed one is fine. */
void vdi_end(struct vdi *v);

/*
 * Proves the cluster, looks the name up (and locks it), reads the header and checks it.  After an
 * earlier generation: proves that this is its cluster and its volume, or what continues that
 * (follow.h); a lock that was held is taken again where the cluster has lost it, and moves to what
 * continues the volume.
 */
void vdi_begin(struct vdi *v);

/* No more steps.  Returns true when opened() will still come: a LOCK is in flight, and its outcome
 * must be known before anybody can release it. */
bool vdi_abandon(struct vdi *v);

/* ---- identity ---- */

enum vdi_verdict {
	VDI_SAME,
	VDI_OTHER,   /* proved not to be ours */
	VDI_UNKNOWN, /* the daemon did not tell */
};

/* One question to a daemon: is this still our cluster and our VDI?  Fields above the line are
 * the caller's; the memory stays until done(). */
struct vdi_proof {
	const struct vdi *vdi;
	struct daemon *daemon; /* who is asked; NULL: the volume's own */
	enum lane lane;
	unsigned connection; /* for LANE_NEW */
	bool by_name;        /* also: does the name still lead to our vid?  LANE_CONTROL only */
	void (*done)(struct vdi_proof *p);
	void *owner;
	/* ---- the outcome ---- */
	enum vdi_verdict verdict;
	enum exit_word word; /* for VDI_OTHER */
	char why[SENTENCE_MAX];
	/* ---- under way ---- */
	struct call call;
	struct sd_epoch_log epoch_log;
	struct sd_inode_header header;
};

void vdi_prove(struct vdi_proof *p);

#endif
