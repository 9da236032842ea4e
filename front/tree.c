/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tree: see tree.h.
 *
 * Every name is given to the kernel for ever.  A detached volume's name is not taken back with a
 * notification, which would wait for locks that are held by callers whom this very thread
 * must answer: instead its node answers ESTALE, and the kernel then looks the name up again.
 */
#include "front/tree.h"

#include "front/control.h"
#include "front/orders.h"
#include "front/volume.h"
#include "ipc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOR_EVER 9e18 /* seconds; more would not fit the kernel's signed clock */
#define BLOCK 4096
#define LISTING_SIZE 8192
#define TREE_MAX_BACKGROUND 64

struct node {
	fuse_ino_t ino, parent;
	const char *name;
	const char *path; /* for people */
	mode_t mode;
	enum verb verb; /* of a control file */
};

enum { ROOT = FUSE_ROOT_ID, VDI, VOLUME, CONFIG, CLUSTER, NODE, STATUS };

/* The numbers outlive this process: the kernel goes on using them. */
static const struct node nodes[] = {
    {ROOT, ROOT, "", "", S_IFDIR | 0755, 0},
    {VDI, ROOT, "vdi", "vdi", S_IFDIR | 0755, 0},
    {VOLUME, ROOT, "volume", "volume", S_IFDIR | 0755, 0},
    {CONFIG, ROOT, "config", "config", S_IFDIR | 0755, 0},
    {CLUSTER, ROOT, "cluster", "cluster", S_IFDIR | 0755, 0},
    {NODE, ROOT, "node", "node", S_IFDIR | 0755, 0},
    {STATUS, ROOT, "status", "status", S_IFDIR | 0755, 0},
    {16, VDI, "mount", "vdi/mount", S_IFREG | 0600, VERB_MOUNT},
    {17, VDI, "unmount", "vdi/unmount", S_IFREG | 0600, VERB_UNMOUNT},
    {18, VDI, "create", "vdi/create", S_IFREG | 0600, VERB_CREATE},
    {19, VDI, "list", "vdi/list", S_IFREG | 0444, VERB_LIST},
    {20, VDI, "snapshot", "vdi/snapshot", S_IFREG | 0600, VERB_SNAPSHOT},
    {21, VDI, "clone", "vdi/clone", S_IFREG | 0600, VERB_CLONE},
    {22, VDI, "delete", "vdi/delete", S_IFREG | 0600, VERB_DELETE},
    {32, CONFIG, "sheep_info", "config/sheep_info", S_IFREG | 0644, VERB_SHEEP_INFO},
    {33, CONFIG, "page_cache", "config/page_cache", S_IFREG | 0644, VERB_PAGE_CACHE},
    {34, CONFIG, "object_cache", "config/object_cache", S_IFREG | 0644, VERB_OBJECT_CACHE},
    {35, CONFIG, "io_timeout", "config/io_timeout", S_IFREG | 0644, VERB_IO_TIMEOUT},
    {36, CONFIG, "fence_timeout", "config/fence_timeout", S_IFREG | 0644, VERB_FENCE_TIMEOUT},
    {37, CONFIG, "fenced", "config/fenced", S_IFREG | 0600, VERB_FENCED},
    {39, CONFIG, "discover", "config/discover", S_IFREG | 0644, VERB_DISCOVER},
    {38, CONFIG, "abort", "config/abort", S_IFREG | 0600, VERB_ABORT},
    {48, CLUSTER, "info", "cluster/info", S_IFREG | 0444, VERB_CLUSTER_INFO},
    {64, NODE, "list", "node/list", S_IFREG | 0444, VERB_NODE_LIST},
    {65, NODE, "info", "node/info", S_IFREG | 0444, VERB_NODE_INFO},
    {80, STATUS, "workers", "status/workers", S_IFREG | 0444, VERB_WORKERS},
    {81, STATUS, "failovers", "status/failovers", S_IFREG | 0444, VERB_FAILOVERS},
};

#define NR_NODES (sizeof nodes / sizeof nodes[0])

static const struct node *node_by_ino(fuse_ino_t ino)
{
	for (size_t i = 0; i < NR_NODES; i++)
		if (nodes[i].ino == ino)
			return &nodes[i];
	return NULL;
}

static const struct node *node_by_name(fuse_ino_t parent, const char *name)
{
	for (size_t i = 1; i < NR_NODES; i++)
		if (nodes[i].parent == parent && !strcmp(nodes[i].name, name))
			return &nodes[i];
	return NULL;
}

static struct front *front_of(fuse_req_t req)
{
	return session_owner(req);
}

/* ---- attributes ---- */

static void fill(const struct front *f, struct stat *st, fuse_ino_t ino, mode_t mode)
{
	*st = (struct stat){
	    .st_ino = ino,
	    .st_mode = mode,
	    .st_nlink = S_ISDIR(mode) ? 2 : 1,
	    .st_uid = f->owner_uid,
	    .st_gid = f->owner_gid,
	    .st_blksize = BLOCK,
	    .st_atim = f->started,
	    .st_mtim = f->started,
	    .st_ctim = f->started,
	};
}

