/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the file of the last known state: refused, or a state that survives being written
 * and read again.
 */
#include "tests/fuzz/fuzz.h"

#include "subnet/last_known.h"

static void check_again(const struct last_known *k)
{
	auto_free char *text = last_known_format(k);
	struct last_known again;
	struct err e = { 0 };

	if (last_known_parse(text, strlen(text), &again, &e) < 0) {
		fprintf(stderr, "%s\n%s\n", e.text, text);
		abort();
	}
	FUZZ_CHECK(strcmp(k->network, again.network) == 0);
	FUZZ_CHECK(strcmp(k->config, again.config) == 0);
	FUZZ_CHECK(!k->own == !again.own);
	FUZZ_CHECK(!k->own || lease_equal(k->own, again.own));
	FUZZ_CHECK(k->expires_wall_s == again.expires_wall_s);
	FUZZ_CHECK(k->peers_len == again.peers_len);
	for (size_t i = 0; i < k->peers_len; i++)
		FUZZ_CHECK(lease_equal(k->peers[i], again.peers[i]));
	last_known_fini(&again);
}

/* A name without an id is not written. */
static void drop_bare_name(struct lease *l)
{
	if (!l || l->node_id)
		return;
	/* In a compact lease the texts are part of its block. */
	if (!l->compact)
		free(l->node_name);
	l->node_name = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct last_known k = { 0 };
	struct last_known head;
	struct err e = { 0 };

	if (last_known_parse((const char *)data, size, &k, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		FUZZ_CHECK(!k.network && !k.own && !k.peers);
		return 0;
	}
	FUZZ_CHECK(last_known_parse_head((const char *)data, size, &head, &e) == 0);
	FUZZ_CHECK(head.peers_left == k.peers_len && !head.own == !k.own);
	last_known_fini(&head);
	drop_bare_name(k.own);
	for (size_t i = 0; i < k.peers_len; i++)
		drop_bare_name(k.peers[i]);
	check_again(&k);
	last_known_fini(&k);
	return 0;
}
