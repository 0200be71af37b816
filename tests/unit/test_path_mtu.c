/* SPDX-License-Identifier: Apache-2.0 */
/* fabric/path_mtu: what it asks a simulated path, and what it makes of the answers. */
#include "tests/unit/test.h"

#include <stdio.h>

#include "fabric/path_mtu.h"
#include "lib/util.h"

#define EVERY_MS 100000

/* What a path does with a packet. */
struct path {
	unsigned passes; /* bytes that arrive there and back */
	unsigned told;   /* larger ones than this are refused with it; 0: nobody refuses */
	bool mute;       /* who refuses does not say how much he takes */
	unsigned loss;   /* percent of all packets, by chance */
	uint64_t random;
};

static bool chance(struct path *p)
{
	return p->loss && test_random(&p->random) % 100 < p->loss;
}

/* One question, if there is one: true. The small one beside it is lost by chance only. */
static bool ask(struct path_mtu_plan *plan, struct path_mtu *m, struct path *p, int64_t now_ms)
{
	uint16_t bytes = path_mtu_ask(m, now_ms);

	if (!bytes)
		return false;
	assert_in_range(bytes, 1, m->size_bytes);
	if (p->told && bytes > p->told)
		path_mtu_refused(plan, m, p->mute ? 0 : (uint16_t)p->told);
	else if (bytes <= p->passes && !chance(p))
		path_mtu_answered(plan, m, now_ms);
	path_mtu_unanswered(plan, m, !chance(p));
	return true;
}

/* Questions until there is nothing urgent. */
static unsigned settle(struct path_mtu_plan *plan, struct path_mtu *m, struct path *p,
		       int64_t now_ms)
{
	unsigned asked = ask(plan, m, p, now_ms);

	while (path_mtu_hurries(m) && asked < 100)
		asked += ask(plan, m, p, now_ms);
	return asked;
}

static const struct {
	const char *name;
	uint16_t size;
	uint16_t overhead;
	struct path path;
	enum path_mtu_state state;
	unsigned passed;
	unsigned failed;
	unsigned asked; /* at most */
} rows[] = {
	{ "whole", 1450, 50, { .passes = 1450 }, PATH_MTU_WHOLE, 1450, 0, 1 },
	{ "a switch", 1450, 50, { .passes = 1350 }, PATH_MTU_BLACK_HOLE, 1350, 1360, 16 },
	{ "a switch that lets a tag pass",
	  1450,
	  50,
	  { .passes = 1354 },
	  PATH_MTU_BLACK_HOLE,
	  1350,
	  1360,
	  16 },
	{ "IPv6 least", 1430, 70, { .passes = 1210 }, PATH_MTU_BLACK_HOLE, 1210, 1230, 16 },
	{ "without a tunnel", 1500, 0, { .passes = 1400 }, PATH_MTU_BLACK_HOLE, 1400, 1410, 16 },
	{ "PPPoE", 1420, 80, { .passes = 1412 }, PATH_MTU_BLACK_HOLE, 1412, 1420, 16 },
	{ "no jumbo frames", 8950, 50, { .passes = 1450 }, PATH_MTU_BLACK_HOLE, 1450, 1950, 16 },
	{ "lo", 65535, 0, { .passes = 1500 }, PATH_MTU_BLACK_HOLE, 1500, 2000, 16 },
	{ "nothing large", 1450, 50, { .passes = 100 }, PATH_MTU_BLACK_HOLE, 0, 526, 16 },
	{ "a router that tells",
	  1500,
	  0,
	  { .passes = 1413, .told = 1413 },
	  PATH_MTU_SMALLER,
	  1413,
	  1420,
	  6 },
	{ "a router that tells not how much",
	  1500,
	  0,
	  { .passes = 1413, .told = 1413, .mute = true },
	  PATH_MTU_SMALLER,
	  1410,
	  1420,
	  8 },
	{ "a router that tells, and a switch behind it",
	  1500,
	  0,
	  { .passes = 1300, .told = 1400 },
	  PATH_MTU_BLACK_HOLE,
	  1300,
	  1320,
	  16 },
	{ "a router that lies",
	  1500,
	  0,
	  { .passes = 1400, .told = 1 },
	  PATH_MTU_SMALLER,
	  0,
	  576,
	  8 },
	{ "nothing is to be asked", 0, 0, { .passes = 1500 }, PATH_MTU_UNKNOWN, 0, 0, 0 },
};

static void test_what_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct path_mtu_plan plan = { .every_ms = EVERY_MS };
		struct path path = rows[i].path;
		struct path_mtu m = { 0 };
		unsigned asked;

		path_mtu_set(&plan, &m, rows[i].size, rows[i].overhead);
		asked = settle(&plan, &m, &path, 1000);
		assert_row(asked <= rows[i].asked, rows[i].name);
		assert_row(m.state == rows[i].state, rows[i].name);
		assert_row(m.passed_bytes == rows[i].passed, rows[i].name);
		assert_row(m.failed_bytes == rows[i].failed, rows[i].name);
		assert_row(plan.hurries == 0, rows[i].name);
	}
}

