/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel/object: the bytes that go to the kernel are those of tests/golden/netlink.txt, and what a
 * kernel answers to a dump is what the constructors make, so that comparing the two says whether
 * something has to be written.
 */
#include "tests/unit/test.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "kernel/netlink.h"
#include "kernel/kinds.h"
#include "tests/unit/golden.h"

#define GOLDEN   "tests/golden/netlink.txt"
#define PROTOCOL 102

struct message {
	struct nlmsghdr hdr;
	char room[NETLINK_MESSAGE_MAX - sizeof(struct nlmsghdr)];
} __attribute__((aligned(8)));

static struct kernel_object address(uint32_t ifindex, const char *net)
{
	struct ip_net n = test_net(net);

	return kernel_address(ifindex, &n);
}

static struct kernel_object fdb(uint32_t ifindex, const char *mac, const char *remote)
{
	struct mac_addr m = test_mac(mac);
	struct ip_addr a = test_addr(remote);

	return kernel_fdb(ifindex, &m, &a);
}

static struct kernel_object neighbour(uint32_t ifindex, const char *addr, const char *mac)
{
	struct mac_addr m = test_mac(mac);
	struct ip_addr a = test_addr(addr);

	return kernel_neighbour(ifindex, &a, &m);
}

static struct kernel_object route(const char *dst, const char *gateway, uint32_t ifindex,
				  bool onlink)
{
	struct ip_net n = test_net(dst);
	struct ip_addr a = gateway ? test_addr(gateway) : (struct ip_addr){ 0 };

	return kernel_route(&n, gateway ? &a : NULL, ifindex, onlink, PROTOCOL);
}

static struct kernel_object route_of_mtu(uint16_t mtu_bytes)
{
	struct kernel_object o = route("10.5.3.0/24", "10.5.3.0", 7, true);

	o.value.mtu_bytes = mtu_bytes;
	return o;
}

static struct kernel_object blackhole(const char *dst)
{
	struct ip_net n = test_net(dst);

	return kernel_route_blackhole(&n, PROTOCOL);
}

static void encode(enum kernel_verb verb, const struct kernel_object *o, struct nlmsghdr *hdr)
{
	kernel_kind_of(o)->encode(verb, o, hdr);
}

static int skip_on_big_endian(void **state)
{
	(void)state;
	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		skip();
	return 0;
}

static void test_requests_are_the_golden_bytes(void **state)
{
	(void)state;
	const struct {
		const char *name;
		enum kernel_verb verb;
		struct kernel_object object;
	} rows[] = {
		{ "put address v4", KERNEL_REPLACE, address(7, "10.5.17.0/32") },
		{ "create address v6", KERNEL_CREATE, address(8, "fd10:244:0:5c::/128") },
		{ "drop address v4", KERNEL_DROP, address(7, "10.5.17.0/32") },
		{ "put fdb v4", KERNEL_REPLACE, fdb(7, "02:00:0a:05:03:00", "192.0.2.3") },
		{ "put fdb v6", KERNEL_REPLACE, fdb(7, "02:00:0a:05:03:00", "2001:db8::3") },
		{ "drop fdb v4", KERNEL_DROP, fdb(7, "02:00:0a:05:03:00", "192.0.2.3") },
		{ "put neighbour v4", KERNEL_REPLACE,
		  neighbour(7, "10.5.3.0", "02:00:0a:05:03:00") },
		{ "put neighbour v6", KERNEL_REPLACE,
		  neighbour(8, "fd10:244:0:56::", "02:00:0a:05:03:01") },
		{ "drop neighbour v4", KERNEL_DROP, neighbour(7, "10.5.3.0", "02:00:0a:05:03:00") },
		{ "put route v4", KERNEL_REPLACE, route("10.5.3.0/24", "10.5.3.0", 7, true) },
		{ "create route v6", KERNEL_CREATE,
		  route("fd10:244:0:56::/64", "fd10:244:0:56::", 8, true) },
		{ "create route v4 without gateway", KERNEL_CREATE,
		  route("10.7.0.0/24", NULL, 3, false) },
		{ "put blackhole v4", KERNEL_REPLACE, blackhole("10.5.17.0/24") },
		{ "drop route v4", KERNEL_DROP, route("10.5.3.0/24", "10.5.3.0", 7, true) },
		{ "put route v4 with an MTU", KERNEL_REPLACE, route_of_mtu(600) },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct message m = { 0 };

		encode(rows[i].verb, &rows[i].object, &m.hdr);
		golden_check(GOLDEN, rows[i].name, &m, m.hdr.nlmsg_len);
	}
}

