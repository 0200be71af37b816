/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of leases: columns, filters, order, every format, and what changed from one list to the
 * next.
 */
#include "tests/unit/test.h"

#include "fabricctl/command.h"
#include "fabricctl/lease_source.h"
#include "fabricctl/lease_view.h"
#include "lib/json.h"
#include "subnet/lease.h"

/* clang-format off */
static const char list[] =
	"{\"apiVersion\":\"fabric/v1\",\"kind\":\"SubnetList\",\"source\":\"daemon\",\"items\":["
	"{\"subnet\":\"10.5.9.0/24\",\"subnetV6\":null,\"node\":\"web-1\",\"nodeID\":\"n1\","
	" \"publicIP\":\"192.0.2.10\",\"publicIPv6\":null,\"backend\":\"vxlan\","
	" \"mac\":\"02:00:00:00:00:01\",\"macV6\":null,\"own\":true,\"reservation\":false,"
	" \"unbound\":false,\"expiresSeconds\":86390,\"revision\":\"12\",\"kernel\":\"ok\",\"reason\":\"\","
	" \"reach\":null,\"rttSeconds\":null,\"lossPercent\":null},"
	"{\"subnet\":\"10.5.10.0/24\",\"subnetV6\":\"fd10:5:0:a::/64\",\"node\":\"db\\u001b[31m\","
	" \"nodeID\":null,\"publicIP\":\"192.0.2.9\",\"publicIPv6\":\"2001:db8::9\","
	" \"backend\":\"vxlan\",\"mac\":\"02:00:00:00:00:02\",\"macV6\":\"02:00:00:00:00:03\","
	" \"own\":false,\"reservation\":false,\"unbound\":false,\"expiresSeconds\":59,\"revision\":\"9\","
	" \"kernel\":\"failed\",\"reason\":\"route: no\\tsuch device\","
	" \"reach\":\"tunnel-silent\",\"rttSeconds\":0.000412,\"lossPercent\":25},"
	"{\"subnet\":\"10.5.200.0/24\",\"subnetV6\":null,\"node\":null,\"nodeID\":null,"
	" \"publicIP\":\"192.0.2.200\",\"publicIPv6\":null,\"backend\":null,\"mac\":{\"odd\":1},"
	" \"macV6\":null,\"own\":false,\"reservation\":true,\"unbound\":false,"
	" \"expiresSeconds\":null,"
	" \"revision\":\"100\",\"kernel\":\"ignored\",\"reason\":\"no backend\"}],"
	"\"junk\":[{\"key\":\"/subnets/odd\\u001b\",\"reason\":\"not a subnet key\"}]}";
/* clang-format on */

static json_t *parse(const char *text)
{
	json_t *document = NULL;

	if (json_parse_object(text, strlen(text), &document, NULL) < 0)
		fail_msg("the test's own JSON is wrong");
	return document;
}

struct fixture {
	struct ctl c;
	struct lease_view view;
	char *out;
	char *err;
	size_t out_size;
	size_t err_size;
};

/* Returns what lease_view_init returned. */
static int begin(struct fixture *f, enum ctl_format format, const struct ctl_options *options)
{
	*f = (struct fixture){ 0 };
	f->c.out = open_memstream(&f->out, &f->out_size);
	f->c.err = open_memstream(&f->err, &f->err_size);
	f->c.command = command_find("subnets");
	f->c.utf8 = true;
	f->c.format = format;
	if (options)
		f->c.options = *options;
	return lease_view_init(&f->view, &f->c);
}

static void end(struct fixture *f)
{
	lease_view_fini(&f->view);
	fclose(f->c.out);
	fclose(f->c.err);
	free(f->out);
	free(f->err);
}

/* Prints `list` and compares; `expected` NULL: only the error is of interest. */
static void prints(enum ctl_format format, const struct ctl_options *options, const char *expected)
{
	auto_json json_t *document = parse(list);
	struct fixture f;

	assert_int_equal(begin(&f, format, options), CTL_OK);
	lease_view_print(&f.view, document);
	fflush(f.c.out);
	assert_string_equal(f.out, expected);
	end(&f);
}

