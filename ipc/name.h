/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of volume names, as people type and see them.
 *
 *	volume = name [ "@" tag ]        tag: a snapshot's tag, or its number
 *
 * In both parts every byte but NUL may stand, from 1 to 255 of them; "%", "/", "@", space, control
 * bytes, DEL and a leading dot are written %XX (two hex digits).  Any %XX may be typed; only those
 *are shown.  A tag of decimal digits only is a snapshot's number; to name a tag of digits write its
 *first digit as %XX.
 */
#ifndef SHEEPFS_IPC_NAME_H
#define SHEEPFS_IPC_NAME_H

#include "include/bounds.h"

#include <stddef.h>
#include <stdint.h>

struct name {
	char name[NAME_FIELD_SIZE]; /* raw bytes, NUL-padded */
	char tag[NAME_FIELD_SIZE];  /* raw bytes, NUL-padded; empty: none */
	uint32_t snap_id;           /* 0: none; then tag is empty */
};

#define NAME_SHOWN_SIZE (2 * 3 * NAME_LENGTH_MAX + 2)

/*
 * Parses `text` of `size` bytes.  Returns 0, or -EINVAL / -ENAMETOOLONG with *why set to a static
 * sentence that says what is wrong and how it should be written.
 */
int name_parse(const char *text, size_t size, struct name *n, const char **why);

/* Writes the encoded form, NUL-terminated, into shown[NAME_SHOWN_SIZE]; returns its length. */
size_t name_show(const struct name *n, char *shown);

/* Compares bytewise; 0 when they name the same. */
int name_compare(const struct name *a, const struct name *b);

#endif
