/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FNV-1a, 64 bits: short stable names for long ones. Not against an adversary: who uses it compares
 * more than it.
 */
#ifndef CNI_PLUGIN_HASH_H
#define CNI_PLUGIN_HASH_H

#include <stdint.h>

#define HASH_INIT 0xcbf29ce484222325u

/* Goes over the terminator too, so that texts in a row do not run into each other. */
static inline uint64_t hash_text(uint64_t hash, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	do {
		hash = (hash ^ *p) * 0x100000001b3u;
	} while (*p++);
	return hash;
}

#endif
