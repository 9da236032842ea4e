/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Learning the members: see learning.h.
 */
#include "worker/learning.h"

#include "worker/format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void fail(struct learning *l, int error, const char *why)
{
	l->error = error;
	snprintf(l->sentence, sizeof l->sentence, "%s", why);
	l->done(l);
}

static void tell(struct learning *l)
{
	char text[COMMAND_TEXT_MAX + 1], address[FORMAT_ADDRESS_MAX];
	bool first = true;
	size_t used = 0;

	for (unsigned i = 0; i < l->members.count; i++) {
		struct sd_node node = members_at(&l->members, i);

		format_target(&node.nid, address);
		if (used + 1 + strlen(address) > COMMAND_TEXT_MAX) {
			l->told(l, text, first, false);
			first = false;
			used = 0;
		}
		used += (size_t)sprintf(text + used, "%s%s", used ? "," : "", address);
	}
	l->told(l, text, first, true);
}

static void on_list(struct call *call)
{
	struct learning *l = call->owner;

	if (call->rsp.result != SD_RES_SUCCESS) {
		fail(l, sheep_errno(call->rsp.result), sheep_result_name(call->rsp.result));
	} else if (!members_take(&l->members, call)) {
		fail(l, -EAGAIN, "there are no active sheep daemons");
	} else {
		tell(l);
		l->done(l);
	}
}

static void on_status(struct call *call)
{
	struct learning *l = call->owner;

	if (!vdi_status_told(call, &l->epoch_log)) {
		fail(l, -EAGAIN, "the daemon does not tell which cluster this is");
		return;
	}
	l->cluster_ctime = l->epoch_log.ctime;
	if (members_call(&l->members, &l->call, on_list, l))
		daemon_submit(l->daemon, &l->call);
	else
		fail(l, -ENOMEM, "there is no memory for the list of nodes");
}

void learning_begin(struct learning *l)
{
	vdi_call_status(&l->call, &l->epoch_log, on_status, l);
	daemon_submit(l->daemon, &l->call);
}

void learning_end(struct learning *l)
{
	members_free(&l->members);
}
