/* SPDX-License-Identifier: Apache-2.0 */
/* kernel/sequence: requests of any number, and the marker that closes them. */
#include "tests/unit/test.h"

#include "kernel/message.h"
#include "kernel/sequence.h"

/* At some of these lengths the marker needs more room than there is: a sanitizer sees a mistake. */
static void test_a_marker_after_any_number_of_requests(void **state UNUSED)
{
	for (unsigned len = 0; len < 100; len++) {
		struct sequence *s = sequence_new();

		for (unsigned i = 0; i < len; i++) {
			nlmsg_begin(sequence_reserve(s));
			sequence_commit(s, "request %u", i);
		}
		nlmsg_begin(sequence_reserve(s));
		sequence_commit_marker(s);
		sequence_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_marker_after_any_number_of_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
