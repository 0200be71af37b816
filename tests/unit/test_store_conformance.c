/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store must do, whichever it is: the same cases on memory, on a directory, on etcd and on Consul.
 * The first is the model that the simulator believes in, so this is also what says that the model is
 * right.
 *
 * etcd takes part if STORE_CONFORMANCE_ETCD names its endpoint, Consul if STORE_CONFORMANCE_CONSUL does;
 * integration tests start them. Consul keeps no history, nor does it tell how long a session has left: what
 * follows from these has cases of its own.
 */
#include "tests/unit/store_rig.h"

/* ---- cases ---- */

static void test_config(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_reply absent = { 0 };
	auto_reply there = { 0 };
	auto_reply gone = { 0 };
	uint64_t revision;

	ask(r, STORE_CONFIG, NULL, 0, &absent);
	assert_int_equal(absent.status, STORE_ABSENT);
	revision = listed(r, 0);
	watch(r, revision + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	put(r, "config", CONFIG, 0);
	assert_true(await(r, STORE_EVENT_CONFIG, NULL)->revision > revision);
	ask(r, STORE_CONFIG, NULL, 0, &there);
	assert_int_equal(there.status, STORE_OK);
	assert_string_equal(there.config, CONFIG);
	assert_int_equal(there.config_size, strlen(CONFIG));
	assert_true(there.config_revision > revision);
	assert_true(there.revision >= there.config_revision);
	forget_told(r);
	put(r, "config", NULL, 0);
	await(r, STORE_EVENT_CONFIG, NULL);
	ask(r, STORE_CONFIG, NULL, 0, &gone);
	assert_int_equal(gone.status, STORE_ABSENT);
}

static enum store_status set_config(struct rig *r, const char *text, uint64_t revision,
				    struct store_reply *ret)
{
	auto_free char *copy = xstrdup(text);
	struct store_request request = { .op = STORE_CONFIG_SET,
					 .config = copy,
					 .config_revision = revision };

	r->answered = false;
	r->reply = ret;
	store_submit(r->store, &request, on_reply, r);
	memset(copy, 'x', strlen(copy)); /* borrowed only for the call */
	while (!r->answered)
		turn(r, store_op_name(STORE_CONFIG_SET));
	return ret->status;
}

static void test_config_set(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_reply first = { 0 };
	auto_reply again = { 0 };
	auto_reply there = { 0 };
	auto_reply stale = { 0 };
	auto_reply next = { 0 };
	auto_reply gone = { 0 };

	assert_int_equal(set_config(r, CONFIG, 7, &gone), STORE_CONFLICT);
	assert_int_equal(set_config(r, CONFIG, 0, &first), STORE_OK);
	assert_true(first.config_revision > 0);
	assert_int_equal(set_config(r, "{}", 0, &again), STORE_CONFLICT);
	assert_true(again.err.text[0] != '\0');
	ask(r, STORE_CONFIG, NULL, 0, &there);
	assert_string_equal(there.config, CONFIG);
	assert_int_equal(there.config_revision, first.config_revision);
	assert_int_equal(set_config(r, "{\"a\":1}", first.config_revision, &next), STORE_OK);
	assert_true(next.config_revision > first.config_revision);
	assert_int_equal(set_config(r, "{\"b\":2}", first.config_revision, &stale), STORE_CONFLICT);
	store_reply_fini(&there);
	ask(r, STORE_CONFIG, NULL, 0, &there);
	assert_string_equal(there.config, "{\"a\":1}");
	assert_int_equal(there.config_revision, next.config_revision);
}

static void test_create_and_list(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	uint64_t before = listed(r, 0);
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_lease struct lease *both = created(r, "10.5.2.0-24&fd10::-64", 60);
	auto_lease struct lease *v6 = created(r, "0.0.0.0-0&fd10:0:0:1::-64", 60);
	auto_reply reply = { 0 };
	bool seen = false;

	assert_true(l->born > before);
	assert_int_equal(l->born, l->mod_revision);
	assert_true(l->id > 0);
	assert_true(both->born > l->born && both->id != l->id);
	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.leases_len, 3);
	assert_true(reply.revision >= v6->mod_revision);
	for (size_t i = 0; i < 3; i++) {
		const struct lease *x = reply.leases[i];

		if (!subnet_equal(&x->subnet, &l->subnet))
			continue;
		seen = true;
		assert_true(lease_equal(x, l));
		assert_int_equal(x->born, l->born);
		assert_int_equal(x->mod_revision, l->mod_revision);
		assert_int_equal(x->id, l->id);
	}
	assert_true(seen);
}

