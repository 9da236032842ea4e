/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kinds of process and the states of a conversation between two of them.
 *
 * A kind is a bit, so that the message table can name several.  A conversation's
 * state is kept by each end for itself; a message table row lists the states of
 * the receiver in which the message is permitted.
 */
#ifndef SHEEPFS_KINDS_H
#define SHEEPFS_KINDS_H

enum kind {
	KIND_MASTER = 1,  /* sheepfs: privilege, supervision */
	KIND_FRONT = 2,   /* sheepfs-front: serves the FUSE connections */
	KIND_CLUSTER = 4, /* sheepfs-worker cluster: tables and VDI operations */
	KIND_VOLUME = 8,  /* sheepfs-worker volume NAME: one volume's I/O */
	KIND_LAMB = 16,   /* lamb as a child of ours: the target lamb:/STORE */
};

enum talk {
	TALK_STARTING = 1, /* the child has not said that it serves */
	TALK_SERVING = 2,
	TALK_ENDING = 4, /* the child was told to finish */
};

#endif
