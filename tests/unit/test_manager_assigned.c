/* SPDX-License-Identifier: Apache-2.0 */
/* The manager of a store that assigns the subnets itself, as Kubernetes does, and of one whose
 * leases do not expire. */
#include "tests/unit/manager_rig.h"

#include <errno.h>

#include "stores/mem_db.h"

/* A lease that is nobody's reservation and does not run out. */
static struct lease *lasting(struct lease *l)
{
	l->id = 0;
	l->flags = 0;
	return l;
}

static struct rig *asking(void)
{
	struct rig *r = rig_of("10.5.1.0-24", STORE_ASSIGNS);

	answer_config(r, CONFIG);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, lasting(theirs("10.5.9.0-24", 50, 50, 0)), END);
	return r;
}

/* The store answers a create with the subnet that is ours. */
static void assign(struct rig *r, const char *key, uint64_t revision)
{
	struct sent *s = take(r, STORE_CREATE);
	struct store_reply reply = { .revision = revision };

	reply.holder = lasting(written(s, revision, 0));
	assert_int_equal(subnet_key_parse(key, &reply.holder->subnet, NULL), 0);
	answer(r, s, &reply);
}

static struct rig *assigned(void)
{
	struct rig *r = asking();

	assign(r, "10.5.7.0-24", 101);
	assert_int_equal(state(r), MANAGER_HELD);
	return r;
}

static void test_asks_for_its_own(void **unused)
{
	(void)unused;
	auto_rig r = asking();
	const struct lease *asked = waiting(r, STORE_CREATE)->lease;

	/* Neither the one of before nor a free one. */
	assert_false(ip_net_is_set(&asked->subnet.v4) || ip_net_is_set(&asked->subnet.v6));
	assert_string_equal(asked->node_name, "me");
	assign(r, "10.5.7.0-24", 101);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_subnet(view(r).own, "10.5.7.0-24");
	assert_int_equal(view(r).expires_ms, 0);
	assert_int_equal(r->watch_from, 101);
	put(r, lasting(mine("10.5.7.0-24", 101, 101, 0)));
	assert_int_equal(state(r), MANAGER_HELD);
	/* Nothing expires: nothing is kept alive. */
	assert_false(manager_renew(r->m, r->now));
	for (int i = 0; i < 100; i++)
		tick(r, 10000);
	assert_int_equal(count(r, STORE_KEEPALIVE), 0);
	assert_int_equal(count(r, STORE_REMOVE), 0);
}

/* The event of our own lease may come before the answer that says which it is. */
static void test_event_before_the_answer(void **unused)
{
	(void)unused;
	auto_rig r = asking();
	unsigned told = r->peers_told;

	put(r, lasting(mine("10.5.7.0-24", 101, 101, 0)));
	assert_int_equal(r->peers_told, told);
	assign(r, "10.5.7.0-24", 101);
	assert_int_equal(state(r), MANAGER_HELD);
}

static void test_waits_until_one_is_assigned(void **unused)
{
	(void)unused;
	auto_rig r = asking();

	for (int i = 0; i < 5; i++) {
		answer_status(r, STORE_CREATE, STORE_ABSENT);
		assert_string_equal(view(r).state_problem, "subnet-not-assigned");
		assert_contains(view(r).reason, "absent");
		until(r, STORE_CREATE, 11000);
		assert_string_equal(view(r).state_problem, "subnet-not-assigned");
	}
	/* Said once, and not by listing everything again and again. */
	assert_int_equal(count(r, STORE_LIST), 1);
	assign(r, "10.5.7.0-24", 101);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_null(view(r).state_problem);
	assert_string_equal(view(r).reason, "");
}

/* How long a subnet is that was assigned, or where it lies, is not the configuration's to say. */
static void test_assigned_is_taken(void **unused)
{
	(void)unused;
	auto_rig r = asking();
	struct network_config config;
	struct subnet subnet;
	struct err e;

	assign(r, "10.5.1.0-26", 101);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_true(view(r).assigned);
	assert_null(view(r).config_problem);
	/* That nobody will send there is said. */
	assert_int_equal(network_config_parse(CONFIG, strlen(CONFIG), &config, &e), 0);
	assert_int_equal(network_config_has_room(&config, &view(r).own->subnet, &e), 0);
	assert_int_equal(subnet_key_parse("10.77.1.0-24", &subnet, NULL), 0);
	assert_int_equal(network_config_has_room(&config, &subnet, &e), -EINVAL);
	assert_contains(e.text, "10.77.1.0/24");
	assert_int_equal(subnet_key_parse("0.0.0.0-0&fd10::-64", &subnet, NULL), 0);
	assert_int_equal(network_config_has_room(&config, &subnet, &e), -EINVAL);
	assert_contains(e.text, "no subnet of Network");
	network_config_fini(&config);
}

/* The store has a name of its own for this host. */
static void test_name_of_the_store(void **unused)
{
	(void)unused;
	auto_rig r = rig_of("10.5.1.0-24", STORE_ASSIGNS);

	answer_config(r, CONFIG);
	manager_set_node_name(r->m, "worker-1");
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, END);
	assert_string_equal(waiting(r, STORE_CREATE)->lease->node_name, "worker-1");
}

/* What it has of this host already is left as it is. */
static void test_restart_writes_nothing(void **unused)
{
	(void)unused;
	auto_rig r = rig_of(NULL, STORE_ASSIGNS);

	answer_config(r, CONFIG);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, lasting(mine("10.5.7.0-24", 40, 90, 0)), END);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(count(r, STORE_CREATE) + count(r, STORE_UPDATE), 0);
}

