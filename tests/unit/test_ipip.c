/* SPDX-License-Identifier: Apache-2.0 */
/* backends/ipip and udp, kernel/device_ipip: what is published, what a peer means, which device is ours. */
#include "tests/unit/test.h"

#include <errno.h>
#include <netinet/in.h>

#include "backends/backend.h"
#include "kernel/device_ipip.h"
#include "kernel/kinds.h"
#include "kernel/link.h"
#include "kernel/message.h"
#include "tests/unit/backend_rig.h"

#include <linux/if_tunnel.h>

#define LOWER  3
#define TUNNEL 9

#define IPIP "\"ipip\""
#define UDP  "\"udp\""

static struct backend_host host(void)
{
	return (struct backend_host){
		.node_id = "node-1",
		.lower = { { LOWER, 1500 } },
		.local_v4 = test_addr("192.0.2.1"),
		.public_v4 = test_addr("192.0.2.1"),
	};
}

/* `keys` starts with the type: `"ipip"`. */
static int create(const char *network, const char *keys, struct backend **ret, struct err *e)
{
	auto_free char *text = xasprintf("{%s,\"Backend\":{\"Type\":%s}}", network, keys);
	struct network_config c;
	int rc = network_config_parse(text, strlen(text), &c, e);

	if (rc < 0)
		return rc;
	rc = backend_create(&c, ret, e);
	network_config_fini(&c);
	return rc;
}

static struct backend *backend(const char *keys)
{
	const struct backend_host h = host();
	const struct mac_addr none = { { 0 } };
	struct backend *b = NULL;
	struct err e;

	if (create("\"Network\":\"10.5.0.0/16\"", keys, &b, &e) < 0 ||
	    b->type->set_host(b, &h, &e) < 0)
		fail_msg("%s", e.text);
	b->type->device_is(b, 0, TUNNEL, &none);
	return b;
}

static struct lease *peer(void)
{
	static const char value[] =
		"{\"PublicIP\":\"192.0.2.3\",\"PublicIPv6\":null,\"BackendType\":\"ipip\"}";
	struct lease *l = lease_new();
	struct err e;

	if (subnet_key_parse("10.5.3.0-24", &l->subnet, &e) < 0 ||
	    lease_value_parse(value, strlen(value), l, &e) < 0)
		fail_msg("%s", e.text);
	return l;
}

static void test_published_as_flannel_does(void **state UNUSED)
{
	struct backend *b = backend(IPIP);
	auto_lease struct lease *own = lease_new();
	auto_free char *text = NULL;

	assert_int_equal(b->type->publish(b, own, NULL), 0);
	text = lease_value_format(own);
	assert_string_equal(
		text, "{\"PublicIP\":\"192.0.2.1\",\"PublicIPv6\":null,\"BackendType\":\"ipip\"}");
	backend_free(b);
}

static void test_the_device(void **state UNUSED)
{
	struct backend *b = backend(IPIP);
	auto_lease struct lease *own = peer();
	auto_wants struct wants objects = { 0 };
	const struct backend_device *d;
	char text[KERNEL_OBJECT_TEXT];

	assert_int_equal(backend_devices(b, &d), 1);
	assert_string_equal(d->name, "flannel.ipip");
	assert_ptr_equal(d->kind, &device_ipip);
	assert_int_equal(d->mtu_bytes, 1480);
	assert_int_equal(d->guard[0].protocol, IPPROTO_IPIP);
	assert_int_equal(d->guard[0].port, 0);
	assert_int_equal(b->type->pod_mtu(b), 1480);
	rig_want_own(b, &own->subnet, &objects);
	assert_int_equal(objects.len, 1);
	assert_string_equal(kernel_object_format(&objects.items[0], text),
			    "address 10.5.3.0/32 dev 9");
	backend_free(b);
}

