/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnet/lease: keys and values in the store, byte for byte, and what is tolerated in those of
 * others.
 */
#include "tests/unit/test.h"

#include <errno.h>

#include "subnet/lease.h"

static struct subnet subnet(const char *v4, const char *v6)
{
	struct subnet s = { 0 };

	if (v4)
		s.v4 = test_net(v4);
	if (v6)
		s.v6 = test_net(v6);
	return s;
}

static void test_keys_go_round(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		const char *v4;
		const char *v6;
		const char *shown;
	} rows[] = {
		{ "10.5.52.0-24", "10.5.52.0/24", NULL, "10.5.52.0/24" },
		{ "10.6.77.0-24&fd10:244:0:5c::-64", "10.6.77.0/24", "fd10:244:0:5c::/64",
		  "10.6.77.0/24,fd10:244:0:5c::/64" },
		{ "0.0.0.0-0&fd10:244:0:51::-64", NULL, "fd10:244:0:51::/64",
		  "fd10:244:0:51::/64" },
		{ "10.0.0.0-8", "10.0.0.0/8", NULL, "10.0.0.0/8" },
		{ "10.3.4.8-30", "10.3.4.8/30", NULL, "10.3.4.8/30" },
		{ "255.255.255.252-30&ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc-126",
		  "255.255.255.252/30", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126",
		  "255.255.255.252/30,ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct subnet expected = subnet(rows[i].v4, rows[i].v6);
		char text[SUBNET_KEY_TEXT];
		struct subnet s;
		struct err e;

		assert_row(subnet_key_parse(rows[i].key, &s, &e) == 0, rows[i].key);
		assert_row(subnet_equal(&s, &expected), rows[i].key);
		assert_string_equal(subnet_key_format(&s, text), rows[i].key);
		assert_string_equal(subnet_format(&s, text), rows[i].shown);
	}
}

static void test_whose_lease_it_is(void **state)
{
	(void)state;
	struct lease l = { .subnet = subnet("10.5.3.0/24", NULL) };
	char text[LEASE_DESCRIBE_TEXT];
	char name[200];

	assert_string_equal(lease_describe(&l, text), "10.5.3.0/24");
	snprintf(name, sizeof(name), "node-c");
	l.node_name = name;
	assert_string_equal(lease_describe(&l, text), "node-c (10.5.3.0/24)");
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(strlen(lease_describe(&l, text)), 64 + strlen(" (10.5.3.0/24)"));
}

static void test_keys_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"",
		"10",
		"10.12.13.0",
		"10.12.13-24",
		"10.12.13.300-24",
		"10.12.13.0-24hi",
		"&2001::-56",
		"10.12.13.0-24&:12:13:-56",
		"10.12.13.0-24&20011::-56",
		"10.12.13.0-24&2001-56",
		"10.12.13.0-24&2001::",
		"10.12.13.0-24&2001::-56hi",
		"10.12.13.0-24&",
		"10.12.13.0-24&2001::-56&2002::-56",
		"10.12.13.0-",
		"-24",
		"10.12.13.0-33",
		"10.12.13.0-024",
		"10.12.13.0--24",
		"10.12.13.0/24",
		"10.12.13.0/16-24",
		"10.12.13.0-24-24",
		" 10.12.13.0-24",
		"10.12.13.0-24\n",
		"10.12.13.0-24&2001::-129",
		"2001::-56",
		"10.12.13.0-24&10.12.13.0-24",
		"config",
		"10.12.13.000000000000000000000000000000000000000000000000000000000000000000000-24",
		/* Nothing at all, and prefixes of length 0 that are not "none". */
		"0.0.0.0-0",
		"0.0.0.0-0&::-0",
		"10.12.13.0-0&2001::-56",
		"10.12.13.0-24&::-0",
		"10.12.13.0-24&2001::-0",
		"10.12.13.0-0",
		/* Host bits. */
		"10.12.13.1-24",
		"10.12.13.0-24&2001::1-56",
		"0.0.0.0-0&2001::1-56",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct subnet untouched = subnet("192.0.2.0/24", NULL);
		struct subnet s = untouched;
		struct err e = { 0 };

		assert_row(subnet_key_parse(rows[i], &s, &e) == -EINVAL, rows[i]);
		assert_row(subnet_equal(&s, &untouched), rows[i]);
		assert_row(e.text[0] != '\0', rows[i]);
	}
}

