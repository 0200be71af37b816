/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a call failed, in words that an operator can use. What libcurl says of TLS is OpenSSL's text, which
 * names functions and numbers and is worded anew from version to version: here it is judged by libcurl's
 * code, and of the text only the reason is kept.
 */
#ifndef LIB_HTTP_ERROR_H
#define LIB_HTTP_ERROR_H

#include <curl/curl.h>

/*
 * result     not CURLE_OK.
 * text       libcurl's own (CURLOPT_ERRORBUFFER), not empty.
 * cert_file  the client's certificate, or NULL if it has none.
 *
 * Returns a sentence on the heap, or NULL if the text needs no other.
 */
char *http_error_explain(CURLcode result, const char *text, const char *cert_file);

#endif
