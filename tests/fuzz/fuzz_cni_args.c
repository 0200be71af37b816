/* SPDX-License-Identifier: Apache-2.0 */
/* CNI_ARGS, the container id and the interface name: texts that users have a hand in. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "cni-plugin/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xstrndup((const char *)data, size);
	struct cni_args args;
	struct err e;

	if (cni_args_parse(text, &args, &e) == 0)
		FUZZ_CHECK(!ip_addr_is_set(&args.ip) || args.ip.family == AF_INET ||
			   args.ip.family == AF_INET6);
	else
		FUZZ_CHECK(e.text[0]);
	/* Whatever passes is one path component that is not a way up. */
	if (cni_is_identifier(text) || cni_is_ifname(text))
		FUZZ_CHECK(text[0] && !strchr(text, '/') && strcmp(text, ".") != 0 &&
			   strcmp(text, "..") != 0);
	return 0;
}
