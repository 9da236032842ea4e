/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What other nodes have changed comes into our tables.
 *
 * Owns how far the shared page's notices were followed.  Belongs to the loop.
 */
#ifndef LAMB_NEWS_H
#define LAMB_NEWS_H

struct lamb;

/* Reads everything: store description, VDIs, marks. 0 or -errno. */
int news_load(struct lamb *lamb);

/* Reads again what was changed since; one access to memory when nothing was. */
void news_follow(struct lamb *lamb);

/* Looks who has died: the epoch rises, and what they left half done is mended. */
void news_look(struct lamb *lamb);

#endif
