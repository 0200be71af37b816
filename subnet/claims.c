/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/claims.h"

static unsigned *lens(struct claims *c, const struct ip_net *net)
{
	return c->lens[net->addr.family == AF_INET ? 0 : 1];
}

static struct claim *find(const struct claims *c, const struct ip_net *net)
{
	struct claim *claim;

	HASH_FIND(hh, c->by_net, net, sizeof(*net), claim);
	return claim;
}

void claims_add(struct claims *c, struct claim *claim, const struct ip_net *net, void *owner)
{
	struct claim *first;

	memset(claim, 0, sizeof(*claim));
	if (!ip_net_is_set(net))
		return;
	claim->net = *net;
	claim->owner = owner;
	lens(c, net)[net->len]++;
	first = find(c, net);
	if (first) {
		claim->next = first->next;
		first->next = claim;
	} else {
		HASH_ADD(hh, c->by_net, net, sizeof(claim->net), claim);
	}
}

void claims_remove(struct claims *c, struct claim *claim)
{
	struct claim *first;

	if (!ip_net_is_set(&claim->net))
		return;
	lens(c, &claim->net)[claim->net.len]--;
	first = find(c, &claim->net);
	if (first == claim) {
		HASH_DEL(c->by_net, claim);
		first = claim->next;
		if (first)
			HASH_ADD(hh, c->by_net, net, sizeof(first->net), first);
	} else {
		while (first->next != claim)
			first = first->next;
		first->next = claim->next;
	}
	memset(claim, 0, sizeof(*claim));
}

static void show(const struct claim *claim, void (*visit)(void *arg, void *owner), void *arg)
{
	for (; claim; claim = claim->next)
		visit(arg, claim->owner);
}

void claims_overlapping(const struct claims *c, const struct ip_net *net,
			void (*visit)(void *arg, void *owner), void *arg)
{
	const unsigned *used = c->lens[net->addr.family == AF_INET ? 0 : 1];
	const struct claim *claim;
	const struct claim *tmp;
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
			show(find(c, &around), visit, arg);
	}
	if (!longer)
		return;
	HASH_ITER (hh, c->by_net, claim, tmp) {
		if (claim->net.len > net->len && ip_net_overlaps(&claim->net, net))
			show(claim, visit, arg);
	}
}