static void test_dump_requests_are_the_golden_bytes(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		unsigned kind;
		int family;
		uint32_t ifindex;
		uint8_t protocol;
	} rows[] = {
		{ "dump addresses", KERNEL_ADDRESS, AF_INET, 7, 0 },
		{ "dump fdb", KERNEL_FDB, AF_INET, 7, 0 },
		{ "dump neighbours", KERNEL_NEIGHBOUR, AF_INET6, 0, 0 },
		{ "dump routes", KERNEL_ROUTE, AF_INET, 0, PROTOCOL },
		{ "dump routes of a device", KERNEL_ROUTE, AF_INET6, 7, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct message m = { 0 };

		kernel_kinds[rows[i].kind]->encode_dump(rows[i].family, rows[i].ifindex,
							rows[i].protocol, &m.hdr);
		golden_check(GOLDEN, rows[i].name, &m, m.hdr.nlmsg_len);
	}
}

static bool same(const struct kernel_object *a, const struct kernel_object *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Otherwise every start would write again what is already there. */
static void test_a_dump_shows_what_the_constructors_make(void **state)
{
	(void)state;
	const struct {
		const char *name;
		struct kernel_object expected;
	} rows[] = {
		{ "dumped address v4", address(4, "10.5.17.0/32") },
		{ "dumped address v6", address(5, "fd10:244:0:5c::/128") },
		{ "dumped fdb v4", fdb(4, "02:00:0a:05:03:00", "192.0.2.3") },
		{ "dumped fdb v6", fdb(5, "02:00:0a:05:03:01", "2001:db8::3") },
		{ "dumped neighbour v4", neighbour(4, "10.5.3.0", "02:00:0a:05:03:00") },
		{ "dumped neighbour v6", neighbour(5, "fd10:244:0:56::", "02:00:0a:05:03:01") },
		{ "dumped route v4", route("10.5.3.0/24", "10.5.3.0", 4, true) },
		{ "dumped route v6", route("fd10:244:0:56::/64", "fd10:244:0:56::", 5, true) },
		{ "dumped route v4 without gateway", route("10.7.0.0/24", NULL, 3, false) },
		{ "dumped blackhole v4", blackhole("10.5.17.0/24") },
		{ "dumped blackhole v6", blackhole("fd10:244:0:5c::/64") },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct golden g = golden_read(GOLDEN, rows[i].name);
		char actual_text[KERNEL_OBJECT_TEXT];
		char expected_text[KERNEL_OBJECT_TEXT];
		struct kernel_object o = { 0 };
		bool gone = true;

		assert_row(kernel_object_decode((void *)g.bytes, &o, &gone), rows[i].name);
		assert_row(!gone, rows[i].name);
		if (!same(&o, &rows[i].expected))
			fail_msg("%s: read as \"%s\", expected \"%s\"", rows[i].name,
				 kernel_object_format(&o, actual_text),
				 kernel_object_format(&rows[i].expected, expected_text));
	}
}

static void test_a_foreign_default_route_is_read(void **state)
{
	(void)state;
	struct golden g = golden_read(GOLDEN, "dumped default route");
	struct ip_addr gateway = test_addr("192.0.2.254");
	struct ip_addr read_gateway;
	struct kernel_object o;
	bool gone;

	assert_true(kernel_object_decode((void *)g.bytes, &o, &gone));
	read_gateway = kernel_object_gateway(&o);
	assert_int_equal(o.key.kind, KERNEL_ROUTE);
	assert_int_equal(o.key.len, 0);
	assert_int_equal(o.value.protocol, RTPROT_BOOT);
	assert_int_equal(o.value.ifindex, 3);
	assert_true(ip_addr_equal(&read_gateway, &gateway));
}

static void test_other_things_are_not_objects(void **state)
{
	(void)state;
	static const char *const names[] = { "not local table", "not fdb of a bridge" };
	static const uint16_t types[] = { NLMSG_NOOP,  NLMSG_ERROR,  NLMSG_DONE,
					  RTM_NEWLINK, RTM_DELLINK,  RTM_GETROUTE,
					  RTM_NEWRULE, RTM_NEWQDISC, UINT16_MAX };
	struct kernel_object untouched;
	struct kernel_object o;
	bool gone = false;

	memset(&untouched, 0x55, sizeof(untouched));
	o = untouched;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct golden g = golden_read(GOLDEN, names[i]);

		assert_row(!kernel_object_decode((void *)g.bytes, &o, &gone), names[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct golden g = golden_read(GOLDEN, "dumped route v4");

		((struct nlmsghdr *)(void *)g.bytes)->nlmsg_type = types[i];
		assert_false(kernel_object_decode((void *)g.bytes, &o, &gone));
	}
	assert_true(same(&o, &untouched));
}

/* What others made of an object of ours differs from it. */
static void test_extras_are_noticed(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint8_t extra;
		uint32_t ifindex;
	} rows[] = {
		{ "multipath route", KERNEL_EXTRA_PATHS, 0 },
		{ "route with an MTU and a window", KERNEL_EXTRA_ATTRIBUTES, 7 },
		{ "fdb with a port", KERNEL_EXTRA_ATTRIBUTES, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct golden g = golden_read(GOLDEN, rows[i].name);
		struct kernel_object o;
		bool gone;

		assert_row(kernel_object_decode((void *)g.bytes, &o, &gone) && !gone, rows[i].name);
		assert_int_equal(o.value.extra, rows[i].extra);
		assert_int_equal(o.value.ifindex, rows[i].ifindex);
	}
}

/* An MTU may be ours, and is compared as what it is. */
static void test_the_mtu_of_a_route(void **state)
{
	(void)state;
	struct golden g = golden_read(GOLDEN, "route with an MTU");
	const struct kernel_object wanted = route_of_mtu(600);
	const struct kernel_object plain = route_of_mtu(0);
	char text[KERNEL_OBJECT_TEXT];
	struct kernel_object o;
	bool gone;

	assert_true(kernel_object_decode((void *)g.bytes, &o, &gone) && !gone);
	assert_true(kernel_value_equal(&o, &wanted));
	assert_false(kernel_value_equal(&o, &plain));
	assert_string_equal(kernel_object_format(&o, text),
			    "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102 mtu 600");
}

static const char *const dumped[] = {
	"dumped address v4",   "dumped address v6",   "dumped fdb v4",   "dumped fdb v6",
	"dumped neighbour v4", "dumped neighbour v6", "dumped route v4", "dumped route v6",
};

static void test_deletions_are_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dumped); i++) {
		struct golden g = golden_read(GOLDEN, dumped[i]);
		struct nlmsghdr *hdr = (void *)g.bytes;
		struct kernel_object added;
		struct kernel_object removed;
		bool gone = true;

		assert_true(kernel_object_decode(hdr, &added, &gone));
		assert_false(gone);
		hdr->nlmsg_type++; /* RTM_NEWx + 1 is RTM_DELx */
		assert_true(kernel_object_decode(hdr, &removed, &gone));
		assert_true(gone);
		assert_true(same(&added, &removed));
	}
}

