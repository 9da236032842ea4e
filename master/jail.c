/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All that the master may do that others may not.
 */
#include "master/jail.h"

#include "ipc/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>

static const int kept[] = {
    CAP_SYS_ADMIN, /* mount, umount, namespaces for children */
    CAP_SETUID,    /* children become other users, and we for the moment that kills one */
    CAP_SETGID,
    CAP_SETPCAP, /* and empty their bounding set */
    -1,
    -1,
};

int jail_enter(bool search)
{
	int keep[sizeof kept / sizeof *kept];
	unsigned n = 0;

	for (; kept[n] >= 0; n++)
		keep[n] = kept[n];
	if (search)
		keep[n++] = CAP_DAC_READ_SEARCH;
	keep[n] = -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return confine_capabilities(keep);
}
