/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nftables at the level of its netlink messages: enough to build small static rule sets, and to put
 * elements into their sets and take them out.
 *
 * A program that lives for milliseconds cannot afford libnftables (5 ms to start, and a parser).
 * Requests go into a struct sequence between nft_begin and nft_end, which the kernel puts into
 * force as a whole or not at all. Everything added here is added only if it is not there yet, but
 * rules: nft_flush_chain before them makes that so too. Source: linux/netfilter/nf_tables.h,
 * linux/netfilter/nfnetlink.h.
 */
#ifndef KERNEL_NFT_H
#define KERNEL_NFT_H

#include "kernel/sequence.h"
#include "lib/addr.h"

#define NFT_NAME_SIZE    32
#define NFT_COMMENT_SIZE 128 /* as nft(8) allows, with the terminator */
#define NFT_KEY_SIZE     64

/* Data types of set keys, as nft(8) numbers them; a concatenation is `first << 6 | second`. */
enum nft_key_type {
	NFT_KEY_IPV4 = 7,
	NFT_KEY_IPV6 = 8,
	NFT_KEY_ETHER = 9,
	NFT_KEY_IFNAME = 41,
	NFT_KEY_IFNAME_ETHER = NFT_KEY_IFNAME << 6 | NFT_KEY_ETHER,
};

struct nft_chain {
	uint8_t family; /* NFPROTO_INET, NFPROTO_BRIDGE */
	const char *table;
	const char *name;
	/* Base chains only; NULL otherwise. */
	const char *type; /* "nat", "filter" */
	uint32_t hook;
	int32_t priority;
};

struct nft_set {
	uint8_t family;
	const char *table;
	const char *name;
	uint32_t key_type;
	uint32_t key_size; /* bytes, each part of a concatenation rounded up to 4 */
	bool verdicts;     /* a map to chains */
};

struct nft_element {
	uint8_t key[NFT_KEY_SIZE]; /* key_size bytes of the set */
	char chain[NFT_NAME_SIZE]; /* where to go; "" in sets that are no maps */
	char comment[NFT_COMMENT_SIZE];
};

/*
 * A transaction that fails, and one that follows a removal closely, wait for the kernel's grace
 * periods (some 12 ms): look first (nft_get_) and send what will succeed, once.
 */
void nft_begin(struct sequence *s);
void nft_end(struct sequence *s);
void nft_add_table(struct sequence *s, uint8_t family, const char *table);
void nft_add_chain(struct sequence *s, const struct nft_chain *c);
void nft_flush_chain(struct sequence *s, const struct nft_chain *c);
void nft_add_set(struct sequence *s, const struct nft_set *set);
/* EEXIST if the key is there. */
void nft_add_element(struct sequence *s, const struct nft_set *set, const struct nft_element *el);
/* ENOENT if the key is not there. */
void nft_delete_element(struct sequence *s, const struct nft_set *set,
			const struct nft_element *el);

/* A rule: begin, expressions in order, end. Registers are NFT_REG_ or NFT_REG32_. */
struct nft_rule {
	struct sequence *sequence;
	struct nlmsghdr *hdr;
	struct nlattr *expressions;
};

void nft_rule_begin(struct nft_rule *r, struct sequence *s, const struct nft_chain *c);
void nft_rule_end(struct nft_rule *r);
void nft_load_meta(struct nft_rule *r, uint32_t key, uint32_t reg);
void nft_load_payload(struct nft_rule *r, uint32_t base, uint32_t offset, uint32_t size,
		      uint32_t reg);
void nft_mask(struct nft_rule *r, uint32_t reg, const void *mask, uint32_t size);
void nft_match(struct nft_rule *r, uint32_t reg, const void *value, uint32_t size);
/* Goes on if the key is in the set, or if `inverted` not in it. */
void nft_lookup(struct nft_rule *r, const struct nft_set *set, uint32_t reg, bool inverted);
/* Goes where the map says for the key. */
void nft_lookup_verdict(struct nft_rule *r, const struct nft_set *set, uint32_t reg);
void nft_verdict(struct nft_rule *r, int32_t verdict); /* NFT_RETURN, NF_DROP, ... */
void nft_masquerade(struct nft_rule *r);

/* Reads the element with that key. -ENOENT: no such element, set or table. */
int nft_get_element(struct netlink *nl, const struct nft_set *set, const void *key,
		    struct nft_element *ret, struct err *e) MUST_CHECK;
/* How many rules a chain has; 0 also where there is no such chain or table. */
int nft_count_rules(struct netlink *nl, const struct nft_chain *c, size_t *ret,
		    struct err *e) MUST_CHECK;

/* Shows every element to `visit`, some twice if the set changes meanwhile. -ENOENT: no such set or
 * table. */
int nft_list_elements(struct netlink *nl, const struct nft_set *set,
		      void (*visit)(void *arg, const struct nft_element *el), void *arg,
		      struct err *e) MUST_CHECK;

#endif
