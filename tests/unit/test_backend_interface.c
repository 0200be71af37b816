/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface of backends, driven from create to free with one that uses all of it
 * (tests/backends/backend_test.c), as the fabric does.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/stat.h>

#include "fabric/peers.h"
#include "lib/file.h"

#define DEVICE 7
#define LOWER  3

static char directory[] = "/tmp/test-backend-XXXXXX";

struct rig {
	struct network_config config;
	struct backend *backend;
	struct backend_env env;
	unsigned changes;
	struct reconcile *reconcile;
	struct peers *peers;
};

static void on_changed(void *arg, unsigned what)
{
	struct rig *r = arg;

	r->changes |= what;
}

static void find_paths(void *arg UNUSED, const struct lease *l UNUSED,
		       struct backend_path ret[static 2])
{
	ret[0] = (struct backend_path){ true, LOWER };
}

/* What the fabric tells the live part. */
static void on_judged(void *arg, struct peer *p, bool used, const char *news UNUSED)
{
	struct rig *r = arg;

	if (used || p->told)
		r->backend->type->live->peer(r->backend, p->member->lease, used ? p->data : NULL,
					     !used);
	p->told = used;
}

static int create(struct rig *r, const char *backend, struct err *e)
{
	auto_free char *text = xasprintf("{\"Network\":\"10.5.0.0/16\",\"Backend\":{%s}}", backend);

	*r = (struct rig){ 0 };
	if (network_config_parse(text, strlen(text), &r->config, e) < 0)
		fail_msg("%s", e->text);
	return backend_create(&r->config, &r->backend, e);
}

static void start(struct rig *r, const char *backend)
{
	static const struct peers_ops ops = { .paths = find_paths, .judged = on_judged };
	const struct backend_host host = {
		.node_id = "node-1",
		.secret = "abcdefghijklmnop",
		.lower = { { LOWER, 1500 }, { LOWER, 1500 } },
		.local_v4 = test_addr("192.0.2.1"),
		.public_v4 = test_addr("192.0.2.1"),
	};
	struct err e;

	if (create(r, backend, &e) < 0 || r->backend->type->set_host(r->backend, &host, &e) < 0)
		fail_msg("%s", e.text);
	r->env = (struct backend_env){
		.loop = event_base_new(), .state_dir = directory, .changed = on_changed, .arg = r
	};
	if (r->backend->type->live->start(r->backend, &r->env, &e) < 0)
		fail_msg("%s", e.text);
	r->reconcile = reconcile_new();
	r->peers = peers_new(r->reconcile, &ops, r);
}

static void end(struct rig *r, bool keep_data_path)
{
	/* In parentheses, for cmocka 2.0 has a macro of this name. */
	(r->backend->type->live->stop)(r->backend, keep_data_path);
	peers_free(r->peers);
	reconcile_free(r->reconcile);
	event_base_free(r->env.loop);
	backend_free(r->backend);
	network_config_fini(&r->config);
}

static void place(struct rig *r)
{
	const struct peers_place where = { .backend = r->backend,
					   .v4 = r->config.v4,
					   .own = { .v4 = test_net("10.5.200.0/24") },
					   .devices_ok = true };

	peers_set_place(r->peers, &where);
	peers_judge(r->peers);
}

static struct lease *lease(const char *key, const char *value)
{
	struct lease *l = lease_new();
	struct err e;

	if (subnet_key_parse(key, &l->subnet, &e) < 0 ||
	    lease_value_parse(value, strlen(value), l, &e) < 0)
		fail_msg("%s", e.text);
	return l;
}

static char *peers_file(void)
{
	auto_free char *path = xasprintf("%s/test.peers", directory);
	char *text = NULL;

	if (file_read(path, 4096, &text, NULL, NULL) < 0)
		return xstrdup("none");
	return text;
}

static void peers_are(const char *expected)
{
	auto_free char *text = peers_file();

	assert_string_equal(text, expected);
}

static void test_configuration(void **state)
{
	(void)state;
	static const struct {
		const char *backend;
		const char *error; /* NULL: fine */
	} rows[] = {
		{ "\"Type\":\"test\"", NULL },
		{ "\"Type\":\"TEST\",\"Color\":\"blue\",\"Bits\":6,\"DelayMs\":10", NULL },
		{ "\"Type\":\"test\",\"Bits\":7", "Backend: Bits is 7" },
		{ "\"Type\":\"test\",\"Color\":1", "Color" },
		{ "\"Type\":\"test\",\"Color\":\"a long shade of green\"", "too long" },
		{ "\"Type\":\"tencent-vpc\"",
		  "\"tencent-vpc\", which writes routes into a cloud's" },
		{ "\"Type\":\"AWS-VPC\"", "\"aws-vpc\", which writes routes into a cloud's" },
		{ "\"Type\":\"tests\"", "must be one of: vxlan, host-gw, " },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		struct rig r;

		assert_row((create(&r, rows[i].backend, &e) < 0) == !!rows[i].error,
			   rows[i].backend);
		if (rows[i].error)
			assert_contains(e.text, rows[i].error);
		backend_free(r.backend);
		network_config_fini(&r.config);
	}
}