static void test_table(void **state UNUSED)
{
	prints(FORMAT_TABLE, NULL,
	       "SUBNET                        NODE        PUBLIC IP              BACKEND  "
	       "MAC                                  TIME LEFT  ROLE           KERNEL\n"
	       "10.5.9.0/24                   web-1       192.0.2.10             vxlan    "
	       "02:00:00:00:00:01                       23h59m  own            ok\n"
	       "10.5.10.0/24,fd10:5:0:a::/64  db\\033[31m  192.0.2.9,2001:db8::9  vxlan    "
	       "02:00:00:00:00:02,02:00:00:00:00:03        59s  peer           failed\n"
	       "10.5.200.0/24                 -           192.0.2.200            -        "
	       "-                                        never  peer,reserved  ignored\n"
	       "\n"
	       "ignored keys\n"
	       "  /subnets/odd\\033  not a subnet key\n");
}

static void test_table_of_chosen_columns(void **state UNUSED)
{
	struct ctl_options o = { .columns = "kernel,REASON", .no_headers = true };

	prints(FORMAT_TABLE, &o,
	       "ok       -\nfailed   route: no\\tsuch device\nignored  no backend\n");
}

static void test_empty_table_has_headings(void **state UNUSED)
{
	struct ctl_options o = { .columns = "node,mac",
				 .filters = { "node=nobody" },
				 .filters_len = 1 };
	auto_json json_t *document = parse(list);
	struct fixture f;

	assert_int_equal(begin(&f, FORMAT_TABLE, &o), CTL_OK);
	lease_view_print(&f.view, document);
	fflush(f.c.out);
	assert_contains(f.out, "NODE  MAC\n");
	end(&f);
}

static void test_wide_has_the_reason(void **state UNUSED)
{
	auto_json json_t *document = parse(list);
	struct fixture f;

	assert_int_equal(begin(&f, FORMAT_WIDE, NULL), CTL_OK);
	lease_view_print(&f.view, document);
	fflush(f.c.out);
	assert_contains(f.out, "REASON");
	assert_contains(f.out, "route: no\\tsuch device");
	assert_contains(f.out, "n1 ");
	end(&f);
}

static void test_raw_is_for_programs(void **state UNUSED)
{
	prints(FORMAT_RAW, NULL,
	       "10.5.9.0/"
	       "24\tweb-1\t192.0.2.10\tvxlan\t02:00:00:00:00:01\t86390\town\tok\t-\tn1\t12\t-\t-\n"
	       "10.5.10.0/24,fd10:5:0:a::/64\tdb\\033[31m\t192.0.2.9,2001:db8::9\tvxlan\t"
	       "02:00:00:00:00:02,02:00:00:00:00:03\t59\tpeer\tfailed\troute: no\\tsuch "
	       "device\t-\t9\ttunnel-silent\t412\n"
	       "10.5.200.0/24\t-\t192.0.2.200\t-\t-\tnever\tpeer,reserved\tignored\tno "
	       "backend\t-\t100\t-\t-\n");
}

static void test_names(void **state UNUSED)
{
	prints(FORMAT_NAME, NULL, "10.5.9.0/24\n10.5.10.0/24,fd10:5:0:a::/64\n10.5.200.0/24\n");
}

static void test_json_is_the_document(void **state UNUSED)
{
	auto_json json_t *document = parse(list);
	auto_json json_t *expected = parse(list);
	auto_json json_t *printed = NULL;
	struct fixture f;

	assert_int_equal(begin(&f, FORMAT_JSON, NULL), CTL_OK);
	lease_view_print(&f.view, document);
	fflush(f.c.out);
	printed = parse(f.out);
	assert_true(json_equal(printed, expected));
	assert_null(strchr(f.out, '\033'));
	end(&f);
}

