/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a port of the host that a record wants: the part of cni-plugin/rules.h that says so. */
#include <errno.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/rules_internal.h"

/* Of a key that says where a port is published: protocol and port, at its end. */
#define PORT_KEY_SIZE 8

struct rivals {
	const struct rules_entry *entry;
	const char *owner;
	const struct nft_set *set; /* which is looked at */
	rules_rival_fn *visit;
	void *arg;
};

static const uint8_t *port_key(const struct nft_set *set, const void *key)
{
	return (const uint8_t *)key + nft_key_size(set->type) - PORT_KEY_SIZE;
}

static void on_holder(void *arg, const struct nft_element *el)
{
	const struct rivals *s = arg;
	uint64_t who = rules_owner_of(el);
	char port[RULES_PORT_TEXT];

	if (!who || rules_is_owned(el, s->owner) ||
	    memcmp(port_key(s->set, el->key), port_key(s->entry->set, s->entry->key),
		   PORT_KEY_SIZE) != 0)
		return;
	rules_entry_format_port(s->entry, port);
	s->visit(s->arg, who, port);
}

/* key NULL: whatever its address. */
static int look_at_holders(struct host *h, struct rivals *s, const struct nft_set *set,
			   const void *key, struct err *e)
{
	int rc;

	s->set = set;
	rc = nft_elements_visit(h->nf, ruleset_table(set), set, key, on_holder, s, e);
	return rc < 0 && !rules_is_missing(rc) ? cni_classify(e, CNI_KERNEL) : 0;
}

static int look_at_port(struct host *h, struct rivals *s, struct err *e)
{
	const struct rules_entry *entry = s->entry;
	int rc = look_at_holders(h, s, entry->set, entry->key, e);

	for (unsigned i = 0; i < ARRAY_LEN(ruleset_published) && rc == 0; i++) {
		if (entry->set == &ruleset_published[i])
			rc = look_at_holders(h, s, &ruleset_published_at[i], NULL, e);
		else if (entry->set == &ruleset_published_at[i])
			rc = look_at_holders(h, s, &ruleset_published[i],
					     port_key(entry->set, entry->key), e);
	}
	return rc;
}

int rules_visit_rivals(struct host *h, const struct record *r, rules_rival_fn *visit, void *arg,
		       struct err *e)
{
	auto_rules_entries struct rules_entries all = { 0 };
	char owner[RULES_OWNER_SIZE + 1];
	struct rivals s = { .owner = owner, .visit = visit, .arg = arg };
	int rc = 0;

	rules_entries_add_ports(r, &all);
	rules_format_owner(r->network, r->container_id, r->ifname, owner);
	if (all.len && host_open_nf(h, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	for (size_t i = 0; i < all.len && rc == 0; i++) {
		s.entry = &all.items[i];
		if (s.entry->set->target)
			rc = look_at_port(h, &s, e);
	}
	return rc;
}