/* A person who reserves a subnet by hand may spell it otherwise: it is taken all the same. */
static void test_other_spellings_of_a_key(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"10.6.77.0-24&FD10:244:0:5c::-64",
		"10.6.77.0-24&fd10:0244:0:5c::-64",
		"10.6.77.0-24&fd10:244:0:5c:0:0:0:0-64",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[SUBNET_KEY_TEXT];
		struct subnet s;

		assert_row(subnet_key_parse(rows[i], &s, NULL) == 0, rows[i]);
		assert_string_equal(subnet_key_format(&s, text), "10.6.77.0-24&fd10:244:0:5c::-64");
	}
}

static void test_overlap(void **state)
{
	(void)state;
	static const struct {
		const char *a4;
		const char *a6;
		const char *b4;
		const char *b6;
		bool overlap;
	} rows[] = {
		{ "10.5.1.0/24", NULL, "10.5.1.0/24", NULL, true },
		{ "10.5.1.0/24", NULL, "10.5.2.0/24", NULL, false },
		{ "10.5.1.0/24", NULL, "10.5.0.0/16", NULL, true },
		{ "10.5.1.0/24", NULL, "10.5.1.128/26", NULL, true },
		/* One family is enough, whichever. */
		{ "10.5.1.0/24", "fd10:0:0:1::/64", "10.5.1.0/24", "fd10:0:0:2::/64", true },
		{ "10.5.1.0/24", "fd10:0:0:1::/64", "10.5.2.0/24", "fd10:0:0:1::/64", true },
		{ "10.5.1.0/24", "fd10:0:0:1::/64", "10.5.2.0/24", "fd10:0:0:2::/64", false },
		/* What is not there overlaps nothing. */
		{ NULL, "fd10:0:0:1::/64", NULL, "fd10:0:0:2::/64", false },
		{ NULL, "fd10:0:0:1::/64", "10.5.1.0/24", NULL, false },
		{ NULL, "fd10:0:0:1::/64", "10.5.1.0/24", "fd10::/48", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct subnet a = subnet(rows[i].a4, rows[i].a6);
		struct subnet b = subnet(rows[i].b4, rows[i].b6);

		assert_int_equal(subnet_overlaps(&a, &b), rows[i].overlap);
		assert_int_equal(subnet_overlaps(&b, &a), rows[i].overlap);
	}
}

/* The forms that flannel writes, with what they must be read as. */
static const struct value_row {
	const char *text;
	const char *v4; /* public addresses, "-" for none */
	const char *v6;
	const char *type;
	const char *data;
	const char *v6_data;
} values[] = {
	{ "{\"PublicIP\":\"10.99.0.11\",\"PublicIPv6\":null,\"BackendType\":\"vxlan\","
	  "\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"36:4d:74:4e:f5:fc\"}}",
	  "10.99.0.11", "-", "vxlan", "{\"VNI\":1,\"VtepMAC\":\"36:4d:74:4e:f5:fc\"}", NULL },
	{ "{\"PublicIP\":\"10.99.0.12\",\"PublicIPv6\":\"fd99::12\",\"BackendType\":\"vxlan\","
	  "\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"46:95:17:6d:7c:b0\"},"
	  "\"BackendV6Data\":{\"VNI\":1,\"VtepMAC\":\"d6:72:65:47:5f:56\"}}",
	  "10.99.0.12", "fd99::12", "vxlan", "{\"VNI\":1,\"VtepMAC\":\"46:95:17:6d:7c:b0\"}",
	  "{\"VNI\":1,\"VtepMAC\":\"d6:72:65:47:5f:56\"}" },
	{ "{\"PublicIP\":\"0.0.0.0\",\"PublicIPv6\":\"fd99::11\",\"BackendType\":\"vxlan\","
	  "\"BackendV6Data\":{\"VNI\":1,\"VtepMAC\":\"4a:86:14:b2:db:f0\"}}",
	  "-", "fd99::11", "vxlan", NULL, "{\"VNI\":1,\"VtepMAC\":\"4a:86:14:b2:db:f0\"}" },
	{ "{\"PublicIP\":\"10.99.0.12\",\"PublicIPv6\":null,\"BackendType\":\"host-gw\"}",
	  "10.99.0.12", "-", "host-gw", NULL, NULL },
	{ "{\"PublicIP\":\"10.99.0.12\",\"PublicIPv6\":\"fd99::12\",\"BackendType\":\"host-gw\"}",
	  "10.99.0.12", "fd99::12", "host-gw", NULL, NULL },
	{ "{\"PublicIP\":\"10.99.0.11\",\"PublicIPv6\":null,\"BackendType\":\"wireguard\","
	  "\"BackendData\":{\"PublicKey\":\"hb0dCjHZtaHLFmBAcEFzbqT8IEMNMMR7WQlNzfPBnnA=\","
	  "\"Port\":51820}}",
	  "10.99.0.11", "-", "wireguard",
	  "{\"PublicKey\":\"hb0dCjHZtaHLFmBAcEFzbqT8IEMNMMR7WQlNzfPBnnA=\",\"Port\":51820}", NULL },
	{ "{\"PublicIP\":\"10.99.0.11\",\"PublicIPv6\":\"fd99::11\",\"BackendType\":\"wireguard\","
	  "\"BackendData\":{\"PublicKey\":\"k=\",\"Port\":51820},"
	  "\"BackendV6Data\":{\"PublicKey\":\"k=\",\"Port\":51821}}",
	  "10.99.0.11", "fd99::11", "wireguard", "{\"PublicKey\":\"k=\",\"Port\":51820}",
	  "{\"PublicKey\":\"k=\",\"Port\":51821}" },
	{ "{\"PublicIP\":\"10.99.0.11\",\"PublicIPv6\":null,\"BackendType\":\"ipip\"}",
	  "10.99.0.11", "-", "ipip", NULL, NULL },
	{ "{\"PublicIP\":\"10.99.0.11\",\"PublicIPv6\":null,\"BackendType\":\"ipsec\"}",
	  "10.99.0.11", "-", "ipsec", NULL, NULL },
	{ "{\"PublicIP\":\"1.2.3.4\",\"PublicIPv6\":null}", "1.2.3.4", "-", NULL, NULL, NULL },
	{ "{\"PublicIP\":\"10.99.0.11\",\"PublicIPv6\":null,\"BackendType\":\"extension\","
	  "\"BackendData\":\"any <text> \\\"quoted\\\"\"}",
	  "10.99.0.11", "-", "extension", "\"any <text> \\\"quoted\\\"\"", NULL },
};

static void assert_text(const char *actual, const char *expected, const char *row)
{
	if (!expected)
		assert_row(actual == NULL, row);
	else if (!actual || strcmp(actual, expected) != 0)
		fail_msg("row \"%s\": \"%s\", expected \"%s\"", row, actual ? actual : "(none)",
			 expected);
}

static void parse_ok(const char *text, struct lease *ret)
{
	struct err e;

	memset(ret, 0, sizeof(*ret));
	if (lease_value_parse(text, strlen(text), ret, &e) < 0)
		fail_msg("%s: %s", text, e.text);
}

static void test_values_go_round_byte_for_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		const struct value_row *row = &values[i];
		auto_free char *text = NULL;
		char addr[IP_ADDR_TEXT];
		struct lease l;

		parse_ok(row->text, &l);
		assert_string_equal(ip_addr_format(&l.public_v4, addr), row->v4);
		assert_string_equal(ip_addr_format(&l.public_v6, addr), row->v6);
		assert_text(l.backend_type, row->type, row->text);
		assert_text(l.backend_data, row->data, row->text);
		assert_text(l.backend_v6_data, row->v6_data, row->text);
		assert_null(l.node_id);
		text = lease_value_format(&l);
		assert_string_equal(text, row->text);
		lease_fini(&l);
	}
}