/* Cut at any byte, a message is either refused or read from what is there; never beyond its end. */
static void test_messages_cut_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dumped); i++) {
		struct golden g = golden_read(GOLDEN, dumped[i]);

		for (size_t size = sizeof(struct nlmsghdr); size < g.size; size += 4) {
			struct nlmsghdr *hdr = xmalloc(size);
			struct kernel_object o;
			bool gone;

			memcpy(hdr, g.bytes, size);
			hdr->nlmsg_len = (uint32_t)size;
			if (size < sizeof(*hdr) + 8)
				assert_false(kernel_object_decode(hdr, &o, &gone));
			else if (kernel_object_decode(hdr, &o, &gone))
				assert_true(o.key.kind < KERNEL_KINDS);
			free(hdr);
		}
	}
}

/* An attribute of the wrong size is no attribute. */
static void test_attributes_of_the_wrong_size(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		size_t offset; /* of the attribute's type */
		uint16_t type;
	} rows[] = {
		/* Where IPv4 expects 4 bytes: take the attribute away by making it another type. */
		{ "dumped fdb v4", 30, NDA_DST },          /* NDA_LLADDR of 6 bytes */
		{ "dumped neighbour v4", 30, NDA_LLADDR }, /* NDA_DST */
		{ "dumped route v4", 38, RTA_PREFSRC },    /* RTA_DST */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct golden g = golden_read(GOLDEN, rows[i].name);
		struct kernel_object o;
		bool gone;

		assert_true(kernel_object_decode((void *)g.bytes, &o, &gone));
		memcpy(g.bytes + rows[i].offset, &rows[i].type, sizeof(rows[i].type));
		assert_row(!kernel_object_decode((void *)g.bytes, &o, &gone), rows[i].name);
	}
}

