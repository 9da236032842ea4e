/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Are the volumes' workers alive?  Each is asked every two seconds to say so; of the other helpers
 * those that are stopped are found.
 *
 * One that has not answered for five seconds is killed when it is stopped, sleeps although it was
 * spoken to, or has used the processor all that time; never because the machine is busy.  What
 * follows is seek.c's.
 */
#ifndef SHEEPFS_MASTER_HEARTBEAT_H
#define SHEEPFS_MASTER_HEARTBEAT_H

#include "master/master.h"

/* Returns 0 or -ENOMEM. */
int heartbeat_open(struct master *m);
void heartbeat_close(struct master *m);

#endif
