/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Naming: see vdi.h.
 *
 * What a daemon says is judged field by field before anything is believed: a header that does not
 * fit refuses the attach and is never repaired.
 */
#include "worker/vdi.h"

#include "ipc/log.h"
#include "ipc/name.h"
#include "worker/follow.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vdi_show(const struct vdi_block *block, uint32_t snap_id, char shown[VDI_SHOWN_SIZE])
{
	struct name n = {.snap_id = snap_id};
	char whole[NAME_SHOWN_SIZE];

	memcpy(n.name, block->name, sizeof n.name);
	if (!snap_id)
		memcpy(n.tag, block->tag, sizeof n.tag);
	if (name_show(&n, whole) >= VDI_SHOWN_SIZE)
		memcpy(whole + VDI_SHOWN_SIZE - sizeof "...", "...", sizeof "...");
	memcpy(shown, whole, strlen(whole) + 1);
}

/* ---- calls ---- */

static void call_with_block(struct call *call, const struct vdi_block *block)
{
	call->req.flags = SD_FLAG_WRITE;
	call->send = block;
	call->send_size = sizeof *block;
}

void vdi_call_lookup(struct call *call, const struct vdi_block *block, uint32_t snap_id,
    void (*done)(struct call *), void *owner)
{
	call_init(call, SD_OP_GET_VDI_INFO, LANE_CONTROL, done, owner);
	call_with_block(call, block);
	call->req.vdi.snapid = snap_id;
}

void vdi_call_lock(struct call *call, const struct vdi_block *block, uint32_t snap_id,
    void (*done)(struct call *), void *owner)
{
	call_init(call, SD_OP_LOCK_VDI, LANE_CONTROL, done, owner);
	call_with_block(call, block);
	call->req.vdi.snapid = snap_id;
	call->req.vdi.type = SD_LOCK_NORMAL;
}

void vdi_call_release(struct call *call, uint32_t vid, void (*done)(struct call *), void *owner)
{
	call_init(call, SD_OP_RELEASE_VDI, LANE_CONTROL, done, owner);
	call->req.vdi.base_vdi_id = vid;
	call->req.vdi.type = SD_LOCK_NORMAL;
}

void vdi_call_status(
    struct call *call, struct sd_epoch_log *log, void (*done)(struct call *), void *owner)
{
	call_init(call, SD_OP_STAT_CLUSTER, LANE_CONTROL, done, owner);
	call->receive = log;
	call->receive_size = sizeof *log;
}

void vdi_call_header(struct call *call, uint32_t vid, struct sd_inode_header *header, size_t size,
    void (*done)(struct call *), void *owner)
{
	call_init(call, SD_OP_READ_OBJ, LANE_CONTROL, done, owner);
	call->req.obj.oid = sd_inode_oid(vid);
	call->receive = header;
	call->receive_size = size;
}

void vdi_call_new(struct call *call, const struct vdi_block *block,
    const struct sd_inode_header *like, uint32_t base, bool snapshot, void (*done)(struct call *),
    void *owner)
{
	call_init(call, SD_OP_NEW_VDI, LANE_CONTROL, done, owner);
	call->req.flags = SD_FLAG_WRITE;
	call->send = block->name;
	call->send_size = sizeof block->name;
	call->req.vdi.vdi_size = like->vdi_size;
	call->req.vdi.base_vdi_id = base;
	call->req.vdi.copies = like->nr_copies;
	call->req.vdi.copy_policy = like->copy_policy;
	call->req.vdi.store_policy = like->store_policy;
	call->req.vdi.block_size_shift = like->block_size_shift;
	call->req.vdi.snapid = snapshot;
}