static void test_our_node_stands_at_the_end(void **state)
{
	(void)state;
	auto_lease struct lease *l = lease_new();
	auto_free char *text = NULL;
	struct lease back;

	l->public_v4 = test_addr("10.99.0.11");
	l->backend_type = xstrdup("vxlan");
	l->backend_data = xstrdup("{\"VNI\":1,\"VtepMAC\":\"36:4d:74:4e:f5:fc\"}");
	l->node_id = xstrdup("3f2a");
	l->node_name = xstrdup("worker \"one\" \\ M\xc3\xbcnchen");
	text = lease_value_format(l);
	assert_string_equal(
		text, "{\"PublicIP\":\"10.99.0.11\",\"PublicIPv6\":null,\"BackendType\":\"vxlan\","
		      "\"BackendData\":{\"VNI\":1,\"VtepMAC\":\"36:4d:74:4e:f5:fc\"},"
		      "\"Node\":{\"ID\":\"3f2a\","
		      "\"Name\":\"worker \\\"one\\\" \\\\ M\xc3\xbcnchen\"}}");
	parse_ok(text, &back);
	assert_string_equal(back.node_id, "3f2a");
	assert_string_equal(back.node_name, l->node_name);
	assert_true(lease_equal(&back, l));
	lease_fini(&back);
}

