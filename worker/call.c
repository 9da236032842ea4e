/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of calls without any connection: how one is prepared, and what a daemon's result
 * means to a caller and to a reader of the log (P 7).
 *
 * Never talks to anybody; the engine's unit tests link it without sheep.c.
 */
#include "worker/sheep.h"

#include <errno.h>
#include <string.h>

#define RESULTS(X)                                                                                 \
	X(SUCCESS, 0x00, 0)                                                                        \
	X(UNKNOWN, 0x01, EIO)                                                                      \
	X(NO_OBJ, 0x02, EIO)                                                                       \
	X(EIO, 0x03, EIO)                                                                          \
	X(VDI_EXIST, 0x04, EEXIST)                                                                 \
	X(INVALID_PARMS, 0x05, EINVAL)                                                             \
	X(SYSTEM_ERROR, 0x06, EIO)                                                                 \
	X(VDI_LOCKED, 0x07, EBUSY)                                                                 \
	X(NO_VDI, 0x08, ENOENT)                                                                    \
	X(NO_BASE_VDI, 0x09, ENOENT)                                                               \
	X(VDI_READ, 0x0a, EIO)                                                                     \
	X(VDI_WRITE, 0x0b, EIO)                                                                    \
	X(BASE_VDI_READ, 0x0c, ENOENT)                                                             \
	X(BASE_VDI_WRITE, 0x0d, EIO)                                                               \
	X(NO_TAG, 0x0e, ENOENT)                                                                    \
	X(STARTUP, 0x0f, EAGAIN)                                                                   \
	X(VDI_NOT_LOCKED, 0x10, ENOLCK)                                                            \
	X(SHUTDOWN, 0x11, ESHUTDOWN)                                                               \
	X(NO_MEM, 0x12, ENOMEM)                                                                    \
	X(FULL_VDI, 0x13, ENOSPC)                                                                  \
	X(VER_MISMATCH, 0x14, EPROTONOSUPPORT)                                                     \
	X(NO_SPACE, 0x15, ENOSPC)                                                                  \
	X(WAIT_FOR_FORMAT, 0x16, ENXIO)                                                            \
	X(WAIT_FOR_JOIN, 0x17, EAGAIN)                                                             \
	X(JOIN_FAILED, 0x18, EIO)                                                                  \
	X(HALT, 0x19, EIO)                                                                         \
	X(READONLY, 0x1a, EROFS)                                                                   \
	X(INODE_INVALIDATED, 0x1d, ESTALE)                                                         \
	X(OLD_NODE_VER, 0x81, EAGAIN)                                                              \
	X(NEW_NODE_VER, 0x82, EAGAIN)                                                              \
	X(NOT_FORMATTED, 0x83, EIO)                                                                \
	X(INVALID_CTIME, 0x84, EIO)                                                                \
	X(INVALID_EPOCH, 0x85, EIO)                                                                \
	X(NETWORK_ERROR, 0x86, EIO)                                                                \
	X(NO_CACHE, 0x87, EIO)                                                                     \
	X(BUFFER_SMALL, 0x88, EIO)                                                                 \
	X(FORCE_RECOVER, 0x89, EINVAL)                                                             \
	X(NO_STORE, 0x8a, EINVAL)                                                                  \
	X(NO_SUPPORT, 0x8b, EOPNOTSUPP)                                                            \
	X(NODE_IN_RECOVERY, 0x8c, EAGAIN)                                                          \
	X(KILLED, 0x8d, EIO)                                                                       \
	X(OID_EXIST, 0x8e, EEXIST)                                                                 \
	X(AGAIN, 0x8f, EAGAIN)                                                                     \
	X(STALE_OBJ, 0x90, EIO)                                                                    \
	X(CLUSTER_ERROR, 0x91, EIO)                                                                \
	X(VDI_NOT_EMPTY, 0x92, ENOTEMPTY)                                                          \
	X(NOT_FOUND, 0x93, ENOENT)                                                                 \
	X(INCOMPLETE, 0x94, EIO)                                                                   \
	X(COLLECTING_CINFO, 0x95, EAGAIN)                                                          \
	X(GATEWAY_MODE, 0x97, EINVAL)                                                              \
	X(INVALID_VNODES_STRATEGY, 0x98, EINVAL)                                                   \
	X(NO_CHECKPOINT_ENTRY, 0x99, EIO)

void call_init(
    struct call *call, enum sd_op op, enum lane lane, void (*done)(struct call *), void *owner)
{
	memset(call, 0, sizeof *call);
	call->req.opcode = (uint8_t)op;
	call->lane = lane;
	call->done = done;
	call->owner = owner;
}

enum sheep_remedy sheep_remedy(uint32_t result)
{
	switch (result) {
	case SD_RES_STARTUP:
	case SD_RES_NO_MEM:
	case SD_RES_WAIT_FOR_JOIN:
	case SD_RES_HALT:
	case SD_RES_OLD_NODE_VER:
	case SD_RES_NEW_NODE_VER:
	case SD_RES_NETWORK_ERROR:
	case SD_RES_AGAIN:
	case SD_RES_STALE_OBJ:
	case SD_RES_CLUSTER_ERROR:
	case SD_RES_COLLECTING_CINFO:
		return SHEEP_LATER;
	case SD_RES_SHUTDOWN:
	case SD_RES_KILLED:
		return SHEEP_ELSEWHERE;
	default:
		return SHEEP_FINAL;
	}
}

int sheep_errno(uint32_t result)
{
	switch (result) {
#define RESULT(name, code, error)                                                                  \
	case code:                                                                                 \
		return -(error);
		RESULTS(RESULT)
#undef RESULT
	default:
		return -EIO;
	}
}

const char *sheep_result_name(uint32_t result)
{
	switch (result) {
#define RESULT(name, code, error)                                                                  \
	case code:                                                                                 \
		return #name;
		RESULTS(RESULT)
#undef RESULT
	default:
		return "an unknown result";
	}
}