static void test_create_taken(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *first = created(r, "10.5.1.0-24", 60);
	auto_lease struct lease *second = lease("10.5.1.0-24", "host-gw");
	auto_reply reply = { 0 };

	ask(r, STORE_CREATE, second, 60, &reply);
	assert_int_equal(reply.status, STORE_CONFLICT);
	assert_true(lease_equal(reply.holder, first));
	assert_int_equal(reply.holder->id, first->id);
	assert_int_equal(reply.holder->mod_revision, first->mod_revision);
	assert_true(reply.revision >= first->mod_revision);
	listed(r, 1);
}

static void test_update(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_lease struct lease *other = lease("10.5.2.0-24", "vxlan");
	auto_reply ok = { 0 };
	auto_reply stale = { 0 };
	auto_reply missing = { 0 };
	auto_reply alive = { 0 };

	free(l->backend_type);
	l->backend_type = xstrdup("host-gw");
	ask(r, STORE_UPDATE, l, 0, &ok);
	assert_int_equal(ok.status, STORE_OK);
	assert_true(lease_equal(ok.holder, l));
	assert_true(ok.holder->mod_revision > l->mod_revision);
	assert_int_equal(ok.holder->born, l->born);
	assert_int_equal(ok.holder->id, l->id);
	/* Still bound to its life. */
	ask(r, STORE_KEEPALIVE, l, 0, &alive);
	assert_int_equal(alive.status, STORE_OK);
	ask(r, STORE_UPDATE, l, 0, &stale);
	assert_int_equal(stale.status, STORE_CONFLICT);
	assert_int_equal(stale.holder->mod_revision, ok.holder->mod_revision);
	other->mod_revision = 1;
	ask(r, STORE_UPDATE, other, 0, &missing);
	assert_int_equal(missing.status, STORE_CONFLICT);
	assert_null(missing.holder);
	listed(r, 1);
}

static void test_remove(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_reply stale = { 0 };
	auto_reply ok = { 0 };
	auto_reply again = { 0 };

	l->mod_revision--;
	ask(r, STORE_REMOVE, l, 0, &stale);
	assert_int_equal(stale.status, STORE_CONFLICT);
	l->mod_revision++;
	ask(r, STORE_REMOVE, l, 0, &ok);
	assert_int_equal(ok.status, STORE_OK);
	assert_true(ok.revision > l->mod_revision);
	listed(r, 0);
	ask(r, STORE_REMOVE, l, 0, &again);
	assert_int_equal(again.status, STORE_CONFLICT);
	assert_null(again.holder);
}

static bool tells_time(const struct rig *r)
{
	return r->kind != CONSUL;
}

static void test_life(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_reply alive = { 0 };
	auto_reply left = { 0 };
	auto_reply dead = { 0 };
	auto_reply none = { 0 };

	ask(r, STORE_KEEPALIVE, l, 0, &alive);
	assert_int_equal(alive.status, STORE_OK);
	assert_int_equal(alive.ttl_s, 60);
	ask(r, STORE_TIME_LEFT, l, 0, &left);
	assert_int_equal(left.status, tells_time(r) ? STORE_OK : STORE_INVALID);
	if (tells_time(r))
		assert_in_range(left.ttl_s, 55, 60);
	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	end_life(r, l->id);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	ask(r, STORE_KEEPALIVE, l, 0, &dead);
	assert_int_equal(dead.status, STORE_ABSENT);
	ask(r, STORE_TIME_LEFT, l, 0, &none);
	assert_int_equal(none.status, tells_time(r) ? STORE_ABSENT : STORE_INVALID);
	listed(r, 0);
}

static void test_expiry(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	int64_t before = clock_boot_ms();
	auto_lease struct lease *dying = created(r, "10.5.1.0-24", 2);
	auto_lease struct lease *kept = created(r, "10.5.2.0-24", 60);
	const struct told *t;

	assert_true(dying->id != kept->id);

	watch(r, kept->mod_revision + 1);
	t = await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	assert_true(t->revision > kept->mod_revision);
	assert_true(clock_boot_ms() - before >= 1900);
	listed(r, 1);
}

