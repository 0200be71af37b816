/* SPDX-License-Identifier: Apache-2.0 */
/* The own key while it is held: who else writes it, and how often it is written back. */
#include "tests/unit/manager_rig.h"

/* Our lease as `name` with our id writes it, at our address. */
static struct lease *written_by(const char *name, uint64_t revision)
{
	return lease("10.5.1.0-24", "192.0.2.1", ME, name, 101, revision, 11);
}

/* For `ms` somebody writes over our lease whenever we have written it. Returns our writes. */
static unsigned fight(struct rig *r, const char *name, const char *type, int64_t ms,
		      uint64_t *revision)
{
	unsigned writes = 0;

	for (int64_t end = r->now + ms; r->now < end; tick(r, 10)) {
		struct lease *l;

		if (writes > 0 && !waiting(r, STORE_UPDATE))
			continue;
		if (waiting(r, STORE_UPDATE)) {
			answer_written(r, STORE_UPDATE, ++*revision, 11);
			writes++;
		}
		l = written_by(name, ++*revision);
		free(l->backend_type);
		l->backend_type = xstrdup(type);
		put(r, l);
		assert_int_equal(state(r), MANAGER_HELD);
	}
	return writes;
}

/* A second daemon with our node id, another name and our address: hundreds of writes a second. */
static void test_second_daemon_is_named_and_paced(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	uint64_t revision = 101;

	put(r, written_by("twin", ++revision));
	/* The first time at once. */
	assert_non_null(waiting(r, STORE_UPDATE));
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->node_name, "me");
	assert_string_equal(view(r).rival_name, "node-id-twice");
	assert_contains(view(r).rival, "of twin at 192.0.2.1");
	assert_in_range(fight(r, "twin", "vxlan", 60000, &revision), 3, 8);
	assert_string_equal(view(r).rival_name, "node-id-twice");
	/* It is gone: ours is written once more, and nothing is wrong after some time. */
	until(r, STORE_UPDATE, 31000);
	answer_written(r, STORE_UPDATE, ++revision, 11);
	put(r, mine("10.5.1.0-24", 101, revision, 11));
	for (int i = 0; i < 130; i++)
		tick(r, 1000);
	assert_null(view(r).rival_name);
	assert_string_equal(view(r).rival, "");
}

/* Who has our name too: not the first time, but if it goes on. */
static void test_overwritten_again_and_again(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	uint64_t revision = 101;
	struct lease *l = written_by("me", ++revision);

	free(l->backend_type);
	l->backend_type = xstrdup("host-gw");
	put(r, l);
	assert_true(noted(r, "lease-overwritten"));
	assert_null(view(r).rival_name);
	assert_in_range(fight(r, "me", "host-gw", 60000, &revision), 3, 8);
	assert_string_equal(view(r).rival_name, "lease-overwritten");
}

/* Our own changes are paced as well, and the last one is what is written. */
static void test_own_changes_are_paced(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	uint64_t revision = 101;
	unsigned writes = 0;

	for (int i = 0; i < 1000; i++) {
		free(r->attributes->backend_data);
		r->attributes->backend_data = xasprintf("{\"n\":%d}", i);
		manager_publish(r->m, r->now, r->attributes);
		if (waiting(r, STORE_UPDATE)) {
			answer_written(r, STORE_UPDATE, ++revision, 11);
			put(r, lease_copy(view(r).own));
			writes++;
		}
		tick(r, 10);
	}
	assert_in_range(writes, 2, 6);
	until(r, STORE_UPDATE, 31000);
	assert_string_equal(waiting(r, STORE_UPDATE)->lease->backend_data, "{\"n\":999}");
	assert_null(view(r).rival_name);
}

/* Who asks whether we live waits for an answer: it takes our lease over without one. */
static void test_a_question_is_answered_at_once(void **unused)
{
	(void)unused;
	auto_rig r = holding();
	uint64_t revision = 101;

	for (int i = 0; i < 20; i++) {
		struct lease *l = written_by("me", ++revision);

		l->claim = xstrdup("192.0.2.8");
		put(r, l);
		assert_non_null(waiting(r, STORE_UPDATE));
		answer_written(r, STORE_UPDATE, ++revision, 11);
		tick(r, 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_second_daemon_is_named_and_paced),
		cmocka_unit_test(test_overwritten_again_and_again),
		cmocka_unit_test(test_own_changes_are_paced),
		cmocka_unit_test(test_a_question_is_answered_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
