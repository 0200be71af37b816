/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/rules.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/ruleset.h"
#include "lib/hash.h"
#include "lib/log.h"

#define ATTEMPTS     6
#define ELEMENTS_MAX (RECORD_ADDRESSES_MAX + 2) /* one per address, port, port and MAC */
#define EXCEPT_MAX   (FABRIC_NETWORKS_MAX + RECORD_ADDRESSES_MAX)
#define OWNER_SIZE   33 /* "<network>-<owner>" in hex digits, which every comment begins with */

/* An element and the set that it belongs to. */
struct entry {
	const struct nft_set *set;
	struct nft_element element;
	bool exists; /* somebody has the key */
};

struct entries {
	struct entry items[ELEMENTS_MAX];
	size_t len;
	struct ip_net except[EXCEPT_MAX];
	size_t except_len;
	bool masquerade;
	bool guard;
};

uint64_t rules_owner_key(const char *container_id, const char *ifname)
{
	return hash_text(hash_text(HASH_FNV_INIT, container_id), ifname);
}

static void format_owner(const char *network, const char *container_id, const char *ifname,
			 char ret[static OWNER_SIZE + 1])
{
	snprintf(ret, OWNER_SIZE + 1, "%016" PRIx64 "-%016" PRIx64,
		 hash_text(HASH_FNV_INIT, network), rules_owner_key(container_id, ifname));
}

/* First what we compare, then what a person reads, names cut as tables of containers do. */
static void format_comment(const struct record *r, char ret[static NFT_COMMENT_SIZE])
{
	char owner[OWNER_SIZE + 1];

	format_owner(r->network, r->container_id, r->ifname, owner);
	snprintf(ret, NFT_COMMENT_SIZE, "%s, net: %.20s, if: %s, id: %.12s", owner, r->network,
		 r->ifname, r->container_id);
}

static bool is_owned(const struct nft_element *el, const char *owner)
{
	return strncmp(el->comment, owner, OWNER_SIZE) == 0;
}

static struct entry *append(struct entries *all, const struct nft_set *set, const char *comment)
{
	struct entry *entry = &all->items[all->len++];

	memset(entry, 0, sizeof(*entry));
	entry->set = set;
	snprintf(entry->element.comment, sizeof(entry->element.comment), "%s", comment);
	return entry;
}

static const struct nft_set *masquerade_set(int family)
{
	return family == AF_INET ? &ruleset_masq4 : &ruleset_masq6;
}

static void append_except(struct entries *all, const struct ip_net *net)
{
	struct ip_net masked = ip_net_masked(net);

	for (size_t i = 0; i < all->except_len; i++) {
		if (ip_net_equal(&all->except[i], &masked))
			return;
	}
	if (all->except_len < EXCEPT_MAX)
		all->except[all->except_len++] = masked;
}

/*
 * Not masqueraded is what stays in the container's subnet, and what goes to the overlay's other
 * hosts: they know the way back, and policies there want to see the container's own address.
 */
static void collect_masquerade(const struct rules *r, const char *comment, struct entries *all)
{
	char chain[NFT_NAME_SIZE];

	for (size_t i = 0; i < r->ipam->addresses_len; i++)
		append_except(all, &r->ipam->addresses[i].net);
	for (size_t i = 0; i < r->config->unmasked_len; i++)
		append_except(all, &r->config->unmasked[i]);
	ruleset_masquerade_name(all->except, all->except_len, chain);
	for (size_t i = 0; i < r->ipam->addresses_len && i < RECORD_ADDRESSES_MAX; i++) {
		const struct ip_addr *a = &r->ipam->addresses[i].net.addr;
		struct entry *entry = append(all, masquerade_set(a->family), comment);

		memcpy(entry->element.key, a->b, ip_addr_size(a));
		snprintf(entry->element.chain, sizeof(entry->element.chain), "%s", chain);
		all->masquerade = true;
	}
}

static void collect_guard(const struct record *r, const char *comment, struct entries *all)
{
	struct entry *port = append(all, &ruleset_ports, comment);
	struct entry *mac = append(all, &ruleset_macs, comment);

	snprintf((char *)port->element.key, RULESET_IFNAME_SIZE, "%s", r->host_ifname);
	snprintf((char *)mac->element.key, RULESET_IFNAME_SIZE, "%s", r->host_ifname);
	memcpy(mac->element.key + RULESET_IFNAME_SIZE, r->mac.b, sizeof(r->mac.b));
	all->guard = true;
}

/* The keys that a record stands for. */
static void collect_keys(const struct record *r, struct entries *all)
{
	for (size_t i = 0; r->masquerade && i < r->addresses_len; i++) {
		const struct ip_addr *a = &r->addresses[i];
		struct entry *entry = append(all, masquerade_set(a->family), "");

		memcpy(entry->element.key, a->b, ip_addr_size(a));
	}
	if (r->mac_guard)
		collect_guard(r, "", all);
}

