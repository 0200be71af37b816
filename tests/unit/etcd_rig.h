/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of stores/etcd/etcd_store and stores/etcd/etcd_client share: their requests and
 * how those end.
 */
#ifndef TESTS_UNIT_ETCD_RIG_H
#define TESTS_UNIT_ETCD_RIG_H

#include "stores/etcd/etcd_json.h"
#include "tests/unit/fake_etcd.h"

#define CONFIG   "{\"Network\":\"10.5.0.0/16\"}"
#define KEY      "/f/subnets/10.5.34.0-24"
#define HANDLE   77
#define TXN      "/v3/kv/txn"
#define GRANT    "/v3/lease/grant"
#define REVOKE   "/v3/lease/revoke"
#define NO_TOKEN UNARY_ERROR("etcdserver: user name is empty", 3)
#define LEARNER  "etcdserver: rpc not supported for learner"
#define OLD      UNARY_ERROR("etcdserver: invalid auth token", 16)
#define WRITTEN                                                                                    \
	HEAD(8)                                                                                    \
	",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{\"revision\":\"8\"}}}]" \
	"}"

static UNUSED struct lease *lease_on(const char *key)
{
	struct lease *l = lease_new();

	assert_int_equal(subnet_key_parse(key, &l->subnet, NULL), 0);
	l->public_v4 = test_addr("192.0.2.7");
	l->backend_type = xstrdup("vxlan");
	l->born = 3;
	l->mod_revision = 5;
	l->id = HANDLE;
	return l;
}

static UNUSED struct question *set_config(struct rig *r, const char *config, uint64_t revision)
{
	struct store_request request = { .op = STORE_CONFIG_SET,
					 .config = config,
					 .config_revision = revision };

	return submit(r, &request);
}

/* {header, "kvs":[...]}, which is a transaction that failed if `failed`. */
static UNUSED char *found(const char *head, const char *kvs, bool failed)
{
	return xasprintf(failed ? "%s,\"responses\":[{\"response_range\":{\"kvs\":[%s]}}]}"
				: "%s,\"kvs\":[%s],\"count\":\"1\"}",
			 head, kvs);
}

#define CUT     (-1)
#define REFUSED (-2)
#define SILENT  (-3)

/* How a request can end without its answer. */
struct failure {
	const char *name;
	int status; /* or one of the above */
	const char *body;
	bool transient;        /* another endpoint may know better */
	enum store_status one; /* of a read with nobody else to ask */
};

/* Makes `a` end in this way. A refusal happens before there is a request. */
static UNUSED void end_in(struct asked *a, const struct failure *f)
{
	if (f->status == CUT)
		cut(a);
	else if (f->status != SILENT)
		reply(a, f->status, f->body);
}

static UNUSED struct rig *rig_for(size_t endpoints, const struct failure *f)
{
	struct rig *r = rig_new(endpoints, NULL);

	etcd_client_set_timeouts(store_of_rig(r)->client, 3000, f->status == SILENT ? 100 : 10000);
	if (f->status == REFUSED)
		fake_refuse(&r->fakes[0]);
	return r;
}

static UNUSED struct question *ask_write(struct rig *r, enum store_op op)
{
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	struct question *q;

	chance = 2 * (HANDLE - 1);
	if (op == STORE_CONFIG_SET)
		return set_config(r, CONFIG, 5);
	q = ask(r, op, l, op == STORE_CREATE ? 60 : 0);
	if (op == STORE_CREATE)
		reply(expect(r, 0, GRANT, NULL), 200, HEAD(7) ",\"ID\":\"77\",\"TTL\":\"60\"}");
	return q;
}

/* What stands under the key: as before the write, as after it, or as somebody else left it. */
enum stands { BEFORE, AFTER, OTHER };

static UNUSED char *standing(enum store_op op, enum stands what, bool failed)
{
	auto_lease struct lease *l = lease_on("10.5.34.0-24");
	auto_text value = lease_value_format(l);
	const char *key = op == STORE_CONFIG_SET ? "/f/config" : KEY;
	const char *ours = op == STORE_CONFIG_SET ? CONFIG : value;
	bool absent =
		(op == STORE_CREATE && what == BEFORE) || (op == STORE_REMOVE && what == AFTER);
	int64_t handle = op == STORE_CONFIG_SET ? 0 : HANDLE;
	auto_text record = absent           ? xstrdup("")
			   : what == BEFORE ? kv(key, "{\"a\":1}", 3, 5, handle)
			   : what == AFTER  ? kv(key, ours, op == STORE_CREATE ? 8 : 3, 8, handle)
					    : kv(key, "{\"b\":2}", 9, 9, 1234);

	if (absent)
		return xstrdup(HEAD(9) "}");
	return found(HEAD(9), record, failed);
}

#endif
