/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as one line of an etcd watch stream. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "stores/etcd/etcd_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct etcd_watch_message m = { 0 };
	struct err e = { 0 };

	if (etcd_decode_watch((const char *)data, size, &m, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		FUZZ_CHECK(m.events.len == 0);
		return 0;
	}
	FUZZ_CHECK(memchr(m.reason, '\0', sizeof(m.reason)));
	FUZZ_CHECK(!(m.canceled || m.error) || m.reason[0]);
	for (size_t i = 0; i < m.events.len; i++)
		FUZZ_CHECK(m.events.items[i].value[m.events.items[i].value_size] == '\0');
	etcd_watch_message_fini(&m);
	return 0;
}
