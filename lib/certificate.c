/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/certificate.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <time.h>

#include "lib/dlopen.h"
#include "lib/util.h"

#define SONAME "libcrypto.so.3"

DLOPEN_NOTE("certificates", "whether certificates are about to end", "recommended", SONAME);

#define FUNCTIONS(f)                                                                               \
	f(BIO_new_mem_buf) f(BIO_free) f(PEM_read_bio_X509) f(X509_free) f(X509_get0_notBefore)    \
		f(X509_get0_notAfter) f(ASN1_TIME_to_tm) f(ERR_peek_last_error) f(ERR_clear_error)

struct functions {
#define DECLARE(name) typeof(&(name)) name;
	FUNCTIONS(DECLARE)
#undef DECLARE
};

static struct functions ssl;

static int load(struct err *e)
{
	void *library;

	if (ssl.ERR_clear_error)
		return 0;
	library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return err_set(e, -ELIBACC, "%s", dlerror());
#define FIND(name)                                                                                 \
	ssl.name = dlsym(library, #name);                                                          \
	if (!ssl.name)                                                                             \
		return err_set(e, -ELIBACC, "%s", dlerror());
	FUNCTIONS(FIND)
#undef FIND
	return 0;
}

static bool take(X509 *x, struct certificate_validity *v)
{
	struct tm from;
	struct tm until;

	if (ssl.ASN1_TIME_to_tm(ssl.X509_get0_notBefore(x), &from) != 1 ||
	    ssl.ASN1_TIME_to_tm(ssl.X509_get0_notAfter(x), &until) != 1)
		return false;
	v->from_s = MAX(v->from_s, (int64_t)timegm(&from));
	v->until_s = MIN(v->until_s, (int64_t)timegm(&until));
	v->len++;
	return true;
}

int certificate_read(const char *pem, size_t size, struct certificate_validity *ret, struct err *e)
{
	struct certificate_validity v = { INT64_MIN, INT64_MAX, 0 };
	bool good = true;
	X509 *x;
	BIO *bio;

	if (load(e) < 0)
		return e->code;
	if (size > INT_MAX)
		return err_set(e, -EINVAL, "too long for certificates");
	bio = ssl.BIO_new_mem_buf(pem, (int)size);
	while (good && bio && (x = ssl.PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		good = take(x, &v);
		ssl.X509_free(x);
	}
	/* The end is told as an error too: that no other begins. */
	good = good && ERR_GET_REASON(ssl.ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ssl.ERR_clear_error();
	ssl.BIO_free(bio);
	if (!good || v.len == 0)
		return err_set(e, -EINVAL, "%s",
			       good ? "there is no certificate in it"
				    : "a certificate in it cannot be read");
	*ret = v;
	return 0;
}
