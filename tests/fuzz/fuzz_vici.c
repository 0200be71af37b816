/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what charon sends. What is shown is well formed, and lies in the input; so is what it says of tunnels. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "backends/ipsec_internal.h"
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

static struct ip_net net(uint8_t third)
{
	return (struct ip_net){ { AF_INET, { 10, 5, third, 0 } }, 24 };
}

static struct ip_addr host(uint8_t last)
{
	return (struct ip_addr){ AF_INET, { 192, 0, 2, last } };
}

static void begin_again(void *arg, const struct ipsec_tunnel *t UNUSED)
{
	++*(unsigned *)arg;
}

/* Two of them, on a host that is 192.0.2.1 and has 10.5.1.0/24. */
static struct ipsec_tunnels some_tunnels(void)
{
	struct ipsec_tunnels ts = { .ours = { net(1), host(1) } };

	for (uint8_t i = 2; i < 4; i++)
		ipsec_tunnels_add(&ts, &(struct ip_net){ net(i).addr, 24 },
				  &(struct ip_addr){ AF_INET, { 192, 0, 2, i } });
	return ts;
}

static void check_tunnels(struct ipsec_tunnels *ts)
{
	const struct ipsec_tunnel *t = NULL;
	unsigned begun = 0;

	ipsec_tunnels_judge(ts, begin_again, &begun);
	FUZZ_CHECK(begun <= 2 && strlen(ts->lacks) < sizeof(ts->lacks));
	while ((t = ipsec_tunnels_next(ts, t)))
		FUZZ_CHECK(!t->is_up || !*ipsec_tunnel_reason(t));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free uint8_t *copy = xmalloc(size + 1);
	struct ipsec_tunnels tunnels = some_tunnels();
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
		ipsec_tunnels_look(&tunnels);
		ipsec_tunnels_log(&tunnels, p.data, p.size);
		FUZZ_CHECK(ipsec_tunnels_show(&tunnels, p.data, p.size) == 0);
		check_tunnels(&tunnels);
		at += (size_t)n;
	}
	ipsec_tunnels_fini(&tunnels);
	return 0;
}
