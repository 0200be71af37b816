/* SPDX-License-Identifier: Apache-2.0 */
/* The record of an attachment, as a crash or a stranger may have left it. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "cni-plugin/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_record struct record r = { 0 };
	auto_record struct record again = { 0 };
	auto_json json_t *json = NULL;
	auto_free char *text = NULL;
	struct err e;

	if (record_parse((const char *)data, size, &r, &e) < 0)
		return 0;
	FUZZ_CHECK(!strchr(r.container_id, '/') && !strchr(r.ifname, '/') &&
		   !strchr(r.network, '/'));
	FUZZ_CHECK(!r.pool_dir || r.pool_dir[0] == '/');
	json = record_to_json(&r);
	FUZZ_CHECK(json);
	text = json_dumps(json, JSON_COMPACT);
	FUZZ_CHECK(text && record_parse(text, strlen(text), &again, &e) == 0);
	return 0;
}