static void test_reassigned(void **unused)
{
	(void)unused;
	auto_rig r = assigned();
	unsigned owns = r->owns;

	put(r, lasting(mine("10.5.7.0-24", 101, 101, 0)));
	deleted(r, "10.5.7.0-24", 110);
	assert_int_equal(state(r), MANAGER_LOST);
	until(r, STORE_CREATE, 2000);
	/* This one or none: another is of no use to the containers that run. */
	assert_subnet(waiting(r, STORE_CREATE)->lease, "10.5.7.0-24");
	answer_status(r, STORE_CREATE, STORE_ABSENT);
	assert_string_equal(view(r).state_problem, "subnet-not-assigned");
	until(r, STORE_CREATE, 11000);
	answer_conflict(r, STORE_CREATE, lasting(mine("10.5.8.0-24", 120, 120, 0)));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_string_equal(view(r).state_problem, "subnet-reassigned");
	assert_contains(view(r).reason, "10.5.8.0/24");
	assert_contains(view(r).reason, "10.5.7.0/24");
	/* The routes of what runs stay. */
	assert_subnet(view(r).own, "10.5.7.0-24");
	assert_int_equal(r->owns, owns);
	/* It gets its own back. */
	until(r, STORE_CREATE, 46000);
	assign(r, "10.5.7.0-24", 130);
	assert_int_equal(state(r), MANAGER_HELD);
	assert_null(view(r).state_problem);
}

/* Two hosts of one name: the store has room for one of them. */
static void test_another_with_our_name(void **unused)
{
	(void)unused;
	auto_rig r = assigned();

	put(r, lasting(mine("10.5.7.0-24", 101, 101, 0)));
	put(r, lasting(lease("10.5.7.0-24", "192.0.2.9", OTHER, "me", 101, 111, 0)));
	assert_int_equal(state(r), MANAGER_CONFLICT);
	assert_contains(view(r).reason, "192.0.2.9");
}

/* ---- a store whose leases do not expire, and which leaves the choice to us ---- */

static void test_without_expiry(void **unused)
{
	(void)unused;
	auto_rig r = rig_of("10.5.1.0-24", STORE_ORDERED);
	struct store_reply reply = { .revision = 101 };
	struct sent *s;

	answer_config(r, CONFIG);
	manager_claim(r->m, r->now, r->attributes);
	answer_list(r, (uint64_t)100, lasting(theirs("10.5.9.0-24", 50, 50, 0)), END);
	s = take(r, STORE_CREATE);
	reply.holder = lasting(written(s, 101, 0));
	answer(r, s, &reply);
	put(r, lasting(mine("10.5.1.0-24", 101, 101, 0)));
	assert_int_equal(state(r), MANAGER_HELD);
	assert_int_equal(view(r).expires_ms, 0);
	/* It is no reservation: what is ours beside it goes. */
	put(r, lasting(mine("10.5.33.0-24", 112, 112, 0)));
	assert_subnet(waiting(r, STORE_REMOVE)->lease, "10.5.33.0-24");
	for (int i = 0; i < 100; i++)
		tick(r, 10000);
	assert_int_equal(count(r, STORE_KEEPALIVE), 0);
	assert_int_equal(state(r), MANAGER_HELD);
	deleted(r, "10.5.1.0-24", 120);
	assert_int_equal(state(r), MANAGER_LOST);
}

/* ---- the store of the simulator ---- */

static struct store_reply ask_db(struct mem_db *db, const char *key)
{
	auto_lease struct lease *l = mine("10.5.0.0-24", 0, 0, 0);
	struct store_request request = { .op = STORE_CREATE, .lease = l, .ttl_s = 60 };
	struct store_reply reply;

	l->subnet = (struct subnet){ 0 };
	if (key)
		assert_int_equal(subnet_key_parse(key, &l->subnet, NULL), 0);
	mem_db_execute(db, 1000, &request, 77, &reply);
	return reply;
}

static void test_mem_db_assigns(void **unused)
{
	(void)unused;
	struct mem_db *db = mem_db_new();
	struct store_reply reply;
	struct subnet subnet;

	mem_db_set_traits(db, STORE_ASSIGNS);
	reply = ask_db(db, NULL);
	assert_int_equal(reply.status, STORE_ABSENT);
	store_reply_fini(&reply);
	assert_int_equal(subnet_key_parse("10.5.7.0-24", &subnet, NULL), 0);
	mem_db_assign(db, "me", &subnet);
	reply = ask_db(db, NULL);
	assert_int_equal(reply.status, STORE_OK);
	assert_subnet(reply.holder, "10.5.7.0-24");
	assert_int_equal(reply.holder->flags, 0);
	store_reply_fini(&reply);
	reply = ask_db(db, "10.5.8.0-24");
	assert_int_equal(reply.status, STORE_CONFLICT);
	assert_subnet(reply.holder, "10.5.7.0-24");
	store_reply_fini(&reply);
	assert_non_null(mem_db_get(db, "subnets/10.5.7.0-24"));
	mem_db_assign(db, "me", NULL);
	assert_null(mem_db_get(db, "subnets/10.5.7.0-24"));
	mem_db_free(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asks_for_its_own),
		cmocka_unit_test(test_event_before_the_answer),
		cmocka_unit_test(test_waits_until_one_is_assigned),
		cmocka_unit_test(test_assigned_is_taken),
		cmocka_unit_test(test_name_of_the_store),
		cmocka_unit_test(test_restart_writes_nothing),
		cmocka_unit_test(test_reassigned),
		cmocka_unit_test(test_another_with_our_name),
		cmocka_unit_test(test_without_expiry),
		cmocka_unit_test(test_mem_db_assigns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
