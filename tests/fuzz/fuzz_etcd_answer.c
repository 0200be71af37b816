/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an answer of etcd's gateway, read as the reply to every kind of request. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "stores/etcd/etcd_json.h"

static void check_kvs(const struct etcd_kvs *kvs)
{
	for (size_t i = 0; i < kvs->len; i++) {
		FUZZ_CHECK(kvs->items[i].key);
		FUZZ_CHECK(kvs->items[i].value);
		FUZZ_CHECK(kvs->items[i].value[kvs->items[i].value_size] == '\0');
	}
}

/* The first byte chooses the HTTP status, the rest is the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const long statuses[] = { 200, 400, 404, 503 };
	auto_free char *body = xcalloc(size + 1, 1);
	auto_json json_t *reply = NULL;
	auto_free char *next = NULL;
	size_t next_size = 0;
	struct etcd_header header;
	struct etcd_kvs kvs = { 0 };
	char text[200] = "";
	struct err e = { 0 };
	bool flag;
	int code;

	if (size == 0)
		return 0;
	memcpy(body, data + 1, size - 1);
	code = etcd_decode_answer(statuses[data[0] % 4], body, size - 1, &reply, text,
				  sizeof(text));
	if (code != ETCD_OK) {
		FUZZ_CHECK(!reply);
		FUZZ_CHECK(memchr(text, '\0', sizeof(text)));
		return 0;
	}
	FUZZ_CHECK(json_is_object(reply));
	header = etcd_decode_header(reply);
	if (etcd_decode_range(reply, &header, &kvs, &e) < 0)
		FUZZ_CHECK(e.text[0]);
	if (etcd_decode_txn(reply, &header, &flag, &kvs, &e) < 0)
		FUZZ_CHECK(e.text[0]);
	check_kvs(&kvs);
	if (etcd_decode_next_key(reply, &next, &next_size, &e) < 0)
		FUZZ_CHECK(e.text[0] && !next);
	FUZZ_CHECK(!next || (next_size > 1 && !next[next_size - 1]));
	etcd_kvs_fini(&kvs);
	for (enum etcd_method method = 0; method < ETCD_METHODS; method++) {
		struct etcd_reply r = { 0 };

		if (etcd_decode_reply(method, reply, &r, &e) < 0)
			FUZZ_CHECK(e.text[0]);
		check_kvs(&r.kvs);
		etcd_reply_fini(&r);
	}
	return 0;
}