static void test_values_of_others_are_read_with_tolerance(void **state)
{
	(void)state;
	static const struct value_row rows[] = {
		{ "{\"publicip\":\"10.99.0.11\",\"BACKENDTYPE\":\"vxlan\",\"backenddata\":{\"vni\":"
		  "1}}",
		  "10.99.0.11", "-", "vxlan", "{\"vni\":1}", NULL },
		{ " { \"PublicIP\" : \"10.99.0.11\" , \"New\" : { \"x\" : [ 1 , 2 ] } } \n",
		  "10.99.0.11", "-", NULL, NULL, NULL },
		{ "{\"PublicIP\":\"10.99.0.11\",\"BackendData\":{\"a\": [1, 2.5, true]}}",
		  "10.99.0.11", "-", NULL, "{\"a\":[1,2.5,true]}", NULL },
		{ "{}", "-", "-", NULL, NULL, NULL },
		{ "{\"PublicIP\":null,\"PublicIPv6\":null,\"BackendType\":null,\"BackendData\":"
		  "null,"
		  "\"BackendV6Data\":null,\"Node\":null}",
		  "-", "-", NULL, NULL, NULL },
		{ "{\"PublicIP\":\"0.0.0.0\",\"PublicIPv6\":\"::\",\"BackendType\":\"\"}", "-", "-",
		  NULL, NULL, NULL },
		/* Somebody else's Node does not spoil the lease. */
		{ "{\"PublicIP\":\"10.99.0.11\",\"Node\":\"worker-1\"}", "10.99.0.11", "-", NULL,
		  NULL, NULL },
		{ "{\"PublicIP\":\"10.99.0.11\",\"Node\":{}}", "10.99.0.11", "-", NULL, NULL,
		  NULL },
		/* What nobody reads may be there; what a backend reads is its business. */
		{ "{\"PublicIP\":\"10.99.0.11\",\"New\":1,\"new\":2,\"BackendData\":{\"x\":1,\"X\":"
		  "2},"
		  "\"Node\":{\"More\":1,\"more\":2}}",
		  "10.99.0.11", "-", NULL, "{\"x\":1,\"X\":2}", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char addr[IP_ADDR_TEXT];
		struct lease l;

		parse_ok(rows[i].text, &l);
		assert_string_equal(ip_addr_format(&l.public_v4, addr), rows[i].v4);
		assert_string_equal(ip_addr_format(&l.public_v6, addr), rows[i].v6);
		assert_text(l.backend_type, rows[i].type, rows[i].text);
		assert_text(l.backend_data, rows[i].data, rows[i].text);
		assert_text(l.backend_v6_data, rows[i].v6_data, rows[i].text);
		assert_null(l.node_id);
		assert_null(l.node_name);
		lease_fini(&l);
	}
}

static void test_values_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{ "", "JSON" },
		{ "[]", "object" },
		{ "hello", "JSON" },
		{ "{\"PublicIP\":\"10.99.0.11\"", "JSON" },
		{ "{\"PublicIP\":\"10.99.0\"}", "PublicIP" },
		{ "{\"PublicIP\":\"fd99::1\"}", "PublicIP" },
		{ "{\"PublicIP\":7}", "PublicIP is 7" },
		{ "{\"PublicIPv6\":\"10.99.0.11\"}", "PublicIPv6" },
		{ "{\"BackendType\":7,\"PublicIP\":\"10.99.0.11\"}", "BackendType is 7" },
		{ "{\"BackendType\":\"vxlan\",\"Node\":{\"ID\":5}}", "ID is 5" },
		{ "{\"Node\":{\"ID\":\"x\",\"Name\":[]}}", "Name is []" },
		/* Twice: word for word wherever it is, in another case where it is read. */
		{ "{\"PublicIP\":\"10.99.0.11\",\"PublicIP\":\"10.99.0.12\"}",
		  "\"PublicIP\" is given twice" },
		{ "{\"New\":{\"x\":1,\"x\":1}}", "\"x\" is given twice" },
		{ "{\"BackendData\":{\"VNI\":1,\"VNI\":2}}", "\"VNI\" is given twice" },
		{ "{\"PublicIP\":\"10.99.0.11\",\"publicip\":null}",
		  "PublicIP is given twice, as \"PublicIP\" and as \"publicip\"" },
		{ "{\"PublicIPv6\":null,\"PublicIPV6\":null}", "PublicIPv6 is given twice" },
		{ "{\"backendtype\":\"a\",\"BackendType\":\"b\"}", "BackendType is given twice" },
		{ "{\"backenddata\":{},\"BackendData\":{}}", "BackendData is given twice" },
		{ "{\"BackendV6data\":{},\"BackendV6Data\":{}}", "BackendV6Data is given twice" },
		{ "{\"Node\":{},\"node\":{}}", "Node is given twice" },
		{ "{\"Node\":{\"ID\":\"x\",\"id\":\"y\"}}", "ID is given twice" },
		{ "{\"Node\":{\"ID\":\"x\",\"Name\":\"a\",\"name\":\"b\"}}",
		  "Name is given twice" },
		{ "{\"Node\":{\"Source\":\"192.0.2.1\",\"source\":\"192.0.2.2\"}}",
		  "Source is given twice" },
		{ "{\"Node\":{\"SourceIPv6\":\"fd99::1\",\"SourceIPV6\":\"fd99::2\"}}",
		  "SourceIPv6 is given twice" },
		{ "{\"Node\":{\"MTU\":65536}}",
		  "MTU is 65536, must be an integer from 0 to 65535" },
		{ "{\"Node\":{\"MTUIPv6\":\"1500\"}}", "MTUIPv6 is \"1500\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct lease untouched = { .id = 5, .public_v4 = test_addr("192.0.2.1") };
		struct lease l = untouched;
		struct err e;

		assert_row(lease_value_parse(rows[i].text, strlen(rows[i].text), &l, &e) == -EINVAL,
			   rows[i].text);
		assert_contains(e.text, rows[i].says);
		assert_memory_equal(&l, &untouched, sizeof(l));
	}
}