static void test_reservation(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 0);
	auto_lease struct lease *bound = created(r, "10.5.2.0-24", 60);
	auto_reply reply = { 0 };

	assert_int_equal(l->id, 0);
	/* A put without a lease unbinds a key. */
	put(r, "subnets/10.5.2.0-24", "{\"PublicIP\":\"192.0.2.7\"}", 0);
	end_life(r, bound->id);
	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.leases_len, 2);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(reply.leases[i]->id, 0);
}

/* What never ends gets an end, unless somebody was quicker. */
static void test_bind(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 0);
	auto_reply bound = { 0 };
	auto_reply stale = { 0 };
	auto_reply left = { 0 };
	auto_reply list = { 0 };

	ask(r, STORE_BIND, l, 60, &bound);
	assert_int_equal(bound.status, STORE_OK);
	assert_int_equal(bound.ttl_s, 60);
	assert_true(bound.holder->id > 0 && bound.holder->flags & LEASE_EXPIRES);
	assert_true(bound.holder->mod_revision > l->mod_revision);
	assert_int_equal(bound.holder->born, l->born);
	ask(r, STORE_LIST, NULL, 0, &list);
	assert_true(lease_equal(list.leases[0], l) && list.leases[0]->id == bound.holder->id);
	if (tells_time(r)) {
		ask(r, STORE_TIME_LEFT, bound.holder, 0, &left);
		assert_true(left.ttl_s > 50 && left.ttl_s <= 60);
	}
	ask(r, STORE_BIND, l, 60, &stale);
	assert_int_equal(stale.status, STORE_CONFLICT);
	assert_true(stale.holder->id == bound.holder->id);
}

static void test_watch(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	uint64_t from = listed(r, 0) + 1;
	struct lease *l;
	auto_reply updated = { 0 };
	auto_reply removed = { 0 };
	size_t n = 0;

	watch(r, from);
	await(r, STORE_EVENT_LIVE, NULL);
	forget_told(r);
	l = created(r, "10.5.1.0-24", 60);
	free(l->backend_type);
	l->backend_type = xstrdup("host-gw");
	ask(r, STORE_UPDATE, l, 0, &updated);
	ask(r, STORE_REMOVE, updated.holder, 0, &removed);
	lease_free(l);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	/* Each change once, in order, with its revision. */
	assert_int_equal(r->told_len, 3);
	assert_int_equal(r->told[0].type, STORE_EVENT_PUT);
	assert_string_equal(r->told[0].backend_type, "vxlan");
	assert_string_equal(r->told[1].backend_type, "host-gw");
	assert_int_equal(r->told[1].revision, updated.holder->mod_revision);
	assert_int_equal(r->told[2].revision, removed.revision);
	/* The same again to somebody who comes late and asks for the past. */
	store_watch_stop(STEAL(r->watch));
	forget_told(r);
	watch(r, from);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	await(r, STORE_EVENT_LIVE, NULL);
	for (size_t i = 0; i < r->told_len; i++)
		n += r->told[i].type == STORE_EVENT_PUT;
	assert_int_equal(n, 2);
	/* And from the middle. */
	store_watch_stop(STEAL(r->watch));
	forget_told(r);
	watch(r, removed.revision);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
	assert_null(find_told(r, STORE_EVENT_PUT, NULL));
}

static void test_watch_stopped_inside(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	uint64_t from = listed(r, 0) + 1;

	for (unsigned i = 0; i < 3; i++) {
		char key[SUBNET_KEY_TEXT];

		snprintf(key, sizeof(key), "10.5.%u.0-24", i + 1);
		lease_free(created(r, key, 60));
	}
	r->stop_inside = true;
	watch(r, from);
	while (r->watch)
		turn(r, "the first event");
	listed(r, 3);
	assert_int_equal(r->told_len, 1);
}

static void test_watch_after_compaction(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	uint64_t from = listed(r, 0) + 1;
	auto_lease struct lease *a = created(r, "10.5.1.0-24", 60);
	auto_lease struct lease *b = created(r, "10.5.2.0-24", 60);

	compact(r, b->mod_revision);
	watch(r, from);
	await(r, STORE_EVENT_RESYNC, NULL);
	store_watch_stop(STEAL(r->watch));
	forget_told(r);
	/* The revision of the compaction itself is still told. */
	watch(r, b->mod_revision);
	await(r, STORE_EVENT_PUT, "10.5.2.0-24");
	assert_null(find_told(r, STORE_EVENT_PUT, "10.5.1.0-24"));
	listed(r, 2);
	assert_true(a->mod_revision < b->mod_revision);
}

