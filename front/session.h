/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session: one FUSE connection, the tree's or a volume's, inside the libevent loop.
 *
 * Owns the device descriptor, the read loop, FUSE_INIT and libfuse's session for whatever its owner
 * does not decode by hand.  The payload of a WRITE is read straight to the place that the owner
 * names.  Never knows what a volume holds, never blocks.
 */
#ifndef SHEEPFS_FRONT_SESSION_H
#define SHEEPFS_FRONT_SESSION_H

#define FUSE_USE_VERSION 314

#include "front/kernel.h"
#include "include/bounds.h"

#include <event2/event.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>

struct session;

/* Where requests are put together; shared by all sessions, and all of it was touched before. */
#define SESSION_SCRATCH_SIZE (KERNEL_HEAD_SIZE + SLOT_SIZE)

/*
 * SLOT_SIZE bytes, of which the first `present` have been touched.  Only to those does the kernel
 * copy: a process that is killed while a page must be brought in for that loses the request, whose
 * caller gets EIO.  What lies behind goes through the scratch, and counts as touched then.
 */
struct session_place {
	uint8_t *bytes;
	uint32_t *present;
};

struct session_calls {
	/* Room for what follows the first KERNEL_HEAD_SIZE bytes of the next request.  False: there
	 * is none, do not read until session_resume().  May be NULL: the scratch. */
	bool (*place)(struct session_place *place, void *arg);
	/* A request was read; `body` follows its header, up to KERNEL_HEAD_SIZE.  True: it is the
	 * owner's now.  False: decode it with libfuse.  May be NULL. */
	bool (*request)(const struct fuse_in_header *in, const void *body, void *arg);
	/* The turn of this device is over.  May be NULL. */
	void (*turn_ended)(void *arg);
	/* FUSE_INIT came, and is answered next.  resend: session_restore() will work. */
	void (*init_received)(const void *request, size_t size, bool resend, void *arg);
	void (*init_answered)(void *arg);
	/* The kernel ended the connection; the owner closes the session. */
	void (*ended)(void *arg);
};

/*
 * Makes a session of the device `fd`, which it owns from now on (also on failure).  `calls` and
 * `scratch` (SESSION_SCRATCH_SIZE bytes) must outlive it; ops.init is the session's own.
 * max_background: asynchronous requests that the kernel may leave with us.  NULL when memory is
 * short.
 */
struct session *session_open(struct event_base *base, int fd, uint8_t *scratch,
    unsigned max_background, const struct fuse_lowlevel_ops *ops, const struct session_calls *calls,
    void *arg);

/*
 * An earlier front, which is dead, has served this device and has had the kernel's FUSE_INIT
 * request, `size` bytes: what it was asked and did not answer is asked again.  Before anything is
 * read.  Returns 0 or -errno; -EINVAL: this kernel cannot.
 */
int session_restore(struct session *s, const void *init, size_t size);

/* Reads nothing until session_resume(). */
void session_pause(struct session *s);

/* Ends and frees it, closes the device. NULL is fine. */
void session_close(struct session *s);

/* There is a place again. */
void session_resume(struct session *s);

/* Answers a request that was not given to libfuse: an errno (0 or negative) or `size` bytes. */
void session_reply(struct session *s, uint64_t unique, int error, const void *data, size_t size);

/* The owner (`arg`) of a request's session. */
void *session_owner(fuse_req_t req);

/* The kernel's number of a request, while its operation runs; the same when it is asked again. */
uint64_t session_unique(fuse_req_t req);

/* Was it asked of an earlier front? While its operation runs. */
bool session_is_again(fuse_req_t req);

/* Answers OPEN with flags that libfuse does not know. */
void session_reply_open(fuse_req_t req, uint64_t fh, uint32_t open_flags);

/* An errno of another process (0 or negative), made fit for the kernel. */
int session_errno(int error);

#endif
