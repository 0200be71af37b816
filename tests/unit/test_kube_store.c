/* SPDX-License-Identifier: Apache-2.0 */
/* stores/kube: requests and watch, word for word, with an API server that says what the test wants. */
#include "tests/unit/fake_etcd.h"

#include "lib/file.h"
#include "stores/kube/kube_store.h"

#define P       "flannel.alpha.coreos.com/"
#define NODES   "/api/v1/nodes"
#define LIST    NODES "?limit=500"
#define CHECK   NODES "?limit=1"
#define WATCH   NODES "?watch=true&allowWatchBookmarks=true&resourceVersion="
#define PATCHED NODES "/me/status?fieldManager=flanneld"
#define GONE                                                                                       \
	"{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"too old\","                     \
	"\"reason\":\"Expired\",\"code\":410}"
#define DENIED                                                                                     \
	"{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"nodes is forbidden\","          \
	"\"reason\":\"Forbidden\",\"code\":403}"
#define CONFIG "{\"Network\":\"10.5.0.0/16\"}"

/* A directory of its own, and the file in it. */
static char directory[] = "/tmp/test-kube-XXXXXX";
static char config_path[sizeof(directory) + 16];
static char other_path[sizeof(directory) + 16];

/* NODE_NAME=me, unless `node` is another. */
static struct rig *kube_rig(const char *node)
{
	struct rig *r = rig_new(1, NULL);
	auto_free char *url = xasprintf("http://127.0.0.1:%u", r->fakes[0].port);
	char prefix[] = "flannel.alpha.coreos.com";
	char nothing[] = "";
	struct kube_options options = { .api_url = url,
					.kubeconfig_file = nothing,
					.prefix = prefix,
					.net_config_path = config_path,
					.set_network_unavailable = true,
					.network_unavailable_on = (char *)"never" };
	struct store_open_args args = { .base = r->base,
					.http = r->http,
					.where = "",
					.options = &options,
					.random = fixed_random };
	struct err e = { 0 };

	store_free(STEAL(r->store));
	if (node)
		setenv("NODE_NAME", node, 1);
	else
		unsetenv("NODE_NAME");
	assert_int_equal(kube_options_check(&options, &e), 0);
	if (kube_store_type.open(&args, &r->store, &e) < 0)
		fail_msg("%s", e.text);
	r->store->type = &kube_store_type;
	return r;
}

/* A node with a podCIDR; mac NULL: it is not flannel's. `more` stands among its members. */
static char *node_of(const char *name, unsigned long revision, const char *cidr, const char *mac,
		     const char *more)
{
	auto_free char *annotations =
		mac ? xasprintf("\"" P "kube-subnet-manager\":\"true\",\"" P
				"backend-type\":\"vxlan\",\"" P "public-ip\":\"192.0.2.1\",\"" P
				"backend-data\":\"{\\\"VtepMAC\\\":\\\"%s\\\"}\",\"" P
				"fabric-node\":\"{\\\"ID\\\":\\\"id\\\",\\\"Name\\\":\\\"%s\\\"}\"",
				mac, name)
		    : xstrdup("");

	return xasprintf("{\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"uid\":\"u\","
			 "\"resourceVersion\":\"%lu\",\"annotations\":{%s}},"
			 "\"spec\":{%s%s%s}%s}",
			 name, revision, annotations, cidr ? "\"podCIDR\":\"" : "",
			 cidr ? cidr : "", cidr ? "\"" : "", more);
}

static void send_node(struct asked *q, const char *name, unsigned long revision, const char *cidr,
		      const char *mac)
{
	auto_free char *node = node_of(name, revision, cidr, mac, "");

	reply(q, 200, node);
}

static void send_list(struct asked *q, unsigned long revision, const char *more, const char *items)
{
	auto_free char *text =
		xasprintf("{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"%lu\"%s%s%s},"
			  "\"items\":[%s]}",
			  revision, more ? ",\"continue\":\"" : "", more ? more : "",
			  more ? "\"" : "", items);

	reply(q, 200, text);
}

