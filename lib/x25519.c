/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/x25519.h"

#include <dlfcn.h>
#include <errno.h>
#include <openssl/evp.h>

#include "lib/dlopen.h"
#include "lib/util.h"

#define SONAME "libcrypto.so.3"

DLOPEN_NOTE("wireguard", "public keys of WireGuard", "recommended", SONAME);

#define FUNCTIONS(f) f(EVP_PKEY_new_raw_private_key) f(EVP_PKEY_get_raw_public_key) f(EVP_PKEY_free)

struct functions {
#define DECLARE(name) typeof(&(name)) name;
	FUNCTIONS(DECLARE)
#undef DECLARE
};

static int load(struct functions *ret, struct err *e)
{
	void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return err_set(e, -ELIBACC, "%s", dlerror());
#define FIND(name)                                                                                 \
	ret->name = dlsym(library, #name);                                                         \
	if (!ret->name)                                                                            \
		return err_set(e, -ELIBACC, "%s", dlerror());
	FUNCTIONS(FIND)
#undef FIND
	return 0;
}

void x25519_clamp(uint8_t key[static X25519_SIZE])
{
	key[0] &= 248;
	key[31] &= 127;
	key[31] |= 64;
}

int x25519_public(const uint8_t private[static X25519_SIZE], uint8_t ret[static X25519_SIZE],
		  struct err *e)
{
	static struct functions evp;
	size_t size = X25519_SIZE;
	EVP_PKEY *key;
	int ok;

	if (!evp.EVP_PKEY_free && load(&evp, e) < 0)
		return e->code;
	key = evp.EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, X25519_SIZE);
	ok = key && evp.EVP_PKEY_get_raw_public_key(key, ret, &size) == 1 && size == X25519_SIZE;
	evp.EVP_PKEY_free(key);
	return ok ? 0 : err_set(e, -ELIBACC, SONAME " makes no public key of X25519");
}
