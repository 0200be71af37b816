/* SPDX-License-Identifier: Apache-2.0 */
/* kernel/lookup: what the kernel's answers to single questions say, and how they are shown. */
#include "tests/unit/test.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "kernel/lookup.h"
#include "kernel/message.h"

static char room[1024] __attribute__((aligned(8)));

static struct ip_addr addr(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_addr_parse(text, AF_UNSPEC, &a, NULL), 0);
	return a;
}

static void put_addr(struct nlmsghdr *hdr, uint16_t type, const char *text)
{
	struct ip_addr a = addr(text);

	nlattr_put(hdr, type, ip_addr_size(&a), a.b);
}

static struct nlmsghdr *put_route(int family, uint8_t dst_len)
{
	struct nlmsghdr *hdr;
	struct rtmsg *m;

	memset(room, 0, sizeof(room));
	hdr = nlmsg_begin(room);
	m = nlmsg_put_header(hdr, sizeof(*m));
	hdr->nlmsg_type = RTM_NEWROUTE;
	m->rtm_family = (uint8_t)family;
	m->rtm_dst_len = dst_len;
	m->rtm_type = RTN_UNICAST;
	m->rtm_protocol = 116;
	m->rtm_table = RT_TABLE_MAIN;
	return hdr;
}

static void test_route(void **state UNUSED)
{
	const struct rta_cacheinfo cache = { .rta_expires = 60000 };
	struct nlmsghdr *hdr = put_route(AF_INET, 24);
	struct lookup_route r = { 0 };
	char text[LOOKUP_ROUTE_TEXT];
	struct nlattr *metrics;

	((struct rtmsg *)nlmsg_data(hdr))->rtm_flags = RTNH_F_ONLINK;
	put_addr(hdr, RTA_DST, "10.5.3.0");
	put_addr(hdr, RTA_GATEWAY, "10.5.3.0");
	put_addr(hdr, RTA_PREFSRC, "10.5.1.0");
	nlattr_put_u32(hdr, RTA_OIF, 7);
	nlattr_put_u32(hdr, RTA_TABLE, 1234);
	metrics = nlattr_nest_begin(hdr, RTA_METRICS);
	nlattr_put_u32(hdr, RTAX_MTU, 1350);
	nlattr_nest_end(hdr, metrics);
	nlattr_put(hdr, RTA_CACHEINFO, sizeof(cache), &cache);
	assert_true(lookup_route_decode(hdr, &r));
	snprintf(r.device, sizeof(r.device), "flannel.1");
	assert_int_equal(r.ifindex, 7);
	assert_int_equal(r.mtu_bytes, 1350);
	assert_int_equal(r.mtu_left_s, 600);
	assert_string_equal(lookup_route_format(&r, text),
			    "10.5.3.0/24 via 10.5.3.0 dev flannel.1 onlink proto 116 table 1234");
}

/* An IPv4 route by an IPv6 gateway. */
static void test_route_via(void **state UNUSED)
{
	struct ip_addr gateway = addr("fe80::1");
	struct nlmsghdr *hdr = put_route(AF_INET, 0);
	struct lookup_route r = { 0 };
	char text[LOOKUP_ROUTE_TEXT];
	struct {
		uint16_t family;
		uint8_t addr[16];
	} via = { .family = AF_INET6 };

	memcpy(via.addr, gateway.b, sizeof(via.addr));
	nlattr_put(hdr, RTA_VIA, sizeof(via), &via);
	assert_true(lookup_route_decode(hdr, &r));
	snprintf(r.device, sizeof(r.device), "eth0");
	assert_string_equal(lookup_route_format(&r, text),
			    "0.0.0.0/0 via fe80::1 dev eth0 proto 116");
}

static void test_what_is_no_route(void **state UNUSED)
{
	struct lookup_route r = { .ifindex = 99 };
	struct nlmsghdr *hdr = put_route(AF_INET, 33);

	assert_false(lookup_route_decode(hdr, &r));
	assert_false(lookup_route_decode(put_route(AF_BRIDGE, 0), &r));
	hdr = put_route(AF_INET6, 64);
	hdr->nlmsg_type = RTM_DELROUTE;
	assert_false(lookup_route_decode(hdr, &r));
	hdr = put_route(AF_INET6, 64);
	hdr->nlmsg_len = NLMSG_LENGTH(4);
	assert_false(lookup_route_decode(hdr, &r));
	assert_int_equal(r.ifindex, 99);
	/* Attributes of another length than they have are not there. */
	hdr = put_route(AF_INET, 24);
	put_addr(hdr, RTA_GATEWAY, "fe80::1");
	nlattr_put_u16(hdr, RTA_OIF, 7);
	assert_true(lookup_route_decode(hdr, &r));
	assert_false(ip_addr_is_set(&r.gateway));
	assert_int_equal(r.ifindex, 0);
}

static struct nlmsghdr *put_neighbour(uint16_t neighbour_state)
{
	struct nlmsghdr *hdr;
	struct ndmsg *m;

	memset(room, 0, sizeof(room));
	hdr = nlmsg_begin(room);
	m = nlmsg_put_header(hdr, sizeof(*m));
	hdr->nlmsg_type = RTM_NEWNEIGH;
	m->ndm_ifindex = 5;
	m->ndm_state = neighbour_state;
	return hdr;
}

static void test_neighbour(void **state UNUSED)
{
	static const struct {
		uint16_t state;
		bool has_mac;
		bool silent;
		const char *text;
	} rows[] = {
		{ NUD_PERMANENT, true, false, "02:00:00:00:00:07, permanent" },
		{ NUD_STALE, true, false, "02:00:00:00:00:07, stale" },
		{ NUD_INCOMPLETE, false, true, "incomplete" },
		{ NUD_FAILED, false, true, "failed" },
		{ 0, false, false, "none" },
	};
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };
	char text[LOOKUP_NEIGHBOUR_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct nlmsghdr *hdr = put_neighbour(rows[i].state);
		struct lookup_neighbour n = { .mac = { { 9 } } };

		if (rows[i].has_mac)
			nlattr_put(hdr, NDA_LLADDR, sizeof(mac), mac);
		assert_true(lookup_neighbour_decode(hdr, &n));
		assert_string_equal(lookup_neighbour_format(&n, text), rows[i].text);
		assert_int_equal(lookup_neighbour_is_silent(&n), rows[i].silent);
	}
}

static void test_fdb(void **state UNUSED)
{
	struct nlmsghdr *hdr = put_neighbour(NUD_PERMANENT);
	struct ip_addr want = addr("192.0.2.2");
	struct lookup_fdb f = { 0 };

	put_addr(hdr, NDA_DST, "192.0.2.2");
	assert_true(lookup_fdb_decode(hdr, &f));
	assert_true(f.found && f.port_ifindex == 5 && ip_addr_equal(&f.remote, &want));
	/* Without a remote it has none of the one before. */
	assert_true(lookup_fdb_decode(put_neighbour(NUD_PERMANENT), &f));
	assert_false(ip_addr_is_set(&f.remote));
	hdr = put_neighbour(NUD_PERMANENT);
	hdr->nlmsg_type = RTM_DELNEIGH;
	assert_false(lookup_fdb_decode(hdr, &f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_route_via),
		cmocka_unit_test(test_what_is_no_route),
		cmocka_unit_test(test_neighbour),
		cmocka_unit_test(test_fdb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