static void test_impossible_prefix_lengths_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint8_t len;
		bool ok;
	} rows[] = {
		{ "dumped route v4", 32, true },    { "dumped route v4", 33, false },
		{ "dumped route v6", 128, true },   { "dumped route v6", 129, false },
		{ "dumped address v4", 32, true },  { "dumped address v4", 33, false },
		{ "dumped address v6", 128, true }, { "dumped address v6", 255, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct golden g = golden_read(GOLDEN, rows[i].name);
		struct kernel_object o;
		bool gone;

		g.bytes[17] = rows[i].len;
		assert_row(kernel_object_decode((void *)g.bytes, &o, &gone) == rows[i].ok,
			   rows[i].name);
	}
}

static void test_reading_back_what_was_encoded(void **state)
{
	(void)state;
	uint64_t seed = 11;

	for (unsigned round = 0; round < 5000; round++) {
		bool v6 = test_random(&seed) & 1;
		uint32_t ifindex = 1 + (uint32_t)(test_random(&seed) % 100000);
		struct mac_addr mac;
		struct ip_addr addr = { 0 };
		struct ip_addr other = { 0 };
		struct ip_net net;
		struct kernel_object o;
		struct kernel_object back;
		struct message put = { 0 };
		struct message drop = { 0 };
		bool gone;

		addr.family = other.family = v6 ? AF_INET6 : AF_INET;
		for (unsigned i = 0; i < ip_addr_size(&addr); i++) {
			addr.b[i] = (uint8_t)test_random(&seed);
			other.b[i] = (uint8_t)test_random(&seed);
		}
		for (unsigned i = 0; i < 6; i++)
			mac.b[i] = (uint8_t)test_random(&seed);
		net = (struct ip_net){ addr, (uint8_t)(1 + test_random(&seed) % (v6 ? 128 : 32)) };
		net = ip_net_masked(&net);
		switch (test_random(&seed) % 6) {
		case 0:
			o = kernel_address(ifindex, &net);
			break;
		case 1:
			o = kernel_fdb(ifindex, &mac, &other);
			break;
		case 2:
			o = kernel_neighbour(ifindex, &addr, &mac);
			break;
		case 3:
			o = kernel_route(&net, &other, ifindex, test_random(&seed) & 1, PROTOCOL);
			break;
		case 4:
			o = kernel_route(&net, NULL, ifindex, false, PROTOCOL);
			break;
		default:
			o = kernel_route_blackhole(&net, PROTOCOL);
			break;
		}
		encode(test_random(&seed) & 1 ? KERNEL_REPLACE : KERNEL_CREATE, &o, &put.hdr);
		assert_true(put.hdr.nlmsg_len <= NETLINK_MESSAGE_MAX);
		assert_true(kernel_object_decode(&put.hdr, &back, &gone));
		assert_false(gone);
		assert_true(same(&o, &back));
		encode(KERNEL_DROP, &o, &drop.hdr);
		assert_true(kernel_object_decode(&drop.hdr, &back, &gone));
		assert_true(gone);
		assert_true(same(&o, &back));
	}
}

