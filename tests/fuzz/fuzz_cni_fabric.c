/* SPDX-License-Identifier: Apache-2.0 */
/* subnet.env as the plugin reads it. */
#include "tests/fuzz/fuzz.h"

#include "cni-plugin/fabric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xstrndup((const char *)data, size);
	struct fabric f;
	struct err e;

	if (fabric_parse(text, &f, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		return 0;
	}
	FUZZ_CHECK(f.networks_len >= 1 && f.networks_len <= FABRIC_NETWORKS_MAX);
	FUZZ_CHECK(ip_net_is_set(&f.subnet) || ip_net_is_set(&f.subnet_v6));
	FUZZ_CHECK(f.mtu_bytes <= 65535);
	return 0;
}