static void test_a_peer_is_one_route(void **state UNUSED)
{
	static const struct backend_path near[2] = { { true, LOWER } };
	static const struct backend_path far[2] = { { false, LOWER } };
	static const struct {
		const char *keys;
		const struct backend_path *paths;
		const char *route;
	} rows[] = {
		{ IPIP, near, "route 10.5.3.0/24 via 192.0.2.3 dev 9 onlink" },
		{ IPIP, far, "route 10.5.3.0/24 via 192.0.2.3 dev 9 onlink" },
		{ IPIP ",\"DirectRouting\":true", near,
		  "route 10.5.3.0/24 via 192.0.2.3 dev 3 proto" },
		{ IPIP ",\"DirectRouting\":true", far,
		  "route 10.5.3.0/24 via 192.0.2.3 dev 9 onlink" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct backend *b = backend(rows[i].keys);
		auto_lease struct lease *l = peer();
		auto_wants struct wants objects = { 0 };
		char text[KERNEL_OBJECT_TEXT];
		struct err e;

		assert_int_equal(rig_want_peer(b, l, rows[i].paths, &objects, &e), 0);
		assert_int_equal(objects.len, 1);
		assert_contains(kernel_object_format(&objects.items[0], text), rows[i].route);
		backend_free(b);
	}
}

static void test_who_and_what_is_refused(void **state UNUSED)
{
	static const struct backend_path paths[2] = { { true, LOWER } };
	struct backend *b = backend(IPIP);
	auto_lease struct lease *l = peer();
	auto_wants struct wants objects = { 0 };
	struct backend_host h = host();
	struct backend *none = NULL;
	struct err e;

	l->public_v4 = h.public_v4;
	assert_int_equal(rig_want_peer(b, l, paths, &objects, &e), -EINVAL);
	l->subnet.v4 = (struct ip_net){ 0 };
	assert_int_equal(rig_want_peer(b, l, paths, &objects, &e), -EINVAL);
	assert_contains(e.text, "no IPv4 subnet");
	h.lower[0].mtu_bytes = 595;
	assert_int_equal(b->type->set_host(b, &h, &e), -EMSGSIZE);
	assert_contains(e.text, "595, must be 596 at least");
	backend_free(b);
	assert_int_equal(create("\"Network\":\"10.5.0.0/16\",\"EnableIPv6\":true,\"IPv6Network\":"
				"\"fd10:5::/48\"",
				IPIP, &none, &e),
			 -EINVAL);
	assert_contains(e.text, "EnableIPv6 false");
	assert_int_equal(
		create("\"Network\":\"10.5.0.0/16\"", IPIP ",\"DirectRouting\":7", &none, &e),
		-EINVAL);
	assert_contains(e.text, "DirectRouting");
}

/* ---- udp ---- */

static void test_udp_is_ipip_in_udp(void **state UNUSED)
{
	static const struct backend_path paths[2] = { { true, LOWER } };
	struct backend *b = backend(UDP);
	auto_lease struct lease *own = lease_new();
	auto_lease struct lease *l = peer();
	auto_wants struct wants objects = { 0 };
	auto_free char *text = NULL;
	const struct backend_device *d;
	char object[KERNEL_OBJECT_TEXT];
	struct err e;

	assert_int_equal(b->type->publish(b, own, NULL), 0);
	text = lease_value_format(own);
	assert_string_equal(text, "{\"PublicIP\":\"192.0.2.1\",\"PublicIPv6\":null}");
	assert_int_equal(backend_devices(b, &d), 1);
	assert_string_equal(d->name, "flannel0");
	assert_int_equal(d->mtu_bytes, 1472);
	assert_int_equal(d->guard[0].protocol, IPPROTO_UDP);
	assert_int_equal(d->guard[0].port, 8285);
	assert_int_equal(d->guard[1].protocol, IPPROTO_IPIP);
	assert_int_equal(rig_want_peer(b, l, paths, &objects, &e), -EINVAL);
	assert_string_equal(e.text, "BackendType is \"ipip\", leases of udp have none");
	free(STEAL(l->backend_type));
	assert_int_equal(rig_want_peer(b, l, paths, &objects, &e), 0);
	assert_int_equal(objects.len, 1);
	assert_contains(kernel_object_format(&objects.items[0], object),
			"route 10.5.3.0/24 via 192.0.2.3 dev 9 onlink");
	backend_free(b);
}

static void test_udp_is_refused_where_it_cannot_be(void **state UNUSED)
{
	static const struct {
		const char *network, *keys, *text;
	} rows[] = {
		{ "\"Network\":\"10.5.0.0/16\"", UDP ",\"Port\":0",
		  "Port is 0, must be an integer from 1 to 65535" },
		{ "\"Network\":\"10.5.0.0/16\"", UDP ",\"Port\":65536",
		  "must be an integer from 1 to 65535" },
		{ "\"Network\":\"10.5.0.0/16\",\"EnableIPv6\":true,\"IPv6Network\":\"fd10:5::/48\"",
		  UDP, "udp carries IPv4 only" },
	};
	struct backend_host h = host();
	struct backend *b = NULL;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(create(rows[i].network, rows[i].keys, &b, &e), -EINVAL);
		assert_contains(e.text, rows[i].text);
	}
	b = backend(UDP ",\"Port\":9000");
	h.lower[0].mtu_bytes = 603;
	assert_int_equal(b->type->set_host(b, &h, &e), -EMSGSIZE);
	assert_contains(e.text, "603, must be 604 at least for udp");
	backend_free(b);
}

/* ---- the device as the kernel shows it ---- */

struct shown {
	const char *name;
	uint16_t type; /* one attribute that is not as of ours */
	uint32_t value;
	uint8_t size;
	enum device_match match;
	bool conflicts;
	uint16_t port; /* of UDP */
};

