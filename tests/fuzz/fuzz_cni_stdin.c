/* SPDX-License-Identifier: Apache-2.0 */
/* What a runtime writes to the plugin's stdin: the configuration with all that is nested in it. */
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <strings.h>

#include "cni-plugin/attachments.h"
#include "cni-plugin/config.h"
#include "cni-plugin/result.h"

/* It names a file, which is not for a fuzzer to choose. */
static void drop_resolver(json_t *object)
{
	json_t *ipam = json_get_any_case(object, "ipam");
	const char *key;
	json_t *value;
	void *tmp;

	json_object_foreach_safe (ipam, tmp, key, value) {
		if (strcasecmp(key, "resolvConf") == 0)
			json_object_del(ipam, key);
	}
}

static void read_config(const struct netconf *n, const struct subnet_env *f)
{
	const struct cni_args args = { 0 };
	auto_json json_t *object = NULL;
	auto_config struct config c = { 0 };
	struct err e;

	if (netconf_generate(n, f, &object, &e) < 0)
		return;
	drop_resolver(object);
	if (config_parse(n, object, f, &args, &c, &e) < 0)
		return;
	FUZZ_CHECK(c.vlans.trunk_len <= CONFIG_TRUNK_MAX &&
		   c.requested_len <= CONFIG_REQUESTED_MAX);
	for (size_t i = 0; i < c.ranges.len; i++) {
		struct range_walk walk;
		const struct range *range;
		struct ip_addr a;

		range_walk_init(&walk, &c.ranges.sets[i], NULL);
		for (unsigned k = 0; k < 100 && range_walk_next(&walk, &a, &range); k++)
			FUZZ_CHECK(ip_net_contains(&range->subnet, &a) &&
				   !ip_addr_equal(&a, &range->gateway));
	}
}

static void read_result(const struct netconf *n)
{
	const json_t *prev = json_get_any_case(n->json, "prevResult");
	auto_result struct result r = { 0 };
	auto_json json_t *again = NULL;
	struct err e;

	if (!prev || result_parse(prev, n->cni_version, &r, &e) < 0)
		return;
	for (size_t i = 0; i < r.addresses_len; i++)
		FUZZ_CHECK(r.addresses[i].interface < (int)r.interfaces_len);
	if (result_to_json(&r, n->cni_version, &again, &e) == 0)
		FUZZ_CHECK(json_is_object(again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char env[] = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.17.1/24\n"
				  "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
	auto_attachments struct attachments valid = { 0 };
	struct subnet_env fabric;
	json_t *json = NULL;
	struct netconf n;
	struct err e;

	FUZZ_CHECK(subnet_env_parse(env, &fabric, &e) == 0);
	if (json_parse_object((const char *)data, size, &json, &e) < 0 ||
	    netconf_read(json, &n, &e) < 0)
		return 0;
	read_config(&n, &fabric);
	read_result(&n);
	if (attachments_parse(n.json, &valid, &e) == 0)
		FUZZ_CHECK(valid.known || valid.len == 0);
	attachments_fini(&valid);
	netconf_fini(&n);
	return 0;
}
