/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the key of a lease: refused, or a subnet whose own key means the same. */
#include "tests/fuzz/fuzz.h"

#include "subnet/lease.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *key = xcalloc(size + 1, 1);
	char text[SUBNET_KEY_TEXT];
	struct subnet again;
	struct subnet s;
	struct err e = { 0 };

	if (size)
		memcpy(key, data, size);
	if (subnet_key_parse(key, &s, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		return 0;
	}
	FUZZ_CHECK(ip_net_is_set(&s.v4) || ip_net_is_set(&s.v6));
	FUZZ_CHECK(!ip_net_is_set(&s.v4) || !ip_net_has_host_bits(&s.v4));
	FUZZ_CHECK(!ip_net_is_set(&s.v6) || !ip_net_has_host_bits(&s.v6));
	FUZZ_CHECK(subnet_overlaps(&s, &s));
	subnet_format(&s, text);
	subnet_key_format(&s, text);
	FUZZ_CHECK(subnet_key_parse(text, &again, NULL) == 0);
	FUZZ_CHECK(subnet_equal(&s, &again));
	return 0;
}
