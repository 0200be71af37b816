/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a file of host-local's, or anything else that lies there. */
#include "tests/fuzz/fuzz.h"

#include "fabricctl/reservations.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xstrndup((const char *)data, size);
	struct reservation r = { 0 };

	reservations_parse(text, &r);
	FUZZ_CHECK(!r.container_id[strcspn(r.container_id, "\r\n")]);
	FUZZ_CHECK(!r.interface[strcspn(r.interface, "\r\n")]);
	FUZZ_CHECK(r.interface >= text && r.interface <= text + size);
	return 0;
}
