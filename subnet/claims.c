/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/claims.h"

static unsigned *lens(struct claims *c, const struct ip_net *net)
{
	return c->lens[net->addr.family == AF_INET ? 0 : 1];
}

static uint64_t hash(const struct ip_net *net)
{
	return hash_bytes(net, sizeof(*net));
}

static struct claim *claim_of(const struct hash_link *link)
{
	return CONTAINER_OF(link, struct claim, link);
}

static uint64_t hash_of(const struct hash_link *link)
{
	return hash(&claim_of(link)->net);
}

void claims_add(struct claims *c, struct claim *claim, const struct ip_net *net, void *owner)
{
	memset(claim, 0, sizeof(*claim));
	if (!ip_net_is_set(net))
		return;
	claim->net = *net;
	claim->owner = owner;
	lens(c, net)[net->len]++;
	hash_table_add(&c->by_net, &claim->link, hash_of);
}

void claims_remove(struct claims *c, struct claim *claim)
{
	if (!ip_net_is_set(&claim->net))
		return;
	lens(c, &claim->net)[claim->net.len]--;
	hash_table_remove(&c->by_net, &claim->link, hash_of);
	memset(claim, 0, sizeof(*claim));
}

static void show_equal(const struct claims *c, const struct ip_net *net,
		       void (*visit)(void *arg, void *owner), void *arg)
{
	for (struct hash_link *l = hash_table_first(&c->by_net, hash(net)); l; l = l->next) {
		if (ip_net_equal(&claim_of(l)->net, net))
			visit(arg, claim_of(l)->owner);
	}
}

void claims_overlapping(const struct claims *c, const struct ip_net *net,
			void (*visit)(void *arg, void *owner), void *arg)
{
	const unsigned *used = c->lens[net->addr.family == AF_INET ? 0 : 1];
	struct hash_link *l = NULL;
	bool longer = false;

	if (!ip_net_is_set(net))
		return;
	for (unsigned len = 0; len <= ip_family_bits(net->addr.family); len++) {
		struct ip_net around = { net->addr, (uint8_t)len };

		if (!used[len])
			continue;
		longer |= len > net->len;
		around = ip_net_masked(&around);
		if (len <= net->len)
			show_equal(c, &around, visit, arg);
	}
	while (longer && (l = hash_table_next(&c->by_net, l, hash_of))) {
		const struct claim *claim = claim_of(l);

		if (claim->net.len > net->len && ip_net_overlaps(&claim->net, net))
			visit(arg, claim->owner);
	}
}
