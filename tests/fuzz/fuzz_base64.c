/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as base64 text, and as what is encoded. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "lib/base64.h"

static void check_round(const void *data, size_t size)
{
	auto_free char *text = base64_encode(data, size);
	auto_free char *back = NULL;
	size_t back_size;

	FUZZ_CHECK(base64_decode(text, strlen(text), &back, &back_size, NULL) == 0);
	FUZZ_CHECK(back_size == size && (size == 0 || memcmp(back, data, size) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *decoded = NULL;
	size_t decoded_size;
	struct err e = { 0 };

	check_round(data, size);
	if (base64_decode((const char *)data, size, &decoded, &decoded_size, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		return 0;
	}
	FUZZ_CHECK(decoded[decoded_size] == '\0');
	check_round(decoded, decoded_size);
	return 0;
}
