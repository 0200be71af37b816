/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of traffic/ share: a place to stand at, and the rules that hold there. */
#ifndef TESTS_UNIT_TRAFFIC_RIG_H
#define TESTS_UNIT_TRAFFIC_RIG_H

#include "tests/unit/test.h"

#include "traffic/traffic.h"

#define PORT 8472

static UNUSED const struct traffic_device devices[] = {
	{ .name = "flannel.1", .guard = { { IPPROTO_UDP, PORT } } },
	{ .name = "flannel-v6.1", .guard = { { IPPROTO_UDP, PORT } } },
};

static UNUSED struct traffic_place place(void)
{
	return (struct traffic_place){
		.network = { test_net("10.5.0.0/16"), test_net("fd10:5::/48") },
		.own = { test_net("10.5.1.0/24"), test_net("fd10:5:0:1::/64") },
		.underlay = { "eth0", "eth0" },
		.local = { test_addr("192.0.2.1"), test_addr("2001:db8::1") },
		.devices = devices,
		.devices_len = ARRAY_LEN(devices),
	};
}

static UNUSED const struct traffic_options everything = {
	.masquerade = true,
	.fully_random = true,
	.forward = true,
	.guard = true,
	.anti_spoof = true,
};

static UNUSED struct traffic_rules rules_of(const struct traffic_options *o)
{
	struct traffic_place p = place();
	struct traffic_rules rules = { 0 };

	traffic_rules(o, &p, (1u << TRAFFIC_CHAINS) - 1, &rules);
	return rules;
}

#endif
