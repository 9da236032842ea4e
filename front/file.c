/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of a volume: see file.h.
 *
 * Operations that are missing here are answered ENOSYS by libfuse, which the kernel remembers for
 * the life of the mount: extended attributes, FLUSH, POLL, BMAP, COPY_FILE_RANGE, and locks,
 * which it then keeps itself.  What may be there one day is refused call by call.
 */
#include "front/file.h"

#include "front/orders.h"
#include "ipc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/statvfs.h>

#define PERMISSIONS 0777
#define BLOCK 4096
#define ATTR_SECONDS 60.0 /* whatever changes them makes the kernel ask again */

void file_init(struct volume *v, bool read_only)
{
	struct volume_face *face = &v->face;

	face->read_only = read_only;
	face->mode = read_only ? 0400 : 0600;
	face->uid = v->front->owner_uid;
	face->gid = v->front->owner_gid;
	face->atime = face->mtime = face->ctime = v->front->started;
}

static void fill(const struct volume *v, struct stat *st)
{
	const struct volume_face *face = &v->face;

	*st = (struct stat){
	    .st_ino = FUSE_ROOT_ID,
	    .st_mode = S_IFREG | face->mode,
	    .st_nlink = 1,
	    .st_uid = face->uid,
	    .st_gid = face->gid,
	    .st_size = (off_t)face->size,
	    .st_blocks = (blkcnt_t)((face->allocated + 511) / 512),
	    .st_blksize = BLOCK,
	    .st_atim = face->atime,
	    .st_mtim = face->mtime,
	    .st_ctim = face->ctime,
	};
}

static void reply_attr(fuse_req_t req, const struct volume *v)
{
	struct stat st;

	fill(v, &st);
	fuse_reply_attr(req, &st, ATTR_SECONDS);
}

static void file_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	reply_attr(req, session_owner(req));
}

/* Truncating to nothing, as "> file", dd and cp do, or to the own size changes nothing. */
static int may_truncate(struct volume *v, uint64_t size)
{
	struct timespec now;

	if (v->face.read_only)
		return EROFS;
	if (!size || size == v->face.size)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != v->face.truncate_told)
		log_warning("volume %s: a truncate to %" PRIu64
			    " bytes was refused: its size is %" PRIu64 " bytes, which truncate "
			    "does not change (vdi/resize will, in a later version)",
		    v->name, size, v->face.size);
	v->face.truncate_told = now.tv_sec;
	return EPERM;
}

static void set_times(struct volume_face *face, const struct stat *st, int to_set)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (to_set & FUSE_SET_ATTR_ATIME)
		face->atime = to_set & FUSE_SET_ATTR_ATIME_NOW ? now : st->st_atim;
	if (to_set & FUSE_SET_ATTR_MTIME)
		face->mtime = to_set & FUSE_SET_ATTR_MTIME_NOW ? now : st->st_mtim;
	face->ctime = now;
}

/* Owner and mode live as long as the volume is attached: that is how it is given to a tenant. */
static void file_setattr(
    fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	struct volume *v = session_owner(req);
	int error = to_set & FUSE_SET_ATTR_SIZE ? may_truncate(v, (uint64_t)st->st_size) : 0;

	(void)ino;
	(void)fi;
	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	if (to_set & FUSE_SET_ATTR_MODE)
		v->face.mode = st->st_mode & PERMISSIONS;
	if (to_set & FUSE_SET_ATTR_UID)
		v->face.uid = st->st_uid;
	if (to_set & FUSE_SET_ATTR_GID)
		v->face.gid = st->st_gid;
	set_times(&v->face, st, to_set);
	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		orders_attributes(v->front, v);
	reply_attr(req, v);
}

static void file_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	/* nobody else writes what is attached here, so what is cached stays true from open to open
	 */
	const uint32_t cached = FOPEN_KEEP_CACHE;
	const uint32_t direct = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
	struct volume *v = session_owner(req);

	(void)ino;
	if (v->error)
		fuse_reply_err(req, -v->error);
	else if (v->face.read_only && (fi->flags & O_ACCMODE) != O_RDONLY)
		fuse_reply_err(req, EROFS);
	else
		session_reply_open(req, 0, FOPEN_NOFLUSH | (v->face.page_cache ? cached : direct));
}

/* Nobody waits for it. */
static void file_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

/* No blocks: df does not list it. */
static void file_statfs(fuse_req_t req, fuse_ino_t ino)
{
	const struct statvfs st = {
	    .f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = SHOWN_NAME_MAX};

	(void)ino;
	fuse_reply_statfs(req, &st);
}

static void file_fallocate(
    fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
	(void)ino;
	(void)mode;
	(void)offset;
	(void)length;
	(void)fi;
	fuse_reply_err(req, EOPNOTSUPP);
}

/* All of it is data up to the end. */
static void file_lseek(
    fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	const struct volume *v = session_owner(req);

	(void)ino;
	(void)fi;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		fuse_reply_err(req, EINVAL);
	else if (offset < 0 || (uint64_t)offset >= v->face.size)
		fuse_reply_err(req, ENXIO);
	else
		fuse_reply_lseek(req, whence == SEEK_DATA ? offset : (off_t)v->face.size);
}

static void file_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
    struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	(void)ino;
	(void)cmd;
	(void)arg;
	(void)fi;
	(void)flags;
	(void)in;
	(void)in_size;
	(void)out_size;
	fuse_reply_err(req, ENOTTY);
}

const struct fuse_lowlevel_ops *file_ops(void)
{
	static const struct fuse_lowlevel_ops ops = {
	    .getattr = file_getattr,
	    .setattr = file_setattr,
	    .open = file_open,
	    .release = file_release,
	    .statfs = file_statfs,
	    .fallocate = file_fallocate,
	    .lseek = file_lseek,
	    .ioctl = file_ioctl,
	};

	return &ops;
}
