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

/* How it ended. */
static char *describe_end(const struct http_reply *http, bool grpc)
{
	if (http->code)
		return xstrdup(http->error);
	if (!grpc)
		return xasprintf("HTTP %ld, %zu bytes", http->status, http->body_size);
	return xasprintf("HTTP %ld, grpc-status %d%s%s, %zu bytes", http->status, http->grpc_status,
			 *http->grpc_message ? " " : "", http->grpc_message, http->body_size);
}

void etcd_trace_call(const char *url, const char *path, const struct etcd_ask *ask,
		     size_t body_size, const struct http_reply *http, bool grpc, int64_t asked_ms)
{
	auto_free char *subject = NULL;
	auto_free char *end = NULL;

	if (log_level_get() < LOG_LEVEL_DEBUG)
		return;
	subject = etcd_trace_subject(ask);
	end = describe_end(http, grpc);
	log_debug("etcd-call", "POST %s%s %s, %zu bytes: %s, %lld ms", url, path, subject,
		  body_size, end, (long long)(clock_boot_ms() - asked_ms));
}

void etcd_trace_message(const char *url, const struct etcd_watch_message *m, int64_t opened_ms)
{
	if (log_level_get() < LOG_LEVEL_DEBUG)
		return;
	log_debug("etcd-stream", "%s: %zu bytes, %s%s%s%zu events, revision %llu, %lld ms", url,
		  m->size, m->created ? "created, " : "", m->canceled ? "canceled, " : "",
		  m->fragment ? "a fragment, " : "", m->events.len,
		  (unsigned long long)m->header.revision, (long long)(clock_boot_ms() - opened_ms));
}

void etcd_trace_end(const char *url, const char *why, int64_t opened_ms)
{
	log_debug("etcd-stream", "%s: ended: %s, %lld ms", url, why,
		  (long long)(clock_boot_ms() - opened_ms));
}
