/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tree: every name under the mount point, and its inode numbers.
 *
 *	vdi/{mount,unmount,create,snapshot,clone,list}  config/{sheep_info,page_cache,object_cache}
 *	cluster/info  node/{list,info}  volume/NAME
 *
 * Owns names, attributes and directory listings; a volume's name here is only the placeholder over
 * which its own file system is mounted.  What control files say is control.c's.  The fixed names
 * and the placeholders never fail to be found while they are there: the kernel would silently
 * detach the mounts below them.
 */
#ifndef SHEEPFS_FRONT_TREE_H
#define SHEEPFS_FRONT_TREE_H

#include "front/front.h"

/*
 * Serves the tree on `device`, owned from now on, and sets f->tree; nothing is read before
 * session_resume(f->tree).  init: the kernel's FUSE_INIT that an earlier front had; size 0: there
 * was none.  Returns 0 or -errno.
 */
int tree_serve(struct front *f, int device, const void *init, size_t init_size);

#endif