static void test_values_are_bounded(void **state)
{
	(void)state;
	size_t room = LEASE_VALUE_MAX_SIZE + 100;
	auto_free char *text = xmalloc(room);
	struct lease l = { 0 };
	struct err e;
	char name[LEASE_TEXT_MAX + 2];

	memset(text, ' ', room);
	memcpy(text, "{}", 2);
	assert_int_equal(lease_value_parse(text, LEASE_VALUE_MAX_SIZE, &l, &e), 0);
	assert_int_equal(lease_value_parse(text, LEASE_VALUE_MAX_SIZE + 1, &l, &e), -EINVAL);
	assert_contains(e.text, "65536 at most");

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	snprintf(text, room, "{\"Node\":{\"ID\":\"%s\"}}", name);
	assert_int_equal(lease_value_parse(text, strlen(text), &l, &e), -EINVAL);
	assert_contains(e.text, "ID");
	assert_contains(e.text, "253 at most");
	name[LEASE_TEXT_MAX] = '\0';
	snprintf(text, room, "{\"Node\":{\"ID\":\"%s\"}}", name);
	assert_int_equal(lease_value_parse(text, strlen(text), &l, &e), 0);
	assert_string_equal(l.node_id, name);
	lease_fini(&l);
}

/*
 * Where the store keeps a lease is not in its value, and reading the value again does not lose it.
 */
