/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as one netlink message: not an object, or one that survives being sent and read back. The numbers of
 * NETLINK_XFRM's messages are those of other protocols too, so each is read as both.
 */
#include "tests/fuzz/fuzz.h"

#include "kernel/counters.h"
#include "kernel/link.h"
#include "kernel/netlink.h"
#include "kernel/kinds.h"
#include "kernel/lookup.h"
#include "kernel/policy_rule.h"
#include "kernel/segment.h"

static void check_object(const struct kernel_object *o, bool v6_or_v4_only)
{
	char text[KERNEL_OBJECT_TEXT];
	char room[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)room;
	struct kernel_object back;
	bool gone;

	FUZZ_CHECK(o->key.kind < KERNEL_KINDS);
	FUZZ_CHECK(!v6_or_v4_only || o->key.len <= ip_family_bits(o->key.family));
	FUZZ_CHECK(kernel_object_format(o, text)[0]);
	kernel_kind_of(o)->encode(KERNEL_REPLACE, o, hdr);
	FUZZ_CHECK(hdr->nlmsg_len <= sizeof(room));
	FUZZ_CHECK(kernel_object_decode(hdr, &back, &gone));
	FUZZ_CHECK(!gone);
	/* What others added to an object is noticed, not written. */
	back.value.extra = o->value.extra;
	FUZZ_CHECK(memcmp(o, &back, sizeof(back)) == 0);
	kernel_kind_of(o)->encode(KERNEL_DROP, o, hdr);
	FUZZ_CHECK(kernel_object_decode(hdr, &back, &gone));
	FUZZ_CHECK(gone);
}

static void check_policy(const struct kernel_object *o, bool gone)
{
	char text[KERNEL_OBJECT_TEXT];
	char room[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)room;
	struct kernel_object back;
	bool gone_again;

	FUZZ_CHECK(o->key.kind == KERNEL_XFRM_POLICY);
	FUZZ_CHECK(kernel_object_format(o, text)[0]);
	kernel_xfrm_policy_encode(gone ? KERNEL_DROP : KERNEL_REPLACE, o, hdr);
	FUZZ_CHECK(hdr->nlmsg_len <= sizeof(room));
	FUZZ_CHECK(kernel_xfrm_policy_decode(hdr, &back, &gone_again));
	FUZZ_CHECK(gone == gone_again);
	FUZZ_CHECK(memcmp(&o->key, &back.key, sizeof(back.key)) == 0);
	/* What others added to a policy is noticed, not written. */
	FUZZ_CHECK(gone || o->value.xfrm.extra ||
		   memcmp(&o->value.xfrm, &back.value.xfrm, sizeof(back.value.xfrm)) == 0);
}

/* The same bytes as what the kernel answers to a single question. */
static void check_lookups(const struct nlmsghdr *hdr)
{
	char route_text[LOOKUP_ROUTE_TEXT];
	char neighbour_text[LOOKUP_NEIGHBOUR_TEXT];
	struct lookup_route route;
	struct lookup_neighbour neighbour;
	struct counters counters;
	struct lookup_fdb fdb;
	struct segment_neighbour segment;

	if (lookup_route_decode(hdr, &route)) {
		FUZZ_CHECK(route.dst.len <= ip_family_bits(route.dst.addr.family));
		FUZZ_CHECK(lookup_route_format(&route, route_text)[0]);
	}
	if (lookup_neighbour_decode(hdr, &neighbour))
		FUZZ_CHECK(lookup_neighbour_format(&neighbour, neighbour_text)[0]);
	FUZZ_CHECK(!lookup_fdb_decode(hdr, &fdb) || fdb.found);
	counters_decode(hdr, &counters);
	FUZZ_CHECK(!segment_neighbour_decode(hdr, &segment) || segment.bridge ||
		   ip_addr_is_set(&segment.addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The kernel pads messages to 4 bytes and says how long they are; so does this. */
	size_t len = size & ~(size_t)3;
	struct nlmsghdr *hdr;
	struct kernel_object o;
	struct policy_rule rule;
	char text[POLICY_RULE_TEXT];
	struct link_info link;
	bool gone;

	if (len < sizeof(*hdr))
		return 0;
	hdr = xmalloc(len);
	memcpy(hdr, data, len);
	hdr->nlmsg_len = (uint32_t)len;
	if (kernel_object_decode(hdr, &o, &gone))
		check_object(&o, o.key.kind != KERNEL_FDB);
	if (kernel_xfrm_policy_decode(hdr, &o, &gone))
		check_policy(&o, gone);
	if (link_decode(hdr, &link, &gone)) {
		FUZZ_CHECK(link.ifindex != 0);
		FUZZ_CHECK(memchr(link.name, '\0', sizeof(link.name)));
		FUZZ_CHECK(memchr(link.kind, '\0', sizeof(link.kind)));
	}
	check_lookups(hdr);
	if (policy_rule_decode(hdr, &rule))
		FUZZ_CHECK(policy_rule_format(&rule, text)[0]);
	free(hdr);
	return 0;
}
