/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of packets in a packet filter of somebody else? Chains are walked for packets of
 * which something is known and something not, so each condition holds always, never or perhaps.
 * What is not understood holds perhaps, and a packet that perhaps was accepted is not called
 * stopped. Pure; the rules come from nf_tables (filter_nft.c) or iptables-legacy (iptables.c), whose
 * matches and targets are the same (filter_xt.c).
 *
 * The packets are the first of their connections unless it is said otherwise, and marked by nobody.
 */
#ifndef KERNEL_FILTER_H
#define KERNEL_FILTER_H

#include <net/if.h>

#include "lib/addr.h"

#define FILTER_NAME_SIZE   256   /* of chains, as nf_tables allows */
#define FILTER_SAMPLE_PORT 50000 /* nobody's service: where a packet comes from, if not to, too */

/* What connection tracking says of a packet. */
enum filter_connection {
	FILTER_NEW,
	FILTER_ESTABLISHED,
	FILTER_RELATED,
	FILTER_INVALID,
	FILTER_UNTRACKED,
};

/* What is known. Zero: it may be anything. */
struct filter_packet {
	enum filter_connection connection;
	int family; /* AF_INET or AF_INET6 */
	char in_device[IFNAMSIZ];
	char out_device[IFNAMSIZ];
	uint32_t in_index;
	uint32_t out_index;
	struct ip_net source;
	struct ip_net destination;
	uint8_t protocol;
	uint16_t port; /* destination, host order */
};

enum filter_match { FILTER_NEVER, FILTER_PERHAPS, FILTER_ALWAYS };

enum filter_verdict {
	FILTER_CONTINUE,
	FILTER_ACCEPT,
	FILTER_DROP, /* or reject */
	FILTER_RETURN,
	FILTER_JUMP,
	FILTER_GOTO,
	FILTER_TRANSLATE, /* addresses or ports: in chains of NAT */
	FILTER_UNKNOWN,
};

/* A rule, judged for the packets. */
struct filter_rule {
	enum filter_match matches;
	enum filter_verdict verdict;
	bool acts;                     /* does, or may do, what is no verdict: translates, marks */
	uint64_t handle;               /* 0: it has none */
	char target[FILTER_NAME_SIZE]; /* of a jump */
};

/* Gives the rule at *cursor, which begins at 0 and is its own, and moves on. False: no more. */
typedef bool filter_next_fn(void *arg, const char *chain, size_t *cursor, struct filter_rule *ret);

struct filter_outcome {
	bool passes;     /* accepted in the end, as far as is known */
	bool stops;      /* all of them, for certain; if neither, who knows */
	bool doubt;      /* some may have been stopped on the way */
	bool translates; /* some may be */
	uint64_t way; /* a digest of the rules that took part: the same for packets taken alike */
	bool idle;    /* for certain nothing else becomes of any of them than to be accepted */
	/* where they are stopped */
	char chain[FILTER_NAME_SIZE];
	unsigned number; /* of the rule in it, from 1; 0: the chain's policy */
	uint64_t handle;
	unsigned top; /* number of the rule in the chain that was walked which led there */
};

/* Jumps to the chains in `without` (NULL, or a list that ends with NULL) are left out. */
void filter_walk(const char *chain, bool policy_drops, const char *const *without,
		 filter_next_fn *next, void *arg, struct filter_outcome *ret);

/* ---- for those who judge rules ---- */

#define FILTER_HEADER_SIZE 40

/* Bytes, of which the bits set in `known` are known. */
struct filter_header {
	uint8_t value[FILTER_HEADER_SIZE];
	uint8_t known[FILTER_HEADER_SIZE];
};
void filter_network_header(const struct filter_packet *p, struct filter_header *ret);
void filter_transport_header(const struct filter_packet *p, struct filter_header *ret);

/* Whether value equals want under mask (NULL: all bits). */
enum filter_match filter_equal(const uint8_t *value, const uint8_t *known, const uint8_t *want,
			       const uint8_t *mask, size_t size);
/* Whether low <= value <= high, as memcmp orders. */
enum filter_match filter_between(const uint8_t *value, const uint8_t *known, const uint8_t *low,
				 const uint8_t *high, size_t size);
static inline enum filter_match filter_not(enum filter_match m)
{
	return (enum filter_match)(FILTER_ALWAYS - m);
}
static inline enum filter_match filter_and(enum filter_match a, enum filter_match b)
{
	return a < b ? a : b;
}

/* A match of iptables, and what a target means. */
enum filter_match filter_xt_match(const struct filter_packet *p, const char *name,
				  unsigned revision, const void *info, size_t size);
enum filter_verdict filter_xt_target(const char *name);
/* Whether the target does more to packets that go on than to write down that they came by. */
bool filter_xt_acts(const char *name);

#endif