static void test_jsonl_is_one_lease_a_line(void **state UNUSED)
{
	struct ctl_options o = { .filters = { "kernel=failed" }, .filters_len = 1 };
	auto_json json_t *document = parse(list);
	auto_json json_t *printed = NULL;
	struct fixture f;

	assert_int_equal(begin(&f, FORMAT_JSONL, &o), CTL_OK);
	lease_view_print(&f.view, document);
	fflush(f.c.out);
	assert_ptr_equal(strchr(f.out, '\n'), f.out + strlen(f.out) - 1);
	printed = parse(f.out);
	assert_string_equal(ctl_text(printed, "subnet"), "10.5.10.0/24");
	end(&f);
}

static void test_json_on_a_terminal_is_ascii(void **state UNUSED)
{
	auto_json json_t *document =
		parse("{\"items\":[{\"subnet\":\"10.5.9.0/24\",\"node\":\"\\u202e\"}]}");
	struct fixture f;

	assert_int_equal(begin(&f, FORMAT_JSON, NULL), CTL_OK);
	f.c.tty = true;
	lease_view_print(&f.view, document);
	fflush(f.c.out);
	assert_contains(f.out, "\\u202E");
	end(&f);
}

static void test_filters(void **state UNUSED)
{
	static const struct {
		const char *filter;
		const char *left; /* last digits of the subnets */
	} rows[] = {
		{ "kernel=ok", "9" },
		{ "kernel!=ok", "10 200" },
		{ "node~^web", "9" },
		{ "node!~^web", "10 200" },
		{ "node~b", "9 10" },
		{ "node=", "200" },
		{ "node=-", "200" },
		{ "node!=-", "9 10" },
		{ "PUBLIC_IP=192.0.2.10", "9" },
		{ "public ip~^192", "9 10 200" },
		{ "subnet~fd10", "10" },
		{ "role=own", "9" },
		{ "role~reserved$", "200" },
		{ "time-left=never", "200" },
		{ "time-left=59s", "10" },
		{ "reason~no (such|backend)", "200" },
		{ "mac=-", "200" },
		{ "revision=9", "10" },
		{ "node=a=b", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ctl_options o = { .filters = { rows[i].filter }, .filters_len = 1 };
		auto_json json_t *document = parse(list);
		char left[32] = "";
		struct fixture f;
		json_t *item;
		size_t n;

		assert_row(begin(&f, FORMAT_NAME, &o) == CTL_OK, rows[i].filter);
		lease_view_print(&f.view, document);
		json_array_foreach (json_object_get(document, "items"), n, item) {
			size_t used = strlen(left);

			snprintf(left + used, sizeof(left) - used, "%s%d", used ? " " : "",
				 (int)strtol(ctl_text(item, "subnet") + 5, NULL, 10));
		}
		if (strcmp(left, rows[i].left) != 0)
			fail_msg("%s leaves \"%s\", not \"%s\"", rows[i].filter, left,
				 rows[i].left);
		end(&f);
	}
}

static void test_all_filters_must_fit(void **state UNUSED)
{
	struct ctl_options o = { .filters = { "role~peer", "kernel!=ignored" }, .filters_len = 2 };

	prints(FORMAT_NAME, &o, "10.5.10.0/24,fd10:5:0:a::/64\n");
}

static void test_order(void **state UNUSED)
{
	static const struct {
		const char *sort;
		const char *first;
		const char *last;
	} rows[] = {
		{ "subnet", "10.5.9.0/24", "10.5.200.0/24" }, /* not "10" before "9" */
		{ "-subnet", "10.5.200.0/24", "10.5.9.0/24" },
		{ "public-ip", "10.5.10.0/24", "10.5.200.0/24" },
		{ "time-left", "10.5.10.0/24", "10.5.200.0/24" },
		{ "-time-left", "10.5.200.0/24", "10.5.10.0/24" },
		{ "revision", "10.5.10.0/24", "10.5.200.0/24" },
		{ "node", "10.5.10.0/24", "10.5.200.0/24" }, /* what has none comes last, */
		{ "-node", "10.5.9.0/24", "10.5.200.0/24" }, /* backwards too */
		{ "kernel", "10.5.10.0/24", "10.5.9.0/24" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ctl_options o = { .sort = rows[i].sort };
		auto_json json_t *document = parse(list);
		struct fixture f;
		json_t *items;

		assert_row(begin(&f, FORMAT_NAME, &o) == CTL_OK, rows[i].sort);
		lease_view_print(&f.view, document);
		items = json_object_get(document, "items");
		assert_row(strcmp(ctl_text(json_array_get(items, 0), "subnet"), rows[i].first) == 0,
			   rows[i].sort);
		assert_row(strcmp(ctl_text(json_array_get(items, 2), "subnet"), rows[i].last) == 0,
			   rows[i].sort);
		end(&f);
	}
}

static void test_bad_expressions_are_usage(void **state UNUSED)
{
	static const struct {
		struct ctl_options o;
		const char *says;
	} rows[] = {
		{ { .columns = "subnet,colour" },
		  "there is no column \"colour\"; there are subnet, node" },
		{ { .columns = "" }, "there is no column \"\"" },
		{ { .columns = "mac,mac" }, "named twice" },
		{ { .sort = "colour" }, "there is no column" },
		{ { .sort = "-" }, "there is no column" },
		{ { .filters = { "kernel" }, .filters_len = 1 }, "must be COLUMN=TEXT" },
		{ { .filters = { "=ok" }, .filters_len = 1 }, "must be COLUMN=TEXT" },
		{ { .filters = { "kernel!ok" }, .filters_len = 1 }, "must be COLUMN=TEXT" },
		{ { .filters = { "" }, .filters_len = 1 }, "must be COLUMN=TEXT" },
		{ { .filters = { "x=ok" }, .filters_len = 1 }, "there is no column \"x\"" },
		{ { .filters = { "node~(" }, .filters_len = 1 }, "is no regular expression" },
		{ { .filters = { "node=a", "node~[" }, .filters_len = 2 },
		  "is no regular expression" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture f;

		assert_row(begin(&f, FORMAT_TABLE, &rows[i].o) == CTL_USAGE, rows[i].says);
		fflush(f.c.err);
		assert_contains(f.err, rows[i].says);
		end(&f);
	}
}

static void test_time_left_is_asked_for_only_if_shown(void **state UNUSED)
{
	static const struct {
		enum ctl_format format;
		struct ctl_options o;
		bool wanted;
	} rows[] = {
		{ FORMAT_TABLE, { 0 }, true },
		{ FORMAT_JSON, { .columns = "node" }, true },
		{ FORMAT_NAME, { 0 }, false },
		{ FORMAT_NAME, { .sort = "time-left" }, true },
		{ FORMAT_TABLE, { .columns = "node" }, false },
		{ FORMAT_TABLE, { .columns = "node", .time_left = true }, true },
		{ FORMAT_TABLE,
		  { .columns = "node", .filters = { "time-left=never" }, .filters_len = 1 },
		  true },
		{ FORMAT_TABLE, { .watch = true }, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture f;

		assert_int_equal(begin(&f, rows[i].format, &rows[i].o), CTL_OK);
		assert_int_equal(lease_view_wants_time_left(&f.view), rows[i].wanted);
		end(&f);
	}
}

/* ---- changes ---- */

static json_t *with(const char *kernel, int64_t expires, bool second)
{
	json_t *items = json_array();

	json_array_append_new(items,
			      json_pack("{s:s,s:s,s:I,s:b,s:f}", "subnet", "10.5.1.0/24", "kernel",
					kernel, "expiresSeconds", (json_int_t)expires,
					"reservation", 0, "rttSeconds", (double)expires / 1e6));
	if (second)
		json_array_append_new(
			items, json_pack("{s:s,s:s}", "subnet", "10.5.2.0/24", "kernel", "ok"));
	return json_pack("{s:s,s:o}", "source", "daemon", "items", items);
}

static const char *update(struct fixture *f, json_t *document)
{
	long before;

	fflush(f->c.out);
	before = (long)f->out_size;
	lease_view_update(&f->view, document);
	json_decref(document);
	fflush(f->c.out);
	return f->out + before;
}

static void test_changes_are_lines(void **state UNUSED)
{
	struct ctl_options o = { .columns = "subnet,kernel", .watch = true };
	struct fixture f;

	assert_int_equal(begin(&f, FORMAT_TABLE, &o), CTL_OK);
	assert_string_equal(update(&f, with("pending", 100, false)),
			    "ADDED     10.5.1.0/24         pending\n");
	assert_string_equal(update(&f, with("pending", 99, false)), ""); /* time passes */
	assert_string_equal(update(&f, with("ok", 98, true)), "MODIFIED  10.5.1.0/24         ok\n"
							      "ADDED     10.5.2.0/24         ok\n");
	assert_string_equal(update(&f, with("ok", 97, false)),
			    "DELETED   10.5.2.0/24         ok\n");
	end(&f);
}

static void test_changes_for_programs(void **state UNUSED)
{
	struct ctl_options o = { .watch = true };
	auto_json json_t *change = NULL;
	struct fixture f;

	assert_int_equal(begin(&f, FORMAT_JSON, &o), CTL_OK);
	change = parse(update(&f, with("ok", 100, false)));
	assert_string_equal(ctl_text(change, "type"), "ADDED");
	assert_string_equal(ctl_text(json_object_get(change, "object"), "subnet"), "10.5.1.0/24");
	end(&f);

	assert_int_equal(begin(&f, FORMAT_NAME, &o), CTL_OK);
	assert_string_equal(update(&f, with("ok", 1, false)), "ADDED     10.5.1.0/24\n");
	end(&f);

	assert_int_equal(begin(&f, FORMAT_RAW, &o), CTL_OK);
	assert_string_equal(update(&f, with("ok", 1, false)),
			    "ADDED\t10.5.1.0/24\t-\t-\t-\t-\t1\t-\tok\t-\t-\t-\t-\t1\n");
	end(&f);
}

static void test_a_lease_that_no_longer_fits_the_filter_is_deleted(void **state UNUSED)
{
	struct ctl_options o = {
		.columns = "subnet", .filters = { "kernel!=ok" }, .filters_len = 1, .watch = true
	};
	struct fixture f;

	assert_int_equal(begin(&f, FORMAT_TABLE, &o), CTL_OK);
	assert_string_equal(update(&f, with("failed", 1, true)), "ADDED     10.5.1.0/24\n");
	assert_string_equal(update(&f, with("ok", 1, true)), "DELETED   10.5.1.0/24\n");
	end(&f);
}

static void test_a_terminal_is_drawn_again(void **state UNUSED)
{
	struct ctl_options o = { .columns = "subnet", .watch = true };
	struct fixture f;
	const char *text;

	assert_int_equal(begin(&f, FORMAT_TABLE, &o), CTL_OK);
	f.c.tty = true;
	text = update(&f, with("ok", 1, true));
	assert_ptr_equal(strstr(text, "\033[H\033[J"), text);
	assert_contains(text, "2 leases from the daemon");
	assert_contains(text, "SUBNET\n10.5.1.0/24\n10.5.2.0/24\n");
	end(&f);
}

/* ---- from the store ---- */

static void test_item_has_the_daemons_shape(void **state UNUSED)
{
	auto_json json_t *document = parse(list);
	json_t *model = json_array_get(json_object_get(document, "items"), 0);
	auto_lease struct lease *l = lease_new();
	auto_json json_t *item = NULL;
	static const char value[] =
		"{\"PublicIP\":\"192.0.2.7\",\"PublicIPv6\":null,\"BackendType\":\"vxlan\","
		"\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"02:00:00:00:00:07\"},"
		"\"Node\":{\"ID\":\"n7\",\"Name\":\"seven\"}}";
	struct iterator {
		void *a;
		void *b;
	} it;

	assert_int_equal(lease_value_parse(value, strlen(value), l, NULL), 0);
	assert_int_equal(subnet_key_parse("10.5.7.0-24", &l->subnet, NULL), 0);
	l->mod_revision = UINT64_MAX;
	l->id = 1;
	l->flags = LEASE_EXPIRES;
	item = lease_source_item(l, "n7");
	it.a = json_object_iter(model);
	it.b = json_object_iter(item);
	for (; it.a && it.b;
	     it.a = json_object_iter_next(model, it.a), it.b = json_object_iter_next(item, it.b))
		assert_string_equal(json_object_iter_key(it.a), json_object_iter_key(it.b));
	assert_null(it.a);
	assert_null(it.b);
	assert_string_equal(ctl_text(item, "revision"), "18446744073709551615");
	assert_string_equal(ctl_text(item, "mac"), "02:00:00:00:00:07");
	assert_true(json_is_null(json_object_get(item, "kernel")));
	assert_true(json_is_true(json_object_get(item, "own")));
	assert_true(json_is_false(json_object_get(item, "reservation")));
}

static void test_item_of_an_odd_lease(void **state UNUSED)
{
	auto_lease struct lease *l = lease_new();
	auto_json json_t *item = NULL;

	assert_int_equal(subnet_key_parse("10.5.7.0-24", &l->subnet, NULL), 0);
	l->backend_data = xstrdup("{\"VtepMAC\":[1]}");
	l->problem = xstrdup("it is odd");
	l->flags = LEASE_RESERVED;
	item = lease_source_item(l, "");
	assert_true(json_is_null(json_object_get(item, "own")));
	assert_true(json_is_null(json_object_get(item, "mac")));
	assert_true(json_is_true(json_object_get(item, "reservation")));
	assert_true(json_is_false(json_object_get(item, "unbound")));
	assert_string_equal(ctl_text(item, "reason"), "it is odd");
}

static void test_item_of_an_unbound_lease(void **state UNUSED)
{
	auto_lease struct lease *l = lease_new();
	auto_json json_t *item = NULL;

	assert_int_equal(subnet_key_parse("10.5.7.0-24", &l->subnet, NULL), 0);
	l->node_id = xstrdup("n7");
	l->flags = LEASE_RESERVED;
	item = lease_source_item(l, "n7");
	assert_true(json_is_false(json_object_get(item, "reservation")));
	assert_true(json_is_true(json_object_get(item, "unbound")));
	for (size_t i = 0; i < LEASE_COLUMNS_LEN; i++) {
		auto_free char *text = lease_columns[i].text(item, true);

		if (strcmp(lease_columns[i].name, "ROLE") == 0)
			assert_string_equal(text, "own,unbound");
		else if (strcmp(lease_columns[i].name, "TIME LEFT") == 0)
			assert_string_equal(text, "never");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_of_chosen_columns),
		cmocka_unit_test(test_empty_table_has_headings),
		cmocka_unit_test(test_wide_has_the_reason),
		cmocka_unit_test(test_raw_is_for_programs),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_json_is_the_document),
		cmocka_unit_test(test_jsonl_is_one_lease_a_line),
		cmocka_unit_test(test_json_on_a_terminal_is_ascii),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_all_filters_must_fit),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_bad_expressions_are_usage),
		cmocka_unit_test(test_time_left_is_asked_for_only_if_shown),
		cmocka_unit_test(test_changes_are_lines),
		cmocka_unit_test(test_changes_for_programs),
		cmocka_unit_test(test_a_lease_that_no_longer_fits_the_filter_is_deleted),
		cmocka_unit_test(test_a_terminal_is_drawn_again),
		cmocka_unit_test(test_item_has_the_daemons_shape),
		cmocka_unit_test(test_item_of_an_odd_lease),
		cmocka_unit_test(test_item_of_an_unbound_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
