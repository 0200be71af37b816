/* SPDX-License-Identifier: Apache-2.0 */
/* What a runtime has noted of an attachment, or anything else that lies there. */
#include "tests/fuzz/fuzz.h"

#include "fabricctl/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *pod = NULL;
	struct err e = { 0 };

	if (runtime_parse((const char *)data, size, &pod, &e) == 0)
		FUZZ_CHECK(pod);
	else
		FUZZ_CHECK(!pod && e.text[0]);
	return 0;
}
