/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nf_tables: tables with chains, rules, sets and counters as data; written in transactions, read
 * back, compared and watched. For the daemon, which holds one table whole, and for the CNI plugin,
 * which lives for milliseconds and shares its tables with its like.
 *
 *   nft.c          messages and transactions
 *   nft_expr.c     a rule as expressions
 *   nft_read.c     dumps and single questions
 *   nft_compare.c  is what stands in the kernel what we want, all of it and nothing else?
 *   nft_monitor.c  notifications
 *
 * What libnftables would add is its language, which neither needs, at the price of five libraries,
 * 1.1 MB of private memory, 5 ms at the start, and a parser between us and the answer to the one
 * question that matters. Source: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h;
 * `nft --debug=netlink` for expressions.
 */
#ifndef KERNEL_NFT_H
#define KERNEL_NFT_H

#include <net/if.h>

#include "kernel/sequence.h"
#include "lib/addr.h"

#define NFT_NAME_SIZE    32  /* of our tables, chains, sets and counters, with the terminator */
#define NFT_COMMENT_SIZE 128 /* as nft(8) allows, with the terminator */
#define NFT_KEY_SIZE     48  /* bytes of the longest key of a set */
#define NFT_TARGET_SIZE  20  /* ... and of what a map leads to */

/* ---- what tables are made of; all texts are the caller's ---- */

struct nft_table {
	uint8_t family; /* NFPROTO_INET, NFPROTO_BRIDGE, ... */
	const char *name;
	const char *mark; /* the table's comment, by which we find it again; NULL for none */
	/* It is of the socket that it is written over, and goes with it; nobody else may change it. Linux 5.12. */
	bool owned;
};

struct nft_chain {
	const char *name;
	const char *type; /* "filter", "nat"; NULL if the chain is only jumped to */
	uint32_t hook;    /* NF_INET_, NF_BR_ */
	int32_t priority; /* the lower, the earlier */
};

/* As nft(8) numbers data types; a concatenation is `first << 6 | second`. */
enum nft_key_type {
	NFT_KEY_IPV4 = 7,
	NFT_KEY_IPV6 = 8,
	NFT_KEY_ETHER = 9,
	NFT_KEY_IFNAME = 41, /* of a device that need not exist, unlike an index */
	NFT_KEY_IFNAME_ETHER = NFT_KEY_IFNAME << 6 | NFT_KEY_ETHER,
	NFT_KEY_PROTO = 12, /* IPPROTO_ */
	NFT_KEY_PORT = 13,  /* network order */
	NFT_KEY_PROTO_PORT = NFT_KEY_PROTO << 6 | NFT_KEY_PORT,
	NFT_KEY_IPV4_PROTO_PORT = NFT_KEY_IPV4 << 12 | NFT_KEY_PROTO_PORT,
	NFT_KEY_IPV6_PROTO_PORT = NFT_KEY_IPV6 << 12 | NFT_KEY_PROTO_PORT,
	NFT_KEY_IPV4_PORT = NFT_KEY_IPV4 << 6 | NFT_KEY_PORT,
	NFT_KEY_IPV6_PORT = NFT_KEY_IPV6 << 6 | NFT_KEY_PORT,
	NFT_KEY_IFNAMES_IPV4 = NFT_KEY_IFNAME << 12 | NFT_KEY_IFNAME << 6 | NFT_KEY_IPV4,
	NFT_KEY_IFNAMES_IPV6 = NFT_KEY_IFNAME << 12 | NFT_KEY_IFNAME << 6 | NFT_KEY_IPV6,
};
/* Bytes; each part of a concatenation is rounded up to 4. */
uint32_t nft_key_size(enum nft_key_type type);

struct nft_set {
	const char *name;
	enum nft_key_type type;
	bool verdicts;            /* a map to chains */
	enum nft_key_type target; /* a map to such values; 0: it is none */
	/* Filled by rules (nft_rule.remember), with so many keys at most, each for this time after it was
	 * seen last; 0: by nft_add_elements. */
	uint32_t memory_len;
	uint32_t memory_s;
};

struct nft_counter {
	const char *name;
	uint64_t packets;
	uint64_t bytes;
};

