/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two hosts that publish one address: a copied image, an address given twice. Packets for both reach one of
 * them, so who is neither says it too. All leases are compared, some time after one has changed.
 */
#include "subnet/manager_internal.h"

#define COMPARE_MS 1000 /* who changes all at once is compared once */

struct published {
	const struct ip_addr *address;
	const struct lease *lease;
};

static int by_address(const void *a, const void *b)
{
	const struct published *x = a;
	const struct published *y = b;
	int order = memcmp(x->address, y->address, sizeof(*x->address));

	return order ? order
		     : memcmp(&x->lease->subnet, &y->lease->subnet, sizeof(x->lease->subnet));
}

/* Of what may have a host now; our own address is a matter of its own (twins). */
static size_t collect(const struct manager *m, bool v6, struct published *ret)
{
	const struct manager_member *member = NULL;
	size_t len = 0;

	while ((member = manager_next(&m->members, member))) {
		const struct lease *l = member->lease;
		const struct ip_addr *address = v6 ? &l->public_v6 : &l->public_v4;

		if (!member->own && !member->kept_until_ms && !l->problem &&
		    (l->node_id || !lease_is_reservation(l)) && ip_addr_is_set(address))
			ret[len++] = (struct published){ address, l };
	}
	return len;
}

static void describe(struct manager *m, const struct published *x, const struct published *y)
{
	const struct lease *a = x->lease;
	const struct lease *b = y->lease;
	char subnet_a[SUBNET_KEY_TEXT];
	char subnet_b[SUBNET_KEY_TEXT];
	char address[IP_ADDR_TEXT];

	if (m->shared++ > 0)
		return;
	subnet_format(&a->subnet, subnet_a);
	subnet_format(&b->subnet, subnet_b);
	snprintf(m->shared_text, sizeof(m->shared_text),
		 "%s, the lease of %s, and %s, the lease of %s, publish one address, %s; packets "
		 "for "
		 "both go to whoever has it",
		 subnet_a, a->node_name ? a->node_name : "a host without a name", subnet_b,
		 b->node_name ? b->node_name : "a host without a name",
		 ip_addr_format(x->address, address));
}

static void compare(struct manager *m, bool v6, struct published *all)
{
	size_t len = collect(m, v6, all);

	if (len > 1)
		qsort(all, len, sizeof(*all), by_address);
	for (size_t i = 1; i < len; i++) {
		const struct published *a = &all[i - 1];
		const struct published *b = &all[i];

		/* What a host has left over it removes itself. */
		if (ip_addr_equal(a->address, b->address) &&
		    !manager_same_text(a->lease->node_id, b->lease->node_id))
			describe(m, a, b);
	}
}

void manager_compare_addresses(struct manager *m)
{
	auto_free struct published *all = xmalloc((m->members.len + 1) * sizeof(*all));

	m->addresses_changed = false;
	m->addresses_at = INT64_MAX;
	m->shared = 0;
	compare(m, false, all);
	compare(m, true, all);
}

void manager_await_addresses(struct manager *m, int64_t now_ms)
{
	if (!m->addresses_changed || m->addresses_at != INT64_MAX)
		return;
	if (m->shared == 0 && m->members.len < (m->own ? 3 : 2))
		return;
	m->addresses_at = now_ms + COMPARE_MS;
}
