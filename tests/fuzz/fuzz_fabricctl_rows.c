/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a list of rows: what is read is what jansson reads in the same bytes. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "fabricctl/rows.h"
#include "lib/json.h"
#include "lib/members.h"

/* The same item, of an array of values. */
static json_t *by_name(const json_t *fields, const json_t *row)
{
	json_t *item = json_object();
	json_t *value;
	size_t i;

	json_array_foreach (row, i, value) {
		if (!json_is_null(value))
			json_object_set(item, json_string_value(json_array_get(fields, i)), value);
	}
	return item;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *document = NULL;
	auto_json json_t *same = NULL;
	json_t *items;
	json_t *row;
	size_t i;
	struct err e = { 0 };
	int rc = rows_parse((const char *)data, size, &document, &e);

	FUZZ_CHECK(rc == 0 || rc == -ENOENT || (rc == -EINVAL && e.text[0]));
	if (rc < 0)
		return 0;
	/* A name twice among the fields gives one member, so the last one is what is meant. */
	same = json_loadb((const char *)data, size, 0, NULL);
	FUZZ_CHECK(same);
	items = json_object_get(same, "items");
	FUZZ_CHECK(json_array_size(items) == json_array_size(json_object_get(document, "items")));
	json_array_foreach (items, i, row) {
		auto_json json_t *wanted = by_name(json_object_get(same, "fields"), row);

		FUZZ_CHECK(json_array_size(row) ==
			   json_array_size(json_object_get(same, "fields")));
		FUZZ_CHECK(
			json_equal(json_array_get(json_object_get(document, "items"), i), wanted));
	}
	return 0;
}
