/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nf_tables: one table with chains, rules, address sets and counters, written in one transaction,
 * read back and compared, and watched.
 *
 * The messages are encoded here, as in kernel/object.c, and travel over kernel/netlink.c. What
 * libnftables would add is its language, which a daemon with a dozen rules does not need, at the
 * price of five libraries, 1.1 MB of private memory and a parser between us and the answer to the
 * one question that matters: is what stands in the kernel what we want? Source:
 * linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h; `nft --debug=netlink` for expressions.
 */
#ifndef KERNEL_NFTABLES_H
#define KERNEL_NFTABLES_H

#include <net/if.h>

#include "kernel/netlink.h"
#include "lib/addr.h"

#define NFTABLES_NAME_SIZE    32 /* tables, chains, sets and counters, with the terminating zero */
#define NFTABLES_COMMENT_SIZE 64

enum nftables_verdict {
	NFTABLES_RETURN, /* on a base chain: the policy, which is accept */
	NFTABLES_ACCEPT,
	NFTABLES_DROP,
	NFTABLES_MASQUERADE,
	NFTABLES_MASQUERADE_RANDOM, /* ports at random: no collisions between hosts' tables */
	NFTABLES_JUMP,              /* to the chain named in `jump` */
};

/* A rule: all conditions that are set must hold. Zero means "any". */
struct nftables_rule {
	uint8_t chain;  /* index into the ruleset's chains */
	uint8_t family; /* AF_INET or AF_INET6; 0: both, then no condition on addresses */
	enum nftables_verdict verdict;
	char in_device[IFNAMSIZ];
	uint16_t udp_port; /* destination, host order */
	struct ip_net source;
	bool source_not;
	struct ip_net destination;
	bool destination_not;
	bool not_to_this_mac; /* sent to a broadcast or multicast MAC address */
	bool to_this_host;    /* the destination is an address of this host */
	uint32_t mark;        /* packet mark under mark_mask, host order */
	uint32_t mark_mask;
	const char *jump;       /* for NFTABLES_JUMP: a chain of the table */
	const char *source_set; /* name of a set of the table, or NULL */
	bool source_set_not;
	const char *in_device_set; /* likewise, a set of interface indexes */
	const char *counter;       /* counted in this counter of the table, or NULL */
	const char *comment;       /* or NULL */
};

struct nftables_chain {
	const char *name;
	const char *type; /* "filter", "nat"; NULL if the chain is only jumped to */
	uint32_t hook;    /* NF_INET_ */
	int32_t priority; /* the lower, the earlier */
};

enum nftables_key_type { NFTABLES_IPV4, NFTABLES_IPV6, NFTABLES_IFINDEX };

struct nftables_set {
	const char *name;
	enum nftables_key_type type;
};

/* The key of a set's element: an address, or an interface index in host order. */
struct nftables_key {
	uint8_t size;
	uint8_t b[16];
};
struct nftables_key nftables_key_addr(const struct ip_addr *a);
struct nftables_key nftables_key_ifindex(uint32_t ifindex);

struct nftables_counter {
	const char *name;
	uint64_t packets;
	uint64_t bytes;
};

/* One table of family inet. All pointers are the caller's. */
struct nftables_ruleset {
	const char *table;
	const char *mark; /* the table's comment, by which we find it again; NULL for none */
	const struct nftables_chain *chains;
	size_t chains_len;
	const struct nftables_set *sets;
	size_t sets_len;
	const struct nftables_counter *counters; /* with their values at the start */
	size_t counters_len;
	const struct nftables_rule *rules; /* in order, chain by chain or mixed */
	size_t rules_len;
};

/* Elements of one set. */
struct nftables_elements {
	const char *set;
	const struct nftables_key *keys;
	size_t len;
};

/* The expressions of a rule as netlink attributes, appended at *size; at most max bytes. Pure. */
void nftables_rule_encode(const struct nftables_rule *r, struct nlmsghdr *hdr);
/*
 * Whether every attribute inside `want` stands in `have` with the same value, lists in the same
 * order, or is zero and missing. The kernel adds attributes of its own, so this is not symmetric.
 * Pure.
 */
bool nftables_attrs_match(const struct nlattr *want, const struct nlattr *have);

