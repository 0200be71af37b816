/* SPDX-License-Identifier: Apache-2.0 */
/* A text that is to be without its secrets, whatever it is: what is known to be one is not in it, and what
 * was JSON is JSON. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "fabricctl/redact.h"
#include "lib/json.h"

#define SECRET "hunter22"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xstrndup((const char *)data, size);
	struct redactor r = { 0 };
	size_t left_out = 0;
	json_t *before = NULL;
	json_t *after = NULL;
	char *safe;

	redact_add_value(&r, SECRET);
	redact_add_name(&r, "x-extra");
	safe = redact_text(&r, text, &left_out);
	FUZZ_CHECK(!strstr(safe, SECRET));
	if (json_parse_object(text, strlen(text), &before, NULL) == 0) {
		FUZZ_CHECK(json_parse_object(safe, strlen(safe), &after, NULL) == 0);
		json_decref(before);
		json_decref(after);
	}
	FUZZ_CHECK(left_out || strcmp(safe, text) == 0);
	free(safe);
	redact_fini(&r);
	return 0;
}