static void test_junk(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_reply reply = { 0 };

	watch(r, listed(r, 0) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	put(r, "subnets/nonsense", "x", 0);
	assert_true(await(r, STORE_EVENT_JUNK, "nonsense")->reason);
	put(r, "subnets/10.5.1.0-24", "no JSON", 0);
	assert_true(await(r, STORE_EVENT_PUT, "10.5.1.0-24")->problem);
	ask(r, STORE_LIST, NULL, 0, &reply);
	assert_int_equal(reply.leases_len, 1);
	assert_non_null(reply.leases[0]->problem);
	assert_int_equal(reply.junk_len, 1);
	assert_contains(reply.junk[0].key, "subnets/nonsense");
	assert_contains(reply.junk[0].reason, "subnet key");
	forget_told(r);
	put(r, "subnets/nonsense", NULL, 0);
	assert_false(await(r, STORE_EVENT_JUNK, "nonsense")->reason);
	put(r, "subnets/10.5.1.0-24", NULL, 0);
	await(r, STORE_EVENT_DELETE, "10.5.1.0-24");
}

/* Without a history: of what changed twice before it was told, the last; of what went, that. */
static void test_watch_without_history(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	uint64_t from = listed(r, 0) + 1;
	auto_lease struct lease *a = created(r, "10.5.1.0-24", 60);
	auto_lease struct lease *b = created(r, "10.5.2.0-24", 60);
	auto_reply updated = { 0 };
	auto_reply removed = { 0 };
	const struct told *t;

	free(a->backend_type);
	a->backend_type = xstrdup("host-gw");
	ask(r, STORE_UPDATE, a, 0, &updated);
	watch(r, from);
	t = await(r, STORE_EVENT_PUT, "10.5.1.0-24");
	assert_string_equal(t->backend_type, "host-gw");
	assert_int_equal(t->revision, updated.holder->mod_revision);
	await(r, STORE_EVENT_LIVE, NULL);
	assert_int_equal(find_told(r, STORE_EVENT_PUT, "10.5.2.0-24")->revision, b->mod_revision);
	forget_told(r);
	ask(r, STORE_REMOVE, b, 0, &removed);
	t = await(r, STORE_EVENT_DELETE, "10.5.2.0-24");
	assert_in_range(t->revision, b->mod_revision + 1, removed.revision);
	assert_int_equal(r->told_len, 1);
	/* From a revision that it did not list at, if anything has happened since. */
	store_watch_stop(STEAL(r->watch));
	forget_told(r);
	watch(r, b->mod_revision);
	await(r, STORE_EVENT_RESYNC, NULL);
	store_watch_stop(STEAL(r->watch));
	forget_told(r);
	watch(r, removed.revision + 1);
	await(r, STORE_EVENT_LIVE, NULL);
}

/* The same value, and yet somebody has written it: those who wait for it are told. */
static void test_same_value(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = created(r, "10.5.1.0-24", 60);
	auto_reply ok = { 0 };

	watch(r, listed(r, 1) + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	ask(r, STORE_UPDATE, l, 0, &ok);
	assert_int_equal(ok.status, STORE_OK);
	assert_true(ok.holder->mod_revision > l->mod_revision);
	assert_int_equal(await(r, STORE_EVENT_PUT, "10.5.1.0-24")->revision,
			 ok.holder->mod_revision);
}

static void on_never(void *arg UNUSED, struct store_reply *reply UNUSED)
{
	fail_msg("answered after the store was freed");
}

static void test_freed_with_questions_open(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_lease struct lease *l = lease("10.5.1.0-24", "vxlan");
	struct store_request requests[] = { { .op = STORE_LIST },
					    { .op = STORE_CREATE, .lease = l, .ttl_s = 60 } };

	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		store_submit(r->store, &requests[i], on_never, r);
	store_free(STEAL(r->store));
	event_base_loop(r->base, EVLOOP_NONBLOCK);
}

static enum store_status tell(struct rig *r, enum store_op op, const char *name, const char *text,
			      struct store_reply *ret)
{
	auto_free char *copy = text ? xstrdup(text) : NULL;
	struct store_request request = {
		.op = op, .ttl_s = 60, .health_name = name, .health = copy
	};

	r->answered = false;
	r->reply = ret;
	store_submit(r->store, &request, on_reply, r);
	if (copy)
		memset(copy, 'x', strlen(copy)); /* borrowed only for the call */
	while (!r->answered)
		turn(r, store_op_name(op));
	return ret->status;
}

/* Names are taken whole, whatever they are: they come from leases. */
static void find_one(struct rig *r, const char *name, bool is_there)
{
	auto_reply one = { 0 };

	assert_int_equal(tell(r, STORE_HEALTH_LIST, name, NULL, &one), STORE_OK);
	assert_int_equal(one.health_len, is_there);
	if (is_there)
		assert_string_equal(one.health[0].name, name);
}

/* What hosts tell of themselves stands beside the leases, and is none of them. */
static void test_health(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_reply none = { 0 };
	auto_reply early = { 0 };
	auto_reply first = { 0 };
	auto_reply kept = { 0 };
	auto_reply second = { 0 };
	auto_reply all = { 0 };
	uint64_t before;

	if (r->kind == MEM || r->kind == CONSUL) {
		assert_int_equal(tell(r, STORE_HEALTH_LIST, NULL, NULL, &none), STORE_INVALID);
		return;
	}
	assert_int_equal(tell(r, STORE_HEALTH_LIST, NULL, NULL, &none), STORE_OK);
	assert_int_equal(none.health_len, 0);
	assert_int_equal(tell(r, STORE_HEALTH_KEEP, "id-1", NULL, &early), STORE_ABSENT);
	assert_true(early.err.text[0] != '\0');
	assert_int_equal(tell(r, STORE_HEALTH_SET, "id-1", "{\"a\":1}", &first), STORE_OK);
	before = listed(r, 0);
	assert_int_equal(tell(r, STORE_HEALTH_KEEP, "id-1", NULL, &kept), STORE_OK);
	assert_int_equal(kept.ttl_s, 60);
	assert_int_equal(listed(r, 0), before); /* nothing is written */
	watch(r, before + 1);
	await(r, STORE_EVENT_LIVE, NULL);
	assert_int_equal(tell(r, STORE_HEALTH_SET, "id-1", "{\"b\":\"n\303\244\"}", &second),
			 STORE_OK);
	assert_int_equal(tell(r, STORE_HEALTH_LIST, NULL, NULL, &all), STORE_OK);
	assert_int_equal(all.health_len, 1);
	assert_string_equal(all.health[0].name, "id-1");
	assert_string_equal(all.health[0].text, "{\"b\":\"n\303\244\"}");
	assert_int_equal(all.health[0].size, strlen(all.health[0].text));
	find_one(r, "id-1", true);
	find_one(r, "id-", false);
	find_one(r, "id-10", false);
	find_one(r, "../health/id-1", false);
	find_one(r, "", false);
	/* Who watches the leases hears nothing of it. */
	put(r, "config", CONFIG, 0);
	await(r, STORE_EVENT_CONFIG, NULL);
	listed(r, 0);
}

static void test_describe(void **state)
{
	(void)state;
	auto_rig r = rig_new();
	auto_json json_t *j = json_object();

	listed(r, 0);
	r->store->ops->describe(r->store, j);
	assert_true(json_object_size(j) > 0);
}

static int run(enum kind k, const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_config_set),
		cmocka_unit_test(test_create_and_list),
		cmocka_unit_test(test_create_taken),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_reservation),
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_watch_stopped_inside),
		cmocka_unit_test(test_same_value),
		cmocka_unit_test(test_junk),
		cmocka_unit_test(test_freed_with_questions_open),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_describe),
	};
	const struct CMUnitTest history[] = {
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_after_compaction),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(test_watch_without_history) };

	kind = k;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL) +
	       (k == CONSUL ? cmocka_run_group_tests_name("no history", none, NULL, NULL)
			    : cmocka_run_group_tests_name("history", history, NULL, NULL));
}

int main(void)
{
	if (getenv("STORE_CONFORMANCE_ETCD"))
		return run(ETCD, "etcd");
	if (getenv("STORE_CONFORMANCE_CONSUL"))
		return run(CONSUL, "consul");
	return run(MEM, "mem") + run(FILE_STORE, "file");
}
