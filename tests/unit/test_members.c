/* SPDX-License-Identifier: Apache-2.0 */
/* lib/members: an item as a tree, as text, and of the members that somebody wants. */
#include "tests/unit/test.h"

#include "lib/json.h"
#include "lib/members.h"

static void tell(struct members *m, const char *node, int64_t left_s)
{
	member_text(m, "subnet", "10.5.3.0/24");
	member_text_or_null(m, "node", node);
	member_boolean(m, "own", left_s > 0);
	member_real(m, "rttSeconds", 0.00125, 6);
	if (left_s)
		member_integer(m, "expiresSeconds", left_s);
	member_null(m, "reach");
	if (members_wants(m, "objects"))
		member_json(m, "objects", json_pack("[s]", "route"));
}

static void test_a_tree_and_text_are_the_same(void **state UNUSED)
{
	auto_json json_t *tree = json_object();
	auto_json json_t *read = NULL;
	struct members m = members_of(tree);
	struct members text = members_as_text(NULL);
	auto_buffer struct buffer out = { 0 };

	tell(&m, "a\"b\\c\n\xc3\xa4", 5);
	tell(&text, "a\"b\\c\n\xc3\xa4", 5);
	members_put(&text, &out);
	read = json_loadb(out.data, out.size, 0, NULL);
	assert_non_null(read);
	assert_true(json_equal(tree, read));
	assert_null(members_fields(&text));
	members_fini(&text);
}

static void test_what_is_wanted_comes_in_its_order(void **state UNUSED)
{
	struct members m = members_as_text("expiresSeconds,no-such,subnet,node,own");
	auto_json json_t *fields = members_fields(&m);
	auto_buffer struct buffer out = { 0 };

	assert_int_equal(json_array_size(fields), 5);
	tell(&m, NULL, 7);
	members_put(&m, &out);
	tell(&m, "n", 0);
	members_put(&m, &out);
	assert_string_equal(out.data, "[7,null,\"10.5.3.0/24\",null,true]"
				      "[null,null,\"10.5.3.0/24\",\"n\",false]");
	members_fini(&m);
}

/* Text of any bytes, more fields than are looked at, none. */
static void test_odd_fields_and_text(void **state UNUSED)
{
	struct members none = members_as_text("");
	struct members many = members_as_text("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,"
					      "A,B,C,D,E,F,G,H");
	struct members m = members_as_text(NULL);
	auto_buffer struct buffer out = { 0 };
	uint64_t failures = json_failures_total();

	members_put(&none, &out);
	assert_string_equal(out.data, "[null]");
	assert_true(members_wants(&many, "F"));
	assert_false(members_wants(&many, "G"));
	out.size = 0;
	member_text(&m, "x", "\xff\x01");
	member_json(&m, "y", NULL);
	members_put(&m, &out);
	assert_non_null(strstr(out.data, "\"y\":null"));
	assert_int_equal(json_failures_total(), failures + 1);
	members_fini(&none);
	members_fini(&many);
	members_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tree_and_text_are_the_same),
		cmocka_unit_test(test_what_is_wanted_comes_in_its_order),
		cmocka_unit_test(test_odd_fields_and_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
