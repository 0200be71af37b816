/* SPDX-License-Identifier: Apache-2.0 */
/* One document in every form that is a rendering of it; columns by name; a graph. */
#include "tests/unit/test.h"

#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/dot.h"
#include "fabricctl/table.h"
#include "lib/json.h"

struct fixture {
	struct ctl c;
	char *out;
	char *err;
	size_t out_size;
	size_t err_size;
};

static void begin(struct fixture *f, enum ctl_format format)
{
	*f = (struct fixture){ 0 };
	f->c.out = open_memstream(&f->out, &f->out_size);
	f->c.err = open_memstream(&f->err, &f->err_size);
	f->c.command = command_find("peers");
	f->c.utf8 = true;
	f->c.format = format;
}

static void end(struct fixture *f)
{
	fclose(f->c.out);
	fclose(f->c.err);
	free(f->out);
	free(f->err);
}

static void prints(enum ctl_format format, const char *text, const char *expected)
{
	json_t *document = NULL;
	struct fixture f;

	if (json_parse_object(text, strlen(text), &document, NULL) < 0)
		fail_msg("the test's own JSON is wrong");
	begin(&f, format);
	document_print(&f.c, document);
	fflush(f.c.out);
	assert_string_equal(f.out, expected);
	end(&f);
}

static const char odd[] =
	"{\"kind\":\"X\",\"lease\":{\"publicIPv6\":null,\"revision\":\"12\",\"left\":90},"
	"\"on\":true,\"a$(b)\":1.5,\"list\":[\"no\",{\"nodeID\":\"it's\\u001b\\n$HOME\"}],"
	"\"none\":[],\"empty\":{}}";

static void test_yaml(void **state UNUSED)
{
	prints(FORMAT_YAML, odd,
	       "---\n"
	       "kind: \"X\"\n"
	       "lease:\n"
	       "  publicIPv6: null\n"
	       "  revision: \"12\"\n"
	       "  left: 90\n"
	       "\"on\": true\n"
	       "\"a$(b)\": 1.5\n"
	       "list:\n"
	       "- \"no\"\n"
	       "- nodeID: \"it's\\e\\n$HOME\"\n"
	       "none: []\n"
	       "empty: {}\n");
}

static void test_numbers_of_yaml(void **state UNUSED)
{
	prints(FORMAT_YAML, "{\"a\":9.5367431640625e-07,\"b\":1e20,\"c\":0.5,\"d\":-3}",
	       "---\na: 9.5367431640625e-7\nb: 1.0e+20\nc: 0.5\nd: -3\n");
}

static void test_env(void **state UNUSED)
{
	prints(FORMAT_ENV, odd,
	       "FABRIC_KIND='X'\n"
	       "FABRIC_LEASE_PUBLIC_IPV6=''\n"
	       "FABRIC_LEASE_REVISION='12'\n"
	       "FABRIC_LEASE_LEFT='90'\n"
	       "FABRIC_ON='true'\n"
	       "FABRIC_A__B_='1.5'\n"
	       "FABRIC_LIST_COUNT='2'\n"
	       "FABRIC_LIST_0='no'\n"
	       "FABRIC_LIST_1_NODE_ID='it'\\''s\\033\\n$HOME'\n"
	       "FABRIC_NONE_COUNT='0'\n");
	/* Somebody else's key does not replace one of ours. */
	prints(FORMAT_ENV, "{\"backendType\":\"a\",\"backend\":{\"Type\":\"b\"}}",
	       "FABRIC_BACKEND_TYPE='a'\n");
}

static void test_many(void **state UNUSED)
{
	struct fixture f;

	begin(&f, FORMAT_YAML);
	document_print_item(&f.c, json_pack("{s:i}", "id", 1));
	document_print_item(&f.c, json_pack("{s:i}", "id", 2));
	fflush(f.c.out);
	assert_string_equal(f.out, "---\nid: 1\n---\nid: 2\n");
	end(&f);
	begin(&f, FORMAT_JSON);
	document_print_item(&f.c, json_pack("{s:i}", "id", 1));
	fflush(f.c.out);
	assert_string_equal(f.out, "{\"id\":1}\n");
	end(&f);
}

static const struct table_column columns[] = {
	{ "SUBNET", .key = "subnet" },
	{ "PUBLIC IP", .key = "publicIP" },
	{ "RTT", .right = true, .key = "rttSeconds" },
};