static void fill_placeholder(const struct volume *v, struct stat *st)
{
	fill(v->front, st, v->node, S_IFREG | (v->face.read_only ? 0400 : 0600));
}

/* ---- looking names up ---- */

struct lookup {
	TAILQ_ENTRY(lookup) link;
	fuse_req_t req;
	char name[];
};

static void reply_volume(fuse_req_t req, const struct volume *v)
{
	struct fuse_entry_param e = {.ino = v->node, .generation = 1, .entry_timeout = FOR_EVER};

	fill_placeholder(v, &e.attr);
	fuse_reply_entry(req, &e);
}

/* Both the device and the master may have something for us, and which is read first is chance:
 * that a name is not there is true only when the master has been heard to the end. */
static void look_later(struct front *f, fuse_req_t req, const char *name)
{
	static const struct timeval after_this_turn = {0, 0};
	struct lookup *l = malloc(sizeof *l + strlen(name) + 1);

	if (!l) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	l->req = req;
	strcpy(l->name, name);
	TAILQ_INSERT_TAIL(&f->lookups, l, link);
	event_add(f->look_again, &after_this_turn);
}

static void on_look_again(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval after_this_turn = {0, 0};
	struct front *f = arg;
	bool pending = orders_pending(f);
	struct lookup *l, *next;

	(void)fd;
	(void)what;
	for (l = TAILQ_FIRST(&f->lookups); l; l = next) {
		const struct volume *v = volume_by_name(f, l->name);

		next = TAILQ_NEXT(l, link);
		if (!v && pending)
			continue;
		if (v)
			reply_volume(l->req, v);
		else
			fuse_reply_err(l->req, ENOENT);
		TAILQ_REMOVE(&f->lookups, l, link);
		free(l);
	}
	if (!TAILQ_EMPTY(&f->lookups))
		event_add(f->look_again, &after_this_turn);
}

static void lookup_volume(fuse_req_t req, const char *name)
{
	struct front *f = front_of(req);
	const struct volume *v = volume_by_name(f, name);

	if (v)
		reply_volume(req, v);
	else if (orders_pending(f))
		look_later(f, req, name);
	else
		fuse_reply_err(req, ENOENT);
}

static void tree_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct node *n = node_by_name(parent, name);
	struct fuse_entry_param e = {
	    .generation = 1, .entry_timeout = FOR_EVER, .attr_timeout = FOR_EVER};

	if (n) {
		e.ino = n->ino;
		fill(front_of(req), &e.attr, n->ino, n->mode);
		fuse_reply_entry(req, &e);
	} else if (parent == VOLUME) {
		lookup_volume(req, name);
	} else {
		fuse_reply_err(req, ENOENT);
	}
}

/* ---- more about attributes ---- */

static void tree_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct front *f = front_of(req);
	const struct node *n = node_by_ino(ino);
	const struct volume *v = n ? NULL : volume_by_node(f, ino);
	struct stat st;

	(void)fi;
	if (n)
		fill(f, &st, ino, n->mode);
	else if (v)
		fill_placeholder(v, &st);
	if (n || v)
		fuse_reply_attr(req, &st, n ? FOR_EVER : 0);
	else
		fuse_reply_err(req, ESTALE);
}

/* "> vdi/mount" truncates first, touch(1) sets times: both change nothing. */
static void tree_setattr(
    fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	const int ignored = FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME |
			    FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME;
	const struct node *n = node_by_ino(ino);

	if (!n)
		fuse_reply_err(req, volume_by_node(front_of(req), ino) ? EIO : ESTALE);
	else if (to_set & ~ignored || (to_set & FUSE_SET_ATTR_SIZE && st->st_size))
		fuse_reply_err(req, EPERM);
	else
		tree_getattr(req, ino, fi);
}

static void tree_statfs(fuse_req_t req, fuse_ino_t ino)
{
	const struct statvfs st = {
	    .f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = SHOWN_NAME_MAX};

	(void)ino;
	fuse_reply_statfs(req, &st);
}

/* ---- listings ---- */

struct listing {
	fuse_req_t req;
	char *buffer;
	size_t size, used;
};

/* Returns false when there is no more room.  `next`: where a later READDIR goes on. */
static bool list(struct listing *l, const char *name, fuse_ino_t ino, mode_t mode, off_t next)
{
	const struct stat st = {.st_ino = ino, .st_mode = mode};
	size_t n =
	    fuse_add_direntry(l->req, l->buffer + l->used, l->size - l->used, name, &st, next);

	if (n > l->size - l->used)
		return false;
	l->used += n;
	return true;
}

/* Offsets: 1 and 2 stand behind the dots, then a fixed name's place in the table, or a volume's
 * number, which only grows: a listing that is read in pieces misses nobody who stays. */
