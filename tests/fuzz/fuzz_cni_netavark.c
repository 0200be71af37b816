/* SPDX-License-Identifier: Apache-2.0 */
/* What netavark writes to the plugin's stdin: whatever it is made into is a configuration, or an error. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "cni-plugin/config.h"
#include "cni-plugin/error.h"
#include "cni-plugin/netavark.h"
#include "cni-plugin/netconf.h"

static void check_ports(const struct ports *p)
{
	auto_json json_t *again = ports_json(p);
	struct ports q = { 0 };
	size_t all = 0;
	struct err e;

	for (size_t i = 0; i < p->len; i++) {
		FUZZ_CHECK(p->items[i].host_port && p->items[i].container_port &&
			   p->items[i].count);
		all += p->items[i].count;
	}
	FUZZ_CHECK(all <= PORTS_MAX);
	FUZZ_CHECK(ports_parse(again, &q, &e) == 0 && q.len == p->len);
	ports_fini(&q);
}

static void read_config(json_t *config, const struct cni_env *env)
{
	static const char text[] = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.17.1/24\n"
				   "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
	const struct cni_args args = { 0 };
	auto_config struct config c = { 0 };
	auto_json json_t *object = NULL;
	struct subnet_env fabric;
	struct netconf n;
	struct err e;

	FUZZ_CHECK(cni_is_identifier(env->container_id) && cni_is_ifname(env->ifname));
	FUZZ_CHECK(subnet_env_parse(text, &fabric, &e) == 0);
	FUZZ_CHECK(netconf_read(config, &n, &e) == 0);
	FUZZ_CHECK(n.needs_fabric && !n.direct);
	if (netconf_generate(&n, &fabric, &object, &e) == 0 &&
	    config_parse(&n, object, &fabric, &args, &c, &e) == 0)
		check_ports(&c.ports);
	netconf_fini(&n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *json = NULL;
	json_t *config = NULL;
	struct cni_env env;
	struct err e = { 0 };

	if (json_parse_object((const char *)data, size, &json, &e) < 0)
		return 0;
	if (netavark_check_network(json, &e) < 0)
		FUZZ_CHECK(e.text[0] && cni_code_of(&e) == CNI_CONFIG);
	if (netavark_read_setup(json, "/run/netns/n", &env, &config, &e) == 0)
		read_config(config, &env);
	else
		FUZZ_CHECK(e.text[0] && cni_code_of(&e) == CNI_CONFIG);
	config = NULL;
	if (netavark_read_teardown(json, "/run/netns/n", &env, &config, &e) == 0)
		read_config(config, &env);
	return 0;
}
