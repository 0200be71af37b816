/* SPDX-License-Identifier: Apache-2.0 */
/* The network configuration once there is one: what another in the store means, now and at the next
 * start. */
#include "tests/unit/manager_rig.h"

/* What the store has now as configuration, and what the manager makes of it; NULL: all is well. */
static void config_becomes(struct rig *r, const char *text, const char *problem, const char *says)
{
	event(r, STORE_EVENT_CONFIG, 110, NULL);
	until(r, STORE_CONFIG, 1100);
	answer_config(r, text);
	assert_int_equal(state(r), MANAGER_HELD);
	if (!problem) {
		assert_null(view(r).config_problem);
		return;
	}
	assert_non_null(view(r).config_problem);
	assert_string_equal(view(r).config_problem, problem);
	assert_contains(view(r).config_reason, says);
}

static void test_config_changed_while_in_use(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	event(r, STORE_EVENT_CONFIG, 110, NULL);
	until(r, STORE_CONFIG, 1100);
	/* The read fails: it is read again, nothing is forgotten. */
	answer_status(r, STORE_CONFIG, STORE_UNAVAILABLE);
	until(r, STORE_CONFIG, 20000);
	answer_config(r, "{\"Network\":\"10.6.0.0/16\"}");
	assert_string_equal(view(r).config_problem, "config-renumbers");
	config_becomes(r, CONFIG, NULL, NULL);
	config_becomes(r, NULL, "config-missing", "deleted");
	/* Written otherwise, and with what is the default: no change. */
	config_becomes(r, "{ \"Network\": \"10.5.0.0/16\",\n \"SubnetLen\": 24 }\n", NULL, NULL);
	config_becomes(r, "{\"network\":\"10.5.0.0/16\",\"Backend\":{\"Type\":\"vxlan\"}}", NULL,
		       NULL);
	config_becomes(r,
		       "{\"Network\":\"10.5.0.0/16\",\"Backend\":{\"Type\":\"vxlan\",\"VNI\":7}}",
		       "config-changed", "Backend.VNI; restart flanneld to use it");
	config_becomes(
		r, "{\"Network\":\"10.0.0.0/8\",\"SubnetLen\":24}", "config-changed",
		"Network is 10.0.0.0/8, was 10.5.0.0/16; restart flanneld to use it, this host "
		"keeps 10.5.1.0/24");
	config_becomes(r, "{\"Network\":\"10.5.0.0/16\",\"SubnetLen\":25}", "config-renumbers",
		       "SubnetLen is 25, was 24");
	assert_null(strstr(view(r).config_reason, "restart flanneld to use it"));
	config_becomes(r, "{\"Network\":\"10.5.0.0/16\",\"SubnetMin\":\"10.5.9.0\"}",
		       "config-renumbers", "SubnetMin is 10.5.9.0, was 10.5.1.0");
	config_becomes(r, "{\"Network\":", "config-invalid", "of no use");
	config_becomes(r, CONFIG, NULL, NULL);
}

/* What stands under Backend may be a secret. */
static void test_secrets_are_not_told(void **unused)
{
	(void)unused;
	auto_rig r = holding();

	config_becomes(
		r,
		"{\"Network\":\"10.5.0.0/16\",\"Backend\":{\"Type\":\"ipsec\",\"PSK\":\"sesame\"}}",
		"config-changed", "Backend.Type is ipsec, was vxlan, Backend.PSK");
	assert_null(strstr(view(r).config_reason, "sesame"));
}

/* ---- a restart with a lease ---- */

static struct rig *restarted(int64_t left_ms)
{
	struct rig *r = rig_new(NULL);
	struct last_known known = { .network = xstrdup("/n"), .config = xstrdup(CONFIG) };

	known.own = mine("10.5.1.0-24", 101, 101, 11);
	manager_set_last_known(r->m, &known, r->now + left_ms);
	return r;
}

