/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text tables: what a person reads about the cluster, byte for byte as `dog` prints it (P 8).
 *
 * Owns a table's life and its text.  A finished table is a sealed memfd: what a reader was given
 * never changes.  What stands in it is vdilist.c's, nodelist.c's and epochs.c's.  Changes nothing
 * in the cluster.
 */
#ifndef SHEEPFS_WORKER_TABLE_H
#define SHEEPFS_WORKER_TABLE_H

#include "ipc/msg.h"
#include "worker/counted.h"
#include "worker/sheep.h"

#include <stdbool.h>
#include <sys/types.h>

#define TABLE_TEXT_MAX (32UL << 20) /* bytes of one table */
#define TABLE_BUFFER 16384

/* Who can be asked. */
struct table_world {
	struct daemon *daemon;
	const char *address;     /* of that daemon, as targets are typed */
	struct counted *counted; /* NULL: nothing is remembered */
	uint64_t (*now)(void);   /* milliseconds, for it */
	/*
	 * Asks for a connection to another node, whose address is written as a target.  Answered by
	 * table_node_connected() or table_node_failed() with this number, not before it returns.
	 */
	void (*dial)(void *arg, uint64_t number, const char *address);
	/* The connection that was asked for is not needed any more. */
	void (*hang_up)(void *arg, uint64_t number);
	void *arg;
	uint64_t last_number; /* of connections that were asked for */
};

/* error 0: fd is the table, owned by the callee.  Else fd is -1 and the sentence tells why. */
typedef void table_done(void *arg, int error, int fd, const char *sentence);

struct table;

/*
 * Makes the table of a verb (VERB_LIST to VERB_NODE_INFO).  done() is called once, not before this
 * returns, unless the table is dropped; then the table is gone.  NULL when memory is short.
 */
struct table *table_make(enum verb verb, struct table_world *world, table_done *done, void *arg);

/* Forgets a table whose daemon is lost: no call of it completes any more.  NULL is fine. */
void table_drop(struct table *t);

/* The answers to dial(): the node that can be asked, or why not. */
void table_node_connected(struct table *t, uint64_t number, struct daemon *node);
void table_node_failed(struct table *t, uint64_t number, const char *why);

/* ---- for those who make one ---- */

struct table_kind {
	size_t size; /* of what begins with a struct table */
	/* Begins; false when memory is short. */
	bool (*begin)(struct table *t);
	/* Frees what it holds besides. */
	void (*end)(struct table *t);
	/* node NULL: it cannot be asked, for this reason. */
	void (*node)(struct table *t, uint64_t number, struct daemon *node, const char *why);
};

struct table {
	const struct table_kind *kind;
	struct table_world *world;
	table_done *done;
	void *arg;
	int error;
	char sentence[256];
	int fd;
	off_t size;
	size_t buffered;
	char buffer[TABLE_BUFFER];
};

/* Adds text; what goes wrong is found out by table_finish(). */
void table_add(struct table *t, const char *text, size_t size);
__attribute__((format(printf, 2, 3))) void table_print(struct table *t, const char *format, ...);

/* Notes the first error; table_finish() is still due. */
__attribute__((format(printf, 3, 4))) void table_fail(
    struct table *t, int error, const char *format, ...);

/* Tells done(), and frees it. */
void table_finish(struct table *t);

#endif
