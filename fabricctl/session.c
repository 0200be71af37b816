/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/session.h"

#include <errno.h>
#include <string.h>
#include <event2/event.h>

#include "fabricctl/loop.h"
#include "lib/http.h"
#include "stores/store_open.h"

/* Everything but the store. */
static int start(const struct ctl *c, struct session *ret)
{
	int status;

	*ret = (struct session){ 0 };
	status = settings_read(c, true, &ret->settings);
	if (status)
		return status;
	ret->base = loop_new();
	ret->http = http_client_new(ret->base);
	return CTL_OK;
}

static int unusable(const struct ctl *c, const struct err *e)
{
	int status = e->code == -EACCES ? CTL_DENIED : e->code == -ELIBACC ? CTL_FAILED : CTL_USAGE;

	return ctl_fail(c, status, NULL, NULL, "the store cannot be used: %s", e->text);
}

int session_open(const struct ctl *c, struct session *ret)
{
	int status = start(c, ret);
	struct err e;

	if (status)
		return status;
	if (store_open(ret->base, ret->http, &ret->settings.store, util_random_u64, &ret->store,
		       &e) < 0)
		return unusable(c, &e);
	return CTL_OK;
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
	int status = start(c, ret);
	const char *store = ret->settings.store.store;
	struct err e;

	if (status)
		return status;
	if (strcmp(store, "etcd") != 0)
		return ctl_fail(c, CTL_USAGE, "only etcd can be asked this",
				"fabricctl subnets --store", "the store is %s", store);
	if (etcd_client_new(ret->http, &ret->settings.store.etcd, &ret->client, &e) < 0)
		return unusable(c, &e);
	return CTL_OK;
}

void session_close(struct session *s)
{
	store_free(s->store);
	etcd_client_free(s->client);
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

static bool is_kube(const struct session *s)
{
	return strcmp(s->settings.store.store, "kube") == 0;
}

static int refused(const struct ctl *c, const struct session *s, const char *what, const char *why)
{
	return ctl_fail(c, CTL_DENIED, why,
			is_kube(s) ? "--kubeconfig-file of somebody who may list nodes"
				   : "--etcd-username and --etcd-password-file",
			"%s refuses us", what);
}

static int unreachable(const struct ctl *c, const struct session *s, const char *what,
		       const char *why)
{
	return ctl_fail(c, CTL_NO_STORE, why,
			is_kube(s) ? "--kube-api-url or --kubeconfig-file"
				   : "--etcd-endpoints; FLANNELD_ETCD_ENDPOINTS sets them too",
			"cannot reach %s", what);
}

int session_fail_call(const struct ctl *c, const struct session *s, int code, const char *why)
{
	auto_free char *what = xasprintf("the store at %s", s->settings.store.etcd.endpoints);

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
	bool etcd = strcmp(s->settings.store.store, "etcd") == 0;
	auto_free char *what = xasprintf("the store at %s", etcd ? s->settings.store.etcd.endpoints
								 : s->settings.store.store);
	const char *why = reply->err.text;

	switch (reply->status) {
	case STORE_ABSENT:
		return ctl_fail(c, CTL_NOT_FOUND, why,
				is_kube(s) ? "another --net-config-path"
					   : "another --etcd-prefix; FLANNELD_ETCD_PREFIX sets "
					     "it too",
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
