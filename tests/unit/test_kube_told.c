/* SPDX-License-Identifier: Apache-2.0 */
/* stores/kube/kube_told: what of a node's changes is news. */
#include "tests/unit/test.h"

#include "stores/kube/kube_told.h"

#define P "flannel.alpha.coreos.com/"

static struct kube_prefix prefix;

struct row {
	const char *uid;
	const char *cidr;
	const char *data; /* backend-data; NULL: it is no node of flannel's */
	const char *overwrite;
	uint64_t revision;
};

static struct kube_node node(const char *name, struct row row)
{
	auto_json json_t *annotations = json_object();
	auto_json json_t *object = NULL;
	auto_free char *revision = xasprintf("%llu", (unsigned long long)row.revision);
	struct kube_node n = { 0 };

	if (row.data) {
		json_object_set_new(annotations, P "kube-subnet-manager", json_string("true"));
		json_object_set_new(annotations, P "backend-type", json_string("vxlan"));
		json_object_set_new(annotations, P "public-ip", json_string("192.0.2.7"));
		json_object_set_new(annotations, P "backend-data", json_string(row.data));
	}
	if (row.overwrite)
		json_object_set_new(annotations, P "public-ip-overwrite",
				    json_string(row.overwrite));
	object = json_pack("{s:{s:s, s:s, s:s, s:O}, s:{s:s}}", "metadata", "name", name, "uid",
			   row.uid, "resourceVersion", revision, "annotations", annotations, "spec",
			   "podCIDR", row.cidr);
	assert_int_equal(kube_node_read(&prefix, object, &n, NULL), 0);
	return n;
}

static unsigned put(struct kube_told *t, const char *name, struct row row, bool own,
		    char before[static SUBNET_KEY_TEXT])
{
	struct kube_node n = node(name, row);
	struct subnet subnet = { 0 };
	unsigned news = kube_told_put(t, &n, own, &subnet);

	before[0] = '\0';
	if (news & KUBE_NEWS_GONE)
		subnet_format(&subnet, before);
	kube_node_fini(&n);
	return news;
}

static void told_free_ref(struct kube_told **t)
{
	kube_told_free(*t);
}
#define auto_told __attribute__((cleanup(told_free_ref))) struct kube_told *

static void test_only_what_matters_is_news(void **state)
{
	auto_told t = kube_told_new();
	char before[SUBNET_KEY_TEXT];

	(void)state;
	assert_int_equal(
		put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", NULL, 7 }, false, before),
		KUBE_NEWS_LEASE);
	/* A heartbeat. */
	assert_int_equal(
		put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", NULL, 8 }, false, before), 0);
	/* What people ask of that node is its own affair. */
	assert_int_equal(put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", "192.0.2.9", 9 },
			     false, before),
			 0);
	assert_int_equal(put(t, "a", (struct row){ "u", "10.5.1.0/24", "{\"a\":1}", NULL, 10 },
			     false, before),
			 KUBE_NEWS_LEASE);
	/* Another node of the same name, and then another subnet. */
	assert_int_equal(put(t, "a", (struct row){ "v", "10.5.1.0/24", "{\"a\":1}", NULL, 11 },
			     false, before),
			 KUBE_NEWS_LEASE);
	assert_int_equal(put(t, "a", (struct row){ "v", "10.5.2.0/24", "{\"a\":1}", NULL, 12 },
			     false, before),
			 KUBE_NEWS_GONE | KUBE_NEWS_LEASE);
	assert_string_equal(before, "10.5.1.0/24");
	assert_int_equal(kube_told_len(t), 1);
}

/* A gist stands for what was told last of its node, and for nothing else. */
static void test_gists(void **state)
{
	auto_told t = kube_told_new();
	char before[SUBNET_KEY_TEXT];
	struct subnet subnet;

	(void)state;
	assert_false(kube_told_knows(t, 5));
	kube_told_remember(t, "a", 5);
	assert_false(kube_told_knows(t, 5));
	put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", NULL, 7 }, false, before);
	put(t, "b", (struct row){ "v", "10.5.2.0/24", "{}", NULL, 8 }, false, before);
	kube_told_remember(t, "a", 5);
	kube_told_remember(t, "b", 6);
	assert_true(kube_told_knows(t, 5) && kube_told_knows(t, 6));
	kube_told_remember(t, "a", 9);
	assert_false(kube_told_knows(t, 5));
	/* It changes and changes back: each time that is told. */
	assert_int_equal(put(t, "a", (struct row){ "u", "10.5.1.0/24", "{\"a\":1}", NULL, 9 },
			     false, before),
			 KUBE_NEWS_LEASE);
	assert_false(kube_told_knows(t, 9));
	kube_told_delete(t, "b", &subnet);
	assert_false(kube_told_knows(t, 6));
	/* Two that are the same to the last bit are both there. */
	put(t, "b", (struct row){ "v", "10.5.2.0/24", "{}", NULL, 10 }, false, before);
	kube_told_remember(t, "a", 4);
	kube_told_remember(t, "b", 4);
	kube_told_delete(t, "a", &subnet);
	assert_true(kube_told_knows(t, 4));
}

