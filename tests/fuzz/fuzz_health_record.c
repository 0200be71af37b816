/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a health record: refused, or one that survives being written and read again. */
#include "tests/fuzz/fuzz.h"

#include "subnet/health_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct health_record r = { 0 };
	struct health_record again;
	struct err e = { 0 };
	auto_free char *text = NULL;

	if (health_record_parse((const char *)data, size, &r, &e) < 0) {
		FUZZ_CHECK(e.text[0] && !r.node_id);
		return 0;
	}
	FUZZ_CHECK(r.peers_len <= HEALTH_RECORD_PEERS_MAX &&
		   r.problems_len <= HEALTH_RECORD_PROBLEMS_MAX);
	text = health_record_format(&r);
	/* A text that was cut inside a character is written with another one in its place, and so may
	 * not be the same; nothing else changes. */
	if (health_record_parse(text, strlen(text), &again, &e) == 0) {
		FUZZ_CHECK(r.verdict == again.verdict && r.peers_len == again.peers_len &&
			   r.problems_len == again.problems_len);
		health_record_fini(&again);
	} else {
		FUZZ_CHECK(strlen(text) > HEALTH_RECORD_MAX_SIZE);
	}
	health_record_fini(&r);
	return 0;
}
