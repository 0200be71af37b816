/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what charon sends. What is shown is well formed, and lies in the input. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "lib/vici.h"

struct seen {
	const uint8_t *from;
	const uint8_t *to;
	unsigned open;
	bool in_list;
};

static void check_text(const struct seen *s, const struct vici_text *t)
{
	const uint8_t *data = (const uint8_t *)t->data;

	FUZZ_CHECK(!data || (data >= s->from && data + t->size <= s->to));
}

static void visit(void *arg, enum vici_element element, unsigned depth,
		  const struct vici_text *name, const struct vici_text *value)
{
	struct seen *s = arg;
	char text[20];

	check_text(s, name);
	check_text(s, value);
	vici_text_copy(value, text, sizeof(text));
	FUZZ_CHECK(strlen(text) < sizeof(text));
	if (element == VICI_SECTION_END)
		s->open--;
	FUZZ_CHECK(depth == s->open && depth <= VICI_DEPTH_MAX);
	if (element == VICI_SECTION)
		s->open++;
	FUZZ_CHECK((element == VICI_ITEM || element == VICI_LIST_END) == s->in_list);
	s->in_list = element == VICI_LIST || element == VICI_ITEM;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free uint8_t *copy = xmalloc(size + 1);
	struct vici_packet p;
	size_t at = 0;
	struct err e;
	ssize_t n;

	/* Without room behind it. */
	memcpy(copy, data, size);
	copy = xrealloc(copy, size ? size : 1);
	while (at < size) {
		n = vici_packet_read(copy + at, size - at, &p, &e);
		FUZZ_CHECK(n >= 0 || (e.code == n && *e.text));
		if (n <= 0)
			break;
		FUZZ_CHECK((size_t)n <= size - at);
		struct seen s = { .from = p.data, .to = p.data + p.size };

		FUZZ_CHECK(vici_walk(p.data, p.size, visit, &s, NULL) == 0);
		FUZZ_CHECK(s.open == 0 && !s.in_list);
		vici_find(p.data, p.size, "success");
		at += (size_t)n;
	}
	return 0;
}
