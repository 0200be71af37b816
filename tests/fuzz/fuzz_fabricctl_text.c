/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes on their way to a terminal: what comes out is one line of harmless characters, and of
 * one encoding; and any bytes as a duration, a word and a document of leases that is shown,
 * filtered and sorted by every column.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "fabricctl/lease_columns.h"
#include "fabricctl/text.h"
#include "lib/nearest.h"
#include "lib/json.h"

static void check_escaped(const char *text, bool utf8)
{
	auto_free char *safe = text_escape(text, utf8);
	json_t *j = json_string(safe);

	FUZZ_CHECK(j); /* it is UTF-8 */
	json_decref(j);
	for (const unsigned char *p = (const unsigned char *)safe; *p; p++) {
		FUZZ_CHECK(*p >= 0x20 && *p != 0x7f);
		FUZZ_CHECK(utf8 || *p < 0x80);
		/* U+0080 to U+009F, U+2028 and U+2029, U+202A to U+202E. */
		FUZZ_CHECK(!(p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f));
		FUZZ_CHECK(!(p[0] == 0xe2 && p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae));
	}
}

static void check_leases(const char *text, size_t size)
{
	auto_json json_t *leases = json_loadb(text, size, 0, NULL);
	json_t *lease;
	size_t i;

	if (!json_is_array(leases))
		return;
	for (size_t c = 0; c < LEASE_COLUMNS_LEN; c++) {
		json_array_foreach (leases, i, lease) {
			free(lease_columns[c].text(lease, true));
			free(lease_columns[c].text(lease, false));
			lease_column_color(&lease_columns[c], lease);
		}
		lease_sort(leases, &lease_columns[c], c & 1);
	}
}

static void check_expression(const char *text)
{
	struct lease_filter filter = { 0 };
	auto_json json_t *lease = json_pack("{s:s}", "subnet", "10.5.3.0/24");
	struct err e = { 0 };

	if (lease_filter_parse(text, &filter, &e) == 0)
		lease_filter_match(&filter, lease);
	else
		FUZZ_CHECK(e.text[0]);
	lease_filter_fini(&filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct lease_column *columns[LEASE_COLUMNS_LEN];
	auto_free char *text = xcalloc(size + 1, 1);
	size_t columns_len = 0;
	struct err e = { 0 };
	int64_t seconds = 0;

	if (size)
		memcpy(text, data, size);
	check_escaped(text, true);
	check_escaped(text, false);
	check_leases(text, size);
	/* The rest is what people type. */
	if (size > 200)
		return 0;
	check_expression(text);
	if (text_parse_duration(text, &seconds, &e) == 0)
		FUZZ_CHECK(seconds >= 0 && seconds <= 366 * 86400);
	if (lease_columns_parse(text, columns, &columns_len, &e) == 0)
		FUZZ_CHECK(columns_len > 0 && columns_len <= LEASE_COLUMNS_LEN);
	/* Words that are too long for any command are all the same distance away. */
	FUZZ_CHECK(size > 16 || nearest_distance(text, text) == 0);
	return 0;
}
