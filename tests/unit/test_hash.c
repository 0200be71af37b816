/* SPDX-License-Identifier: Apache-2.0 */
/* lib/hash: known values, how evenly they spread, and the table against an array. */
#include "tests/unit/test.h"

#include "lib/hash.h"

/* From the reference, http://www.isthe.com/chongo/tech/comp/fnv/: what is on disks must be found. */
static void test_fnv1a_has_its_known_values(void **state)
{
	(void)state;
	assert_true(hash_fnv1a(HASH_FNV_INIT, "", 0) == 0xcbf29ce484222325u);
	assert_true(hash_fnv1a(HASH_FNV_INIT, "a", 1) == 0xaf63dc4c8601ec8cu);
	assert_true(hash_fnv1a(HASH_FNV_INIT, "foobar", 6) == 0x85944171f73967e8u);
	assert_true(hash_fnv1a(hash_fnv1a(HASH_FNV_INIT, "foo", 3), "bar", 3) ==
		    0x85944171f73967e8u);
}

static void test_texts_in_a_row_do_not_run_into_each_other(void **state)
{
	(void)state;
	assert_true(hash_text(hash_text(HASH_FNV_INIT, "ab"), "c") !=
		    hash_text(hash_text(HASH_FNV_INIT, "a"), "bc"));
	assert_true(hash_text(HASH_FNV_INIT, "a") == hash_fnv1a(HASH_FNV_INIT, "a", 2));
}

static void test_every_length_counts(void **state)
{
	(void)state;
	static const char zeros[40];
	uint64_t seen[ARRAY_LEN(zeros)];

	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		seen[i] = hash_bytes(zeros, i);
		for (size_t j = 0; j < i; j++)
			assert_true(seen[i] != seen[j]);
	}
}

/* Keys as ours are: counted up, in one byte out of many, with few ones in them. */
static void test_spreads_evenly(void **state)
{
	(void)state;
	enum { KEYS = 1 << 14, BUCKETS = 1 << 10 };
	static unsigned buckets[BUCKETS];

	for (size_t at = 0; at < 24; at += 4) {
		memset(buckets, 0, sizeof(buckets));
		for (uint32_t i = 0; i < KEYS; i++) {
			unsigned char key[29] = { 0 };

			memcpy(key + at, &i, sizeof(i));
			buckets[hash_bytes(key, sizeof(key)) % BUCKETS]++;
		}
		/* 16 each; more than 48 or none at all is not chance. */
		for (size_t i = 0; i < BUCKETS; i++)
			assert_in_range(buckets[i], 1, 48);
	}
}

struct member {
	uint32_t key;
	bool in;
	unsigned visits;
	struct hash_link link;
};

enum { MEMBERS = 500, KEYS = 300 };
static struct member members[MEMBERS];

static uint64_t hash_of(const struct hash_link *link)
{
	const struct member *m = CONTAINER_OF(link, struct member, link);

	return hash_bytes(&m->key, sizeof(m->key));
}

static void check_finds_all_of(const struct hash_table *t, uint32_t key)
{
	size_t found = 0;
	size_t expected = 0;

	for (struct hash_link *l = hash_table_first(t, hash_bytes(&key, sizeof(key))); l;
	     l = l->next)
		found += CONTAINER_OF(l, struct member, link)->key == key;
	for (size_t i = 0; i < MEMBERS; i++)
		expected += members[i].in && members[i].key == key;
	assert_int_equal(found, expected);
}

static void check_visits_all(const struct hash_table *t)
{
	for (size_t i = 0; i < MEMBERS; i++)
		members[i].visits = 0;
	for (struct hash_link *l = hash_table_next(t, NULL, hash_of); l;
	     l = hash_table_next(t, l, hash_of))
		CONTAINER_OF(l, struct member, link)->visits++;
	for (size_t i = 0; i < MEMBERS; i++)
		assert_int_equal(members[i].visits, members[i].in);
}

static void test_table_against_an_array(void **state)
{
	(void)state;
	struct hash_table t = { 0 };
	uint64_t seed = 5;

	for (size_t i = 0; i < MEMBERS; i++)
		members[i].key = (uint32_t)(test_random(&seed) % KEYS);
	for (unsigned round = 0; round < 5000; round++) {
		struct member *m = &members[test_random(&seed) % MEMBERS];

		if (m->in)
			hash_table_remove(&t, &m->link, hash_of);
		else
			hash_table_add(&t, &m->link, hash_of);
		m->in = !m->in;
		check_finds_all_of(&t, m->key);
		if (round % 100 == 0)
			check_visits_all(&t);
	}
	/* Emptied on the way, and nothing is left to be freed. */
	for (struct hash_link *l = hash_table_next(&t, NULL, hash_of); l;) {
		struct hash_link *next = hash_table_next(&t, l, hash_of);

		hash_table_remove(&t, l, hash_of);
		l = next;
	}
	assert_int_equal(t.len, 0);
	assert_null(t.buckets);
	assert_null(hash_table_first(&t, 7));
	assert_null(hash_table_next(&t, NULL, hash_of));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fnv1a_has_its_known_values),
		cmocka_unit_test(test_texts_in_a_row_do_not_run_into_each_other),
		cmocka_unit_test(test_every_length_counts),
		cmocka_unit_test(test_spreads_evenly),
		cmocka_unit_test(test_table_against_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