static void list_all(struct listing *l, const struct front *f, const struct node *dir, off_t offset)
{
	const struct volume *v;

	if (offset < 1 && !list(l, ".", dir->ino, S_IFDIR, 1))
		return;
	if (offset < 2 && !list(l, "..", dir->parent, S_IFDIR, 2))
		return;
	for (size_t i = 1; i < NR_NODES; i++)
		if (nodes[i].parent == dir->ino && offset < (off_t)i + 2 &&
		    !list(l, nodes[i].name, nodes[i].ino, nodes[i].mode, (off_t)i + 2))
			return;
	if (dir->ino != VOLUME)
		return;
	TAILQ_FOREACH (v, &f->volumes, link)
		if (v->listed && offset < (off_t)v->number + 2 &&
		    !list(l, v->name, v->node, S_IFREG, (off_t)v->number + 2))
			return;
}

static void tree_readdir(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const struct node *dir = node_by_ino(ino);
	char buffer[LISTING_SIZE];
	struct listing l = {req, buffer, size < sizeof buffer ? size : sizeof buffer, 0};

	(void)fi;
	if (!dir || !S_ISDIR(dir->mode)) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	list_all(&l, front_of(req), dir, offset);
	fuse_reply_buf(req, l.buffer, l.used);
}

/* ---- files ---- */

static void tree_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct front *f = front_of(req);
	const struct node *n = node_by_ino(ino);

	if (n)
		control_open(f->control, req, n->verb, n->path, fi->flags);
	else /* a placeholder: before its volume is mounted over it, or after */
		fuse_reply_err(req, volume_by_node(f, ino) ? EIO : ESTALE);
}

static void tree_read(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)ino;
	control_read(front_of(req)->control, req, fi->fh, size, offset);
}

static void tree_write(fuse_req_t req, fuse_ino_t ino, const char *text, size_t size, off_t offset,
    struct fuse_file_info *fi)
{
	const struct node *n = node_by_ino(ino);

	(void)offset;
	if (n)
		control_write(front_of(req)->control, req, n->verb, n->path, fi->fh, text, size);
	else
		fuse_reply_err(req, ESTALE);
}

static void tree_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	control_release(front_of(req)->control, req, fi->fh);
}

/* ---- what nobody may do here ---- */

static void tree_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)dev;
	fuse_reply_err(req, EPERM);
}

static void tree_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	tree_mknod(req, parent, name, mode, 0);
}

static void tree_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	tree_mknod(req, parent, name, 0, 0);
}

static void tree_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	(void)target;
	tree_mknod(req, parent, name, 0, 0);
}

static void tree_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
    const char *new_name, unsigned flags)
{
	(void)to;
	(void)new_name;
	(void)flags;
	tree_mknod(req, parent, name, 0, 0);
}

static void tree_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino;
	tree_mknod(req, parent, name, 0, 0);
}

/* ---- the connection ---- */

static void tree_init_received(const void *request, size_t size, bool resend, void *arg)
{
	orders_init_received(arg, NULL, request, size, resend);
}

static void tree_init_answered(void *arg)
{
	(void)arg;
}

static void tree_ended(void *arg)
{
	struct front *f = arg;
	struct lookup *l;

	while ((l = TAILQ_FIRST(&f->lookups))) {
		TAILQ_REMOVE(&f->lookups, l, link);
		fuse_reply_err(l->req, ENOTCONN);
		free(l);
	}
	control_end(f->control);
	session_close(f->tree);
	f->tree = NULL;
	orders_connection_ended(f, NULL);
}

int tree_serve(struct front *f, int device, const void *init, size_t init_size)
{
	static const struct fuse_lowlevel_ops ops = {
	    .lookup = tree_lookup,
	    .getattr = tree_getattr,
	    .setattr = tree_setattr,
	    .statfs = tree_statfs,
	    .readdir = tree_readdir,
	    .open = tree_open,
	    .read = tree_read,
	    .write = tree_write,
	    .release = tree_release,
	    .mknod = tree_mknod,
	    .mkdir = tree_mkdir,
	    .unlink = tree_unlink,
	    .rmdir = tree_unlink,
	    .symlink = tree_symlink,
	    .rename = tree_rename,
	    .link = tree_link,
	};
	static const struct session_calls calls = {
	    .init_received = tree_init_received,
	    .init_answered = tree_init_answered,
	    .ended = tree_ended,
	};

	TAILQ_INIT(&f->lookups);
	f->look_again = evtimer_new(f->base, on_look_again, f);
	if (!f->look_again) {
		close(device);
		return -ENOMEM;
	}
	f->tree = session_open(f->base, device, f->scratch, TREE_MAX_BACKGROUND, &ops, &calls, f);
	if (!f->tree)
		return -ENOMEM;
	session_pause(f->tree);
	return init_size ? session_restore(f->tree, init, init_size) : 0;
}
