/* SPDX-License-Identifier: Apache-2.0 */
/* The content of a reservation file, which host-local or an editor may have written. */
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <string.h>

#include "cni-plugin/pool.h"

static bool is_trimmed(const char *s)
{
	size_t size = strlen(s);

	return size == 0 || (!isspace((unsigned char)s[0]) && !isspace((unsigned char)s[size - 1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xstrndup((const char *)data, size);
	struct pool_owner owner;

	if (!pool_parse_owner(text, &owner))
		return 0;
	FUZZ_CHECK(owner.container_id[0] && !strpbrk(owner.container_id, "\r\n"));
	FUZZ_CHECK(is_trimmed(owner.container_id) && is_trimmed(owner.ifname));
	return 0;
}
