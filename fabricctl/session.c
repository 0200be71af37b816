/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/session.h"

#include <errno.h>
#include <string.h>
#include <event2/event.h>

#include "fabricctl/loop.h"
#include "lib/http.h"
#include "stores/store_open.h"

static void make_loop(struct session *s)
{
	s->base = loop_new();
	s->http = http_client_new(s->base);
}

int session_begin(struct session *s, struct err *e)
{
	make_loop(s);
	return store_open(s->base, s->http, &s->settings.store, util_random_u64, &s->store, e);
}

static int unusable(const struct ctl *c, const struct err *e)
{
	int status = e->code == -EACCES ? CTL_DENIED : e->code == -ELIBACC ? CTL_FAILED : CTL_USAGE;

	return ctl_fail(c, status, NULL, NULL, "the store cannot be used: %s", e->text);
}

int session_open(const struct ctl *c, struct session *ret)
{
	struct err e;
	int status;

	*ret = (struct session){ 0 };
	status = settings_read(c, true, &ret->settings);
	if (status == CTL_OK && session_begin(ret, &e) < 0)
		status = unusable(c, &e);
	return status;
}

int session_need_trait(const struct ctl *c, const struct session *s, unsigned trait, bool has,
		       const char *why)
{
	if (!(s->store->type->traits & trait) == !has)
		return CTL_OK;
	return ctl_fail(c, CTL_USAGE, NULL, NULL, "the store %s %s", s->store->type->scheme, why);
}

int session_connect(const struct ctl *c, struct session *ret)
{
	const char *store;
	struct err e;
	int status;

	*ret = (struct session){ 0 };
	status = settings_read(c, true, &ret->settings);
	if (status)
		return status;
	make_loop(ret);
	store = ret->settings.store.store;
	if (strcmp(store, "consul") == 0)
		return consul_client_new(ret->http, &ret->settings.store.consul, &ret->consul, &e) <
				       0
			       ? unusable(c, &e)
			       : CTL_OK;
	if (strcmp(store, "etcd") != 0)
		return ctl_fail(c, CTL_USAGE, "only etcd and Consul can be asked this",
				"fabricctl subnets --store", "the store is %s", store);
	if (etcd_client_new(ret->http, &ret->settings.store.etcd, &ret->client, &e) < 0)
		return unusable(c, &e);
	return CTL_OK;
}

void session_close(struct session *s)
{
	store_free(s->store);
	etcd_client_free(s->client);
	consul_client_free(s->consul);
	http_client_free(s->http);
	if (s->base)
		event_base_free(s->base);
	settings_fini(&s->settings);
}

struct call {
	struct event_base *base;
	struct etcd_reply *reply;
	struct err *e;
	int code;
};

static void on_result(void *arg, const struct etcd_result *result)
{
	struct call *call = arg;

	call->code = result->code;
	if (result->code == ETCD_OK) {
		*call->reply = *result->reply;
		*result->reply = (struct etcd_reply){ 0 };
	} else {
		err_set(call->e, -EIO, "%s", result->text);
	}
	event_base_loopbreak(call->base);
}

int session_call(struct session *s, const struct etcd_ask *ask, struct etcd_reply *ret_reply,
		 struct err *e)
{
	struct call call = { .base = s->base, .reply = ret_reply, .e = e };

	etcd_client_call(s->client, ask, on_result, &call);
	event_base_dispatch(s->base);
	return call.code;
}

struct question {
	struct event_base *base;
	struct store_reply *reply;
	bool answered;
};

static void on_reply(void *arg, struct store_reply *reply)
{
	struct question *q = arg;

	q->answered = true;
	*q->reply = *reply;
	*reply = (struct store_reply){ 0 };
	event_base_loopbreak(q->base);
}

void session_ask(struct session *s, const struct store_request *request, struct store_reply *ret)
{
	struct question q = { s->base, ret, false };

	store_submit(s->store, request, on_reply, &q);
	event_base_dispatch(s->base);
}

void session_ask_within(struct session *s, const struct store_request *request, int timeout_ms,
			struct store_reply *ret)
{
	const struct timeval timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	struct question q = { s->base, ret, false };

