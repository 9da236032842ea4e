/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages: the types made from the table in msg.def, and the one receive edge.
 *
 * msg_receive() is the only way in which bytes of another process become a struct msg: one
 * recvmsg(2) and msg_check(), which asks, in this order: is the message known, may this sender
 * say it to this receiver now, has it exactly its size and its descriptors, is the tail bounded
 * and whole, is every field within its bounds.  Payloads are copied out, never cast in place.
 */
#ifndef SHEEPFS_IPC_MSG_H
#define SHEEPFS_IPC_MSG_H

#include "include/bounds.h"
#include "include/kinds.h"

#include <stddef.h>
#include <stdint.h>

/* What a request asks of a volume's worker. */
enum request_op {
	REQUEST_READ = 1,
	REQUEST_WRITE,
	REQUEST_FLUSH, /* answered when everything accepted before it is durable (rule 10) */
};

/* What earlier generations had to do with a request. */
enum request_again {
	REQUEST_NEW,
	REQUEST_AGAIN, /* one was given it, and did not answer */
	REQUEST_HOLDS, /* likewise, and nobody waits for it: it is not done any more, but nothing of
			  the same objects before it is known to be over */
};

/* What a generation of a volume is for. */
enum purpose {
	PURPOSE_ATTACH,
	PURPOSE_DELETE,    /* to delete it, when that is ordered */
	PURPOSE_DELETE_ON, /* the same, and an earlier one was ordered to: it may be gone */
	PURPOSE_LAST = PURPOSE_DELETE_ON
};

/*
 * What a command asks of the master.  Changes name what they change; tables are answered by TABLE;
 * a knob's value is the sentence of the answer, and `set` tells whether `size` is its new one.
 */
enum verb {
	VERB_MOUNT = 1,     /* name, tag or snap_id */
	VERB_UNMOUNT,       /* name, tag or snap_id */
	VERB_CREATE,        /* name, size; shift, copies, policy (0: the cluster's default) */
	VERB_SNAPSHOT,      /* name, tag: of the new snapshot */
	VERB_CLONE,         /* name, tag or snap_id: of the snapshot; other: the new volume */
	VERB_DELETE,        /* name; tag or snap_id: of a snapshot */
	VERB_LIST,          /* vdi/list */
	VERB_CLUSTER_INFO,  /* cluster/info */
	VERB_NODE_LIST,     /* node/list */
	VERB_NODE_INFO,     /* node/info */
	VERB_WORKERS,       /* status/workers */
	VERB_FAILOVERS,     /* status/failovers */
	VERB_SHEEP_INFO,    /* config/sheep_info; its new value is the text */
	VERB_PAGE_CACHE,    /* config/page_cache: 0 or 1 */
	VERB_OBJECT_CACHE,  /* config/object_cache: 0 or 1 */
	VERB_DISCOVER,      /* config/discover: 0 or 1 */
	VERB_IO_TIMEOUT,    /* config/io_timeout: seconds, 0: for ever */
	VERB_FENCE_TIMEOUT, /* config/fence_timeout: seconds, 0: for ever */
	VERB_FENCED,        /* config/fenced; the text is the address of a daemon */
	VERB_ABORT,         /* config/abort; name, tag or snap_id */
	VERB_LAST = VERB_ABORT
};

/* The head of every message on the wire. */
struct msg_head {
	uint16_t id;         /* enum msg_id */
	uint16_t reserved;   /* zero */
	uint32_t size;       /* bytes that follow the head: payload and tail */
	uint32_t volume;     /* the master's number for it; 0: the tree, or none */
	uint32_t generation; /* of that volume; 0: none yet */
};

#define U32(name, low, high) uint32_t name;
#define U64(name, low, high) uint64_t name;
#define I32(name, low, high) int32_t name;
#define STR(name, size) char name[size];
#define PAD(name, size) uint8_t name[size];

#define RECORD(name, ...)                                                                          \
	struct record_##name {                                                                     \
		__VA_ARGS__                                                                        \
	};
#define MSG(ID, name, from, to, talk, descriptors, tail, tail_max, answer, ...)                    \
	struct msg_##name {                                                                        \
		__VA_ARGS__                                                                        \
	};
#include "ipc/msg.def"
#undef RECORD
#undef MSG
#undef U32
#undef U64
#undef I32
#undef STR
#undef PAD

#define RECORD(name, ...)
enum msg_id {
	MSG_NONE,
#define MSG(ID, ...) MSG_##ID,
#include "ipc/msg.def"
#undef MSG
	MSG_COUNT
};

union msg_body {
#define MSG(ID, name, ...) struct msg_##name name;
#include "ipc/msg.def"
#undef MSG
};
#undef RECORD

#define MSG_TAIL_SIZE COMMAND_TEXT_MAX /* bytes of the largest tail */
#define MSG_FDS_MAX 3

/* A received message.  Descriptors belong to the struct: whoever wants one takes it with
 * msg_take_fd(), msg_drop_fds() closes the rest. */
struct msg {
	enum msg_id id;
	uint32_t volume;
	uint32_t generation;
	union msg_body body;
	size_t tail_size;                /* bytes */
	unsigned records;                /* elements, where the tail has them */
	uint8_t tail[MSG_TAIL_SIZE + 1]; /* a text is NUL-terminated */
	int fds[MSG_FDS_MAX];            /* -1: none, or taken */
};

/* The kinds at both ends of a conversation and its state, as the receiver sees them. */
struct msg_edge {
	enum kind self;
	enum kind peer;
	enum talk talk;
};

/*
 * Judges one datagram of `size` bytes with `nr_fds` descriptors and fills `m` but for its
 * descriptors.  Returns 0, or -EBADMSG with *why set to a static sentence.
 */
int msg_check(const struct msg_edge *edge, const void *datagram, size_t size, unsigned nr_fds,
    struct msg *m, const char **why);

/*
 * Receives and judges one message from the SEQPACKET socket `fd`.  Returns 1; 0 at the end of the
 * conversation, after all that was said; -EAGAIN when a non-blocking socket has none; -EBADMSG when
 * it was refused (*why tells; its descriptors are closed); another -errno.
 */
int msg_receive(int fd, const struct msg_edge *edge, struct msg *m, const char **why);

/* Takes descriptor n out of the message: the caller owns it now. */
int msg_take_fd(struct msg *m, unsigned n);

/* Closes the descriptors that nobody took. */
void msg_drop_fds(struct msg *m);

/* Copies record n of the tail out. n is below m->records. */
void msg_record(const struct msg *m, unsigned n, void *record);

/* The size of the payload and of one tail record (0: none) of a message. */
size_t msg_payload_size(enum msg_id id);
size_t msg_record_size(enum msg_id id);
unsigned msg_descriptors(enum msg_id id);

/* The largest tail that the table allows for a message, in bytes. */
size_t msg_tail_max(enum msg_id id);

/* The table's name of a message, for logs. */
const char *msg_name(enum msg_id id);

/* Writes "COMMAND volume 2 generation 1 number=7 ..." into text, for the debug log. */
void msg_describe(const struct msg *m, char *text, size_t size);

#endif