static void test_when_it_is_asked(void **state)
{
	(void)state;
	struct path_mtu_plan plan = { .every_ms = EVERY_MS };
	struct path path = { .passes = 1450 };
	struct path_mtu m = { 0 };

	path_mtu_set(&plan, &m, 1450, 50);
	assert_int_equal(settle(&plan, &m, &path, 1000), 1);
	assert_int_equal(settle(&plan, &m, &path, 1000 + EVERY_MS - 1), 0);
	/* The same size, but perhaps another way. */
	path_mtu_set(&plan, &m, 1450, 50);
	assert_int_equal(m.state, PATH_MTU_WHOLE);
	assert_int_equal(settle(&plan, &m, &path, 2000), 1);
	assert_int_equal(settle(&plan, &m, &path, 2000 + EVERY_MS), 1);
	path_mtu_forget(&plan, &m);
	assert_int_equal(m.state, PATH_MTU_UNKNOWN);
	assert_int_equal(settle(&plan, &m, &path, 3000), 1);
	/* While it does not pass it is asked in each interval, and how much does now and then. */
	path.passes = 1350;
	assert_true(settle(&plan, &m, &path, 3000 + EVERY_MS) > PATH_MTU_LOST_MAX);
	assert_int_equal(m.state, PATH_MTU_BLACK_HOLE);
	path.passes = 1310;
	for (unsigned i = 1; i < PATH_MTU_AGAIN; i++)
		assert_int_equal(settle(&plan, &m, &path, 4000 + EVERY_MS), 1);
	assert_int_equal(m.passed_bytes, 1350);
	assert_true(settle(&plan, &m, &path, 4000 + EVERY_MS) > 1);
	assert_int_equal(m.passed_bytes, 1310);
	assert_int_equal(m.state, PATH_MTU_BLACK_HOLE);
	/* What is sent is less: that is looked at anew. */
	path_mtu_set(&plan, &m, 1300, 50);
	assert_int_equal(m.state, PATH_MTU_UNKNOWN);
	assert_int_equal(settle(&plan, &m, &path, 4000 + EVERY_MS), 1);
	assert_int_equal(m.state, PATH_MTU_WHOLE);
}

/* A way on which small packets are lost as well has no black hole; one that loses every tenth packet neither. */
static void test_loss_is_no_black_hole(void **state)
{
	(void)state;
	struct path_mtu_plan plan = { .every_ms = EVERY_MS };
	struct path path = { .passes = 1450, .loss = 10, .random = 42 };
	struct path_mtu m = { 0 };
	unsigned black = 0;

	path_mtu_set(&plan, &m, 1450, 50);
	for (unsigned i = 0; i < 100; i++) {
		if (path_mtu_ask(&m, 1000))
			path_mtu_unanswered(&plan, &m, false);
	}
	assert_int_equal(m.state, PATH_MTU_UNKNOWN);
	assert_false(path_mtu_hurries(&m));
	for (unsigned i = 1; i <= 10000; i++) {
		settle(&plan, &m, &path, (int64_t)i * EVERY_MS);
		black += m.state == PATH_MTU_BLACK_HOLE;
	}
	assert_in_range(black, 0, 5);
}

/* And one with a black hole is found through the losses, if a little too small. */
static void test_search_among_losses(void **state)
{
	(void)state;
	struct path path = { .passes = 1350, .loss = 10, .random = 7 };

	for (unsigned i = 0; i < 200; i++) {
		struct path_mtu_plan plan = { .every_ms = EVERY_MS };
		struct path_mtu m = { 0 };

		path_mtu_set(&plan, &m, 1450, 50);
		for (unsigned n = 0; n < 20 && m.state == PATH_MTU_UNKNOWN; n++)
			settle(&plan, &m, &path, 1000);
		assert_int_equal(m.state, PATH_MTU_BLACK_HOLE);
		assert_in_range(m.passed_bytes, 0, 1350);
	}
}

static void test_few_hurry_at_a_time(void **state)
{
	(void)state;
	enum { WAYS = 3 * PATH_MTU_HURRIES };
	struct path_mtu_plan plan = { .every_ms = EVERY_MS };
	struct path path = { .passes = 1350 };
	struct path_mtu ways[WAYS] = { 0 };
	unsigned black = 0;

	for (unsigned i = 0; i < WAYS; i++)
		path_mtu_set(&plan, &ways[i], 1450, 50);
	for (unsigned n = 0; n < 60; n++) {
		for (unsigned i = 0; i < WAYS; i++)
			ask(&plan, &ways[i], &path, 1000);
		assert_in_range(plan.hurries, 0, PATH_MTU_HURRIES);
	}
	for (unsigned i = 0; i < WAYS; i++)
		black += ways[i].state == PATH_MTU_BLACK_HOLE;
	assert_int_equal(black, WAYS);
	/* One that ends in the middle leaves its place. */
	path_mtu_set(&plan, &ways[0], 1400, 50);
	while (!ways[0].searching)
		ask(&plan, &ways[0], &path, 1000);
	path_mtu_forget(&plan, &ways[0]);
	for (unsigned i = 1; i < WAYS; i++)
		path_mtu_forget(&plan, &ways[i]);
	assert_int_equal(plan.hurries, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_found),
		cmocka_unit_test(test_when_it_is_asked),
		cmocka_unit_test(test_loss_is_no_black_hole),
		cmocka_unit_test(test_search_among_losses),
		cmocka_unit_test(test_few_hurry_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
