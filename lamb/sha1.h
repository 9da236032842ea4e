/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SHA-1 (FIPS 180-4), as GET_HASH answers it.  Identifies content; protects nothing.
 */
#ifndef LAMB_SHA1_H
#define LAMB_SHA1_H

#include <stddef.h>
#include <stdint.h>

struct sha1 {
	uint32_t state[5];
	uint64_t size; /* bytes so far */
	uint8_t block[64];
};

void sha1_init(struct sha1 *sha1);
void sha1_add(struct sha1 *sha1, const void *data, size_t size);
void sha1_end(struct sha1 *sha1, uint8_t digest[20]);

#endif