	store_submit(s->store, request, on_reply, &q);
	event_base_loopexit(s->base, &timeout);
	event_base_dispatch(s->base);
	if (q.answered)
		return;
	/* Drops the request: its answer would have nowhere to go. */
	store_free(STEAL(s->store));
	*ret = (struct store_reply){ .status = STORE_UNAVAILABLE };
	err_set(&ret->err, -ETIMEDOUT, "the store has not answered within %d ms", timeout_ms);
}

/* What to try when a store does not do as it is asked. */
struct hints {
	const char *scheme;
	const char *refused;
	const char *unreachable;
	const char *absent;
};

static const struct hints all_hints[] = {
	{ "etcd", "--etcd-username and --etcd-password-file",
	  "--etcd-endpoints; FLANNELD_ETCD_ENDPOINTS sets them too",
	  "another --etcd-prefix; FLANNELD_ETCD_PREFIX sets it too" },
	{ "kube", "--kubeconfig-file of somebody who may list nodes",
	  "--kube-api-url or --kubeconfig-file", "another --net-config-path" },
	{ "consul", "--consul-token-file with a token that may read the prefix",
	  "--consul-endpoints; FLANNELD_CONSUL_ENDPOINTS sets them too",
	  "another --consul-prefix; FLANNELD_CONSUL_PREFIX sets it too" },
};

static const struct hints *hints_of(const struct session *s)
{
	for (size_t i = 0; i < ARRAY_LEN(all_hints); i++) {
		if (strcmp(s->settings.store.store, all_hints[i].scheme) == 0)
			return &all_hints[i];
	}
	return &all_hints[0];
}

/* Caller frees. */
static char *describe(const struct session *s)
{
	const struct store_options *o = &s->settings.store;
	const char *where = o->store;

	if (strcmp(o->store, "etcd") == 0)
		where = o->etcd.endpoints;
	else if (strcmp(o->store, "consul") == 0)
		where = o->consul.endpoints;
	return xasprintf("the store at %s", where);
}

static int refused(const struct ctl *c, const struct session *s, const char *what, const char *why)
{
	return ctl_fail(c, CTL_DENIED, why, hints_of(s)->refused, "%s refuses us", what);
}

static int unreachable(const struct ctl *c, const struct session *s, const char *what,
		       const char *why)
{
	return ctl_fail(c, CTL_NO_STORE, why, hints_of(s)->unreachable, "cannot reach %s", what);
}

int session_fail_consul(const struct ctl *c, const struct session *s, enum consul_outcome outcome,
			const char *why)
{
	auto_free char *what = describe(s);

	if (outcome == CONSUL_DENIED)
		return refused(c, s, what, why);
	if (outcome == CONSUL_LATER)
		return unreachable(c, s, what, why);
	return ctl_fail(c, CTL_FAILED, why, NULL, "%s cannot answer", what);
}

int session_fail_call(const struct ctl *c, const struct session *s, int code, const char *why)
{
	auto_free char *what = describe(s);

	switch (code) {
	case ETCD_PERMISSION_DENIED:
	case ETCD_UNAUTHENTICATED:
	case ETCD_INVALID_ARGUMENT:
		return refused(c, s, what, why);
	default:
		return unreachable(c, s, what, why);
	}
}

int session_fail(const struct ctl *c, const struct session *s, const struct store_reply *reply)
{
	auto_free char *what = describe(s);
	const char *why = reply->err.text;

	switch (reply->status) {
	case STORE_ABSENT:
		return ctl_fail(c, CTL_NOT_FOUND, why, hints_of(s)->absent,
				"%s has no network configuration", what);
	case STORE_DENIED:
		return refused(c, s, what, why);
	case STORE_UNAVAILABLE:
	case STORE_UNKNOWN:
		return unreachable(c, s, what, why);
	case STORE_CONFLICT:
		return ctl_fail(c, CTL_CONFLICT, why, NULL, "%s was changed meanwhile", what);
	default:
		return ctl_fail(c, CTL_FAILED, why, NULL, "%s cannot answer", what);
	}
}