/*
 * Puts the table in place of whatever has its name, elements included, in one transaction: packets
 * see the old one or the new one, nothing between. On error nothing has changed.
 */
int nftables_replace(struct netlink *nl, const struct nftables_ruleset *ruleset,
		     const struct nftables_elements *elements, size_t elements_len,
		     struct err *e) MUST_CHECK;

/*
 * Compares chains, sets and rules with what the kernel has; not elements and counters. ret_why (at
 * least 1 byte) is empty if they are equal and says otherwise what is not.
 */
int nftables_compare(struct netlink *nl, const struct nftables_ruleset *ruleset, char *ret_why,
		     size_t why_size, struct err *e) MUST_CHECK;

/* Adds and removes elements of one table's sets in one transaction. Adding what is there is no
 * error, removing what is not there is -ENOENT, and nothing has changed then. */
int nftables_change(struct netlink *nl, const char *table, const struct nftables_elements *add,
		    size_t add_len, const struct nftables_elements *drop, size_t drop_len,
		    struct err *e) MUST_CHECK;

/* Shows every element of a set. -ENOENT if there is no such set. */
int nftables_set_visit(struct netlink *nl, const char *table, const char *set,
		       void (*visit)(void *arg, const struct nftables_key *key), void *arg,
		       struct err *e) MUST_CHECK;

/* Reads a counter. -ENOENT if there is none of this name. */
int nftables_counter_read(struct netlink *nl, const char *table, const char *name,
			  uint64_t *ret_packets, uint64_t *ret_bytes, struct err *e) MUST_CHECK;

/* A chain as the kernel shows it. */
struct nftables_chain_info {
	uint8_t family; /* NFPROTO_ */
	char table[NFTABLES_NAME_SIZE];
	char name[NFTABLES_NAME_SIZE];
	bool base;
	uint32_t hook;
	int32_t priority;
	bool drops; /* the policy is drop */
};
/* Shows every chain of the namespace; names that are longer than ours can be are cut. */
int nftables_chains_visit(struct netlink *nl,
			  void (*visit)(void *arg, const struct nftables_chain_info *chain),
			  void *arg, struct err *e) MUST_CHECK;

/*
 * Shows every table of the namespace. family: NFPROTO_. `mark` is its comment, cut if longer than
 * NFT_MARK_SIZE, or "" if it has none (or the kernel, before 5.10, keeps none). The texts live for
 * the call only; the table may be deleted from inside it.
 */
#define NFT_MARK_SIZE 128 /* with the terminator; nft allows no more */
typedef void nft_table_fn(void *arg, uint8_t family, const char *name, const char *mark);
int nft_tables_visit(struct netlink *nl, nft_table_fn *visit, void *arg, struct err *e) MUST_CHECK;
/* Deletes a table with all that is in it. -ENOENT if there is none. family: NFPROTO_. */
int nft_table_delete(struct netlink *nl, uint8_t family, const char *table,
		     struct err *e) MUST_CHECK;
/* Deletes a chain with its rules, and the rules of `from` that jump to it. */
int nftables_chain_delete(struct netlink *nl, uint8_t family, const char *table, const char *from,
			  const char *chain, struct err *e) MUST_CHECK;

/* ---- notifications ---- */

struct nftables_monitor;

/* What changed: a table and, unless the change is to the table itself, what in it. */
struct nftables_change_info {
	uint8_t family;
	uint8_t message; /* NFT_MSG_ */
	const char *table;
	const char *chain; /* "" for tables, sets and counters; for a chain, its own name */
	bool base;         /* a chain, and one that packets enter by itself */
};

struct nftables_monitor_ops {
	void (*changed)(void *arg, const struct nftables_change_info *change);
	/* Notifications were lost. */
	void (*overrun)(void *arg);
};

/* As monitor_open: what the socket with this port id causes is not reported. */
int nftables_monitor_open(uint32_t ignore_port_id, struct nftables_monitor **ret,
			  struct err *e) MUST_CHECK;
void nftables_monitor_close(struct nftables_monitor *m);
int nftables_monitor_fd(const struct nftables_monitor *m);
unsigned nftables_monitor_read(struct nftables_monitor *m, unsigned max,
			       const struct nftables_monitor_ops *ops, void *arg);

#endif
