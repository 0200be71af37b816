/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/session.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/random.h>

#include "fabricctl/loop.h"
#include "lib/http.h"
#include "subnet/etcd_store.h"

static uint64_t random_u64(void)
{
	uint64_t value;

	if (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
		abort();
	return value;
}

int session_open(const struct ctl *c, struct session *ret)
{
	struct etcd_options options;
	struct settings *s = &ret->settings;
	struct err e;
	int status;

	*ret = (struct session){ 0 };
	status = settings_read(c, true, s);
	if (status)
		return status;
	ret->base = loop_new();
	ret->http = http_client_new(ret->base);
	if (!ret->http)
		return ctl_fail(c, CTL_FAILED, NULL, NULL, "libcurl does not start");
	/* Always the first endpoint first: who asks by hand wants the same answer twice. */
	options = (struct etcd_options){
		.endpoints = s->etcd_endpoints,
		.ca_file = s->etcd_cafile,
		.cert_file = s->etcd_certfile,
		.key_file = s->etcd_keyfile,
		.username = s->etcd_username,
		.password = s->etcd_password,
	};
	if (etcd_store_new(ret->base, ret->http, s->etcd_prefix, &options, random_u64, &ret->store,
			   &e) < 0)
		return ctl_fail(c, e.code == -EACCES ? CTL_DENIED : CTL_USAGE, NULL, NULL,
				"the store cannot be used: %s", e.text);
	return CTL_OK;
}

void session_close(struct session *s)
{
	store_free(s->store);
	http_client_free(s->http);
	if (s->base)
		event_base_free(s->base);
	settings_fini(&s->settings);
}

struct question {
	struct event_base *base;
	struct store_reply *reply;
};

static void on_reply(void *arg, struct store_reply *reply)
{
	struct question *q = arg;

	*q->reply = *reply;
	*reply = (struct store_reply){ 0 };
	event_base_loopbreak(q->base);
}

void session_ask(struct session *s, const struct store_request *request, struct store_reply *ret)
{
	struct question q = { s->base, ret };

	store_submit(s->store, request, on_reply, &q);
	event_base_dispatch(s->base);
}

int session_fail(const struct ctl *c, const struct session *s, const struct store_reply *reply)
{
	auto_free char *what = xasprintf("the store at %s", s->settings.etcd_endpoints);
	const char *why = reply->err.text;

	switch (reply->status) {
	case STORE_ABSENT:
		return ctl_fail(c, CTL_NOT_FOUND, why,
				"another --etcd-prefix; FLANNELD_ETCD_PREFIX sets it too",
				"%s has no network configuration", what);
	case STORE_DENIED:
		return ctl_fail(c, CTL_DENIED, why, "--etcd-username and --etcd-password-file",
				"%s refuses us", what);
	case STORE_UNAVAILABLE:
	case STORE_UNKNOWN:
		return ctl_fail(c, CTL_NO_STORE, why,
				"--etcd-endpoints; FLANNELD_ETCD_ENDPOINTS sets them too",
				"cannot reach %s", what);
	case STORE_CONFLICT:
		return ctl_fail(c, CTL_CONFLICT, why, NULL, "%s was changed meanwhile", what);
	default:
		return ctl_fail(c, CTL_FAILED, why, NULL, "%s cannot answer", what);
	}
}