static void send_event(struct asked *q, const char *type, const char *name, unsigned long revision,
		       const char *mac, const char *more)
{
	auto_free char *node = node_of(name, revision, "10.5.9.0/24", mac, more);
	auto_free char *text = xasprintf("{\"type\":\"%s\",\"object\":%s}", type, node);

	stream(q, text);
}

static void send_bookmark(struct asked *q, unsigned long revision)
{
	auto_free char *text = xasprintf("{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Node\","
					 "\"metadata\":{\"resourceVersion\":\"%lu\"}}}",
					 revision);

	stream(q, text);
}

static struct asked *expect_watch(struct rig *r, unsigned long revision)
{
	auto_free char *path = xasprintf(WATCH "%lu&timeoutSeconds=300", revision);

	return expect(r, 0, path, NULL);
}

/* What was sent on a connection that stood open libcurl sends again, which does no harm to anything of ours. */
static void cut_for_good(struct rig *r, const char *path)
{
	for (unsigned i = 0; i < 2; i++)
		cut(expect(r, 0, path, NULL));
}

static struct lease *wanted(const char *key, const char *mac)
{
	struct lease *l = lease_new();

	if (key)
		assert_int_equal(subnet_key_parse(key, &l->subnet, NULL), 0);
	l->public_v4 = test_addr("192.0.2.1");
	l->backend_type = xstrdup("vxlan");
	l->backend_data = xasprintf("{\"VtepMAC\":\"%s\"}", mac);
	l->node_id = xstrdup("id");
	l->node_name = xstrdup("me");
	return l;
}

/* ---- requests ---- */

static void test_config(void **state)
{
	(void)state;
	auto_rig r = kube_rig("me");
	const struct store_reply *a;
	char text[IP_ADDR_TEXT];
	struct store_host host;
	struct question *q = ask(r, STORE_CONFIG, NULL, 0);
	struct asked *asked;

	asked = expect(r, 0, NODES "/me", NULL);
	assert_true(has_header(asked, "Accept: application/json"));
	reply(asked, 200,
	      "{\"metadata\":{\"name\":\"me\",\"resourceVersion\":\"7\",\"annotations\":{\"" P
	      "public-ip-overwrite\":\"198.18.0.1\",\"" P "node-public-ip\":\"198.18.0.2\"}}}");
	a = answered(q, STORE_OK);
	assert_string_equal(a->config, CONFIG);
	assert_true(a->config_revision > 0 && a->revision == 0);
	assert_int_equal(kube_store_type.host(r->store, &host, NULL), 0);
	assert_string_equal(host.node, "me");
	assert_string_equal(ip_addr_format(&host.overwrite_v4, text), "198.18.0.1");
	assert_string_equal(ip_addr_format(&host.public_v4, text), "198.18.0.2");
	/* A node that is not there says nothing. */
	q = ask(r, STORE_CONFIG, NULL, 0);
	reply(expect(r, 0, NODES "/me", NULL), 404, "{}");
	answered(q, STORE_OK);
	q = ask(r, STORE_CONFIG, NULL, 0);
	reply(expect(r, 0, NODES "/me", NULL), 403, DENIED);
	assert_contains(answered(q, STORE_DENIED)->err.text, "403 Forbidden: nodes is forbidden");
	q = ask(r, STORE_CONFIG, NULL, 0);
	cut_for_good(r, NODES "/me");
	answered(q, STORE_UNAVAILABLE);
}