static void test_columns_by_name(void **state UNUSED)
{
	static const struct {
		const char *list;
		enum ctl_format format;
		int status;
		const char *shown; /* or what is said */
	} rows[] = {
		{ NULL, FORMAT_RAW, CTL_OK, "a\tb\tc\n" },
		{ "rttSeconds,subnet", FORMAT_RAW, CTL_OK, "c\ta\n" },
		{ "public-ip,RTT", FORMAT_TABLE, CTL_OK, "PUBLIC IP  RTT\nb            c\n" },
		{ "publicip", FORMAT_WIDE, CTL_OK, "PUBLIC IP\nb\n" },
		{ "subnet,mac", FORMAT_TABLE, CTL_USAGE,
		  "no column \"mac\"; there are subnet, publicIP, rttSeconds\n" },
		{ "", FORMAT_TABLE, CTL_USAGE, "no column \"\"" },
		{ "subnet,", FORMAT_TABLE, CTL_USAGE, "no column \"\"" },
		{ "subnet,SUBNET", FORMAT_TABLE, CTL_USAGE, "\"SUBNET\" is named twice" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_table struct table *t = table_new(columns, ARRAY_LEN(columns));
		struct fixture f;

		table_add_row(t);
		for (size_t n = 0; n < ARRAY_LEN(columns); n++)
			table_set(t, n, (const char *[]){ "a", "b", "c" }[n], COLOR_NONE);
		begin(&f, rows[i].format);
		f.c.options.columns = rows[i].list;
		assert_row(table_print(t, &f.c) == rows[i].status, rows[i].list);
		fflush(f.c.out);
		fflush(f.c.err);
		if (rows[i].status == CTL_OK)
			assert_string_equal(f.out, rows[i].shown);
		else
			assert_row(strstr(f.err, rows[i].shown) && !*f.out, rows[i].list);
		end(&f);
	}
}

/* clang-format off */
static const char leases[] =
	"{\"kind\":\"SubnetList\",\"items\":["
	"{\"subnet\":\"10.5.1.0/24\",\"node\":\"a\",\"publicIP\":\"192.0.2.1\",\"own\":true,\"backend\":\"vxlan\"},"
	"{\"subnet\":\"10.5.2.0/24\",\"node\":\"b\\\"];\\u001b\",\"publicIP\":\"192.0.2.2\",\"own\":false,"
	" \"backend\":\"vxlan\",\"kernel\":\"ok\",\"reach\":\"ok\",\"rttSeconds\":0.0004},"
	"{\"subnet\":\"10.5.3.0/24\",\"publicIPv6\":\"2001:db8::3\",\"own\":false,\"backend\":\"vxlan\","
	" \"kernel\":\"ok\",\"reach\":\"silent\",\"reservation\":true},"
	"{\"subnet\":\"10.5.4.0/24\",\"node\":\"d\",\"own\":false,\"reservation\":true}]}";
/* clang-format on */

static void test_graph(void **state UNUSED)
{
	auto_json json_t *document = NULL;
	struct fixture f;

	if (json_parse_object(leases, strlen(leases), &document, NULL) < 0)
		fail_msg("the test's own JSON is wrong");
	begin(&f, FORMAT_DOT);
	dot_print(&f.c, document);
	fflush(f.c.out);
	assert_string_equal(
		f.out,
		"graph fabric {\n"
		"\tnode [shape=box];\n"
		"\t\"10.5.1.0/24\" [label=\"a\\n10.5.1.0/24\\n192.0.2.1\", penwidth=2];\n"
		"\t\"10.5.2.0/24\" [label=\"b\\\"];\\\\033\\n10.5.2.0/24\\n192.0.2.2\"];\n"
		"\t\"10.5.3.0/24\" [label=\"-\\n10.5.3.0/24\\n2001:db8::3\"];\n"
		"\t\"10.5.4.0/24\" [label=\"d\\n10.5.4.0/24\\n-\\nreserved\", style=dotted];\n"
		"\t\"10.5.1.0/24\" -- \"10.5.2.0/24\" [label=\"vxlan\\n0.4 ms\"];\n"
		"\t\"10.5.1.0/24\" -- \"10.5.3.0/24\" [label=\"vxlan\\nsilent\", color=red, "
		"style=dashed];\n"
		"}\n");
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_numbers_of_yaml),
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_columns_by_name),
		cmocka_unit_test(test_graph),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
