/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public key of a private one on Curve25519: RFC 7748 section 5. What WireGuard's peers know each
 * other by. Nothing is agreed on or encrypted here: that is the kernel's.
 */
#ifndef LIB_X25519_H
#define LIB_X25519_H

#include <stdint.h>

#define X25519_SIZE 32

/* Makes a private key of any 32 bytes, as section 5 says: three bits low, two high are fixed. */
void x25519_clamp(uint8_t key[static X25519_SIZE]);

/* Takes the same time whatever the key is. */
void x25519_public(const uint8_t private[static X25519_SIZE], uint8_t ret[static X25519_SIZE]);

#endif