static void test_config_of_nobody(void **state)
{
	(void)state;
	auto_rig r = kube_rig(NULL);
	auto_lease struct lease *l = wanted(NULL, "a");
	struct err e;
	struct store_host host;

	assert_string_equal(answered(ask(r, STORE_CONFIG, NULL, 0), STORE_OK)->config, CONFIG);
	answered(ask(r, STORE_CREATE, l, 0), STORE_UNAVAILABLE);
	assert_int_equal(kube_store_type.host(r->store, &host, &e), -EINVAL);
	assert_contains(e.text, "NODE_NAME");
	assert_int_equal(rename(config_path, other_path), 0);
	assert_contains(answered(ask(r, STORE_CONFIG, NULL, 0), STORE_ABSENT)->err.text,
			"net-config-path");
	assert_int_equal(rename(other_path, config_path), 0);
}

static void test_list(void **state)
{
	(void)state;
	auto_rig r = kube_rig("me");
	auto_free char *a = node_of("a", 5, "10.5.1.0/24", "a", "");
	auto_free char *b = node_of("b", 6, "10.5.2.0/24", "b", "");
	auto_free char *other = node_of("c", 6, "10.5.3.0/24", NULL, "");
	auto_free char *bad = node_of("d", 6, "nowhere", "d", "");
	auto_free char *first = xasprintf("%s,%s", a, other);
	auto_free char *second = xasprintf("%s,%s", bad, b);
	struct question *q = ask(r, STORE_LIST, NULL, 0);
	const struct store_reply *reply_;

	send_list(expect(r, 0, LIST, NULL), 9, "to/ken+=", first);
	/* The rest has expired: from the beginning. */
	reply(expect(r, 0, LIST "&continue=to%2Fken%2B%3D", NULL), 410, GONE);
	send_list(expect(r, 0, LIST, NULL), 10, "t", first);
	/* Nor is a page of another time of any use. */
	send_list(expect(r, 0, LIST "&continue=t", NULL), 11, NULL, second);
	send_list(expect(r, 0, LIST, NULL), 12, "u", first);
	send_list(expect(r, 0, LIST "&continue=u", NULL), 12, NULL, second);
	reply_ = answered(q, STORE_OK);
	assert_int_equal(reply_->revision, 12);
	assert_int_equal(reply_->leases_len, 2);
	assert_string_equal(reply_->leases[0]->node_name, "a");
	assert_int_equal(reply_->leases[1]->mod_revision, 6);
	assert_int_equal(reply_->junk_len, 1);
	assert_string_equal(reply_->junk[0].key, "nodes/d");
	/* Not for ever. */
	q = ask(r, STORE_LIST, NULL, 0);
	for (unsigned i = 0; i < 4; i++)
		reply(expect(r, 0, LIST, NULL), 410, GONE);
	answered(q, STORE_UNAVAILABLE);
	q = ask(r, STORE_LIST, NULL, 0);
	reply(expect(r, 0, LIST, NULL), 200, "{\"kind\":\"PodList\",\"metadata\":{}}");
	assert_contains(answered(q, STORE_UNAVAILABLE)->err.text, "NodeList");
}

