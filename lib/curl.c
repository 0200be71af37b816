/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/curl.h"

#include <dlfcn.h>
#include <errno.h>

#include "lib/dlopen.h"

/* Of every libcurl since 2006, Debian's with either TLS library included. */
#define SONAME "libcurl.so.4"

DLOPEN_NOTE("http", "stores that speak HTTP", "required", SONAME);

struct curl curl;

static int find_functions(void *library, struct curl *ret, struct err *e)
{
#define CURL_FIND(name)                                                                            \
	ret->name = dlsym(library, "curl_" #name);                                                 \
	if (!ret->name)                                                                            \
		return err_set(e, -ELIBACC, "%s", dlerror());
	CURL_FUNCTIONS(CURL_FIND)
#undef CURL_FIND
	return 0;
}

int curl_load(struct err *e)
{
	struct curl found;
	void *library;
	int rc;

	if (curl.global_init)
		return 0;
	library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return err_set(e, -ELIBACC, "%s", dlerror());
	rc = find_functions(library, &found, e);
	if (rc < 0)
		return rc;
	if (found.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, -ELIBACC, SONAME " does not start");
	curl = found;
	return 0;
}
