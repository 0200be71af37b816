/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/http_error.h"

#include <string.h>

#include "lib/util.h"

/* "LABEL: reason", where the label is libcurl's and changes: "SSL certificate problem", "SSL". */
static const char *after_label(const char *text)
{
	const char *colon = strstr(text, ": ");

	return colon ? colon + 2 : text;
}

/*
 * An alert is the server's word about our certificate. Go's servers say no more than "bad certificate" of
 * one that has expired.
 */
static char *explain_alert(const char *alert, int size, const char *cert_file)
{
	if (!cert_file)
		return xasprintf("the server wants a certificate and we have none (%.*s)", size,
				 alert);
	return xasprintf("the server refuses our certificate (%.*s; has it expired?): %s", size,
			 alert, cert_file);
}

char *http_error_explain(CURLcode result, const char *text, const char *cert_file)
{
	/* OpenSSL: "error:NUMBER:SSL routines:FUNCTION:reason", of which 3.0 leaves the function empty. */
	static const char routines[] = "SSL routines:";
	const char *reason = strstr(text, routines);
	const char *alert;
	int size;

	if (result == CURLE_PEER_FAILED_VERIFICATION)
		return xasprintf("the server's certificate is not accepted: %s", after_label(text));
	if (!reason)
		return NULL;
	reason += sizeof(routines) - 1;
	size = (int)strcspn(reason, ":");
	if (reason[size])
		reason += size + 1;
	size = (int)strcspn(reason, ",");
	alert = strstr(reason, "alert ");
	if (alert && alert < reason + size) {
		alert += strlen("alert ");
		size = (int)strcspn(alert, ",");
		if (strstr(alert, "certificate") || strstr(alert, "unknown ca"))
			return explain_alert(alert, size, cert_file);
		return xasprintf("TLS: the server says: %.*s", size, alert);
	}
	return xasprintf("TLS: %.*s", size, reason);
}
