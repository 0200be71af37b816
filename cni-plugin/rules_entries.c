/* SPDX-License-Identifier: Apache-2.0 */
/* The elements of one attachment, made of its record. */
#include "cni-plugin/rules_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "kernel/sysctl.h"
#include "lib/hash.h"

_Static_assert(RULESET_EXCEPT_MAX == RECORD_UNMASKED_MAX, "exceptions");

void rules_entries_fini(struct rules_entries *all)
{
	free(all->items);
}

uint64_t rules_owner_key(const char *container_id, const char *ifname)
{
	return hash_text(hash_text(HASH_FNV_INIT, container_id), ifname);
}

void rules_format_owner(const char *network, const char *container_id, const char *ifname,
			char ret[static RULES_OWNER_SIZE + 1])
{
	snprintf(ret, RULES_OWNER_SIZE + 1, "%016" PRIx64 "-%016" PRIx64,
		 hash_text(HASH_FNV_INIT, network), rules_owner_key(container_id, ifname));
}

/* First what we compare, then what a person reads, names cut as tables of containers do. */
static void format_comment(const struct record *r, char ret[static NFT_COMMENT_SIZE])
{
	char owner[RULES_OWNER_SIZE + 1];

	rules_format_owner(r->network, r->container_id, r->ifname, owner);
	snprintf(ret, NFT_COMMENT_SIZE, "%s, net: %.20s, if: %s, id: %.12s", owner, r->network,
		 r->ifname, r->container_id);
}

static struct rules_entry *append(struct rules_entries *all, const struct nft_set *set)
{
	struct rules_entry *entry;

	GROW(all->items, all->len, all->cap);
	entry = &all->items[all->len++];
	*entry = (struct rules_entry){ .set = set };
	return entry;
}

static const struct nft_set *masquerade_set(int family)
{
	return family == AF_INET ? &ruleset_masq4 : &ruleset_masq6;
}

static void collect_guard(const struct record *r, struct rules_entries *all)
{
	struct rules_entry *entry = append(all, &ruleset_ports);
	struct rules_entry *mac;

	snprintf((char *)entry->key, RULESET_IFNAME_SIZE, "%s", r->host_ifname);
	mac = append(all, &ruleset_macs);
	snprintf((char *)mac->key, RULESET_IFNAME_SIZE, "%s", r->host_ifname);
	memcpy(mac->key + RULESET_IFNAME_SIZE, r->mac.b, sizeof(r->mac.b));
}

/* Each part of a concatenation takes a multiple of 4 bytes. */
static uint8_t *put_part_of_key(uint8_t *to, const void *bytes, size_t size)
{
	memcpy(to, bytes, size);
	return to + (size + 3) / 4 * 4;
}

static void collect_mapping(const struct port_mapping *m, const struct ip_addr *container,
			    struct rules_entries *all)
{
	unsigned family = container->family == AF_INET ? 0 : 1;
	bool on_all = ports_is_on_all(m);

	for (unsigned i = 0; i < m->count; i++) {
		struct rules_entry *entry = append(all, on_all ? &ruleset_published[family]
							       : &ruleset_published_at[family]);
		uint16_t from = htons((uint16_t)(m->host_port + i));
		uint16_t to = htons((uint16_t)(m->container_port + i));
		uint8_t *at = entry->key;

		if (!on_all)
			at = put_part_of_key(at, m->host.b, ip_addr_size(&m->host));
		at = put_part_of_key(at, &m->protocol, sizeof(m->protocol));
		put_part_of_key(at, &from, sizeof(from));
		at = put_part_of_key(entry->target, container->b, ip_addr_size(container));
		put_part_of_key(at, &to, sizeof(to));
	}
}

/* The device that leads to the container. */
static const char *way_in(const struct record *r)
{
	if (r->gateway_device[0])
		return r->gateway_device;
	return r->ptp ? r->host_ifname : r->bridge;
}

/*
 * What comes from the host, and what goes back by the way it came, would be answered directly: by an
 * address that nobody has asked. So it carries the host's address.
 */
