/* SPDX-License-Identifier: Apache-2.0 */
/* A store of stores/consul before agents by script, and what those say. */
#ifndef TESTS_UNIT_CONSUL_RIG_H
#define TESTS_UNIT_CONSUL_RIG_H

#include "stores/consul/consul_internal.h"
#include "tests/unit/fake_etcd.h"

#define S1     "049c13ce-60d1-422a-5ba0-cbcb5ddf21fe"
#define S2     "149c13ce-60d1-422a-5ba0-cbcb5ddf21fe"
#define KEY    "f/subnets/10.5.1.0-24"
#define GET    "/v1/kv/f/subnets/10.5.1.0-24?consistent"
#define CONFIG "/v1/kv/f/config?consistent"
#define RIGHTS "/v1/kv/f/subnets/.0000000000000000?consistent"
#define LIST   "/v1/kv/f/?recurse&consistent"
#define TXN    "/v1/txn"
#define MAKE   "/v1/session/create"
#define VALUE  "{\"PublicIP\":\"192.0.2.1\",\"PublicIPv6\":null,\"BackendType\":\"vxlan\"}"
/* What `chance`, 0, makes of the mark in the Flags. */
#define MARK 1

static UNUSED struct rig *consul_rig(size_t agents, struct consul_options *options)
{
	auto_free char *list = NULL;
	struct rig *r = rig_listen(agents, &list);
	struct consul_options none = { 0 };
	struct err e = { 0 };

	options = options ? options : &none;
	options->prefix = (char *)"/f/";
	options->endpoints = list;
	if (consul_store_new(r->base, r->http, options, fixed_random, &r->store, &e) < 0)
		fail_msg("%s", e.text);
	options->endpoints = NULL;
	return r;
}

/* Index 0: without the header. */
static UNUSED void says_with(struct asked *q, int status, uint64_t index, const char *header,
			     const char *body)
{
	auto_free char *line =
		index ? xasprintf("X-Consul-Index: %llu\r\n", (unsigned long long)index)
		      : xstrdup("");
	auto_free char *text =
		xasprintf("HTTP/1.1 %d Whatever\r\n%s%sContent-Length: %zu\r\n\r\n%s", status, line,
			  header, strlen(body), body);

	send_text(q, text);
}

static UNUSED void says(struct asked *q, int status, uint64_t index, const char *body)
{
	says_with(q, status, index, "", body);
}

static UNUSED char *entry(const char *key, const char *value, uint64_t created, uint64_t modified,
			  uint64_t flags, const char *session)
{
	auto_free char *value64 = base64_encode(value, strlen(value));

	return xasprintf("{\"Key\":\"%s\",\"Value\":\"%s\",\"Flags\":%llu%s%s%s,"
			 "\"CreateIndex\":%llu,\"ModifyIndex\":%llu}",
			 key, value64, (unsigned long long)flags, session ? ",\"Session\":\"" : "",
			 session ? session : "", session ? "\"" : "", (unsigned long long)created,
			 (unsigned long long)modified);
}

/* [a,b]; either may be NULL. Frees both. */
static UNUSED char *list_of(char *a, char *b)
{
	char *text = xasprintf("[%s%s%s]", a ? a : "", a && b ? "," : "", b ? b : "");

	free(a);
	free(b);
	return text;
}

static UNUSED struct lease *a_lease(void)
{
	struct lease *l = lease_new();

	assert_int_equal(subnet_key_parse("10.5.1.0-24", &l->subnet, NULL), 0);
	l->public_v4 = test_addr("192.0.2.1");
	l->backend_type = xstrdup("vxlan");
	return l;
}

static UNUSED u128 id_of(const char *session)
{
	u128 id = 0;

	assert_int_equal(consul_session_parse(session, &id, NULL), 0);
	return id;
}

#endif
