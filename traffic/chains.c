/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/chains.h"

#include <linux/netfilter.h>

#include "kernel/filter_nft.h"
#include "kernel/iptables.h"

#define BASES_MAX 256

static const int families[2] = { AF_INET, AF_INET6 };

struct chains {
	struct filter_nft *nft;
	struct nft_chain_info *bases;
	size_t len;
	size_t cap;
	struct iptables_table legacy[2]; /* filter, by family */
	struct err error;                /* what could not be read; code 0: nothing */
};

/* ---- words ---- */

bool chains_enters(const struct nft_chain_info *c, int family, uint32_t hook)
{
	return c->hook == hook && (c->family == NFPROTO_INET ||
				   c->family == (family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6));
}

bool chains_is_iptables(const struct nft_chain_info *c, const char *chain)
{
	return c->family != NFPROTO_INET && strcmp(c->table, "filter") == 0 &&
	       strcmp(c->name, chain) == 0;
}

const char *chains_family_name(const struct nft_chain_info *c)
{
	return c->family == NFPROTO_INET ? "inet" : c->family == NFPROTO_IPV4 ? "ip" : "ip6";
}

static void describe_chain(const struct nft_chain_info *c, const char *name, char *ret, size_t size)
{
	if (c)
		snprintf(ret, size, "chain %.60s of table %s %.60s", name, chains_family_name(c),
			 c->table);
	else
		snprintf(ret, size, "chain %.60s of iptables-legacy", name);
}

void chains_describe_stop(const struct nft_chain_info *c, const struct filter_outcome *o, char *ret,
			  size_t size)
{
	size_t used;

	describe_chain(c, o->chain, ret, size);
	used = strlen(ret);
	if (o->number == 0)
		snprintf(ret + used, size - used, ", whose policy is drop,");
	else if (o->handle)
		snprintf(ret + used, size - used, ", rule %u (handle %llu),", o->number,
			 (unsigned long long)o->handle);
	else
		snprintf(ret + used, size - used, ", rule %u,", o->number);
}

/* ---- reading ---- */

static void keep_base(void *arg, const struct nft_chain_info *info)
{
	struct chains *c = arg;

	if (!info->base || !info->filters || c->len == BASES_MAX)
		return;
	GROW(c->bases, c->len, c->cap);
	c->bases[c->len++] = *info;
}

struct chains *chains_new(struct netlink *nl)
{
	struct chains *c = xcalloc(1, sizeof(*c));

	if (nl) {
		c->nft = filter_nft_new(nl);
		if (nft_chains_visit(nl, keep_base, c, &c->error) < 0)
			err_wrap(&c->error, "chains of nf_tables");
	}
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		struct err e;

		if (iptables_read(families[f], "filter", &c->legacy[f], &e) < 0 && !c->error.code)
			c->error = e;
	}
	return c;
}

void chains_free(struct chains *c)
{
	if (!c)
		return;
	filter_nft_free(c->nft);
	for (size_t f = 0; f < ARRAY_LEN(families); f++)
		iptables_table_fini(&c->legacy[f]);
	free(c->bases);
	free(c);
}

/* ---- walking ---- */

/* The worse of what was found so far and in this chain. */
static enum chains_verdict judge(const struct nft_chain_info *chain, const char *name,
				 const struct filter_outcome *o, enum chains_verdict before,
				 char ret_why[static CHAINS_TEXT])
{
	if (o->stops) {
		chains_describe_stop(chain, o, ret_why, CHAINS_TEXT);
		return CHAINS_STOP;
	}
	if (o->passes || before != CHAINS_PASS)
		return before;
	describe_chain(chain, name, ret_why, CHAINS_TEXT);
	return CHAINS_UNKNOWN;
}

enum chains_verdict chains_walk(struct chains *c, const struct filter_packet *packet, uint32_t hook,
				char ret_why[static CHAINS_TEXT])
{
	static const char *const names[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT",
					     "POSTROUTING" };
	const struct iptables_table *legacy = &c->legacy[packet->family == AF_INET ? 0 : 1];
	enum chains_verdict verdict = CHAINS_PASS;
	struct filter_outcome o;

	iptables_walk(legacy, hook, packet, NULL, &o);
	verdict = judge(NULL, names[hook], &o, verdict, ret_why);
	for (size_t i = 0; i < c->len && verdict != CHAINS_STOP; i++) {
		if (!chains_enters(&c->bases[i], packet->family, hook))
			continue;
		filter_nft_walk(c->nft, &c->bases[i], packet, NULL, &o);
		verdict = judge(&c->bases[i], c->bases[i].name, &o, verdict, ret_why);
	}
	if (verdict == CHAINS_PASS && c->error.code) {
		snprintf(ret_why, CHAINS_TEXT, "%.*s", CHAINS_TEXT - 1, c->error.text);
		return CHAINS_UNKNOWN;
	}
	return verdict;
}
