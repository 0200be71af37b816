/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as network configuration: refused with a reason, or a network that subnets can be
 * handed out of.
 */
#include "tests/fuzz/fuzz.h"

#include "backends/backend.h"
#include "subnet/pool.h"

static void check_family(const struct network_family *f)
{
	struct ip_net first = { f->subnet_min, f->subnet_len };
	struct ip_net last = { f->subnet_max, f->subnet_len };
	struct ip_net picked;

	if (!f->enabled)
		return;
	FUZZ_CHECK(!ip_net_has_host_bits(&f->network));
	FUZZ_CHECK(ip_net_contains_net(&f->network, &first));
	FUZZ_CHECK(ip_net_contains_net(&f->network, &last));
	FUZZ_CHECK(network_family_allows(f, &first));
	FUZZ_CHECK(network_family_allows(f, &last));
	FUZZ_CHECK(network_family_capacity(f) > 0);
	FUZZ_CHECK(pool_pick(f, NULL, 0, UINT64_MAX, &picked, NULL) == 0);
	FUZZ_CHECK(network_family_allows(f, &picked));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_network_config struct network_config c = { 0 };
	struct backend *backend = NULL;
	struct err e = { 0 };

	if (network_config_parse((const char *)data, size, &c, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		FUZZ_CHECK(!c.backend);
		return 0;
	}
	FUZZ_CHECK(c.v4.enabled || c.v6.enabled);
	check_family(&c.v4);
	check_family(&c.v6);
	if (backend_create(&c, &backend, &e) < 0)
		FUZZ_CHECK(e.text[0] && !backend);
	backend_free(backend);
	return 0;
}