enum nft_action {
	NFT_ACTION_CONTINUE, /* with the next rule */
	NFT_ACTION_RETURN,   /* on a base chain: the policy, which is accept */
	NFT_ACTION_ACCEPT,
	NFT_ACTION_DROP,
	NFT_ACTION_MASQUERADE,
	NFT_ACTION_MASQUERADE_RANDOM, /* ports at random: no collisions between hosts' tables */
	NFT_ACTION_JUMP,              /* to the chain named in `jump` */
	NFT_ACTION_MAP,               /* where the map `source_map` says for the source address */
	/*
	 * To the address and port that the map `target_map` has for it; where it has none, it goes on.
	 * Only in chains of type nat.
	 */
	NFT_ACTION_REDIRECT,
	NFT_ACTION_REMEMBER,        /* the source address, in the set `remember`; and goes on */
	NFT_ACTION_REMEMBER_TARGET, /* the same of the destination */
};

/* A rule: all conditions that are set must hold. Zero means "any". */
struct nft_rule {
	uint8_t chain;  /* index into the ruleset's chains */
	uint8_t family; /* AF_INET or AF_INET6; 0: both, then no condition on addresses */
	enum nft_action action;
	/* where it comes from */
	char in_device[IFNAMSIZ];
	bool in_device_not;
	uint32_t in_device_group;
	const char *in_device_set;  /* NFT_KEY_IFNAME */
	const char *in_foreign_mac; /* NFT_KEY_IFNAME_ETHER: device and source MAC are not in it */
	/* what it is */
	bool to_this_mac;     /* sent to the MAC address of the device it came in from */
	bool not_to_this_mac; /* sent to a broadcast or multicast MAC address */
	uint32_t mark;        /* packet mark under mark_mask, host order */
	uint32_t mark_mask;
	uint8_t protocol; /* IPPROTO_; 0: any */
	bool protocol_not;
	uint16_t
		port; /* destination, host order, of whatever has ports: half the price of udp_port */
	uint16_t udp_port; /* destination, host order */
	uint16_t udp_source_port;
	uint8_t icmpv6_type;
	/* from whom to whom */
	struct ip_net source;
	bool source_not;
	struct ip_net source_outside; /* and the source is not in this one */
	struct ip_net destination;
	bool destination_not;
	const char *source_set; /* NFT_KEY_IPV4 or IPV6 as the family */
	bool source_set_not;
	bool to_this_host; /* the destination is an address of this host */
	bool redirected;   /* its connection was, by whomever */
	const char *
		path_set; /* NFT_KEY_IFNAMES_IPV4 or IPV6 as the family: from where, to where, to whom */
	/* what becomes of it */
	bool notrack; /* the kernel does not track its connection */
	const char *jump;
	const char *source_map;
	const char
		*target_map; /* by NFT_KEY_PROTO_PORT, or with the destination's address before */
	bool target_by_address;
	const char *remember;
	const char *counter; /* counted in this counter of the table, or NULL */
	const char *comment; /* or NULL */
};

struct nft_ruleset {
	struct nft_table table;
	bool shared; /* the table may have chains, sets and objects of others */
	const struct nft_chain *chains;
	size_t chains_len;
	uint32_t chains_without; /* mask of those, by index, that are not made */
	const struct nft_set *sets;
	size_t sets_len;
	const struct nft_counter *counters; /* with their values at the start */
	size_t counters_len;
	const struct nft_rule *rules; /* in order, chain by chain or mixed */
	size_t rules_len;
};

struct nft_element {
	const void *key;     /* as many bytes as the set's keys have */
	const char *chain;   /* where to go; NULL in sets that are no maps */
	const void *target;  /* as many bytes as the map's targets have; NULL where it has none */
	size_t target_size;  /* read only */
	const char *comment; /* or NULL */
	/* Read only: it has what we never write: a timeout, an expression, a flag. */
	bool altered;
	uint64_t packets; /* read only, of one that a rule has put in: how often it was seen, */
	uint64_t bytes;   /* of how many bytes, */
	uint64_t left_ms; /* and when it is forgotten */
};

/* ---- writing ---- */

/*
 * Requests go into a sequence between begin and end, which the kernel puts into force as a whole or
 * not at all. A transaction that fails, and one that follows a removal closely, wait for the
 * kernel's grace periods (some 12 ms): look first and send what will succeed, once.
 */
void nft_begin(struct sequence *s);
void nft_end(struct sequence *s);

/* What is there already stays, or is replaced by its like: rules and what the kernel can change. */
void nft_add_ruleset(struct sequence *s, const struct nft_ruleset *r);
/* As above, for what cannot be changed in place: base chains that exist are made anew. */
void nft_rebuild_ruleset(struct sequence *s, const struct nft_ruleset *r);
/* Puts the table in place of whatever has its name, elements included. */
void nft_replace_ruleset(struct sequence *s, const struct nft_ruleset *r);

