/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operations: each runs in the loop, in its order, and ends with request_finish().
 */
#ifndef LAMB_OPS_H
#define LAMB_OPS_H

struct request;

/* object.c */
void object_create(struct request *request);
void object_read(struct request *request);
void object_write(struct request *request);
void object_remove(struct request *request);
void object_discard(struct request *request);
void object_hash(struct request *request);
void object_exist(struct request *request);
void object_missing(struct request *request);
void object_list(struct request *request);

/* naming.c */
void naming_new(struct request *request);
void naming_lock(struct request *request);
void naming_release(struct request *request);
void naming_info(struct request *request);
void naming_used(struct request *request);
void naming_deleted(struct request *request);
void naming_copies(struct request *request);

/* deletion.c */
void deletion_delete(struct request *request);

/* attr.c */
void attr_get(struct request *request);

/* cluster.c */
void cluster_flush(struct request *request);
void cluster_default(struct request *request);
void cluster_nodes(struct request *request);
void cluster_format(struct request *request);
void cluster_shutdown(struct request *request);
void cluster_space(struct request *request);
void cluster_epochs(struct request *request);
void cluster_info(struct request *request);
void cluster_stores(struct request *request);
void cluster_recovery(struct request *request);
void cluster_nothing(struct request *request);
void cluster_disks(struct request *request);
void cluster_counters(struct request *request);
void cluster_get_log_level(struct request *request);
void cluster_set_log_level(struct request *request);

#endif