static void test_claim(void **state)
{
	(void)state;
	auto_rig r = kube_rig("me");
	auto_lease struct lease *any = wanted(NULL, "a");
	auto_lease struct lease *mine = wanted("10.5.1.0-24", "a");
	struct question *q = ask(r, STORE_CREATE, any, 0);
	const struct store_reply *a;
	struct asked *asked;

	reply(expect(r, 0, NODES "/me", NULL), 404, "{}");
	assert_contains(answered(q, STORE_ABSENT)->err.text, "there is no node me");
	q = ask(r, STORE_CREATE, any, 0);
	send_node(expect(r, 0, NODES "/me", NULL), "me", 7, NULL, NULL);
	assert_contains(answered(q, STORE_ABSENT)->err.text, "no podCIDR yet");
	q = ask(r, STORE_CREATE, any, 0);
	send_node(expect(r, 0, NODES "/me", NULL), "me", 8, "10.5.1.0/24", NULL);
	asked = expect(r, 0, PATCHED, NULL);
	assert_int_equal(strncmp(asked->head, "PATCH ", 6), 0);
	assert_true(has_header(asked, "Content-Type: application/strategic-merge-patch+json"));
	assert_contains(asked->body, "NetworkUnavailable");
	assert_contains(asked->body, P "backend-data");
	send_node(asked, "me", 9, "10.5.1.0/24", "a");
	a = answered(q, STORE_OK);
	assert_int_equal(a->holder->mod_revision, 9);
	assert_true(lease_equal(a->holder, mine));
	/* It is so already: nothing is written. */
	q = ask(r, STORE_UPDATE, mine, 0);
	send_node(expect(r, 0, NODES "/me", NULL), "me", 12, "10.5.1.0/24", "a");
	assert_true(lease_equal(answered(q, STORE_OK)->holder, mine));
	/* Another subnet than containers use. */
	q = ask(r, STORE_CREATE, mine, 0);
	send_node(expect(r, 0, NODES "/me", NULL), "me", 13, "10.5.2.0/24", "a");
	a = answered(q, STORE_CONFLICT);
	assert_false(subnet_equal(&a->holder->subnet, &mine->subnet));
	/* Its end was not seen. */
	q = ask(r, STORE_UPDATE, mine, 0);
	send_node(expect(r, 0, NODES "/me", NULL), "me", 14, "10.5.1.0/24", "b");
	cut_for_good(r, PATCHED);
	answered(q, STORE_UNKNOWN);
	q = ask(r, STORE_UPDATE, mine, 0);
	send_node(expect(r, 0, NODES "/me", NULL), "me", 14, "10.5.1.0/24", "b");
	reply(expect(r, 0, PATCHED, NULL), 403, DENIED);
	answered(q, STORE_DENIED);
}

static void test_what_is_not_asked_for(void **state)
{
	(void)state;
	auto_rig r = kube_rig("me");
	auto_lease struct lease *l = wanted("10.5.1.0-24", "a");
	static const enum store_op ops[] = { STORE_KEEPALIVE, STORE_REMOVE, STORE_TIME_LEFT };
	auto_json json_t *j = json_object();
	struct question *open;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		answered(ask(r, ops[i], l, 60), STORE_INVALID);
	r->store->ops->describe(r->store, j);
	assert_string_equal(json_string_value(json_object_get(j, "node")), "me");
	/* What is under way when the store goes has no answer. */
	open = ask(r, STORE_LIST, NULL, 0);
	ask(r, STORE_CREATE, l, 60);
	store_free(STEAL(r->store));
	event_base_loop(r->base, EVLOOP_NONBLOCK);
	assert_false(open->done);
}

/* ---- the watch ---- */

static void test_watch(void **state)
{
	(void)state;
	auto_rig r = kube_rig("me");
	auto_free char *nine = node_of("nine", 5, "10.5.9.0/24", "a", "");
	struct question *q = ask(r, STORE_LIST, NULL, 0);
	struct asked *w;

	send_list(expect(r, 0, LIST, NULL), 10, NULL, nine);
	answered(q, STORE_OK);
	r->watch = store_watch(r->store, 11, on_event, r);
	w = expect_watch(r, 10);
	stream_open(w, 200);
	tells(r, STORE_EVENT_LIVE, NULL);
	/* Neither a heartbeat nor a node of others, nor what nobody can read, nor what was told already. */
	send_event(w, "MODIFIED", "nine", 11, "a", ",\"status\":{\"conditions\":[]}");
	send_event(w, "ADDED", "other", 12, NULL, "");
	stream(w, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Node\"}}");
	send_event(w, "MODIFIED", "nine", 9, "z", "");
	send_event(w, "MODIFIED", "nine", 13, "b", "");
	assert_int_equal(tells(r, STORE_EVENT_PUT, "10.5.9.0-24")->revision, 13);
	send_event(w, "DELETED", "nine", 14, "b", "");
	assert_int_equal(tells(r, STORE_EVENT_DELETE, "10.5.9.0-24")->revision, 14);
	send_bookmark(w, 20);
	/* The server ends it: nothing is lost, and it goes on behind the bookmark. */
	stream_end(w);
	send_list(expect(r, 0, CHECK, NULL), 20, NULL, "");
	w = expect_watch(r, 20);
	stream_open(w, 200);
	send_event(w, "ADDED", "nine", 21, "c", "");
	tells(r, STORE_EVENT_PUT, "10.5.9.0-24");
	/* It breaks: that is told. */
	cut(w);
	tells(r, STORE_EVENT_LOST, "127.0.0.1");
	send_list(expect(r, 0, CHECK, NULL), 30, NULL, "");
	/* A server that lags. */
	w = expect_watch(r, 21);
	reply(w, 504,
	      "{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":504,\"reason\":\"Timeout\","
	      "\"message\":\"Too large resource version\"}");
	tells(r, STORE_EVENT_LOST, "504 Timeout");
	send_list(expect(r, 0, CHECK, NULL), 30, NULL, "");
	stream_open(w = expect_watch(r, 21), 200);
	tells(r, STORE_EVENT_LIVE, NULL);
	stream(w, "{\"type\":\"ERROR\",\"object\":" GONE "}");
	tells(r, STORE_EVENT_RESYNC, "410 Expired");
}