/* A configuration that takes the subnet from this host's containers is not taken by a restart. */
static void test_restart_keeps_what_was_leased(void **unused)
{
	(void)unused;
	static const struct {
		const char *config;
		const char *problem;
	} rows[] = {
		{ "{\"Network\":\"10.9.0.0/16\"}", "config-renumbers" },
		{ "{\"Network\":\"10.5.0.0/16\",\"SubnetLen\":26}", "config-renumbers" },
		{ "{\"EnableIPv4\":false,\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/48\"}",
		  "config-renumbers" },
		{ "hello", "config-invalid" },
		{ NULL, "config-missing" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_rig r = restarted(60000);

		answer_config(r, rows[i].config);
		assert_int_equal(r->configs, 1);
		assert_true(noted(r, "last-known-state"));
		assert_string_equal(view(r).config_text, CONFIG);
		assert_string_equal(view(r).config_problem, rows[i].problem);
		manager_claim(r->m, r->now, r->attributes);
		answer_list(r, (uint64_t)120, mine("10.5.1.0-24", 101, 101, 11), END);
		assert_false(view(r).stale);
		until(r, STORE_CREATE, 1000);
		assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.1.0-24");
		answer_conflict(r, STORE_CREATE, mine("10.5.1.0-24", 101, 101, 11));
		answer_keepalive(r, STORE_OK);
		assert_int_equal(state(r), MANAGER_HELD);
		/* Read again, and still so. */
		until(r, STORE_CONFIG, 1000);
		answer_config(r, rows[i].config);
		assert_string_equal(view(r).config_problem, rows[i].problem);
	}
}

/* One that leaves it its subnet is taken, and so is any if nothing is held any more. */
static void test_restart_takes_what_fits(void **unused)
{
	(void)unused;
	static const struct {
		int64_t left_ms;
		const char *config;
	} rows[] = {
		{ 60000, "{\"Network\":\"10.0.0.0/"
			 "8\",\"SubnetLen\":24,\"Backend\":{\"Type\":\"host-gw\"}}" },
		{ 60000, "{\"Network\":\"10.5.0.0/"
			 "16\",\"EnableIPv6\":true,\"IPv6Network\":\"fd10::/48\"}" },
		{ -1, "{\"Network\":\"10.9.0.0/16\"}" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_rig r = restarted(rows[i].left_ms);

		answer_config(r, rows[i].config);
		assert_string_equal(view(r).config_text, rows[i].config);
		assert_null(view(r).config_problem);
		assert_false(view(r).stale);
	}
}

/* Of no use to the backend: a host that has none waits, one that was leased its subnet goes on. */
static void test_no_use_to_the_backend(void **unused)
{
	(void)unused;
	static const char pigeon[] =
		"{\"Network\":\"10.5.0.0/16\",\"Backend\":{\"Type\":\"pigeon\"}}";
	auto_rig fresh = rig_new(NULL);
	auto_rig r = restarted(60000);
	auto_rig holder = holding();

	answer_config(fresh, pigeon);
	assert_int_equal(state(fresh), MANAGER_WAIT_CONFIG);
	assert_contains(view(fresh).reason, "no pigeons");
	answer_config(r, pigeon);
	assert_string_equal(view(r).config_text, CONFIG);
	assert_string_equal(view(r).config_problem, "config-invalid");
	assert_contains(view(r).config_reason, "no pigeons");
	config_becomes(holder, pigeon, "config-invalid", "no pigeons");
}

/* A change of the backend's type by the majority: who starts stays with most of the others. */
static void test_a_change_by_the_majority(void **unused)
{
	(void)unused;
#define BY_MAJORITY(type)                                                                          \
	"{\"Network\":\"10.5.0.0/"                                                                 \
	"16\",\"BackendChange\":\"majority\",\"Backend\":{\"Type\":\"" type "\"}}"
	static const struct {
		unsigned same, moved, reserved;
		bool stays;
	} rows[] = {
		{ 0, 0, 0, false }, { 1, 0, 0, true },  { 0, 1, 0, false }, { 1, 1, 0, false },
		{ 2, 1, 0, true },  { 1, 2, 9, false }, { 3, 3, 0, false }, { 4, 3, 9, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct store_reply list = { .revision = 120 };
		unsigned all = rows[i].same + rows[i].moved + rows[i].reserved;
		auto_rig r = restarted(60000);
		size_t cap = 0;

		answer_config(r, BY_MAJORITY("host-gw"));
		assert_int_equal(r->configs, 0);
		for (unsigned n = 0; n <= all; n++) {
			auto_free char *key = xasprintf("10.5.%u.0-24", n + 1);
			struct lease *l = n ? theirs(key, 50 + n, 50 + n,
						     n <= all - rows[i].reserved ? 50 + n : 0)
					    : mine(key, 101, 101, 11);

			if (n > rows[i].same) {
				free(l->backend_type);
				l->backend_type = xstrdup("host-gw");
			}
			if (n > all - rows[i].reserved)
				free(STEAL(l->node_id));
			GROW(list.leases, list.leases_len, cap);
			list.leases[list.leases_len++] = l;
		}
		answer(r, take(r, STORE_LIST), &list);
		assert_int_equal(r->configs, 1);
		assert_row((strcmp(view(r).config_text, CONFIG) == 0) == rows[i].stays,
			   rows[i].stays ? "it stays" : "it changes");
		if (rows[i].stays) {
			assert_string_equal(view(r).config_problem, "config-changed");
			assert_contains(view(r).config_reason,
					"once half of the other hosts have changed, restart");
		}
		/* And goes on as ever. */
		assert_non_null(waiting(r, STORE_LIST));
	}
}

/* The word alone changes nothing, nor does it hold up anything but a change of type. */
static void test_only_another_type_is_counted_for(void **unused)
{
	(void)unused;
	auto_rig r = restarted(60000);
	auto_rig fresh = rig_new(NULL);
	auto_rig broken = restarted(60000);
	auto_rig holder = holding();

	answer_config(r, BY_MAJORITY("vxlan"));
	assert_int_equal(r->configs, 1);
	answer_config(fresh, BY_MAJORITY("host-gw"));
	assert_int_equal(fresh->configs, 1);
	config_becomes(holder, BY_MAJORITY("vxlan"), NULL, NULL);
	/* The store is gone in between: as at any start without it. */
	answer_config(broken, BY_MAJORITY("host-gw"));
	answer_status(broken, STORE_LIST, STORE_UNAVAILABLE);
	assert_int_equal(broken->configs, 1);
	assert_true(view(broken).stale);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_changed_while_in_use),
		cmocka_unit_test(test_secrets_are_not_told),
		cmocka_unit_test(test_restart_keeps_what_was_leased),
		cmocka_unit_test(test_restart_takes_what_fits),
		cmocka_unit_test(test_no_use_to_the_backend),
		cmocka_unit_test(test_a_change_by_the_majority),
		cmocka_unit_test(test_only_another_type_is_counted_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
