/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store that assigns subnets must do, whichever it is: the same cases on the model that the
 * simulator believes in and on Kubernetes, if STORE_CONFORMANCE_KUBE is the URL of an API server that asks
 * nobody who he is; integration tests start one. There every case has a node of its own.
 */
#include "tests/unit/store_rig.h"

/* ---- what others do ---- */

struct assignment {
	const char *node;
	const struct subnet *subnet;
};

static void apply_assignment(struct mem_db *db, void *arg)
{
	const struct assignment *a = arg;

	mem_db_assign(db, a->node, a->subnet);
}

static const char *node_name(const struct rig *r)
{
	return r->prefix ? r->prefix : "node";
}

/* From now on the host has this subnet, or none (NULL). It must have had none. */
static void assign(struct rig *r, const char *key)
{
	struct subnet subnet;
	struct assignment a = { node_name(r), key ? &subnet : NULL };
	char v4[IP_NET_TEXT];
	char v6[IP_NET_TEXT];
	struct err e;

	if (key)
		assert_int_equal(subnet_key_parse(key, &subnet, NULL), 0);
	if (r->kind != KUBE) {
		if (mem_store_edit(r->store, apply_assignment, &a, &e) < 0)
			fail_msg("%s", e.text);
	} else if (key) {
		post(r, NULL, "/api/v1/nodes",
		     xasprintf("{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"podCIDR\":\"%s\","
			       "\"podCIDRs\":[\"%s\"%s%s%s]}}",
			       a.node, ip_net_format(&subnet.v4, v4), v4,
			       ip_net_is_set(&subnet.v6) ? ",\"" : "",
			       ip_net_is_set(&subnet.v6) ? ip_net_format(&subnet.v6, v6) : "",
			       ip_net_is_set(&subnet.v6) ? "\"" : ""));
	} else {
		auto_free char *path = xasprintf("/api/v1/nodes/%s", a.node);

		post(r, "DELETE", path, xstrdup(""));
	}
}

/* Others have leases of their own in a store that is not ours alone. */
static struct lease *find_own(struct rig *r, struct store_reply *ret)
{
	ask(r, STORE_LIST, NULL, 0, ret);
	assert_int_equal(ret->status, STORE_OK);
	for (size_t i = 0; i < ret->leases_len; i++) {
		if (ret->leases[i]->node_name &&
		    strcmp(ret->leases[i]->node_name, node_name(r)) == 0)
			return ret->leases[i];
	}
	return NULL;
}

/* What this host publishes; key NULL: for whichever subnet it has. */
static struct lease *ours(const struct rig *r, const char *key, const char *backend_type)
{
	struct lease *l = lease("10.5.0.0-24", backend_type);

	l->subnet = (struct subnet){ 0 };
	if (key)
		assert_int_equal(subnet_key_parse(key, &l->subnet, NULL), 0);
	free(l->node_name);
	l->node_name = xstrdup(node_name(r));
	return l;
}

static struct lease *held(struct rig *r, const char *key)
{
	auto_lease struct lease *l = ours(r, NULL, "vxlan");
	auto_reply reply = { 0 };

	ask(r, STORE_CREATE, l, 0, &reply);
	if (reply.status != STORE_OK)
		fail_msg("create: %s", reply.err.text);
	assert_int_equal(subnet_key_parse(key, &l->subnet, NULL), 0);
	assert_true(lease_equal(reply.holder, l));
	return STEAL(reply.holder);
}

/* ---- cases ---- */

static void test_none_is_assigned(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *any = ours(r, NULL, "vxlan");
	auto_lease struct lease *one = ours(r, "10.5.1.0-24", "vxlan");
	auto_reply whichever = { 0 };
	auto_reply this_one = { 0 };
	auto_reply list = { 0 };

	ask(r, STORE_CREATE, any, 0, &whichever);
	assert_int_equal(whichever.status, STORE_ABSENT);
	assert_null(whichever.holder);
	ask(r, STORE_CREATE, one, 0, &this_one);
	assert_int_equal(this_one.status, STORE_ABSENT);
	assert_null(find_own(r, &list));
}

static void test_the_one_that_is_ours(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = NULL;
	auto_lease struct lease *again = NULL;
	auto_lease struct lease *one = NULL;
	auto_reply named = { 0 };
	auto_reply list = { 0 };
	const struct lease *listed_one;

	assign(r, "10.5.1.0-24");
	l = held(r, "10.5.1.0-24");
	/* It does not end, and nobody's life is bound to it. */
	assert_int_equal(l->flags & LEASE_EXPIRES, 0);
	assert_int_equal(l->id, 0);
	listed_one = find_own(r, &list);
	assert_non_null(listed_one);
	assert_true(lease_equal(listed_one, l));
	assert_true(list.revision >= l->mod_revision);
	/* As often as one likes, and by its name. */
	again = held(r, "10.5.1.0-24");
	one = ours(r, "10.5.1.0-24", "vxlan");
	ask(r, STORE_CREATE, one, 0, &named);
	assert_int_equal(named.status, STORE_OK);
	assert_true(lease_equal(named.holder, l));
	assign(r, NULL);
}

static void test_another_than_ours(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *one = ours(r, "10.5.2.0-24", "vxlan");
	auto_lease struct lease *right = ours(r, "10.5.1.0-24", "vxlan");
	auto_reply reply = { 0 };

	assign(r, "10.5.1.0-24");
	ask(r, STORE_CREATE, one, 0, &reply);
	assert_int_equal(reply.status, STORE_CONFLICT);
	assert_true(subnet_equal(&reply.holder->subnet, &right->subnet));
	assign(r, NULL);
}

