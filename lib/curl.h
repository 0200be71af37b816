/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl, loaded when the first call is to be made: it brings forty libraries, whose loading takes
 * longer than most commands of a program that makes no call. Nobody is linked with it; lib/http.c
 * and lib/http_grpc.c are its only users.
 */
#ifndef LIB_CURL_H
#define LIB_CURL_H

#include <curl/curl.h>

#include "lib/err.h"

/* curl.easy_init is libcurl's curl_easy_init, and so on. */
/* clang-format off */
#define CURL_FUNCTIONS(F) \
	F(global_init) \
	F(easy_init) \
	F(easy_cleanup) \
	F(easy_setopt) \
	F(easy_getinfo) \
	F(easy_header) \
	F(easy_strerror) \
	F(multi_init) \
	F(multi_cleanup) \
	F(multi_setopt) \
	F(multi_add_handle) \
	F(multi_remove_handle) \
	F(multi_assign) \
	F(multi_info_read) \
	F(multi_perform) \
	F(multi_socket_action) \
	F(getdate) \
	F(slist_append) \
	F(slist_free_all)
/* clang-format on */

struct curl {
#define CURL_MEMBER(name) typeof(curl_##name) *name;
	CURL_FUNCTIONS(CURL_MEMBER)
#undef CURL_MEMBER
};

/* Of use after curl_load. */
extern struct curl curl;

/* Loads and starts libcurl unless that was done; it stays. -ELIBACC: it cannot be used here. */
int curl_load(struct err *e) MUST_CHECK;

#endif
