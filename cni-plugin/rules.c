/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/rules.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/rules_internal.h"
#include "lib/hash.h"
#include "lib/log.h"

#define ATTEMPTS 6

static const struct nft_set *const sets[] = {
	&ruleset_masq4,           &ruleset_masq6,
	&ruleset_ports,           &ruleset_macs,
	&ruleset_published[0],    &ruleset_published[1],
	&ruleset_published_at[0], &ruleset_published_at[1],
	&ruleset_returning[0],    &ruleset_returning[1],
};

static int look_at(struct netlink *nl, struct rules_part *p, struct err *e)
{
	p->why[0] = '\0';
	return p->wanted ? nft_compare(nl, &p->rules.nft, p->why, sizeof(p->why), e) : 0;
}

/* What of the static rules is not as it should be. */
static int look_at_rules(struct netlink *nl, struct rules_entries *all, bool *ret_differ,
			 struct err *e)
{
	if (look_at(nl, &all->masquerade, e) < 0 || look_at(nl, &all->publish, e) < 0 ||
	    look_at(nl, &all->guard, e) < 0)
		return e->code;
	*ret_differ = all->masquerade.why[0] || all->publish.why[0] || all->guard.why[0];
	return 0;
}

static void set_exists(void *arg, const struct nft_element *el UNUSED)
{
	((struct rules_entry *)arg)->exists = true;
}

/* Which keys somebody has already. */
static void look_at_elements(struct netlink *nl, struct rules_entries *all)
{
	for (size_t i = 0; i < all->len; i++) {
		struct rules_entry *entry = &all->items[i];

		entry->exists = false;
		/* What cannot be read is found out by writing. */
		(void)!nft_elements_visit(nl, ruleset_table(entry->set), entry->set, entry->key,
					  set_exists, entry, NULL);
	}
}

static void put_part(struct sequence *s, const struct rules_part *p, bool rebuild)
{
	if (!p->why[0])
		return;
	if (rebuild)
		nft_rebuild_ruleset(s, &p->rules.nft);
	else
		nft_add_ruleset(s, &p->rules.nft);
}

static void put_all(struct sequence *s, const struct rules_entries *all, bool rebuild)
{
	nft_begin(s);
	put_part(s, &all->masquerade, rebuild);
	put_part(s, &all->publish, rebuild);
	put_part(s, &all->guard, rebuild);
	for (size_t i = 0; i < all->len; i++) {
		const struct rules_entry *entry = &all->items[i];
		const struct nft_table *table = ruleset_table(entry->set);
		const struct nft_element el = {
			.key = entry->key,
			.chain = entry->set->verdicts ? all->masquerade.rules.chain_name : NULL,
			.target = entry->set->target ? entry->target : NULL,
			.comment = all->comment,
		};

		if (entry->exists)
			nft_delete_elements(s, table, entry->set, &el, 1);
		nft_add_elements(s, table, entry->set, &el, 1, true);
	}
	nft_end(s);
}

/* One transaction. Between looking and acting others may act too; then once more. */
static int install(struct host *h, struct rules_entries *all, struct err *e)
{
	struct netlink *nl = h->nf;
	auto_sequence struct sequence *s = sequence_new();
	bool rebuild = false; /* what stands cannot be changed into what is wanted */
	int rc = 0;

	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		bool differ = false;

		rc = look_at_rules(nl, all, &differ, e);
		if (rc < 0 || (!all->len && !differ))
			return rc;
		h->disturbed |= differ;
		look_at_elements(nl, all);
		put_all(s, all, rebuild);
		rc = sequence_run(s, nl, e);
		if (rc == 0) {
			if (!differ || rebuild)
				return 0;
			/* The kernel cannot make every change in place. */
			rc = look_at_rules(nl, all, &rebuild, e);
			if (rc < 0 || !rebuild)
				return rc;
		} else if (differ && !rebuild && (rc == -EEXIST || rc == -EOPNOTSUPP)) {
			rebuild = true;
		} else if (rc != -EEXIST && !rules_is_missing(rc)) {
			return rc;
		}
	}
	return rc;
}

