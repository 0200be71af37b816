/* SPDX-License-Identifier: Apache-2.0 */
/* lib/tree: order, search and removal, against a sorted array; and that it stays flat. */
#include "tests/unit/test.h"

#include "lib/tree.h"

#define ITEMS 3000

struct item {
	struct tree_node node;
	unsigned value;
	bool in;
};

static unsigned compared;

static const struct item *item_of(const struct tree_node *n)
{
	return (const struct item *)n;
}

static int compare(const struct tree_node *a, const struct tree_node *b)
{
	compared++;
	return (item_of(a)->value > item_of(b)->value) - (item_of(a)->value < item_of(b)->value);
}

static int place(const void *key, const struct tree_node *n)
{
	unsigned value = *(const unsigned *)key;

	return (value > item_of(n)->value) - (value < item_of(n)->value);
}

/* The items have even values in order: what is in must come out so. */
static void check(const struct tree *t, const struct item *items)
{
	unsigned zero = 0;
	const struct tree_node *n = tree_find(t, place, &zero);

	for (size_t i = 0; i < ITEMS; i++) {
		if (!items[i].in)
			continue;
		assert_ptr_equal(n, &items[i].node);
		n = tree_next(t, n);
	}
	assert_null(n);
}

static void test_against_an_array(void **state)
{
	(void)state;
	struct item *items = xcalloc(ITEMS, sizeof(*items));
	struct tree t = { .compare = compare };
	unsigned seed = 1;

	for (unsigned i = 0; i < ITEMS; i++)
		items[i].value = 2 * i;
	for (unsigned round = 0; round < 20 * ITEMS; round++) {
		struct item *i = &items[(seed = seed * 1103515245 + 12345) >> 8 & 0xfff];
		unsigned odd;

		if (i >= items + ITEMS)
			continue;
		if (i->in)
			tree_remove(&t, &i->node);
		else
			tree_add(&t, &i->node);
		i->in = !i->in;
		odd = i->value ? i->value - 1 : 0;
		if (i->in)
			assert_ptr_equal(tree_find(&t, place, &odd), &i->node);
		if (round % 5000 == 0)
			check(&t, items);
	}
	check(&t, items);
	for (size_t i = 0; i < ITEMS; i++) {
		if (items[i].in)
			tree_remove(&t, &items[i].node);
	}
	assert_null(t.root);
	free(items);
}

/* Sorted input is what makes a tree without balance a list. */
static void test_it_stays_flat(void **state)
{
	(void)state;
	struct item *items = xcalloc(ITEMS, sizeof(*items));
	struct tree t = { .compare = compare };

	compared = 0;
	for (unsigned i = 0; i < ITEMS; i++) {
		items[i].value = i;
		tree_add(&t, &items[i].node);
	}
	for (unsigned i = 0; i < ITEMS; i++)
		tree_remove(&t, &items[i].node);
	/* 2 ln n for a search, as much again for splitting; with a factor for bad luck. */
	assert_true(compared < ITEMS * 2 * 60);
	free(items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_an_array),
		cmocka_unit_test(test_it_stays_flat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
