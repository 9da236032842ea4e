/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A channel: one conversation between two of our processes, over a SEQPACKET socketpair, inside
 * a libevent loop.
 *
 * Owns the descriptor, the events on it and a bounded queue of what the socket had no room for.
 * Every message goes in through msg_receive().  A channel never blocks.  When the peer ends, when a
 * message is refused or when the queue overflows, `ended` is called once; the owner then
 * closes the channel.  chan_close() may be called from inside any callback.
 */
#ifndef SHEEPFS_IPC_CHAN_H
#define SHEEPFS_IPC_CHAN_H

#include "ipc/msg.h"

#include <event2/event.h>

struct chan;

struct chan_calls {
	/* A message came.  Descriptors that are not taken are closed afterwards. */
	void (*message)(struct chan *c, struct msg *m, void *arg);
	/* The conversation is over: 0 the peer ended it, -EBADMSG a message was refused,
	 * -ENOBUFS the peer does not read, another -errno.  why is a static sentence. */
	void (*ended)(struct chan *c, int error, const char *why, void *arg);
	/* May be NULL: every message that was ready has been handed out (send your batch now). */
	void (*idle)(struct chan *c, void *arg);
};

/*
 * Makes a channel of descriptor fd, which it owns from now on (also on failure).  `calls` must
 * outlive it.  Returns NULL when memory or events cannot be had.
 */
struct chan *chan_open(struct event_base *base, int fd, enum kind self, enum kind peer,
    enum talk talk, const struct chan_calls *calls, void *arg);

/* Hands out all that lies there, and the end if that has come. */
void chan_exhaust(struct chan *c);

/* Ends the conversation and frees the channel; queued messages are lost. NULL is fine. */
void chan_close(struct chan *c);

/* The state of the conversation, which decides what may come (msg.def). */
void chan_talk(struct chan *c, enum talk talk);

/* Sends what is queued, waiting at most `milliseconds`: for last words before exit. */
void chan_linger(struct chan *c, int milliseconds);

/*
 * Sends a message: payload of the table's size, a tail of `tail_size` bytes (within the table's
 * bound), the table's number of descriptors from fds, which are owned by the channel from now
 * on and closed once sent.  Returns 0, or -EPIPE / -ENOBUFS; then `ended` follows from the loop.
 * Use the typed send_*() below.
 */
int chan_send(struct chan *c, enum msg_id id, uint32_t volume, uint32_t generation,
    const void *payload, const void *tail, size_t tail_size, const int *fds);

/* send_<name>(c, volume, generation, payload, tail, tail_size, fds) for every row of the table. */
#define RECORD(name, ...)
#define MSG(ID, name, ...)                                                                         \
	static inline int send_##name(struct chan *c, uint32_t volume, uint32_t generation,        \
	    const struct msg_##name *payload, const void *tail, size_t tail_size, const int *fds)  \
	{                                                                                          \
		return chan_send(c, MSG_##ID, volume, generation, payload, tail, tail_size, fds);  \
	}
#include "ipc/msg.def"
#undef MSG
#undef RECORD

#endif
