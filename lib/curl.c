/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/curl.h"

#include <dlfcn.h>
#include <errno.h>

/* Of every libcurl since 2006, Debian's with either TLS library included. */
#define SONAME "libcurl.so.4"

/*
 * Says in the program's file that it wants this library, as NEEDED entries do for those that are
 * linked: packaging tools read it. Source: https://systemd.io/ELF_DLOPEN_METADATA.
 */
#define WANTS                                                                                      \
	"[{\"feature\":\"http\",\"description\":\"stores that speak HTTP\","                       \
	"\"priority\":\"required\",\"soname\":[\"" SONAME "\"]}]"

static const struct {
	uint32_t name_size, text_size, type;
	char name[4];
	char text[(sizeof(WANTS) + 3) & ~(size_t)3];
} note __attribute__((section(".note.dlopen"), used, aligned(4))) = {
	.name_size = 4,
	.text_size = sizeof(WANTS),
	.type = 0x407c0c0a,
	.name = "FDO",
	.text = WANTS,
};

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