static void test_a_value_leaves_the_stores_fields_alone(void **state)
{
	(void)state;
	const char *text = "{\"PublicIP\":\"10.99.0.11\"}";
	struct lease l = {
		.subnet = subnet("10.5.3.0/24", NULL), .born = 7, .mod_revision = 9, .id = 123
	};
	struct subnet expected = l.subnet;

	assert_int_equal(lease_value_parse(text, strlen(text), &l, NULL), 0);
	assert_true(subnet_equal(&l.subnet, &expected));
	assert_true(l.born == 7 && l.mod_revision == 9 && l.id == 123);
	assert_true(ip_addr_is_set(&l.public_v4));
	lease_fini(&l);
}

static struct lease *full_lease(void)
{
	struct lease *l = lease_new();

	l->subnet = subnet("10.5.3.0/24", "fd10:0:0:3::/64");
	l->public_v4 = test_addr("10.99.0.11");
	l->public_v6 = test_addr("fd99::11");
	l->backend_type = xstrdup("vxlan");
	l->backend_data = xstrdup("{\"VNI\":1}");
	l->backend_v6_data = xstrdup("{\"VNI\":2}");
	l->node_id = xstrdup("id");
	l->node_name = xstrdup("name");
	l->problem = xstrdup("problem");
	l->born = 1;
	l->mod_revision = 2;
	l->id = 3;
	return l;
}

static void test_a_copy_is_equal_and_its_own(void **state)
{
	(void)state;
	struct lease *l = full_lease();
	auto_lease struct lease *copy = lease_copy(l);
	auto_lease struct lease *other = full_lease();

	assert_true(lease_equal(l, copy));
	assert_ptr_not_equal(l->backend_type, copy->backend_type);
	assert_true(copy->born == 1 && copy->mod_revision == 2 && copy->id == 3);
	lease_free(l);
	assert_true(lease_equal(copy, other));
	lease_free(NULL);
}

static void change_text(char **text)
{
	free(*text);
	*text = xstrdup("changed");
}

static void remove_text(char **text)
{
	free(STEAL(*text));
}

/* Every published attribute counts when leases are compared, revisions and handle do not. */
static void test_equality(void **state)
{
	(void)state;
	auto_lease struct lease *a = full_lease();
	enum { CHANGES = 15 };

	for (unsigned i = 0; i < CHANGES; i++) {
		auto_lease struct lease *b = full_lease();
		char **texts[] = { &b->backend_type, &b->backend_data, &b->backend_v6_data,
				   &b->node_id,      &b->node_name,    &b->problem };

		if (i < 6)
			change_text(texts[i]);
		else if (i < 12)
			remove_text(texts[i - 6]);
		else if (i == 12)
			b->subnet.v6.addr.b[7] ^= 1;
		else if (i == 13)
			b->public_v4 = test_addr("10.99.0.12");
		else
			b->public_v6 = (struct ip_addr){ 0 };
		if (lease_equal(a, b) || lease_equal(b, a))
			fail_msg("change %u was not noticed", i);
	}
	{
		auto_lease struct lease *b = full_lease();

		b->born = 100;
		b->mod_revision = 101;
		b->id = 102;
		assert_true(lease_equal(a, b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_go_round),
		cmocka_unit_test(test_whose_lease_it_is),
		cmocka_unit_test(test_keys_refused),
		cmocka_unit_test(test_other_spellings_of_a_key),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_values_go_round_byte_for_byte),
		cmocka_unit_test(test_our_node_stands_at_the_end),
		cmocka_unit_test(test_values_of_others_are_read_with_tolerance),
		cmocka_unit_test(test_values_refused),
		cmocka_unit_test(test_values_are_bounded),
		cmocka_unit_test(test_a_value_leaves_the_stores_fields_alone),
		cmocka_unit_test(test_a_copy_is_equal_and_its_own),
		cmocka_unit_test(test_equality),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