static void show(const struct shown *s, struct link_info *ret)
{
	char buffer[LINK_DATA_MAX + 64] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct {
		uint16_t type;
		uint32_t value;
		uint8_t size;
	} all[] = {
		{ IFLA_IPTUN_LINK, 0, 4 },        { IFLA_IPTUN_LOCAL, htonl(0xc0000201), 4 },
		{ IFLA_IPTUN_REMOTE, 0, 4 },      { IFLA_IPTUN_TTL, 0, 1 },
		{ IFLA_IPTUN_TOS, 0, 1 },         { IFLA_IPTUN_PROTO, IPPROTO_IPIP, 1 },
		{ IFLA_IPTUN_PMTUDISC, 1, 1 },    { IFLA_IPTUN_FWMARK, 0, 4 },
		{ IFLA_IPTUN_ENCAP_TYPE, 0, 2 },  { IFLA_IPTUN_ENCAP_SPORT, 0, 2 },
		{ IFLA_IPTUN_ENCAP_DPORT, 0, 2 }, { IFLA_IPTUN_ENCAP_FLAGS, 0, 2 },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		nlattr_put(hdr, all[i].type, s->type == all[i].type ? s->size : all[i].size,
			   s->type == all[i].type ? &s->value : &all[i].value);
	/* Of attributes that come twice the last counts. */
	if (s->port) {
		nlattr_put_u16(hdr, IFLA_IPTUN_ENCAP_TYPE, TUNNEL_ENCAP_FOU);
		nlattr_put_u16(hdr, IFLA_IPTUN_ENCAP_SPORT, htons(s->port));
		nlattr_put_u16(hdr, IFLA_IPTUN_ENCAP_DPORT, htons(s->port));
	}
	if (s->type == IFLA_IPTUN_COLLECT_METADATA)
		nlattr_put(hdr, s->type, 0, NULL);
	*ret = (struct link_info){ .ifindex = TUNNEL, .kind = "ipip" };
	ret->data_size = (uint16_t)nlmsg_size(hdr);
	memcpy(ret->data, nlmsg_data(hdr), ret->data_size);
}

static void test_which_device_is_as_wanted(void **state UNUSED)
{
	static const struct shown rows[] = {
		{ "as made", 0, 0, 0, DEVICE_SAME, true, 0 },
		{ "old kernels name no protocol", IFLA_IPTUN_PROTO, 0, 1, DEVICE_SAME, true, 0 },
		{ "another source", IFLA_IPTUN_LOCAL, 0x01020304, 4, DEVICE_MOVABLE, false, 0 },
		{ "bound to a device", IFLA_IPTUN_LINK, 3, 4, DEVICE_MOVABLE, true, 0 },
		{ "a fixed TTL", IFLA_IPTUN_TTL, 64, 1, DEVICE_MOVABLE, true, 0 },
		{ "a mark", IFLA_IPTUN_FWMARK, 1, 4, DEVICE_MOVABLE, true, 0 },
		{ "no path MTU", IFLA_IPTUN_PMTUDISC, 0, 1, DEVICE_MOVABLE, true, 0 },
		{ "one remote", IFLA_IPTUN_REMOTE, 0x01020304, 4, DEVICE_OTHER, false, 0 },
		{ "in UDP", IFLA_IPTUN_ENCAP_TYPE, 1, 2, DEVICE_MOVABLE, true, 0 },
		{ "MPLS inside", IFLA_IPTUN_PROTO, 137, 1, DEVICE_OTHER, false, 0 },
		{ "external", IFLA_IPTUN_COLLECT_METADATA, 0, 0, DEVICE_OTHER, false, 0 },
	};
	struct device_ipip want = { .local = test_addr("192.0.2.1") };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct link_info link;

		show(&rows[i], &link);
		assert_row(device_ipip.match(&want, &link) == rows[i].match, rows[i].name);
		assert_row(device_ipip.conflicts(&want, &link) == rows[i].conflicts, rows[i].name);
	}
}

static void test_which_device_in_udp_is_as_wanted(void **state UNUSED)
{
	static const struct shown rows[] = {
		{ "as made", 0, 0, 0, DEVICE_SAME, true, 8285 },
		{ "another port", 0, 0, 0, DEVICE_MOVABLE, true, 8286 },
		{ "in no UDP", 0, 0, 0, DEVICE_MOVABLE, true, 0 },
		{ "another source", IFLA_IPTUN_LOCAL, 0x01020304, 4, DEVICE_MOVABLE, false, 8285 },
		{ "with checksum", IFLA_IPTUN_ENCAP_FLAGS, TUNNEL_ENCAP_FLAG_CSUM, 2,
		  DEVICE_MOVABLE, true, 8285 },
		{ "one remote", IFLA_IPTUN_REMOTE, 0x01020304, 4, DEVICE_OTHER, false, 8285 },
	};
	struct device_ipip want = { .local = test_addr("192.0.2.1"), .udp_port = 8285 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct link_info link;

		show(&rows[i], &link);
		assert_row(device_ipip.match(&want, &link) == rows[i].match, rows[i].name);
		assert_row(device_ipip.conflicts(&want, &link) == rows[i].conflicts, rows[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_as_flannel_does),
		cmocka_unit_test(test_the_device),
		cmocka_unit_test(test_a_peer_is_one_route),
		cmocka_unit_test(test_who_and_what_is_refused),
		cmocka_unit_test(test_udp_is_ipip_in_udp),
		cmocka_unit_test(test_udp_is_refused_where_it_cannot_be),
		cmocka_unit_test(test_which_device_is_as_wanted),
		cmocka_unit_test(test_which_device_in_udp_is_as_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