int rules_install(struct host *h, const struct record *r, struct err *e)
{
	bool disturbed = h->disturbed;
	auto_rules_entries struct rules_entries all = { 0 };
	int rc;

	if (!r->masquerade && r->ptp && !r->ports.len)
		return 0;
	if (r->masquerade && r->addresses_len && !r->unmasked_len)
		return cni_error(
			e, CNI_STATE,
			"container %.80s: where its masquerading ends was not noted by the "
			"version that attached it",
			r->container_id);
	if (host_open_nf(h, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	rules_entries_collect(r, &all);
	rc = install(h, &all, e);
	/*
	 * A kernel without nftables on bridges has to do without the guard, unless it is asked for.
	 */
	if (rc < 0 && all.guard.wanted && !r->mac_guard) {
		log_warn("guard-unavailable", "%s: containers may send router advertisements: %s",
			 r->bridge, e->text);
		h->no_guard = true;
		h->disturbed = disturbed;
		all.guard.wanted = false;
		rc = install(h, &all, e);
	}
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

/* What is to be known of an element. */
struct found {
	const char *owner;
	bool ours;
	bool altered;
	char chain[NFT_NAME_SIZE];
	uint8_t target[NFT_TARGET_SIZE];
	uint64_t who; /* as rules_owner_key makes it; 0: nobody that we know */
};

static void read_found(void *arg, const struct nft_element *el)
{
	struct found *f = arg;

	f->ours = rules_is_owned(el, f->owner);
	f->altered = el->altered;
	f->who = rules_owner_of(el);
	snprintf(f->chain, sizeof(f->chain), "%s", el->chain ? el->chain : "");
	if (el->target)
		memcpy(f->target, el->target, el->target_size);
}

static int find_element(struct netlink *nl, const struct rules_entry *entry, struct found *ret,
			struct err *e)
{
	return nft_elements_visit(nl, ruleset_table(entry->set), entry->set, entry->key, read_found,
				  ret, e);
}

/* It is the container's, and leads where its exceptions are, or to its port. */
static bool is_as_wanted(const struct rules_entries *all, const struct rules_entry *entry,
			 const struct found *f)
{
	return f->ours && !f->altered &&
	       (!entry->set->verdicts || !all->masquerade.wanted ||
		strcmp(f->chain, all->masquerade.rules.chain_name) == 0) &&
	       memcmp(f->target, entry->target, sizeof(f->target)) == 0;
}

/* The rules that elements count on. */
static int check_rules(struct netlink *nl, struct rules_entries *all, struct err *e)
{
	bool differ = false;
	int rc = look_at_rules(nl, all, &differ, e);

	if (rc < 0)
		return cni_classify(e, CNI_KERNEL);
	if (differ)
		return cni_error(e, CNI_MISMATCH,
				 "the traffic rules of all containers were changed: %s",
				 all->masquerade.why[0] ? all->masquerade.why
				 : all->publish.why[0]  ? all->publish.why
							: all->guard.why);
	return 0;
}

/* Looks an element up: in the kernel, or where all were read. */
typedef int find_fn(struct host *h, void *arg, const struct rules_entry *entry, struct found *ret,
		    struct err *e);

static int check_elements(struct host *h, const struct record *r, const struct rules_entries *all,
			  find_fn *find, void *arg, struct err *e)
{
	char owner[RULES_OWNER_SIZE + 1];

	rules_format_owner(r->network, r->container_id, r->ifname, owner);
	for (size_t i = 0; i < all->len; i++) {
		const struct rules_entry *entry = &all->items[i];
		struct found found = { .owner = owner };
		int rc = find(h, arg, entry, &found, e);

		if (rc < 0 && !rules_is_missing(rc))
			return cni_classify(e, CNI_KERNEL);
		if (!is_as_wanted(all, entry, &found))
			return cni_error(e, CNI_MISMATCH,
					 "a traffic rule of the container is missing: no element "
					 "in nftables set %s",
					 entry->set->name);
	}
	return 0;
}

static int find_in_kernel(struct host *h, void *arg UNUSED, const struct rules_entry *entry,
			  struct found *ret, struct err *e)
{
	return find_element(h->nf, entry, ret, e);
}

int rules_check(struct host *h, const struct record *r, struct err *e)
{
	auto_rules_entries struct rules_entries all = { 0 };

	rules_entries_collect(r, &all);
	if (all.len == 0)
		return 0;
	if (host_open_nf(h, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	/* A kernel without nftables on bridges does without the guard, unless it is asked for. */
	all.guard.wanted = r->mac_guard;
	if (check_elements(h, r, &all, find_in_kernel, NULL, e) < 0)
		return e->code;
	return check_rules(h->nf, &all, e);
}

/* ---- what stands, for many records ---- */

struct standing {
	struct hash_link link;
	const struct nft_set *set;
	uint8_t key[NFT_KEY_SIZE];
	bool altered;
	char owner[RULES_OWNER_SIZE + 1];
	char chain[NFT_NAME_SIZE];
	uint8_t target[NFT_TARGET_SIZE];
};

struct rules_standing {
	struct hash_table table;
	const struct nft_set *reading;
	bool guard_is_right;
	bool publish_is_right;
	char right_chain[NFT_NAME_SIZE]; /* with the table that it is in */
};

static uint64_t standing_hash(const struct hash_link *link)
{
	const struct standing *s = CONTAINER_OF(link, struct standing, link);

	return hash_bytes(s->key, sizeof(s->key));
}

static void note_standing(void *arg, const struct nft_element *el)
{
	struct rules_standing *all = arg;
	struct standing *s = xcalloc(1, sizeof(*s));

	s->set = all->reading;
	memcpy(s->key, el->key, nft_key_size(s->set->type));
	s->altered = el->altered;
	snprintf(s->owner, sizeof(s->owner), "%s", el->comment ? el->comment : "");
	snprintf(s->chain, sizeof(s->chain), "%s", el->chain ? el->chain : "");
	if (el->target)
		memcpy(s->target, el->target, el->target_size);
	hash_table_add(&all->table, &s->link, standing_hash);
}

int rules_standing_read(struct host *h, struct rules_standing **ret, struct err *e)
{
	struct rules_standing *all = xcalloc(1, sizeof(*all));
	int rc = host_open_nf(h, e);

	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(sets); i++) {
		all->reading = sets[i];
		rc = nft_elements_visit(h->nf, ruleset_table(sets[i]), sets[i], NULL, note_standing,
					all, e);
		if (rules_is_missing(rc))
			rc = 0;
	}
	if (rc < 0) {
		rules_standing_free(all);
		return cni_classify(e, CNI_KERNEL);
	}
	*ret = all;
	return 0;
}

void rules_standing_free(struct rules_standing *s)
{
	struct hash_link *next;

	if (!s)
		return;
	for (struct hash_link *l = hash_table_next(&s->table, NULL, standing_hash); l; l = next) {
		next = hash_table_next(&s->table, l, standing_hash);
		hash_table_remove(&s->table, l, standing_hash);
		free(CONTAINER_OF(l, struct standing, link));
	}
	free(s);
}

static int find_standing(struct host *h UNUSED, void *arg, const struct rules_entry *entry,
			 struct found *ret, struct err *e)
{
	const struct rules_standing *all = arg;
	const struct hash_link *l =
		hash_table_first(&all->table, hash_bytes(entry->key, sizeof(entry->key)));

	for (; l; l = l->next) {
		const struct standing *s = CONTAINER_OF(l, struct standing, link);

		if (s->set != entry->set || memcmp(s->key, entry->key, sizeof(s->key)) != 0)
			continue;
		ret->ours = strncmp(s->owner, ret->owner, RULES_OWNER_SIZE) == 0;
		ret->altered = s->altered;
		memcpy(ret->chain, s->chain, sizeof(ret->chain));
		memcpy(ret->target, s->target, sizeof(ret->target));
		return 0;
	}
	return err_set(e, -ENOENT, "no such element");
}

int rules_standing_check(struct host *h, struct rules_standing *s, const struct record *r,
			 struct err *e)
{
	auto_rules_entries struct rules_entries all = { 0 };
	const char *chain = all.masquerade.rules.chain_name;

	rules_entries_collect(r, &all);
	if (check_elements(h, r, &all, find_standing, s, e) < 0)
		return e->code;
	all.guard.wanted &= !s->guard_is_right && (r->mac_guard || !h->no_guard);
	all.publish.wanted &= !s->publish_is_right;
	all.masquerade.wanted &= strcmp(s->right_chain, chain) != 0;
	if (check_rules(h->nf, &all, e) < 0)
		return e->code;
	s->guard_is_right |= all.guard.wanted;
	s->publish_is_right |= all.publish.wanted;
	if (all.masquerade.wanted)
		memcpy(s->right_chain, chain, sizeof(s->right_chain));
	return 0;
}

static void delete_entry(struct sequence *s, const struct rules_entry *entry)
{
	const struct nft_element el = { .key = entry->key };

	nft_delete_elements(s, ruleset_table(entry->set), entry->set, &el, 1);
}

/* Removes the entries that exist, all at once. Others may come and go meanwhile; then once more. */
static int remove_owned(struct netlink *nl, struct rules_entries *all, const char *owner,
			struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	int rc = 0;

	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		size_t found_len = 0;

		nft_begin(s);
		for (size_t i = 0; i < all->len; i++) {
			const struct rules_entry *entry = &all->items[i];
			struct found found = { .owner = owner };

			rc = find_element(nl, entry, &found, e);
			if (rc < 0 && !rules_is_missing(rc))
				return rc;
			if (!found.ours)
				continue;
			delete_entry(s, entry);
			found_len++;
		}
		nft_end(s);
		rc = found_len ? sequence_run(s, nl, e) : 0;
		if (!rules_is_missing(rc))
			break;
	}
	return rc;
}

int rules_remove(struct host *h, const struct record *r, struct err *e)
{
	auto_rules_entries struct rules_entries all = { 0 };
	char owner[RULES_OWNER_SIZE + 1];

	rules_entries_add_keys(r, &all);
	if (all.len == 0)
		return 0;
	rules_format_owner(r->network, r->container_id, r->ifname, owner);
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
	struct rules_entry *items;
	size_t len;
	size_t cap;
};

static void collect_unwanted(void *arg, const struct nft_element *el)
{
	struct sweep *sweep = arg;
	char *end;
	uint64_t owner;

	if (!el->comment || strncmp(el->comment, sweep->prefix, sweep->prefix_size) != 0)
		return;
	if (sweep->keep) {
		owner = strtoull(el->comment + sweep->prefix_size, &end, 16);
		if (end != el->comment + RULES_OWNER_SIZE || sweep->keep(sweep->arg, owner))
			return;
	}
	GROW(sweep->items, sweep->len, sweep->cap);
	sweep->items[sweep->len] = (struct rules_entry){ .set = sweep->set };
	memcpy(sweep->items[sweep->len++].key, el->key, nft_key_size(sweep->set->type));
}

static int sweep_sets(struct host *h, struct sweep *sweep, struct err *e)
{
	auto_sequence struct sequence *s = sequence_new();
	int rc = host_open_nf(h, e);

	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(sets); i++) {
		sweep->set = sets[i];
		rc = nft_elements_visit(h->nf, ruleset_table(sets[i]), sets[i], NULL,
					collect_unwanted, sweep, e);
		if (rules_is_missing(rc))
			rc = 0;
	}
	for (size_t i = 0; rc == 0 && i < sweep->len; i++) {
		nft_begin(s);
		delete_entry(s, &sweep->items[i]);
		nft_end(s);
		rc = sequence_run(s, h->nf, e);
		if (rules_is_missing(rc))
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
	char owner[RULES_OWNER_SIZE + 1];
	struct sweep sweep = { .prefix = owner, .prefix_size = RULES_OWNER_SIZE };

	rules_format_owner(network, container_id, ifname, owner);
	return sweep_sets(h, &sweep, e);
}

int rules_remove_others(struct host *h, const char *network,
			bool (*keep)(void *arg, uint64_t owner), void *arg, struct err *e)
{
	char owner[RULES_OWNER_SIZE + 1];
	struct sweep sweep = { .prefix = owner,
			       .prefix_size =
				       RULES_OWNER_SIZE / 2 + 1, /* the network and the dash */
			       .keep = keep,
			       .arg = arg };

	rules_format_owner(network, "", "", owner);
	return sweep_sets(h, &sweep, e);
}
