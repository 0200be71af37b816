/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as subnet.env: what is found in it survives being written and read again. */
#include "tests/fuzz/fuzz.h"

#include "subnet/subnet_env.h"

/* As the plugin reads it. */
static void parse(const char *text)
{
	struct subnet_env env;
	struct err e;

	if (subnet_env_parse(text, &env, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		return;
	}
	FUZZ_CHECK(env.networks_len >= 1 && env.networks_len <= SUBNET_ENV_NETWORKS_MAX);
	FUZZ_CHECK(ip_net_is_set(&env.subnet) || ip_net_is_set(&env.subnet_v6));
	FUZZ_CHECK(env.mtu_bytes <= 65535);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xcalloc(size + 1, 1);
	auto_free char *written = NULL;
	struct network_config config = { .v4.enabled = true, .v6.enabled = true };
	struct ip_net networks[2];
	struct subnet found;
	struct subnet again;

	if (size)
		memcpy(text, data, size);
	parse(text);
	subnet_env_recall(text, &found, networks);
	FUZZ_CHECK(!ip_net_is_set(&found.v4) || found.v4.addr.family == AF_INET);
	FUZZ_CHECK(!ip_net_is_set(&found.v6) || found.v6.addr.family == AF_INET6);
	FUZZ_CHECK(!ip_net_is_set(&found.v4) || !ip_net_has_host_bits(&found.v4));
	FUZZ_CHECK(!ip_net_is_set(&found.v6) || !ip_net_has_host_bits(&found.v6));
	/* A subnet of one address has no second one for the gateway: nobody hands such out. */
	if (found.v4.len == 32 || found.v6.len == 128)
		return 0;
	written = subnet_env_format(&config, &found, 1450, true, true);
	subnet_env_recall(written, &again, networks);
	FUZZ_CHECK(subnet_equal(&found, &again));
	return 0;
}