static bool is_missing(int rc)
{
	return rc == -ENOENT;
}

/* Is the chain as we made it? */
static int check_chain(struct netlink *nl, const struct nft_chain *chain, size_t expected,
		       bool *ret_whole, struct err *e)
{
	size_t len = 0;
	int rc = nft_count_rules(nl, chain, &len, e);

	*ret_whole = len == expected;
	return rc;
}

static int check_masquerade_chains(struct netlink *nl, const char *name, size_t except_len,
				   bool *ret_whole, struct err *e)
{
	const struct nft_chain chain = ruleset_masquerade_chain(name);
	int rc = check_chain(nl, &ruleset_postrouting_chain, RULESET_POSTROUTING_RULES, ret_whole,
			     e);

	if (rc == 0 && *ret_whole)
		rc = check_chain(nl, &chain, except_len + RULESET_MASQUERADE_RULES, ret_whole, e);
	return rc;
}

/* What of the static rules is not as it should be, and which keys somebody has already. */
static int look(struct netlink *nl, struct entries *all, bool *ret_masquerade, bool *ret_guard,
		struct err *e)
{
	char name[NFT_NAME_SIZE];
	struct nft_element found;

	ruleset_masquerade_name(all->except, all->except_len, name);
	if (all->masquerade &&
	    check_masquerade_chains(nl, name, all->except_len, ret_masquerade, e) < 0)
		return e->code;
	if (all->guard &&
	    check_chain(nl, &ruleset_guard_chain, RULESET_GUARD_RULES, ret_guard, e) < 0)
		return e->code;
	for (size_t i = 0; i < all->len; i++) {
		struct entry *entry = &all->items[i];

		entry->exists =
			nft_get_element(nl, entry->set, entry->element.key, &found, NULL) == 0;
	}
	return 0;
}

/* One transaction. Between looking and acting others may act too; then once more. */
static int install(struct netlink *nl, struct entries *all, struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	int rc = 0;

	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		bool has_masquerade = true;
		bool has_guard = true;

		rc = look(nl, all, &has_masquerade, &has_guard, e);
		if (rc < 0 || (!all->len && has_guard))
			return rc;
		nft_begin(s);
		if (!has_masquerade)
			ruleset_add_masquerade(s, all->except, all->except_len);
		if (!has_guard)
			ruleset_add_guard(s);
		for (size_t i = 0; i < all->len; i++) {
			struct entry *entry = &all->items[i];

			if (entry->exists)
				nft_delete_element(s, entry->set, &entry->element);
			nft_add_element(s, entry->set, &entry->element);
		}
		nft_end(s);
		rc = sequence_run(s, nl, e);
		if (rc != -EEXIST && !is_missing(rc))
			return rc;
	}
	return rc;
}

