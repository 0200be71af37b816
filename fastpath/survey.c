/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/survey.h"

#include <linux/if_bridge.h>
#include <stdlib.h>

#include "kernel/link.h"
#include "kernel/segment.h"

struct queue {
	uint32_t ifindex;
	char kind[16];
};

struct place {
	struct mac_addr mac;
	uint32_t port;
};

struct look {
	const struct fast_object *object;
	const struct fast_scope *scope;
	struct fast_survey *survey;
	struct link_info *links; /* by index */
	size_t links_len;
	struct queue *queues;
	size_t queues_len;
	size_t queues_cap;
	struct place *places; /* of the bridge that is looked at, by MAC */
	size_t places_len;
	size_t places_cap;
	const struct link_info *segment;
};

/* ---- addresses ---- */

struct fast_address fast_address_of(const struct ip_addr *addr)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct fast_address a;
	uint8_t bytes[16];

	if (addr->family == AF_INET) {
		memcpy(bytes, mapped, sizeof(mapped));
		memcpy(bytes + sizeof(mapped), addr->b, 4);
	} else {
		memcpy(bytes, addr->b, sizeof(bytes));
	}
	memcpy(&a, bytes, sizeof(a));
	return a;
}

struct ip_addr fast_address_to(const struct fast_address *address)
{
	uint8_t bytes[16];

	memcpy(bytes, address, sizeof(bytes));
	if (address->words[0] == 0 && address->words[1] == 0 && bytes[8] == 0 && bytes[9] == 0 &&
	    bytes[10] == 0xff && bytes[11] == 0xff)
		return ip_addr_from_bytes(AF_INET, bytes + 12);
	return ip_addr_from_bytes(AF_INET6, bytes);
}

static int by_address(const void *a, const void *b)
{
	const struct fast_found *x = a;
	const struct fast_found *y = b;

	return memcmp(&x->address, &y->address, sizeof(x->address));
}

const struct fast_found *fast_survey_find(const struct fast_survey *s,
					  const struct fast_address *address)
{
	struct fast_found key = { .address = *address };

	return s->len ? bsearch(&key, s->items, s->len, sizeof(key), by_address) : NULL;
}

/* ---- devices ---- */

static int by_index(const void *a, const void *b)
{
	const struct link_info *x = a;
	const struct link_info *y = b;

	return x->ifindex < y->ifindex ? -1 : x->ifindex > y->ifindex;
}

static const struct link_info *find_link(const struct look *l, uint32_t ifindex)
{
	struct link_info key = { .ifindex = ifindex };

	return l->links_len ? bsearch(&key, l->links, l->links_len, sizeof(key), by_index) : NULL;
}

static void on_queue(void *arg, uint32_t ifindex, const char *kind)
{
	struct look *l = arg;

	GROW(l->queues, l->queues_len, l->queues_cap);
	l->queues[l->queues_len].ifindex = ifindex;
	snprintf(l->queues[l->queues_len++].kind, sizeof(l->queues->kind), "%s", kind);
}

/* Who sees what goes by at the device; true if somebody does. tunnel: what it sends is not taken past its
 * own queues. */
static bool is_watched(const struct look *l, const struct link_info *link, bool tunnel,
		       char ret[static FAST_WHY_TEXT])
{
	if (link->xdp) {
		snprintf(ret, FAST_WHY_TEXT, "%s has a program of XDP", link->name);
		return true;
	}
	for (size_t i = 0; i < l->queues_len; i++) {
		const struct queue *q = &l->queues[i];

		if (q->ifindex != link->ifindex ||
		    (tunnel && strcmp(q->kind, "clsact") != 0 && strcmp(q->kind, "ingress") != 0))
			continue;
		snprintf(ret, FAST_WHY_TEXT, "%s has a queue of kind %s", link->name, q->kind);
		return true;
	}
	if (fast_object_strangers(l->object, link->ifindex)) {
		snprintf(ret, FAST_WHY_TEXT, "%s has a program at tcx that is not ours",
			 link->name);
		return true;
	}
	return false;
}

/* ---- containers ---- */

static int by_mac(const void *a, const void *b)
{
	const struct place *x = a;
	const struct place *y = b;

	return memcmp(&x->mac, &y->mac, sizeof(x->mac));
}

static void on_port(void *arg, const struct mac_addr *mac, uint32_t port)
{
	struct look *l = arg;

	GROW(l->places, l->places_len, l->places_cap);
	l->places[l->places_len++] = (struct place){ *mac, port };
}

static bool is_own(const struct fast_scope *scope, const struct ip_addr *addr)
{
	const struct ip_net *own = &scope->own[addr->family == AF_INET ? 0 : 1];

	return ip_net_is_set(own) && ip_net_contains(own, addr);
}

