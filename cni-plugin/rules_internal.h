/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the traffic rules: what a record stands for in our tables. */
#ifndef CNI_PLUGIN_RULES_INTERNAL_H
#define CNI_PLUGIN_RULES_INTERNAL_H

#include <errno.h>

#include "cni-plugin/rules.h"
#include "cni-plugin/ruleset.h"

#define RULES_OWNER_SIZE 33 /* "<network>-<owner>" in hex digits, which every comment begins with */

/* An element and the set that it belongs to. */
struct rules_entry {
	const struct nft_set *set;
	uint8_t key[NFT_KEY_SIZE];
	uint8_t target[NFT_TARGET_SIZE];
	bool exists; /* somebody has the key */
};

/* A table's static part, if it is wanted. */
struct rules_part {
	bool wanted;
	struct ruleset rules;
	char why[160]; /* it is not as it should be; "" if it is */
};

struct rules_entries {
	struct rules_entry *items;
	size_t len;
	size_t cap;
	char comment[NFT_COMMENT_SIZE];
	struct rules_part masquerade;
	struct rules_part publish;
	struct rules_part guard;
};

/*
 * The keys of a record, and the rules that they count on. A record of a version that did not note where
 * masquerading ends says nothing of those. rules_entries_fini frees. Pure, as the next four.
 */
void rules_entries_collect(const struct record *r, struct rules_entries *all);
/* The keys alone; those of published ports alone. */
void rules_entries_add_keys(const struct record *r, struct rules_entries *all);
void rules_entries_add_ports(const struct record *r, struct rules_entries *all);
void rules_entries_fini(struct rules_entries *all);

/* "8080/tcp", of an element of a published port. */
void rules_entry_format_port(const struct rules_entry *entry, char ret[static RULES_PORT_TEXT]);

/* What the comment of an element begins with that is this attachment's. */
void rules_format_owner(const char *network, const char *container_id, const char *ifname,
			char ret[static RULES_OWNER_SIZE + 1]);

/* It is this attachment's. */
bool rules_is_owned(const struct nft_element *el, const char *owner);
/* Whose it is, as rules_owner_key makes it; 0: nobody's that we know. */
uint64_t rules_owner_of(const struct nft_element *el);
/* Somebody has taken the set, the table or the element away. */
static inline bool rules_is_missing(int rc)
{
	return rc == -ENOENT;
}

#define auto_rules_entries __attribute__((cleanup(rules_entries_fini)))

#endif
