/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public key of a private one on Curve25519 (RFC 7748 section 5): what WireGuard's peers know each
 * other by. OpenSSL's libcrypto reckons it, loaded when it is needed; libcurl brings it. Nothing is
 * agreed on or encrypted here: that is the kernel's.
 */
#ifndef LIB_X25519_H
#define LIB_X25519_H

#include <stdint.h>

#include "lib/err.h"

#define X25519_SIZE 32

/* Makes a private key of any 32 bytes, as section 5 says: three bits low, two high are fixed. */
void x25519_clamp(uint8_t key[static X25519_SIZE]);

/* -ELIBACC with a sentence: there is no libcrypto. */
int x25519_public(const uint8_t private[static X25519_SIZE], uint8_t ret[static X25519_SIZE],
		  struct err *e) MUST_CHECK;

#endif