const char *vdi_explain_new(uint32_t result)
{
	switch (result) {
	case SD_RES_VDI_EXIST:
		return "a volume of that name exists; vdi/list shows it";
	case SD_RES_FULL_VDI:
		return "the cluster has as many volumes, deleted ones included, as it can number";
	case SD_RES_VDI_WRITE:
		return "the cluster could not write it down: too few nodes for its copies, or no "
		       "space";
	case SD_RES_NO_SPACE:
		return "the cluster has no space left";
	case SD_RES_BASE_VDI_READ:
		return "the snapshot was deleted by somebody else";
	case SD_RES_WAIT_FOR_FORMAT:
		return "the cluster waits to be formatted, `dog cluster format` does it";
	case SD_RES_WAIT_FOR_JOIN:
		return "the cluster waits for nodes that are missing, start them";
	case SD_RES_CLUSTER_ERROR:
	case SD_RES_NETWORK_ERROR:
		return "the cluster was disturbed meanwhile";
	default:
		return "the daemon refused";
	}
}

bool vdi_status_told(const struct call *call, const struct sd_epoch_log *log)
{
	return call->rsp.result == SD_RES_SUCCESS && call->rsp.data_length >= sizeof *log &&
	       log->ctime != 0;
}

/* ---- attach ---- */

/* A snapshot is nobody's alone, unless it is to be deleted: two who empty its index at once destroy
 * what others share (P 3.6). */
static bool is_locked_by_us(const struct vdi *v)
{
	return !v->snapshot || v->purpose != PURPOSE_ATTACH;
}

