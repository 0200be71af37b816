/* SPDX-License-Identifier: Apache-2.0 */
/* fabric/default_route: where the fabric stays, and where it never goes. */
#include "tests/unit/test.h"

#include <errno.h>

#include "fabric/default_route.h"
#include "kernel/marks.h"

enum { LO = 1, ETH0, ETH1, CNI0, PORT, PTP, VPN, POD, TUNNEL, BARE, DOWN, DOCKER, NETWORK };

static const struct link_info links[] = {
	{ .ifindex = LO, .name = "lo", .up = true, .loopback = true },
	/* A host that is a container itself has a veth too. */
	{ .ifindex = ETH0, .name = "eth0", .kind = "veth", .up = true, .peer_elsewhere = true },
	{ .ifindex = ETH1, .name = "eth1", .up = true },
	{ .ifindex = CNI0, .name = "cni0", .kind = "bridge", .up = true },
	{ .ifindex = PORT, .name = "port", .kind = "tun", .up = true, .master_ifindex = CNI0 },
	{ .ifindex = PTP, .name = "ptp", .kind = "veth", .up = true, .peer_elsewhere = true },
	{ .ifindex = VPN, .name = "vpn", .kind = "tun", .up = true },
	{ .ifindex = POD,
	  .name = "pod",
	  .kind = "veth",
	  .up = true,
	  .group = MARK_CONTAINER_GROUP },
	{ .ifindex = TUNNEL,
	  .name = "flannel.1",
	  .kind = "vxlan",
	  .up = true,
	  .alias = "flanneld 1" },
	{ .ifindex = BARE, .name = "bare", .up = true },
	{ .ifindex = DOWN, .name = "down" },
	{ .ifindex = DOCKER, .name = "docker0", .kind = "bridge", .up = true },
	{ .ifindex = NETWORK, .name = "br-0123456789ab", .kind = "bridge", .up = true },
};

static const struct {
	uint32_t ifindex;
	const char *net;
} addresses[] = {
	{ LO, "127.0.0.1/8" },       { ETH0, "192.0.2.1/24" },     { ETH1, "192.0.2.9/24" },
	{ CNI0, "10.5.3.1/24" },     { PORT, "198.51.100.9/24" },  { PTP, "169.254.7.7/16" },
	{ VPN, "172.16.0.2/32" },    { POD, "192.0.2.33/32" },     { TUNNEL, "192.0.2.44/32" },
	{ DOCKER, "172.17.0.1/16" }, { NETWORK, "172.18.0.1/16" }, { DOWN, "192.0.2.55/24" },
	{ ETH0, "2001:db8::1/64" },  { PTP, "fe80::7/64" },
};

struct row {
	const char *name;
	uint32_t present;
	bool leads_out;
	struct underlay_default routes[3]; /* up to the first without an interface */
	int expected;                      /* interface or -errno */
	const char *word;                  /* in the note or the error; NULL: no note */
};

static int choose(const struct row *row, int family, const char *network,
		  char note[static DEFAULT_ROUTE_NOTE], struct err *e)
{
	struct underlay_address list[ARRAY_LEN(addresses)];
	struct default_route_facts f = {
		.family = family,
		.network = test_net(network),
		.links = links,
		.links_len = ARRAY_LEN(links),
		.addresses = list,
		.addresses_len = ARRAY_LEN(addresses),
		.routes = row->routes,
		.present = row->present,
		.present_leads_out = row->leads_out,
	};
	uint32_t ifindex = 0;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
		list[i] = (struct underlay_address){ .ifindex = addresses[i].ifindex,
						     .net = test_net(addresses[i].net) };
	while (f.routes_len < ARRAY_LEN(row->routes) && row->routes[f.routes_len].ifindex)
		f.routes_len++;
	rc = default_route_choose(&f, &ifindex, note, e);
	return rc < 0 ? rc : (int)ifindex;
}

static const struct row rows[] = {
	{ "first start", 0, false, { { ETH0, true } }, ETH0, NULL },
	{ "first start with a VPN", 0, false, { { VPN, false }, { ETH0, true } }, VPN, NULL },
	{ "first start, a container before",
	  0,
	  false,
	  { { PTP, false }, { ETH1, true } },
	  ETH1,
	  "ptp" },
	{ "nothing changes", ETH0, true, { { ETH0, true } }, ETH0, NULL },
	{ "VPN with a better metric", ETH0, true, { { VPN, false }, { ETH0, true } }, ETH0, "vpn" },
	{ "VPN has the only one", ETH0, true, { { VPN, false } }, ETH0, "a way out" },
	{ "it moves", ETH0, false, { { ETH1, true } }, ETH1, NULL },
	{ "a container's link-local", ETH0, false, { { PTP, false } }, ETH0, "veth into another" },
	{ "the bridge", ETH0, false, { { CNI0, true } }, ETH0, "inside the network" },
	{ "a port", ETH0, false, { { PORT, true } }, ETH0, "port of the bridge cni0" },
	{ "our plugin's", ETH0, false, { { POD, true } }, ETH0, "container's interface" },
	{ "our own device", ETH0, false, { { TUNNEL, true } }, ETH0, "device of the fabric" },
	{ "no address", ETH0, false, { { BARE, true } }, ETH0, "no IPv4 address" },
	{ "the next one is good", ETH0, false, { { CNI0, true }, { ETH1, true } }, ETH1, "cni0" },
	{ "down", DOWN, true, { { ETH1, true } }, ETH1, NULL },
	{ "down, and only a container", DOWN, false, { { PTP, false } }, -ENODEV, "ptp" },
	{ "what is in use must not be",
	  CNI0,
	  true,
	  { { CNI0, true }, { ETH0, true } },
	  ETH0,
	  "cni0" },
	{ "only lo", 0, false, { { LO, false } }, -ENODEV, "lo" },
	{ "none", ETH0, false, { { 0, false } }, -ENETUNREACH, "no default route" },
	{ "none, and it is down",
	  DOWN,
	  false,
	  { { 0, false } },
	  -ENETUNREACH,
	  "no default route, and down is down" },
	{ "Docker's bridge", ETH0, false, { { DOCKER, false } }, ETH0, "container runtime's" },
	{ "Docker's, with a router", ETH0, false, { { DOCKER, true } }, ETH0, "docker0" },
	{ "a network of Docker's", ETH0, false, { { NETWORK, true } }, ETH0, "br-0123456789ab" },
	{ "only Docker's", 0, false, { { DOCKER, false } }, -ENODEV, "container runtime's" },
	{ "none, but a way out", ETH0, true, { { 0, false } }, ETH0, NULL },
	{ "vanished", 0, false, { { 77, true } }, -ENODEV, "vanished" },
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char note[DEFAULT_ROUTE_NOTE] = "";
		struct err e = { 0 };
		int got = choose(&rows[i], AF_INET, "10.5.0.0/16", note, &e);

		assert_row(got == rows[i].expected, rows[i].name);
		assert_row(rows[i].word ? strstr(got < 0 ? e.text : note, rows[i].word) != NULL
					: !*note,
			   rows[i].name);
	}
}

static void test_ipv6(void **state)
{
	(void)state;
	struct row row = { .routes = { { PTP, true }, { ETH0, true } } };
	char note[DEFAULT_ROUTE_NOTE];

	assert_int_equal(choose(&row, AF_INET6, "fd10:5::/48", note, NULL), ETH0);
	assert_contains(note, "IPv6");
	assert_contains(note, "ptp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