static void collect_returning(const struct record *r, const struct ip_addr *container,
			      struct rules_entries *all)
{
	const char *device = way_in(r);
	const char *from[] = { "", device };

	for (unsigned i = 0; i < ARRAY_LEN(from); i++) {
		struct rules_entry *entry =
			append(all, &ruleset_returning[container->family == AF_INET ? 0 : 1]);

		snprintf((char *)entry->key, RULESET_IFNAME_SIZE, "%s", from[i]);
		snprintf((char *)entry->key + RULESET_IFNAME_SIZE, RULESET_IFNAME_SIZE, "%s",
			 device);
		memcpy(entry->key + 2 * (size_t)RULESET_IFNAME_SIZE, container->b,
		       ip_addr_size(container));
	}
}

static const struct ip_addr *first_address(const struct record *r, int family)
{
	for (size_t i = 0; i < r->addresses_len; i++) {
		if (r->addresses[i].family == family)
			return &r->addresses[i];
	}
	return NULL;
}

void rules_entries_add_ports(const struct record *r, struct rules_entries *all)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (unsigned f = 0; f < ARRAY_LEN(families); f++) {
		const struct ip_addr *container = first_address(r, families[f]);
		bool any = false;

		for (size_t i = 0; container && i < r->ports.len; i++) {
			if (!ports_has_family(&r->ports.items[i], families[f]))
				continue;
			collect_mapping(&r->ports.items[i], container, all);
			any = true;
		}
		if (any)
			collect_returning(r, container, all);
	}
}

void rules_entries_add_keys(const struct record *r, struct rules_entries *all)
{
	for (size_t i = 0; r->masquerade && i < r->addresses_len; i++) {
		const struct ip_addr *a = &r->addresses[i];
		struct rules_entry *entry = append(all, masquerade_set(a->family));

		memcpy(entry->key, a->b, ip_addr_size(a));
	}
	if (r->mac_guard)
		collect_guard(r, all);
	rules_entries_add_ports(r, all);
}

void rules_entries_collect(const struct record *r, struct rules_entries *all)
{
	format_comment(r, all->comment);
	rules_entries_add_keys(r, all);
	all->masquerade.wanted = r->masquerade && r->addresses_len && r->unmasked_len;
	if (all->masquerade.wanted)
		ruleset_masquerade(r->unmasked, r->unmasked_len, &all->masquerade.rules);
	all->publish.wanted = r->ports.len != 0;
	if (all->publish.wanted)
		ruleset_publish(&all->publish.rules);
	all->guard.wanted = r->mac_guard || !r->ptp;
	if (all->guard.wanted)
		ruleset_guard(&all->guard.rules);
}

bool rules_is_owned(const struct nft_element *el, const char *owner)
{
	return el->comment && strncmp(el->comment, owner, RULES_OWNER_SIZE) == 0;
}

uint64_t rules_owner_of(const struct nft_element *el)
{
	const char *dash = el->comment ? strchr(el->comment, '-') : NULL;

	return dash ? strtoull(dash + 1, NULL, 16) : 0;
}

/* "8080/tcp" */
void rules_entry_format_port(const struct rules_entry *entry, char ret[static RULES_PORT_TEXT])
{
	size_t size = nft_key_size(entry->set->type);
	const uint8_t *key = entry->key;
	uint16_t port;

	memcpy(&port, key + size - 4, sizeof(port));
	snprintf(ret, RULES_PORT_TEXT, "%u/%s", ntohs(port), ports_protocol_name(key[size - 8]));
}

int rules_open_localhost(const struct record *r, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->ports.len; i++) {
		if (!ports_has_family(&r->ports.items[i], AF_INET) || !first_address(r, AF_INET))
			continue;
		rc = sysctl_set(1, e, "ipv4/conf/%s/route_localnet", way_in(r));
		break;
	}
	return rc < 0 && rc != -ENOENT ? cni_classify(e, CNI_KERNEL) : 0;
}
