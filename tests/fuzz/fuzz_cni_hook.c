/* SPDX-License-Identifier: Apache-2.0 */
/* What an OCI runtime writes to a hook: the container's state. */
#include "tests/fuzz/fuzz.h"

#include "cni-plugin/hook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_hook_event struct hook_event event = { 0 };
	struct err e = { 0 };

	if (hook_parse_state((const char *)data, size, &event, &e) < 0)
		FUZZ_CHECK(!event.container_id && e.text[0]);
	else
		FUZZ_CHECK(event.container_id && (event.command == CNI_DEL) == (event.pid == 0));
	return 0;
}
