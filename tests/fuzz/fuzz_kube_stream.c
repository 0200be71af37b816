/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a list or as events, in one and byte by byte: the same pieces, and of a list that is
 * JSON exactly the objects that are in its "items".
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "lib/json.h"
#include "stores/kube/kube_stream.h"

struct seen {
	size_t pieces;
	uint64_t sum;
};

static void count(void *arg, const char *text, size_t size)
{
	struct seen *seen = arg;

	FUZZ_CHECK(size >= 2 && text[0] == '{' && text[size] == '\0');
	seen->pieces++;
	for (size_t i = 0; i < size; i++)
		seen->sum = seen->sum * 31 + (unsigned char)text[i];
}

/* 0 or an error; *ret_rest is for free(). */
static int run(enum kube_stream_form form, const char *data, size_t size, size_t step,
	       struct seen *ret, char **ret_rest)
{
	struct kube_stream s;
	const char *rest = NULL;
	size_t rest_size = 0;
	int rc = 0;

	kube_stream_init(&s, form, count, ret);
	for (size_t i = 0; i < size && rc == 0; i += step)
		rc = kube_stream_feed(&s, data + i, MIN(step, size - i), NULL);
	if (rc == 0)
		rc = kube_stream_end(&s, &rest, &rest_size, NULL);
	*ret_rest = rc == 0 && rest ? xstrndup(rest, rest_size) : NULL;
	kube_stream_fini(&s);
	return rc;
}

/* Only where nothing is told twice is there one answer. */
static void compare(const json_t *whole, const char *rest, const struct seen *seen)
{
	auto_json json_t *without = json_loads(rest, JSON_REJECT_DUPLICATES, NULL);
	const json_t *items = json_object_get(whole, "items");
	size_t objects = 0;

	/* With an escape in its name "items" is not looked for: the rest has them then. */
	for (size_t i = 0; i < json_array_size(items); i++)
		objects += json_is_object(json_array_get(items, i));
	FUZZ_CHECK(without);
	FUZZ_CHECK(seen->pieces == objects || seen->pieces == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	for (int form = KUBE_STREAM_LIST; form <= KUBE_STREAM_EVENTS; form++) {
		auto_json json_t *whole =
			size ? json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
		auto_free char *rest = NULL;
		auto_free char *again = NULL;
		struct seen one = { 0 };
		struct seen bytes = { 0 };
		int rc = run(form, text, size, size + 1, &one, &rest);

		FUZZ_CHECK(run(form, text, size, 1, &bytes, &again) == rc);
		FUZZ_CHECK(one.pieces == bytes.pieces && one.sum == bytes.sum);
		FUZZ_CHECK(!rest == !again && (!rest || strcmp(rest, again) == 0));
		/* jansson may pass over a NUL, which ends the text for us. */
		if (form == KUBE_STREAM_LIST && json_is_object(whole) && !memchr(text, 0, size)) {
			FUZZ_CHECK(rc == 0);
			compare(whole, rest, &one);
		}
	}
	return 0;
}