static void test_own_node(void **state)
{
	auto_told t = kube_told_new();
	char before[SUBNET_KEY_TEXT];
	struct kube_node n;

	(void)state;
	put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", NULL, 7 }, true, before);
	n = node("a", (struct row){ "u", "10.5.1.0/24", "{}", NULL, 70 });
	assert_int_equal(kube_told_revision(t, &n, true), 7);
	kube_node_fini(&n);
	n = node("a", (struct row){ "u", "10.5.1.0/24", "{\"a\":1}", NULL, 71 });
	assert_int_equal(kube_told_revision(t, &n, true), 71);
	kube_node_fini(&n);
	assert_int_equal(
		put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", "192.0.2.9", 8 }, true, before),
		KUBE_NEWS_LEASE);
}

static void test_nodes_that_go(void **state)
{
	auto_told t = kube_told_new();
	char before[SUBNET_KEY_TEXT];
	char text[SUBNET_KEY_TEXT];
	struct subnet subnet;

	(void)state;
	/* One that never was a lease. */
	assert_int_equal(
		put(t, "x", (struct row){ "u", "10.5.9.0/24", NULL, NULL, 7 }, false, before), 0);
	assert_int_equal(kube_told_delete(t, "x", &subnet), 0);
	put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", NULL, 8 }, false, before);
	assert_int_equal(kube_told_delete(t, "a", &subnet), KUBE_NEWS_GONE);
	assert_string_equal(subnet_format(&subnet, text), "10.5.1.0/24");
	/* One whose annotations are taken away. */
	put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", NULL, 9 }, false, before);
	assert_int_equal(
		put(t, "a", (struct row){ "u", "10.5.1.0/24", NULL, NULL, 10 }, false, before),
		KUBE_NEWS_GONE);
	/* The subnet has been given to another before its loss was told. */
	put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", NULL, 11 }, false, before);
	put(t, "b", (struct row){ "w", "10.5.1.0/24", "{}", NULL, 12 }, false, before);
	assert_int_equal(kube_told_delete(t, "a", &subnet), 0);
	assert_int_equal(kube_told_delete(t, "b", &subnet), KUBE_NEWS_GONE);
	assert_int_equal(kube_told_len(t), 0);
}

/* Annotations that nobody can read are those of a lease that is of no use; without a subnet it is not even that. */
static void test_unreadable(void **state)
{
	auto_told t = kube_told_new();
	char before[SUBNET_KEY_TEXT];
	struct kube_node n;
	struct lease *lease;
	struct subnet subnet;

	(void)state;
	assert_int_equal(
		put(t, "a", (struct row){ "u", "10.5.1.0/24", "{", NULL, 7 }, false, before),
		KUBE_NEWS_LEASE);
	assert_int_equal(
		put(t, "a", (struct row){ "u", "10.5.1.0/24", "{", NULL, 8 }, false, before), 0);
	assert_int_equal(
		put(t, "a", (struct row){ "u", "10.5.1.0/24", "{}", NULL, 9 }, false, before),
		KUBE_NEWS_LEASE);
	assert_int_equal(put(t, "a", (struct row){ "u", "nowhere", "{}", NULL, 10 }, false, before),
			 KUBE_NEWS_GONE | KUBE_NEWS_UNREADABLE);
	assert_int_equal(put(t, "a", (struct row){ "u", "nowhere", "{}", NULL, 11 }, false, before),
			 0);
	assert_int_equal(
		put(t, "a", (struct row){ "u", "10.5.1.0/24", "{", NULL, 12 }, false, before),
		KUBE_NEWS_READABLE | KUBE_NEWS_LEASE);
	assert_int_equal(kube_told_delete(t, "a", &subnet), KUBE_NEWS_GONE);
	n = node("a", (struct row){ "u", "10.5.1.0/24", "{", NULL, 13 });
	lease = kube_node_take_lease(&n);
	assert_contains(lease->problem, "BackendData");
	assert_string_equal(lease->node_name, "a");
	lease_free(lease);
	kube_node_fini(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_what_matters_is_news),
		cmocka_unit_test(test_gists),
		cmocka_unit_test(test_own_node),
		cmocka_unit_test(test_nodes_that_go),
		cmocka_unit_test(test_unreadable),
	};

	assert_int_equal(kube_prefix_parse("flannel.alpha.coreos.com", &prefix, NULL), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