static void test_two_families(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = NULL;

	assign(r, "10.5.1.0-24&fd10:5:0:1::-64");
	l = held(r, "10.5.1.0-24&fd10:5:0:1::-64");
	assign(r, NULL);
}

/* It is replaced by its own host, and only the values are others then. */
static void test_update(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = NULL;
	auto_reply updated = { 0 };
	auto_reply bound = { 0 };
	auto_reply list = { 0 };

	assign(r, "10.5.1.0-24");
	l = held(r, "10.5.1.0-24");
	free(l->backend_type);
	l->backend_type = xstrdup("host-gw");
	ask(r, STORE_UPDATE, l, 0, &updated);
	assert_int_equal(updated.status, STORE_OK);
	assert_true(lease_equal(updated.holder, l));
	assert_true(updated.holder->mod_revision > l->mod_revision);
	ask(r, STORE_BIND, updated.holder, 0, &bound);
	assert_int_equal(bound.status, STORE_OK);
	assert_int_equal(bound.holder->flags & LEASE_EXPIRES, 0);
	assert_string_equal(find_own(r, &list)->backend_type, "host-gw");
	assign(r, NULL);
}

/* ... as long as it has the subnet. */
static void test_update_of_what_is_gone(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = NULL;
	auto_reply updated = { 0 };

	assign(r, "10.5.1.0-24");
	l = held(r, "10.5.1.0-24");
	assign(r, NULL);
	ask(r, STORE_UPDATE, l, 0, &updated);
	assert_true(updated.status == STORE_CONFLICT || updated.status == STORE_ABSENT);
	assert_null(updated.holder);
}

static void test_watch(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = NULL;
	auto_reply list = { 0 };
	auto_reply updated = { 0 };
	auto_reply again = { 0 };
	const struct told *t;

	assert_null(find_own(r, &list));
	watch(r, list.revision + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	assign(r, "10.5.17.0-24");
	l = held(r, "10.5.17.0-24");
	t = await(r, STORE_EVENT_PUT, "10.5.17.0-24");
	assert_string_equal(t->backend_type, "vxlan");
	assert_int_equal(t->revision, l->mod_revision);
	forget_told(r);
	free(l->backend_type);
	l->backend_type = xstrdup("host-gw");
	ask(r, STORE_UPDATE, l, 0, &updated);
	t = await(r, STORE_EVENT_PUT, "10.5.17.0-24");
	assert_string_equal(t->backend_type, "host-gw");
	assert_int_equal(t->revision, updated.holder->mod_revision);
	forget_told(r);
	assign(r, NULL);
	t = await(r, STORE_EVENT_DELETE, "10.5.17.0-24");
	assert_true(t->revision > updated.holder->mod_revision);
	/* Who comes late is told the same, if it is remembered. */
	store_watch_stop(STEAL(r->watch));
	forget_told(r);
	watch(r, l->mod_revision + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	await(r, STORE_EVENT_PUT, "10.5.17.0-24");
	await(r, STORE_EVENT_DELETE, "10.5.17.0-24");
	ask(r, STORE_CREATE, l, 0, &again);
	assert_int_equal(again.status, STORE_ABSENT);
}

/* The same host has another from now on: what was there is gone, and what is ours is the new one. */
static void test_assigned_anew(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *before = NULL;
	auto_lease struct lease *after = NULL;
	auto_reply list = { 0 };
	auto_reply old = { 0 };

	assign(r, "10.5.18.0-24");
	before = held(r, "10.5.18.0-24");
	find_own(r, &list);
	watch(r, list.revision + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	assign(r, NULL);
	assign(r, "10.5.19.0-24");
	await(r, STORE_EVENT_DELETE, "10.5.18.0-24");
	ask(r, STORE_CREATE, before, 0, &old);
	assert_int_equal(old.status, STORE_CONFLICT);
	assert_false(subnet_equal(&old.holder->subnet, &before->subnet));
	after = held(r, "10.5.19.0-24");
	await(r, STORE_EVENT_PUT, "10.5.19.0-24");
	assign(r, NULL);
}

static void test_watch_stopped_inside(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = NULL;
	auto_reply list = { 0 };

	find_own(r, &list);
	assign(r, "10.5.20.0-24");
	l = held(r, "10.5.20.0-24");
	r->stop_inside = true;
	watch(r, list.revision + 1);
	while (r->watch)
		turn(r, "the first event");
	assign(r, NULL);
	find_own(r, &list);
	assert_int_equal(r->told_len, 1);
}

static void on_never(void *arg UNUSED, struct store_reply *reply UNUSED)
{
	fail_msg("answered after the store was freed");
}

static void test_freed_with_questions_open(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = ours(r, NULL, "vxlan");
	struct store_request requests[] = { { .op = STORE_LIST },
					    { .op = STORE_CREATE, .lease = l } };

	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		store_submit(r->store, &requests[i], on_never, r);
	store_free(STEAL(r->store));
	event_base_loop(r->base, EVLOOP_NONBLOCK);
}

static int run(enum kind k, const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none_is_assigned),
		cmocka_unit_test(test_the_one_that_is_ours),
		cmocka_unit_test(test_another_than_ours),
		cmocka_unit_test(test_two_families),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_update_of_what_is_gone),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_assigned_anew),
		cmocka_unit_test(test_watch_stopped_inside),
		cmocka_unit_test(test_freed_with_questions_open),
	};

	kind = k;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return getenv("STORE_CONFORMANCE_KUBE") ? run(KUBE, "kube") : run(MEM_ASSIGNS, "mem");
}