/* Our end of the link of who has this MAC address; NULL: no container, or not one to be shortened to. */
static const struct link_info *find_end(const struct look *l, const struct mac_addr *mac)
{
	bool bridge = strcmp(l->segment->kind, "bridge") == 0;
	struct place key = { .mac = *mac };
	const struct place *place;
	const struct link_info *link;

	if (!bridge)
		return NULL;
	place = l->places_len ? bsearch(&key, l->places, l->places_len, sizeof(key), by_mac) : NULL;
	link = place ? find_link(l, place->port) : NULL;
	if (!link || strcmp(link->kind, "veth") != 0 || !link->peer_elsewhere || !link->up ||
	    !link->running || link->master_ifindex != l->segment->ifindex ||
	    link->port_state != BR_STATE_FORWARDING || link->port_confined)
		return NULL;
	return link;
}

static void on_neighbour(void *arg, const struct ip_addr *addr, const struct mac_addr *mac)
{
	struct look *l = arg;
	struct fast_survey *s = l->survey;
	const struct link_info *link;
	struct fast_found *found;

	if (!is_own(l->scope, addr) || s->len == FAST_CONTAINERS_MAX)
		return;
	link = find_end(l, mac);
	if (!link)
		return;
	if (is_watched(l, link, false, s->refused_why)) {
		s->refused++;
		return;
	}
	GROW(s->items, s->len, s->cap);
	found = &s->items[s->len++];
	*found = (struct fast_found){ .address = fast_address_of(addr),
				      .addr = *addr,
				      .container = { .ifindex = link->ifindex,
						     .segment = l->segment->ifindex,
						     .mtu_bytes = link->mtu_bytes } };
	memcpy(found->container.mac, mac->b, sizeof(found->container.mac));
	memcpy(found->container.gateway, l->segment->mac.b, sizeof(found->container.gateway));
}

static int take_segment(struct look *l, struct netlink *nl, uint32_t ifindex, struct err *e)
{
	struct fast_survey *s = l->survey;

	l->segment = find_link(l, ifindex);
	/* A bridge that tells VLANs apart may have reasons to hand a packet on to some ports only. */
	if (!l->segment || !l->segment->up || strcmp(l->segment->kind, "bridge") != 0)
		return 0;
	if (l->segment->vlans) {
		snprintf(s->refused_why, FAST_WHY_TEXT, "%s tells VLANs apart", l->segment->name);
		s->refused++;
		return 0;
	}
	if (is_watched(l, l->segment, false, s->refused_why)) {
		s->refused++;
		return 0;
	}
	l->places_len = 0;
	if (segment_ports_visit(nl, ifindex, on_port, l, e) < 0)
		return e->code;
	if (l->places_len)
		qsort(l->places, l->places_len, sizeof(*l->places), by_mac);
	return segment_neighbours_visit(nl, ifindex, on_neighbour, l, e);
}

/* ---- the whole ---- */

static int take(struct look *l, struct netlink *nl, const struct fast_devices *devices,
		struct err *e)
{
	if (link_list(nl, &l->links, &l->links_len, e) < 0 ||
	    segment_queues_visit(nl, on_queue, l, e) < 0)
		return e->code;
	if (l->links_len)
		qsort(l->links, l->links_len, sizeof(*l->links), by_index);
	for (size_t i = 0; i < devices->tunnels_len; i++) {
		const struct link_info *link = find_link(l, devices->tunnels[i]);

		if (link && is_watched(l, link, true, l->survey->tunnel_why))
			return 0;
	}
	for (size_t i = 0; i < devices->segments_len; i++) {
		if (take_segment(l, nl, devices->segments[i], e) < 0)
			return e->code;
	}
	return 0;
}

/* An address that is seen twice, behind two bridges, is nobody's. */
static void drop_twins(struct fast_survey *s)
{
	size_t len = 0;

	for (size_t i = 0, next; i < s->len; i = next) {
		for (next = i + 1; next < s->len && by_address(&s->items[i], &s->items[next]) == 0;)
			next++;
		if (next == i + 1)
			s->items[len++] = s->items[i];
	}
	s->len = len;
}

int fast_survey_take(struct netlink *nl, const struct fast_object *o,
		     const struct fast_scope *scope, const struct fast_devices *devices,
		     struct fast_survey *ret, struct err *e)
{
	struct look l = { .object = o, .scope = scope, .survey = ret };
	int rc;

	*ret = (struct fast_survey){ 0 };
	rc = take(&l, nl, devices, e);
	if (ret->len)
		qsort(ret->items, ret->len, sizeof(*ret->items), by_address);
	drop_twins(ret);
	free(l.links);
	free(l.queues);
	free(l.places);
	return rc;
}

void fast_survey_fini(struct fast_survey *s)
{
	free(s->items);
	*s = (struct fast_survey){ 0 };
}

bool fast_survey_is_outdated(const struct fast_survey *s, const struct fast_object *o,
			     const struct fast_devices *devices)
{
	for (size_t i = 0; i < devices->tunnels_len; i++) {
		if (fast_object_strangers(o, devices->tunnels[i]))
			return true;
	}
	for (size_t i = 0; i < devices->segments_len; i++) {
		if (fast_object_strangers(o, devices->segments[i]))
			return true;
	}
	for (size_t i = 0; i < s->len; i++) {
		if (fast_object_strangers(o, s->items[i].container.ifindex))
			return true;
	}
	return false;
}