static void finish(struct vdi *v, int error, bool elsewhere, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void finish(struct vdi *v, int error, bool elsewhere, const char *format, ...)
{
	char sentence[SENTENCE_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof sentence, format, ap);
	va_end(ap);
	v->calls->opened(v->arg, error, elsewhere, sentence);
}

/* The header belongs to what was asked for, or to something that the daemon mistook for it. */
static bool header_is_ours(const struct vdi *v)
{
	const struct sd_inode_header *h = &v->header;

	if (h->vdi_id != v->vid || strncmp(h->name, v->block.name, sizeof h->name))
		return false;
	if (v->block.tag[0])
		return !strncmp(h->tag, v->block.tag, sizeof h->tag);
	return !v->snap_id || h->snap_id == v->snap_id;
}

/* What is to be read and written must be a plain one, whole. */
static bool shape_is_refused(struct vdi *v)
{
	const struct sd_inode_header *h = &v->header;
	unsigned shift = h->block_size_shift;

	if (h->store_policy)
		finish(v, -EOPNOTSUPP, false,
		    "volume %s is a hyper volume (store policy %u), whose index sheepfs cannot "
		    "write; copy it to a plain one (dog vdi create without -y)",
		    v->shown, h->store_policy);
	else if (shift < SD_SHIFT_MIN || shift > SD_SHIFT_MAX)
		finish(v, -EINVAL, false,
		    "volume %s has objects of 2^%u bytes; from 2^%d to 2^%d is possible", v->shown,
		    shift, SD_SHIFT_MIN, SD_SHIFT_MAX);
	else if (!h->vdi_size)
		finish(v, -EINVAL, false,
		    "volume %s has the size 0; give it one (dog vdi resize) and attach it again",
		    v->shown);
	else if (h->vdi_size > (uint64_t)SD_INODE_NR_INDEX << shift)
		finish(v, -EFBIG, false,
		    "volume %s claims %llu bytes, but its objects of 2^%u bytes make %llu at most",
		    v->shown, (unsigned long long)h->vdi_size, shift,
		    (unsigned long long)SD_INODE_NR_INDEX << shift);
	else if (h->vdi_size < v->was.size)
		finish(v, -ESTALE, false,
		    "volume %s had %llu bytes and has %llu now: unmount it and mount it again",
		    v->shown, (unsigned long long)v->was.size, (unsigned long long)h->vdi_size);
	else
		return false;
	return true;
}

static void header_check(struct vdi *v)
{
	const struct sd_inode_header *h = &v->header;

	if (!h->name[0]) {
		finish(v, -ENOENT, false, "volume %s was deleted (vid %x)", v->shown, v->vid);
	} else if (!header_is_ours(v)) {
		finish(v, -EIO, true,
		    "the daemon led from volume %s to vid %x, whose header is that of vid %x with "
		    "another name or tag; look at vdi/list and `dog vdi check`",
		    v->shown, v->vid, h->vdi_id);
	} else if (v->snapshot != (h->snap_ctime != 0)) {
		finish(v, -EAGAIN, true, "volume %s %s at this very moment; try again", v->shown,
		    v->snapshot ? "is not a snapshot" : "was made a snapshot");
	} else if (v->purpose != PURPOSE_ATTACH || !shape_is_refused(v)) {
		v->create_time = h->create_time;
		v->size = v->was.size ? v->was.size : h->vdi_size;
		v->shift = h->block_size_shift;
		finish(v, 0, false, "volume %s is vid %x", v->shown, v->vid);
	}
}

static void on_header(struct call *call)
{
	struct vdi *v = call->owner;

	if (v->abandoned)
		return;
	if (call->rsp.result != SD_RES_SUCCESS)
		finish(v, sheep_errno(call->rsp.result), true,
		    "the header of volume %s (vid %x) cannot be read: %s", v->shown, v->vid,
		    sheep_result_name(call->rsp.result));
	else
		header_check(v);
}

static void read_header(struct vdi *v)
{
	vdi_call_header(&v->call, v->vid, &v->header, sizeof v->header, on_header, v);
	daemon_submit(v->daemon, &v->call);
}

static void lookup_refuse(struct vdi *v, uint32_t result, uint32_t vid)
{
	int error = sheep_errno(result);

	if (result == SD_RES_NO_VDI)
		finish(v, error, false,
		    "there is no volume %s; vdi/list shows what there is, a snapshot is NAME@TAG",
		    v->shown);
	else if (result == SD_RES_NO_TAG)
		finish(v, error, false, "there is no snapshot %s; vdi/list shows what there is",
		    v->shown);
	else if (result == SD_RES_VDI_LOCKED && v->snapshot)
		finish(v, error, false,
		    "snapshot %s (vid %x) is locked: somebody else deletes it, or it was taken "
		    "under "
		    "a client that still has its lock; when nobody deletes it, `dog vdi delete -s "
		    "TAG NAME` does, without asking",
		    v->shown, vid);
	else if (result == SD_RES_VDI_LOCKED)
		finish(v, error, false,
		    "volume %s (vid %x) is locked by another client, or by one that died; when "
		    "nobody uses it, `dog vdi lock unlock %s` releases it",
		    v->shown, vid, v->shown);
	else
		finish(v, error, true, "volume %s cannot be %s: %s", v->shown,
		    is_locked_by_us(v) ? "locked" : "looked up", sheep_result_name(result));
}

/* The vid of a name, from LOCK_VDI or GET_VDI_INFO. */
static void on_found(struct call *call)
{
	struct vdi *v = call->owner;
	uint32_t result = call->rsp.result;
	uint32_t vid = call->rsp.vdi.vdi_id;

	v->locking = false;
	if (!is_locked_by_us(v) && v->abandoned)
		return;
	if (result != SD_RES_SUCCESS) {
		lookup_refuse(v, result, vid);
		return;
	}
	if (!vid || vid >= SD_NR_VDIS) {
		finish(v, -EIO, true, "the daemon says that volume %s is vid %x, which none can be",
		    v->shown, vid);
		return;
	}
	v->vid = vid;
	if (is_locked_by_us(v)) {
		v->locked = true;
		v->calls->locked(v->arg, vid);
	}
	if (v->abandoned) {
		finish(v, -ESHUTDOWN, false, "volume %s is not wanted any more", v->shown);
		return;
	}
	read_header(v);
}

/* ---- after an earlier generation ---- */

static void on_old_released(struct call *call)
{
	struct vdi *v = call->owner;

	if (v->abandoned)
		return;
	if (call->rsp.result != SD_RES_SUCCESS && call->rsp.result != SD_RES_VDI_NOT_LOCKED)
		log_warning("volume %s: the lock of what is a snapshot now (vid %x) was not "
			    "released: %s",
		    v->shown, v->was.vid, sheep_result_name(call->rsp.result));
	read_header(v);
}

/* The VDI whose lock nobody needs any more, once that of the volume is ours; 0: there is none.  An
 * earlier one may have died before it gave it back, or have asked for the next already. */
static uint32_t old_lock(const struct vdi *v)
{
	uint32_t old = v->was.lock == v->vid ? v->was.vid : v->was.lock;

	return old == v->vid ? 0 : old;
}

/* The lock belongs to the vid; of our own the cluster says that it is locked (P 6.3).  Who asks for
 * one says so before: should we die now, the next one finds it locked, by us. */
static void on_lock_again(struct call *call)
{
	struct vdi *v = call->owner;
	uint32_t result = call->rsp.result, vid = call->rsp.vdi.vdi_id;
	bool ours = result == SD_RES_VDI_LOCKED && vid == v->vid && vid == v->was.lock;

	v->locking = false;
	if (result == SD_RES_SUCCESS || ours) {
		v->locked = true;
		v->lock_is_assumed = ours;
		v->calls->locked(v->arg, vid);
	}
	if (v->abandoned)
		finish(v, -ESHUTDOWN, false, "volume %s is not wanted any more", v->shown);
	else if (!v->locked) {
		v->calls->locked(v->arg, v->was.lock);
		lookup_refuse(v, result, vid);
	} else if (vid != v->vid)
		finish(
		    v, -EAGAIN, true, "volume %s is just being changed by somebody else", v->shown);
	else if (old_lock(v)) {
		vdi_call_release(&v->call, old_lock(v), on_old_released, v);
		daemon_submit(v->daemon, &v->call);
	} else {
		read_header(v);
	}
}

static void on_followed(struct follow *f)
{
	struct vdi *v = f->owner;

	if (v->abandoned)
		return;
	if (f->gone && v->purpose == PURPOSE_DELETE_ON) {
		v->gone = true;
		v->nameless = f->nameless;
		if (f->foreign) /* and so is its lock */
			v->calls->locked(v->arg, 0);
		v->vid = v->was.vid;
		v->create_time = v->was.create_time;
		finish(v, 0, false, "volume %s (vid %x) was deleted", v->shown, v->vid);
		return;
	}
	if (f->error) {
		finish(v, f->error, f->elsewhere, "%s", f->why);
		return;
	}
	if (f->now_vid != v->was.vid && v->purpose == PURPOSE_DELETE_ON) {
		finish(v, -ESTALE, false,
		    "somebody else took a snapshot of it meanwhile (vid %x), and it goes on as vid "
		    "%x",
		    v->was.vid, f->now_vid);
		return;
	}
	v->vid = f->now_vid;
	if (v->vid != v->was.vid)
		log_warning(
		    "volume %s: it was made a snapshot (vid %x) and continues as vid %x; when "
		    "somebody else did that, what the snapshot holds of writes that were under way "
		    "is not sure",
		    v->shown, v->was.vid, v->vid);
	if (!is_locked_by_us(v)) {
		read_header(v);
		return;
	}
	v->locking = true;
	v->calls->locked(v->arg, v->vid);
	memcpy(v->untagged.name, v->block.name, sizeof v->untagged.name);
	vdi_call_lock(&v->call, &v->untagged, f->snap_number, on_lock_again, v);
	daemon_submit(v->daemon, &v->call);
}

static void follow(struct vdi *v)
{
	*v->follow = (struct follow){.daemon = v->daemon,
	    .block = &v->block,
	    .snapshot = v->snapshot,
	    .snap_id = v->snap_id,
	    .deletion = v->purpose == PURPOSE_DELETE_ON && v->cluster_told,
	    .vid = v->was.vid,
	    .create_time = v->was.create_time,
	    .shown = v->shown,
	    .done = on_followed,
	    .owner = v};
	follow_begin(v->follow);
}

static void on_status(struct call *call)
{
	struct vdi *v = call->owner;

	if (v->abandoned)
		return;
	switch (call->rsp.result) {
	case SD_RES_WAIT_FOR_FORMAT:
		finish(v, -ENXIO, true,
		    "the cluster waits to be formatted (WAIT_FOR_FORMAT); `dog cluster format` "
		    "does it");
		return;
	case SD_RES_WAIT_FOR_JOIN:
		finish(v, -EAGAIN, true,
		    "the cluster waits for nodes that are missing (WAIT_FOR_JOIN); start them");
		return;
	case SD_RES_SHUTDOWN:
	case SD_RES_KILLED:
		finish(v, sheep_errno(call->rsp.result), true, "the daemon is shutting down (%s)",
		    sheep_result_name(call->rsp.result));
		return;
	default: /* one of another version does not tell; its volumes can be served all the same */
		break;
	}
	v->cluster_told = vdi_status_told(call, &v->epoch_log);
	if (v->cluster_told) {
		v->cluster_ctime = v->epoch_log.ctime;
		v->locks_enforced = v->epoch_log.flags & SD_CLUSTER_USE_LOCK;
	}
	if (v->was.cluster_ctime && v->cluster_told && v->was.cluster_ctime != v->cluster_ctime) {
		finish(v, -ESTALE, true,
		    "this daemon serves another cluster than that of volume %s, or one that was "
		    "formatted anew",
		    v->shown);
		return;
	}
	if (v->was.vid) {
		follow(v);
		return;
	}
	if (!is_locked_by_us(v)) {
		vdi_call_lookup(&v->call, &v->block, v->snap_id, on_found, v);
	} else {
		v->locking = true;
		vdi_call_lock(&v->call, &v->block, v->snap_id, on_found, v);
	}
	daemon_submit(v->daemon, &v->call);
}

bool vdi_init(struct vdi *v, const char *name, const char *tag, uint32_t snap_id,
    const struct vdi_identity *was, struct daemon *daemon, const struct vdi_calls *calls, void *arg)
{
	memset(v, 0, sizeof *v);
	if (was)
		v->was = *was;
	if (v->was.vid) {
		v->follow = calloc(1, sizeof *v->follow);
		if (!v->follow)
			return false;
	}
	memcpy(v->block.name, name, strnlen(name, NAME_LENGTH_MAX));
	memcpy(v->block.tag, tag, strnlen(tag, NAME_LENGTH_MAX));
	v->snap_id = snap_id;
	v->snapshot = tag[0] || snap_id;
	vdi_show(&v->block, snap_id, v->shown);
	v->daemon = daemon;
	v->calls = calls;
	v->arg = arg;
	return true;
}

void vdi_end(struct vdi *v)
{
	free(v->follow);
	v->follow = NULL;
}

void vdi_begin(struct vdi *v)
{
	vdi_call_status(&v->call, &v->epoch_log, on_status, v);
	daemon_submit(v->daemon, &v->call);
}

bool vdi_abandon(struct vdi *v)
{
	v->abandoned = true;
	return v->locking;
}

/* ---- identity ---- */

static void prove_submit(struct vdi_proof *p)
{
	p->call.lane = p->lane;
	p->call.connection = p->connection;
	daemon_submit(p->daemon ? p->daemon : p->vdi->daemon, &p->call);
}

static void conclude(struct vdi_proof *p, enum vdi_verdict verdict, enum exit_word word,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

static void conclude(
    struct vdi_proof *p, enum vdi_verdict verdict, enum exit_word word, const char *format, ...)
{
	va_list ap;

	p->verdict = verdict;
	p->word = word;
	va_start(ap, format);
	vsnprintf(p->why, sizeof p->why, format, ap);
	va_end(ap);
	p->done(p);
}

static void on_identity(struct call *call)
{
	struct vdi_proof *p = call->owner;
	const struct vdi *v = p->vdi;
	const struct sd_inode_header *h = &p->header;

	if (call->rsp.result == SD_RES_NO_OBJ)
		conclude(p, VDI_OTHER, EXIT_VOLUME_CHANGED,
		    "volume %s (vid %x) does not exist any more", v->shown, v->vid);
	else if (call->rsp.result != SD_RES_SUCCESS)
		conclude(p, VDI_UNKNOWN, EXIT_DAEMON_LOST, "its header cannot be read: %s",
		    sheep_result_name(call->rsp.result));
	else if (!h->name[0])
		conclude(p, VDI_OTHER, EXIT_VOLUME_CHANGED,
		    "volume %s (vid %x) was deleted or rolled back by somebody else", v->shown,
		    v->vid);
	else if (h->vdi_id != v->vid || h->create_time != v->create_time ||
		 strncmp(h->name, v->block.name, sizeof h->name))
		conclude(p, VDI_OTHER, EXIT_VOLUME_CHANGED,
		    "vid %x is not the volume %s any more that was attached", v->vid, v->shown);
	else if (!v->snapshot && h->snap_ctime)
		conclude(p, VDI_OTHER, EXIT_VOLUME_CHANGED,
		    "somebody else took a snapshot of volume %s (vid %x)", v->shown, v->vid);
	else
		conclude(p, VDI_SAME, EXIT_DRAINED, "volume %s is vid %x", v->shown, v->vid);
}

static void prove_identity(struct vdi_proof *p)
{
	vdi_call_header(&p->call, p->vdi->vid, &p->header, VDI_IDENTITY_SIZE, on_identity, p);
	prove_submit(p);
}

static void on_name(struct call *call)
{
	struct vdi_proof *p = call->owner;
	const struct vdi *v = p->vdi;

	if (call->rsp.result == SD_RES_NO_VDI)
		conclude(p, VDI_OTHER, EXIT_VOLUME_CHANGED,
		    "volume %s was deleted by somebody else", v->shown);
	else if (call->rsp.result != SD_RES_SUCCESS)
		conclude(p, VDI_UNKNOWN, EXIT_DAEMON_LOST, "its name cannot be looked up: %s",
		    sheep_result_name(call->rsp.result));
	else if (call->rsp.vdi.vdi_id != v->vid)
		conclude(p, VDI_OTHER, EXIT_VOLUME_CHANGED,
		    "volume %s was vid %x and is vid %x now (a snapshot or a rollback by somebody "
		    "else)",
		    v->shown, v->vid, call->rsp.vdi.vdi_id);
	else
		prove_identity(p);
}

static void prove_name(struct vdi_proof *p)
{
	if (!p->by_name) {
		prove_identity(p);
		return;
	}
	vdi_call_lookup(&p->call, &p->vdi->block, p->vdi->snap_id, on_name, p);
	prove_submit(p);
}

static void on_cluster(struct call *call)
{
	struct vdi_proof *p = call->owner;
	const struct vdi *v = p->vdi;

	if (call->rsp.result == SD_RES_VER_MISMATCH)
		conclude(p, VDI_OTHER, EXIT_DAEMON_LIES,
		    "the daemon of volume %s has become one of another version", v->shown);
	else if (!vdi_status_told(call, &p->epoch_log))
		conclude(p, VDI_UNKNOWN, EXIT_DAEMON_LOST, "the cluster does not serve: %s",
		    sheep_result_name(call->rsp.result));
	else if (p->epoch_log.ctime != v->cluster_ctime)
		conclude(p, VDI_OTHER, EXIT_DAEMON_LIES,
		    "the daemon of volume %s serves another cluster now, or one that was formatted "
		    "anew: look at its address, unmount the volume and mount it again",
		    v->shown);
	else
		prove_name(p);
}

void vdi_prove(struct vdi_proof *p)
{
	if (!p->vdi->cluster_told) {
		prove_name(p);
		return;
	}
	vdi_call_status(&p->call, &p->epoch_log, on_cluster, p);
	prove_submit(p);
}
