/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent to etcd and what comes of it, for --log-level=debug. Never a value: it may be a secret. */
#include <string.h>

#include "lib/base64.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "stores/etcd/etcd_internal.h"

/* What stands behind `name` in the body, "" if it is not there. Caller frees. */
static char *field(const char *body, const char *name)
{
	const char *found = strstr(body, name);

	if (!found)
		return xstrdup("");
	found += strlen(name);
	return xstrndup(found, strcspn(found, "\""));
}

char *etcd_trace_subject(const char *body)
{
	auto_free char *key64 = field(body, "\"key\":\"");
	auto_free char *id = field(body, "\"ID\":\"");
	size_t size;
	char *key;

	if (*key64 && base64_decode(key64, strlen(key64), &key, &size, NULL) == 0)
		return key;
	if (*id)
		return xasprintf("lease %llx", strtoull(id, NULL, 10));
	return xstrdup("");
}

void etcd_trace_call(const char *url, const char *path, const char *body,
		     const struct http_reply *http, int64_t asked_ms)
{
	auto_free char *subject = NULL;
	auto_free char *end = NULL;

	if (log_level_get() < LOG_LEVEL_DEBUG)
		return;
	subject = etcd_trace_subject(body);
	end = http->code ? xstrdup(http->error)
			 : xasprintf("HTTP %ld, %zu bytes", http->status, http->body_size);
	log_debug("etcd-call", "POST %s %s %s, %zu bytes: %s, %lld ms", url, path, subject,
		  strlen(body), end, (long long)(clock_boot_ms() - asked_ms));
}