static void test_parts(void **state)
{
	(void)state;
	struct kernel_object r = route("10.5.3.0/24", "10.5.3.1", 7, true);
	struct kernel_object f = fdb(7, "02:00:0a:05:03:00", "192.0.2.3");
	struct kernel_object n = neighbour(7, "10.5.3.0", "02:00:0a:05:03:00");
	struct kernel_object b = blackhole("10.5.17.0/24");
	struct ip_addr a;
	char text[IP_ADDR_TEXT];

	a = kernel_object_dst(&r);
	assert_string_equal(ip_addr_format(&a, text), "10.5.3.0");
	a = kernel_object_gateway(&r);
	assert_string_equal(ip_addr_format(&a, text), "10.5.3.1");
	a = kernel_object_gateway(&f);
	assert_string_equal(ip_addr_format(&a, text), "192.0.2.3");
	a = kernel_object_dst(&f);
	assert_false(ip_addr_is_set(&a));
	a = kernel_object_gateway(&b);
	assert_false(ip_addr_is_set(&a));
	a = kernel_object_dst(&n);
	assert_string_equal(ip_addr_format(&a, text), "10.5.3.0");
}

static void test_text(void **state)
{
	(void)state;
	const struct {
		struct kernel_object object;
		const char *text;
	} rows[] = {
		{ address(7, "10.5.17.0/32"), "address 10.5.17.0/32 dev 7" },
		{ fdb(7, "02:00:0a:05:03:00", "192.0.2.3"),
		  "fdb 02:00:0a:05:03:00 dst 192.0.2.3 dev 7" },
		{ neighbour(7, "10.5.3.0", "02:00:0a:05:03:00"),
		  "neighbour 10.5.3.0 lladdr 02:00:0a:05:03:00 dev 7" },
		{ route("10.5.3.0/24", "10.5.3.0", 7, true),
		  "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102" },
		{ route("10.7.0.0/24", NULL, 3, false), "route 10.7.0.0/24 dev 3 proto 102" },
		{ blackhole("10.5.17.0/24"), "route blackhole 10.5.17.0/24 proto 102" },
		{ route("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", UINT32_MAX, true),
		  "route ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127 via "
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff dev 4294967295 onlink proto 102" },
	};
	char text[KERNEL_OBJECT_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(kernel_object_format(&rows[i].object, text), rows[i].text);
	assert_string_equal(kernel_kinds[KERNEL_ADDRESS]->name, "address");
	assert_string_equal(kernel_kinds[KERNEL_FDB]->name, "fdb");
	assert_string_equal(kernel_kinds[KERNEL_NEIGHBOUR]->name, "neighbour");
	assert_string_equal(kernel_kinds[KERNEL_ROUTE]->name, "route");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_requests_are_the_golden_bytes, skip_on_big_endian),
		cmocka_unit_test_setup(test_dump_requests_are_the_golden_bytes, skip_on_big_endian),
		cmocka_unit_test_setup(test_a_dump_shows_what_the_constructors_make,
				       skip_on_big_endian),
		cmocka_unit_test_setup(test_a_foreign_default_route_is_read, skip_on_big_endian),
		cmocka_unit_test_setup(test_other_things_are_not_objects, skip_on_big_endian),
		cmocka_unit_test_setup(test_extras_are_noticed, skip_on_big_endian),
		cmocka_unit_test_setup(test_the_mtu_of_a_route, skip_on_big_endian),
		cmocka_unit_test_setup(test_deletions_are_told_apart, skip_on_big_endian),
		cmocka_unit_test_setup(test_messages_cut_short, skip_on_big_endian),
		cmocka_unit_test_setup(test_attributes_of_the_wrong_size, skip_on_big_endian),
		cmocka_unit_test_setup(test_impossible_prefix_lengths_are_refused,
				       skip_on_big_endian),
		cmocka_unit_test(test_reading_back_what_was_encoded),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
