/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as JSON, and every reader on whatever comes out; an error always has a text that JSON
 * can carry.
 */
#include "tests/fuzz/fuzz.h"

#include "lib/json.h"

#include <string.h>
#include <strings.h>

static void check_error(int rc, const struct err *e)
{
	json_t *text;

	if (rc == 0)
		return;
	FUZZ_CHECK(e->code == rc && e->text[0]);
	text = json_string(e->text);
	FUZZ_CHECK(text);
	json_decref(text);
}

/* Found but for one reason: that it is there twice. */
static void check_find(const json_t *object, const char *key)
{
	json_t *found = NULL;
	unsigned times = 0;
	struct err e = { 0 };
	int rc = json_find(object, key, &found, &e);
	const char *k;
	json_t *v;

	check_error(rc, &e);
	json_object_foreach ((json_t *)object, k, v)
		times += strcasecmp(k, key) == 0;
	FUZZ_CHECK((rc == 0) == (times == 1));
	FUZZ_CHECK(rc < 0 || found == json_get_any_case(object, key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *j = NULL;
	struct err e = { 0 };
	const char *key;
	json_t *value;
	int rc;

	rc = json_parse_object((const char *)data, size, &j, &e);
	check_error(rc, &e);
	if (rc < 0)
		return 0;
	json_object_foreach (j, key, value) {
		const char *text = NULL;
		struct ip_addr addr;
		struct ip_net net;
		uint64_t number;
		bool flag;

		check_error(json_read_bool(j, key, &flag, &e), &e);
		check_error(json_read_uint(j, key, 1, 65535, &number, &e), &e);
		check_error(json_read_string(j, key, &text, &e), &e);
		check_error(json_read_ip_addr(j, key, AF_UNSPEC, &addr, &e), &e);
		check_error(json_read_ip_net(j, key, AF_UNSPEC, &net, &e), &e);
		json_uint64_lenient(value);
		json_int64_lenient(value);
		FUZZ_CHECK(json_is_null(value) || json_get_any_case(j, key));
		check_find(j, key);
	}
	json_leave_out_secrets(j);
	value = json_get_any_case(j, "psk");
	FUZZ_CHECK(!json_is_string(value) || strcmp(json_string_value(value), "(left out)") == 0);
	return 0;
}