static void test_watch_of_what_is_gone(void **state)
{
	(void)state;
	auto_rig r = kube_rig("me");
	struct asked *w;

	r->watch = store_watch(r->store, 11, on_event, r);
	reply(expect_watch(r, 10), 410, GONE);
	tells(r, STORE_EVENT_RESYNC, "410 Expired");
	store_watch_stop(STEAL(r->watch));
	/* A store of the past. */
	r->watch = store_watch(r->store, 101, on_event, r);
	stream_open(w = expect_watch(r, 100), 200);
	tells(r, STORE_EVENT_LIVE, NULL);
	cut(w);
	tells(r, STORE_EVENT_LOST, NULL);
	send_list(expect(r, 0, CHECK, NULL), 50, NULL, "");
	tells(r, STORE_EVENT_RESYNC, "went back");
}

static void test_watch_stopped_inside(void **state)
{
	(void)state;
	auto_rig r = kube_rig("me");
	struct asked *w;

	r->watch = store_watch(r->store, 11, on_event, r);
	stream_open(w = expect_watch(r, 10), 200);
	tells(r, STORE_EVENT_LIVE, NULL);
	r->stop_inside = true;
	stream(w, "");
	send_event(w, "ADDED", "a", 11, "a", "");
	send_event(w, "ADDED", "b", 12, "b", "");
	tells(r, STORE_EVENT_PUT, NULL);
	await_closed(r, w);
	assert_null(r->watch);
	assert_int_equal(r->told_seen, r->told_len);
}

static void test_config_changes(void **state)
{
	(void)state;
	auto_rig r = kube_rig("me");

	r->watch = store_watch(r->store, 11, on_event, r);
	stream_open(expect_watch(r, 10), 200);
	tells(r, STORE_EVENT_LIVE, NULL);
	assert_int_equal(file_replace(config_path, CONFIG, strlen(CONFIG), 0644, NULL), 0);
	tells(r, STORE_EVENT_CONFIG, NULL);
	/* Others may write beside it, and the temporary file was beside it too. */
	r->told_seen = r->told_len;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_config_of_nobody),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_claim),
		cmocka_unit_test(test_what_is_not_asked_for),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_of_what_is_gone),
		cmocka_unit_test(test_watch_stopped_inside),
		cmocka_unit_test(test_config_changes),
	};
	int failed;

	assert_non_null(mkdtemp(directory));
	snprintf(config_path, sizeof(config_path), "%s/net-conf.json", directory);
	snprintf(other_path, sizeof(other_path), "%s/away", directory);
	assert_int_equal(file_replace(config_path, CONFIG, strlen(CONFIG), 0644, NULL), 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(config_path);
	rmdir(directory);
	return failed;
}
