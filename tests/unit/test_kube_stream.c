/* SPDX-License-Identifier: Apache-2.0 */
/* stores/kube/kube_stream: the pieces that lists and events are cut into. */
#include "tests/unit/test.h"

#include <errno.h>

#include "stores/kube/kube_stream.h"

struct seen {
	char text[512]; /* the pieces, each with a '|' behind it */
};

static void on_piece(void *arg, const char *text, size_t size)
{
	struct seen *seen = arg;
	size_t used = strlen(seen->text);

	assert_int_equal(strlen(text), size);
	snprintf(seen->text + used, sizeof(seen->text) - used, "%s|", text);
}

/* In chunks of every size, as a network may bring them. */
static void cuts(enum kube_stream_form form, const char *text, const char *pieces, const char *rest)
{
	size_t size = strlen(text);

	for (size_t step = 1; step <= size + 1; step++) {
		struct seen seen = { 0 };
		const char *left = NULL;
		struct kube_stream s;
		size_t left_size;
		struct err e;

		kube_stream_init(&s, form, on_piece, &seen);
		for (size_t i = 0; i < size; i += step)
			assert_int_equal(kube_stream_feed(&s, text + i, MIN(step, size - i), &e),
					 0);
		assert_int_equal(kube_stream_end(&s, &left, &left_size, &e), 0);
		assert_string_equal(seen.text, pieces);
		if (rest)
			assert_string_equal(left, rest);
		else
			assert_null(left);
		kube_stream_fini(&s);
	}
}

static void test_list(void **state)
{
	(void)state;
	cuts(KUBE_STREAM_LIST,
	     "{\"metadata\":{\"continue\":\"c\",\"items\":[{}]},\"items\":[{\"a\":\"}\\\"]\"}, "
	     "{\"b\":[{}]}]}",
	     "{\"a\":\"}\\\"]\"}|{\"b\":[{}]}|",
	     "{\"metadata\":{\"continue\":\"c\",\"items\":[{}]},\"items\":[0, 0]}");
	cuts(KUBE_STREAM_LIST, "{\"items\":null}", "", "{\"items\":null}");
	cuts(KUBE_STREAM_LIST, "{\"a\":\"items\",\"b\":[{}]}", "", "{\"a\":\"items\",\"b\":[{}]}");
}

static void test_events(void **state)
{
	(void)state;
	cuts(KUBE_STREAM_EVENTS, "{\"type\":\"A{\"}\n{\"o\":{\"x\":[]}}{}\r\n",
	     "{\"type\":\"A{\"}|{\"o\":{\"x\":[]}}|{}|", NULL);
	cuts(KUBE_STREAM_EVENTS, "", "", NULL);
}

/* By their names, wherever they stand; but not where the same words are values. */
static void test_what_nobody_reads(void **state)
{
	(void)state;
	cuts(KUBE_STREAM_EVENTS,
	     "{\"o\":{\"managedFields\":[{\"a\":\"]\\\"}\"}],\"b\":1,\"images\":[{\"n\":[\"x\"]}]}"
	     "}",
	     "{\"o\":{\"managedFields\":null,\"b\":1,\"images\":null}}|", NULL);
	cuts(KUBE_STREAM_EVENTS, "{\"images\":[],\"a\":\"images\",\"b\":[\"images\"]}",
	     "{\"images\":[],\"a\":\"images\",\"b\":[\"images\"]}|", NULL);
	cuts(KUBE_STREAM_EVENTS, "{\"images\":\"text\",\"\\\"images\":[1,2,3]}",
	     "{\"images\":\"text\",\"\\\"images\":[1,2,3]}|", NULL);
}

static void test_cut_off(void **state)
{
	static const char *const rows[] = { "{", "{\"items\":[{\"a\":1}", "{\"items\":[{\"a",
					    "{\"a\":\"" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen seen = { 0 };
		const char *left;
		struct kube_stream s;
		size_t size;
		struct err e;

		kube_stream_init(&s, KUBE_STREAM_LIST, on_piece, &seen);
		assert_int_equal(kube_stream_feed(&s, rows[i], strlen(rows[i]), &e), 0);
		assert_row(kube_stream_end(&s, &left, &size, &e) == -EBADMSG, rows[i]);
		kube_stream_fini(&s);
	}
}

static void test_no_objects(void **state)
{
	struct seen seen = { 0 };
	struct kube_stream s;
	struct err e;

	(void)state;
	kube_stream_init(&s, KUBE_STREAM_EVENTS, on_piece, &seen);
	assert_int_equal(kube_stream_feed(&s, "{}\nToo many", 11, &e), -EBADMSG);
	assert_string_equal(seen.text, "{}|");
	kube_stream_fini(&s);
}

static void test_too_large(void **state)
{
	auto_free char *much = xcalloc(1, KUBE_OBJECT_MAX_SIZE);
	struct seen seen = { 0 };
	struct kube_stream s;
	struct err e;

	(void)state;
	memset(much, 'x', KUBE_OBJECT_MAX_SIZE);
	for (int form = KUBE_STREAM_LIST; form <= KUBE_STREAM_EVENTS; form++) {
		kube_stream_init(&s, form, on_piece, &seen);
		assert_int_equal(kube_stream_feed(&s, "{\"", 2, &e), 0);
		assert_int_equal(kube_stream_feed(&s, much, KUBE_OBJECT_MAX_SIZE, &e), -EFBIG);
		kube_stream_fini(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_no_objects),
		cmocka_unit_test(test_what_nobody_reads),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