int rules_install(struct host *h, const struct rules *r, struct err *e)
{
	struct entries all = { 0 };
	char comment[NFT_COMMENT_SIZE];
	bool wanted_guard;
	int rc;

	if (!r->record->masquerade && r->record->ptp)
		return 0;
	if (host_open_nf(h, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	format_comment(r->record, comment);
	if (r->record->masquerade)
		collect_masquerade(r, comment, &all);
	if (r->record->mac_guard)
		collect_guard(r->record, comment, &all);
	wanted_guard = all.guard;
	all.guard |= !r->record->ptp;
	rc = install(h->nf, &all, e);
	/*
	 * A kernel without nftables on bridges has to do without the guard, unless it is asked for.
	 */
	if (rc < 0 && all.guard && !wanted_guard) {
		log_warn("guard-unavailable", "%s: containers may send router advertisements: %s",
			 r->record->bridge, e->text);
		all.guard = false;
		rc = install(h->nf, &all, e);
	}
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

/* The rules that an element counts on. */
static int check_static(struct netlink *nl, const struct nft_element *el, const struct nft_set *set,
			bool *ret_whole, struct err *e)
{
	const struct nft_chain chain = ruleset_masquerade_chain(el->chain);
	size_t len = 0;
	int rc;

	if (!set->verdicts)
		return check_chain(nl, &ruleset_guard_chain, RULESET_GUARD_RULES, ret_whole, e);
	rc = check_chain(nl, &ruleset_postrouting_chain, RULESET_POSTROUTING_RULES, ret_whole, e);
	if (rc == 0 && *ret_whole) {
		/* The exceptions that there were at ADD are not known any more, the rest is. */
		rc = nft_count_rules(nl, &chain, &len, e);
		*ret_whole = len > RULESET_MASQUERADE_RULES;
	}
	return rc;
}

int rules_check(struct host *h, const struct rules *r, struct err *e)
{
	struct entries all = { 0 };
	char owner[OWNER_SIZE + 1];

	collect_keys(r->record, &all);
	if (all.len == 0)
		return 0;
	if (host_open_nf(h, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	format_owner(r->record->network, r->record->container_id, r->record->ifname, owner);
	for (size_t i = 0; i < all.len; i++) {
		struct entry *entry = &all.items[i];
		struct nft_element found;
		bool whole = true;
		int rc = nft_get_element(h->nf, entry->set, entry->element.key, &found, e);

		if (is_missing(rc) || (rc == 0 && !is_owned(&found, owner)))
			return cni_error(e, CNI_MISMATCH,
					 "a traffic rule of the container is missing: no element "
					 "in nftables set %s",
					 entry->set->name);
		if (rc == 0)
			rc = check_static(h->nf, &found, entry->set, &whole, e);
		if (rc < 0)
			return cni_classify(e, CNI_KERNEL);
		if (!whole)
			return cni_error(e, CNI_MISMATCH,
					 "the traffic rules of all containers were changed");
	}
	return 0;
}

/* Removes the entries that exist, all at once. Others may come and go meanwhile; then once more. */
static int remove_owned(struct netlink *nl, struct entries *all, const char *owner, struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	int rc = 0;

	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		size_t found_len = 0;

		nft_begin(s);
		for (size_t i = 0; i < all->len; i++) {
			struct entry *entry = &all->items[i];
			struct nft_element found;

			rc = nft_get_element(nl, entry->set, entry->element.key, &found, e);
			if (rc < 0 && !is_missing(rc))
				return rc;
			if (rc < 0 || !is_owned(&found, owner))
				continue;
			nft_delete_element(s, entry->set, &entry->element);
			found_len++;
		}
		nft_end(s);
		rc = found_len ? sequence_run(s, nl, e) : 0;
		if (!is_missing(rc))
			break;
	}
	return rc;
}

int rules_remove(struct host *h, const struct record *r, struct err *e)
{
	struct entries all = { 0 };
	char owner[OWNER_SIZE + 1];

	collect_keys(r, &all);
	if (all.len == 0)
		return 0;
	format_owner(r->network, r->container_id, r->ifname, owner);
	if (host_open_nf(h, e) < 0 || remove_owned(h->nf, &all, owner, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	return 0;
}

/* Elements that a walk through a set decided to remove. */
struct sweep {
	const struct nft_set *set;
	const char *prefix;
	size_t prefix_size;
	bool (*keep)(void *arg, uint64_t owner);
	void *arg;
	struct entry *items;
	size_t len;
	size_t cap;
};

static void collect_unwanted(void *arg, const struct nft_element *el)
{
	struct sweep *sweep = arg;
	char *end;
	uint64_t owner;

	if (strncmp(el->comment, sweep->prefix, sweep->prefix_size) != 0)
		return;
	if (sweep->keep) {
		owner = strtoull(el->comment + sweep->prefix_size, &end, 16);
		if (end != el->comment + OWNER_SIZE || sweep->keep(sweep->arg, owner))
			return;
	}
	GROW(sweep->items, sweep->len, sweep->cap);
	sweep->items[sweep->len++] = (struct entry){ .set = sweep->set, .element = *el };
}

static int sweep_sets(struct host *h, struct sweep *sweep, struct err *e)
{
	static const struct nft_set *const sets[] = { &ruleset_masq4, &ruleset_masq6,
						      &ruleset_ports, &ruleset_macs };
	auto_sequence struct sequence *s = sequence_new();
	int rc = host_open_nf(h, e);

	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(sets); i++) {
		sweep->set = sets[i];
		rc = nft_list_elements(h->nf, sets[i], collect_unwanted, sweep, e);
		if (is_missing(rc))
			rc = 0;
	}
	for (size_t i = 0; rc == 0 && i < sweep->len; i++) {
		struct entry *entry = &sweep->items[i];

		nft_begin(s);
		nft_delete_element(s, entry->set, &entry->element);
		nft_end(s);
		rc = sequence_run(s, h->nf, e);
		if (is_missing(rc))
			rc = 0;
	}
	/* A kernel without nftables has no rules of ours. */
	if (rc == -EOPNOTSUPP || rc == -EPROTONOSUPPORT || rc == -EINVAL)
		rc = 0;
	free(sweep->items);
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

int rules_remove_owner(struct host *h, const char *network, const char *container_id,
		       const char *ifname, struct err *e)
{
	char owner[OWNER_SIZE + 1];
	struct sweep sweep = { .prefix = owner, .prefix_size = OWNER_SIZE };

	format_owner(network, container_id, ifname, owner);
	return sweep_sets(h, &sweep, e);
}

int rules_remove_others(struct host *h, const char *network,
			bool (*keep)(void *arg, uint64_t owner), void *arg, struct err *e)
{
	char owner[OWNER_SIZE + 1];
	struct sweep sweep = { .prefix = owner,
			       .prefix_size = OWNER_SIZE / 2 + 1, /* the network and the dash */
			       .keep = keep,
			       .arg = arg };

	format_owner(network, "", "", owner);
	return sweep_sets(h, &sweep, e);
}