/* With `exclusive`, EEXIST if a key is there. */
void nft_add_elements(struct sequence *s, const struct nft_table *t, const struct nft_set *set,
		      const struct nft_element *elements, size_t len, bool exclusive);
/* ENOENT if a key is not there. */
void nft_delete_elements(struct sequence *s, const struct nft_table *t, const struct nft_set *set,
			 const struct nft_element *elements, size_t len);

/* Deletes a table with all that is in it, at once. -ENOENT if there is none. */
int nft_table_delete(struct netlink *nl, uint8_t family, const char *table,
		     struct err *e) MUST_CHECK;
/* Deletes a chain with its rules, and the rules of `from` that jump to it, at once. */
int nft_chain_delete(struct netlink *nl, uint8_t family, const char *table, const char *from,
		     const char *chain, struct err *e) MUST_CHECK;

/* ---- reading ---- */

/*
 * Compares table, chains, sets, counters and rules with what the kernel has, in every property; not
 * elements and not what was counted. ret_why (at least 1 byte) is empty if they are equal and says
 * otherwise what is not.
 */
int nft_compare(struct netlink *nl, const struct nft_ruleset *want, char *ret_why, size_t why_size,
		struct err *e) MUST_CHECK;

typedef void nft_element_fn(void *arg, const struct nft_element *el);
/*
 * Shows the element with that key, or with NULL every one. Texts live for the call. -ENOENT: no such
 * element, set or table. What is changed while it is read may be shown twice, or although it goes.
 */
int nft_elements_visit(struct netlink *nl, const struct nft_table *t, const struct nft_set *set,
		       const void *key, nft_element_fn *visit, void *arg, struct err *e) MUST_CHECK;

/* Reads a counter's values. -ENOENT if there is none of this name. */
int nft_counter_read(struct netlink *nl, const struct nft_table *t, struct nft_counter *c,
		     struct err *e) MUST_CHECK;

/*
 * Shows every table of the namespace. `mark` is its comment, or "" if it has none (or the kernel,
 * before 5.10, keeps none). The texts live for the call; the table may be deleted from inside it.
 */
typedef void nft_table_fn(void *arg, uint8_t family, const char *name, const char *mark);
int nft_tables_visit(struct netlink *nl, nft_table_fn *visit, void *arg, struct err *e) MUST_CHECK;

/* A chain as the kernel shows it; names that are longer than ours can be are cut. */
struct nft_chain_info {
	uint8_t family;
	char table[NFT_NAME_SIZE];
	char name[NFT_NAME_SIZE];
	bool base; /* packets enter it by itself */
	uint32_t hook;
	bool filters;    /* of type filter, */
	bool translates; /* or nat, and not route */
	bool drops;      /* the policy is drop */
};
/* Shows every chain of the namespace. */
int nft_chains_visit(struct netlink *nl,
		     void (*visit)(void *arg, const struct nft_chain_info *chain), void *arg,
		     struct err *e) MUST_CHECK;

/* ---- notifications ---- */

struct nft_monitor;

/* What changed: a table and, unless the change is to the table itself, what in it. */
struct nft_change {
	uint8_t family;
	uint8_t message; /* NFT_MSG_ */
	const char *table;
	const char *chain; /* of rules and of chains, else "" */
	const char *set;   /* of elements and of sets, else "" */
	bool base;         /* a chain, and one that packets enter by itself */
	const struct nlmsghdr *hdr;
};
/* The elements that a NFT_MSG_NEWSETELEM or _DELSETELEM is about. key_size: of the set. */
void nft_change_elements(const struct nft_change *change, size_t key_size, nft_element_fn *visit,
			 void *arg);

struct nft_monitor_ops {
	void (*changed)(void *arg, const struct nft_change *change);
	/* The changes since the last call were one transaction of this process. May be NULL. */
	void (*finished)(void *arg, uint32_t pid, const char *process);
	/* Notifications were lost. */
	void (*overrun)(void *arg);
};

/* As monitor_open: what the socket with this port id causes is not reported. */
int nft_monitor_open(uint32_t ignore_port_id, struct nft_monitor **ret, struct err *e) MUST_CHECK;
void nft_monitor_close(struct nft_monitor *m);
int nft_monitor_fd(const struct nft_monitor *m);
/* Delivers what has come, at most `max` messages; returns how many. */
unsigned nft_monitor_read(struct nft_monitor *m, unsigned max, const struct nft_monitor_ops *ops,
			  void *arg);

#endif
