/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl/rows: lists of which some members are wanted, as the daemon sends them. */
#include "tests/unit/test.h"

#include <errno.h>

#include "fabricctl/rows.h"
#include "lib/json.h"

#define HEAD                                                                                       \
	"{\"kind\":\"SubnetList\",\"junk\":[],\"fields\":[\"subnet\",\"own\",\"left\"],\"items\":" \
	"["

static void test_rows_are_objects_again(void **state UNUSED)
{
	static const char text[] = HEAD "[\"10.5.3.0/24\",true,12],[\"a\\n\\u00e4\",null,-0.5]]}";
	auto_json json_t *document = NULL;
	auto_json json_t *wanted =
		json_pack("[{s:s,s:b,s:i},{s:s,s:f}]", "subnet", "10.5.3.0/24", "own", 1, "left",
			  12, "subnet", "a\n\xc3\xa4", "left", -0.5);
	struct err e;

	assert_int_equal(rows_parse(text, strlen(text), &document, &e), 0);
	assert_string_equal(json_string_value(json_object_get(document, "kind")), "SubnetList");
	assert_true(json_equal(json_object_get(document, "items"), wanted));
}

static void test_what_are_no_rows(void **state UNUSED)
{
	static const struct {
		const char *text;
		int code;
	} rows[] = {
		{ "", -ENOENT },
		{ "{\"kind\":\"SubnetList\",\"items\":[]}", -ENOENT },
		{ "{\"kind\":\"SubnetList\",\"items\":[{\"subnet\":1}]}", -ENOENT },
		{ "{]\"kind\":\"SubnetList\",\"items\":[]}", -ENOENT },
		{ "{\"fields\":[1],\"items\":[]}", -EINVAL },
		{ HEAD "]}", 0 },
		{ HEAD "]}\n", 0 },
		{ HEAD "[1,2,3]]}", 0 },
		{ HEAD "[1,2,3]]", -EINVAL },
		{ HEAD "[1,2,3]]}x", -EINVAL },
		{ HEAD "[1,2]]}", -EINVAL },
		{ HEAD "[1,2,3,4]]}", -EINVAL },
		{ HEAD "[1,2,3][1,2,3]]}", -EINVAL },
		{ HEAD "[1,2,3],]}", -EINVAL },
		{ HEAD "{\"subnet\":1}]}", -EINVAL },
		{ HEAD "[1,2,\"3]]}", -EINVAL },
		{ HEAD "[1,2,\"3\\\"]]}", -EINVAL },
		{ HEAD "[1,2,[3]]}", -EINVAL },
		{ HEAD "[1,2,]]}", -EINVAL },
		{ HEAD "[1,2,03]]}", -EINVAL },
		{ HEAD "[1,2,nul]]}", -EINVAL },
		{ HEAD "[1,2,{\"a\":1,\"a\":2}]]}", -EINVAL },
		{ HEAD "[1,2,\"\xff\"]]}", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *document = NULL;
		struct err e = { 0 };
		int rc = rows_parse(rows[i].text, strlen(rows[i].text), &document, &e);

		assert_row(rc == rows[i].code, rows[i].text);
		assert_row(rc != -EINVAL || e.text[0], rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_objects_again),
		cmocka_unit_test(test_what_are_no_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
