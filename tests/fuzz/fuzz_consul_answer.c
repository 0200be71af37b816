/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an answer of Consul's, read as the reply to every kind of request. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "stores/consul/consul_answer.h"

static void check_list(const char *text, size_t size)
{
	struct consul_list list;
	struct consul_list again;
	struct consul_diff diff;
	struct err e = { 0 };

	if (consul_list_read(text, size, NULL, &list, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		consul_list_fini(&list);
		return;
	}
	for (size_t i = 0; i < list.len; i++) {
		const struct consul_entry *entry = &list.items[i];
		struct consul_kv kv = { 0 };

		FUZZ_CHECK(i == 0 || strcmp(list.items[i - 1].key, entry->key) < 0);
		FUZZ_CHECK(entry->text >= text && entry->text + entry->size <= text + size);
		FUZZ_CHECK(entry->modify_index > 0);
		if (consul_kv_read(entry->text, entry->size, true, &kv, &e) == 0) {
			FUZZ_CHECK(strcmp(kv.key, entry->key) == 0);
			FUZZ_CHECK(kv.value && kv.value[kv.value_size] == '\0');
		}
		consul_kv_fini(&kv);
	}
	/* The same again, of which all is known. */
	FUZZ_CHECK(consul_list_read(text, size, &list, &again, &e) == 0);
	FUZZ_CHECK(again.len == list.len && again.unreadable == list.unreadable);
	consul_diff_make(&list, &again, &diff);
	FUZZ_CHECK(diff.changed_len + diff.gone_len == 0);
	consul_diff_fini(&diff);
	consul_diff_make(&(struct consul_list){ 0 }, &list, &diff);
	FUZZ_CHECK(diff.changed_len == list.len && diff.gone_len == 0);
	for (size_t i = 1; i < diff.changed_len; i++)
		FUZZ_CHECK(diff.changed[i - 1]->modify_index <= diff.changed[i]->modify_index);
	consul_diff_fini(&diff);
	consul_list_fini(&again);
	consul_list_fini(&list);
}

/* The first byte chooses the HTTP status, the rest is the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const long statuses[] = { 200, 403, 404, 409, 500 };
	auto_free char *body = xcalloc(size + 1, 1);
	char text[CONSUL_TEXT_MAX] = "";
	char id[CONSUL_SESSION_TEXT];
	struct consul_kv kv = { 0 };
	enum consul_outcome outcome;
	int64_t ttl_s = -1;
	struct err e = { 0 };
	u128 session = 0;
	u128 again = 0;

	if (size == 0)
		return 0;
	memcpy(body, data + 1, --size);
	outcome = consul_outcome_of(statuses[data[0] % 5], body, size, text);
	FUZZ_CHECK((outcome == CONSUL_OK) == (text[0] == '\0'));
	FUZZ_CHECK(memchr(text, '\0', sizeof(text)));
	check_list(body, size);
	if (consul_session_read(body, size, &session, &e) == 0) {
		FUZZ_CHECK(session);
		FUZZ_CHECK(consul_session_parse(consul_session_format(session, id), &again, NULL) ==
			   0);
		FUZZ_CHECK(again == session);
	}
	if (consul_renewal_read(body, size, &ttl_s, &e) == 0)
		FUZZ_CHECK(ttl_s >= 0);
	if (consul_txn_read(body, size, &kv, &e) == 0)
		FUZZ_CHECK(kv.key && kv.modify_index && !kv.value);
	consul_kv_fini(&kv);
	consul_index_of(body);
	return 0;
}