/* Nothing is published, and there is no device, before the live part says so from the loop. */
static void test_published_later(void **state)
{
	(void)state;
	const struct backend_device *devices;
	auto_lease struct lease *own = lease_new();
	auto_free char *value = NULL;
	struct err e = { 0 };
	struct rig r;

	start(&r, "\"Type\":\"test\",\"DelayMs\":1");
	assert_int_equal(r.backend->type->publish(r.backend, own, &e), -EAGAIN);
	assert_contains(e.text, "not ready");
	assert_int_equal(backend_devices(r.backend, &devices), 0);
	assert_int_equal(r.changes, 0);
	event_base_dispatch(r.env.loop);
	assert_int_equal(r.changes, BACKEND_PUBLISH | BACKEND_DEVICES | BACKEND_WANTS);
	assert_int_equal(r.backend->type->publish(r.backend, own, &e), 0);
	value = lease_value_format(own);
	assert_string_equal(value, "{\"PublicIP\":\"192.0.2.1\",\"PublicIPv6\":null,"
				   "\"BackendType\":\"test\",\"BackendData\":{\"Color\":\"red\","
				   "\"Key\":6382179}}");
	assert_int_equal(backend_devices(r.backend, &devices), 1);
	assert_string_equal(devices[0].name, "flannel-test");
	assert_string_equal(devices[0].kind->name, "bridge");
	assert_int_equal(devices[0].mtu_bytes, 1400);
	assert_int_equal(r.backend->type->pod_mtu(r.backend), 1400);
	end(&r, true);
}

#define VALUE(address, color)                                                                      \
	"{\"PublicIP\":\"" address                                                                 \
	"\",\"BackendType\":\"test\",\"BackendData\":{\"Color\":\"" color "\",\"Key\":7}}"

/* From a lease to more objects than a tunnel needs, and to the live part. */
static void test_peers(void **state)
{
	(void)state;
	auto_lease struct lease *a = lease("10.5.3.0-24", VALUE("192.0.2.3", "red"));
	auto_lease struct lease *b = lease("10.5.4.0-24", VALUE("192.0.2.4", "blue"));
	auto_lease struct lease *again = lease("10.5.4.0-24", VALUE("192.0.2.4", "red"));
	auto_lease struct lease *none = lease("10.5.5.0-24", "{\"BackendType\":\"test\"}");
	struct manager_member members[] = { { .lease = a }, { .lease = b }, { .lease = none } };
	const struct mac_addr mac = { { 2, 0, 0, 0, 0, 1 } };
	struct peer *peers[3];
	const char *reason;
	struct rig r;

	start(&r, "\"Type\":\"test\",\"Bits\":5");
	event_base_dispatch(r.env.loop);
	r.backend->type->device_is(r.backend, 0, DEVICE, &mac);
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		peers[i] = peers_add(r.peers, &members[i]);
	r.changes = 0;
	place(&r);
	assert_int_equal(reconcile_counts(r.reconcile)->wanted[KERNEL_ADDRESS], 1);
	assert_int_equal(reconcile_counts(r.reconcile)->wanted[KERNEL_ROUTE], 32);
	assert_string_equal(peers_state(r.peers, peers[1], &reason), "ignored");
	assert_string_equal(reason, "Color is \"blue\", ours is \"red\"");
	assert_string_equal(peers_state(r.peers, peers[2], &reason), "ignored");
	assert_contains(reason, "BackendData: ");
	peers_are("10.5.3.0/24\n");
	assert_int_equal(r.changes, BACKEND_HEALTH);
	members[1].lease = again;
	peers_change(r.peers, peers[1]);
	peers_judge(r.peers);
	assert_int_equal(reconcile_counts(r.reconcile)->wanted[KERNEL_ROUTE], 64);
	peers_are("10.5.3.0/24\n10.5.4.0/24\n");
	members[1].lease = b;
	peers_change(r.peers, peers[1]);
	peers_judge(r.peers);
	peers_are("10.5.3.0/24\n");
	end(&r, true);
	peers_are("10.5.3.0/24\n");
}

static void test_health(void **state)
{
	(void)state;
	struct lease *leases[3];
	struct manager_member members[3] = { 0 };
	struct problem_list problems;
	struct rig r;

	start(&r, "\"Type\":\"test\"");
	event_base_dispatch(r.env.loop);
	for (unsigned i = 0; i < 3; i++) {
		auto_free char *key = xasprintf("10.5.%u.0-24", i + 3);

		problems.len = 0;
		r.backend->type->live->health(r.backend, &problems);
		assert_int_equal(problems.len, 0);
		members[i].lease = leases[i] = lease(key, VALUE("192.0.2.3", "red"));
		peers_add(r.peers, &members[i]);
		place(&r);
	}
	r.backend->type->live->health(r.backend, &problems);
	assert_non_null(problem_find(&problems, "test-crowded"));
	/* All is taken down. */
	end(&r, false);
	peers_are("");
	for (unsigned i = 0; i < 3; i++)
		lease_free(leases[i]);
}

static void test_what_a_lease_says(void **state)
{
	(void)state;
	auto_lease struct lease *a = lease("10.5.3.0-24", VALUE("192.0.2.3", "red"));
	auto_json json_t *item = json_object();

	struct members members = members_of(item);

	backend_describe_lease(a, &members);
	assert_string_equal(json_string_value(json_object_get(item, "color")), "red");
	assert_int_equal(json_integer_value(json_object_get(item, "testKey")), 7);
	/* What every lease is promised to have, of a backend that is not its own. */
	assert_true(json_is_null(json_object_get(item, "mac")));
}

static int make(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int clean(void **state)
{
	auto_free char *path = xasprintf("%s/test.peers", directory);

	(void)state;
	unlink(path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_published_later),
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_what_a_lease_says),
	};

	return cmocka_run_group_tests(tests, make, clean);
}
