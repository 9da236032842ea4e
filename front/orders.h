/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation with the master.
 *
 * Owns what is said to it, what becomes of its orders, and the exits that follow: a message that is
 * refused, or makes no sense here, ends this process with the word for it.  Never decides anything
 * that the master should.
 */
#ifndef SHEEPFS_FRONT_ORDERS_H
#define SHEEPFS_FRONT_ORDERS_H

#include "front/front.h"

struct volume;

/* Waits for the first word of the master on `fd` and copies it out; init: INIT_REQUEST_MAX bytes
 * for the FUSE_INIT that an earlier front had, *init_size 0: there was none.  Returns the tree's
 * device.
 */
int orders_await_start(int fd, struct msg_start_front *start, uint8_t *init, size_t *init_size);

/* Says that we serve, and goes on from there in the loop.  `fd` is owned from now on. */
void orders_open(struct front *f, int fd);

/* Whether the master has said something that was not yet heard. */
bool orders_pending(const struct front *f);

/* What is told to the master; v is NULL for the tree. */
void orders_init_received(
    struct front *f, const struct volume *v, const void *request, size_t size, bool resend);
void orders_attributes(struct front *f, const struct volume *v);
void orders_connection_ended(struct front *f, const struct volume *v);
void orders_worker_misbehaved(struct front *f, const struct volume *v, const char *why);
void orders_command(
    struct front *f, const struct msg_command *command, const char *text, size_t size);

#endif
