/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exit words: what a child's exit status means to the master.
 *
 * A child says its last word by exiting with it; a death by signal is told by
 * wait(2).  Values are above those of shells and sanitizers that matter here.
 */
#ifndef SHEEPFS_WORDS_H
#define SHEEPFS_WORDS_H

enum exit_word {
	EXIT_DRAINED = 0,         /* told to end: everything accepted was finished */
	EXIT_ENVIRONMENT = 70,    /* fatal(): the system refused something we need */
	EXIT_INVARIANT = 71,      /* bug(): our own invariant does not hold */
	EXIT_MASTER_GONE = 72,    /* the conversation with the master ended */
	EXIT_BAD_MESSAGE = 73,    /* a message was refused at the receive edge */
	EXIT_FRONT_GONE = 74,     /* the conversation with the front ended */
	EXIT_REFUSED = 75,        /* attach was refused; REFUSED said why */
	EXIT_DAEMON_LOST = 76,    /* the daemon closed, reset or is unreachable */
	EXIT_DAEMON_MUTE = 77,    /* the daemon is connected and says nothing */
	EXIT_DAEMON_LIES = 78,    /* the daemon answered what no daemon may answer */
	EXIT_VOLUME_CHANGED = 79, /* the VDI was snapshotted, rolled back, deleted or replaced */
	EXIT_UNMOUNTED = 80,      /* front: the tree's connection ended by umount */
	EXIT_DAEMON_STALLED = 81, /* the daemon answers and ends no I/O; another target does */
};

#endif
