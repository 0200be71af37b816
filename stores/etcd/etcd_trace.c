/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent to etcd and what comes of it, for --log-level=debug. Never a value: it may be a secret. */
#include "lib/clock.h"
#include "lib/log.h"
#include "stores/etcd/etcd_internal.h"

char *etcd_trace_subject(const struct etcd_ask *ask)
{
	if (ask->key)
		return xstrdup(ask->key);
	if (ask->lease)
		return xasprintf("lease %llx", (unsigned long long)ask->lease);
	return xstrdup("");
}

void etcd_trace_call(const char *url, const char *path, const struct etcd_ask *ask,
		     size_t body_size, const struct http_reply *http, int64_t asked_ms)
{
	auto_free char *subject = NULL;
	auto_free char *end = NULL;

	if (log_level_get() < LOG_LEVEL_DEBUG)
		return;
	subject = etcd_trace_subject(ask);
	end = http->code ? xstrdup(http->error)
			 : xasprintf("HTTP %ld, %zu bytes", http->status, http->body_size);
	log_debug("etcd-call", "POST %s%s %s, %zu bytes: %s, %lld ms", url, path, subject,
		  body_size, end, (long long)(clock_boot_ms() - asked_ms));
}
