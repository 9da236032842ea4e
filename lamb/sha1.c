/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SHA-1: see sha1.h.
 */
#include "lamb/sha1.h"

#include <string.h>

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word << bits | word >> (32 - bits);
}

static void compress(uint32_t state[5], const uint8_t *block)
{
	uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

	for (unsigned t = 0; t < 16; t++)
		w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
		       (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
	for (unsigned t = 16; t < 80; t++)
		w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
	for (unsigned t = 0; t < 80; t++) {
		uint32_t f, k, next;

		if (t < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (t < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (t < 60) {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		next = rotate(a, 5) + f + e + k + w[t];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
}

void sha1_init(struct sha1 *sha1)
{
	*sha1 =
	    (struct sha1){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
}

void sha1_add(struct sha1 *sha1, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	while (size) {
		size_t used = sha1->size % 64, n = 64 - used < size ? 64 - used : size;

		memcpy(sha1->block + used, bytes, n);
		sha1->size += n;
		bytes += n;
		size -= n;
		if (used + n == 64)
			compress(sha1->state, sha1->block);
	}
}

void sha1_end(struct sha1 *sha1, uint8_t digest[20])
{
	uint64_t bits = sha1->size * 8;
	uint8_t pad[72] = {0x80}, length[8];
	size_t used = sha1->size % 64;

	for (unsigned i = 0; i < 8; i++)
		length[i] = (uint8_t)(bits >> (56 - 8 * i));
	sha1_add(sha1, pad, (used < 56 ? 56 : 120) - used);
	sha1_add(sha1, length, sizeof length);
	for (unsigned i = 0; i < 20; i++)
		digest[i] = (uint8_t)(sha1->state[i / 4] >> (24 - 8 * (i % 4)));
}
