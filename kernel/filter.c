/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/filter.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <string.h>

#include "lib/hash.h"

#define DEPTH_MAX 16     /* of jumps, as the kernel's */
#define STEPS_MAX 100000 /* rules looked at; more is "perhaps" */

/* ---- bits ---- */

enum filter_match filter_equal(const uint8_t *value, const uint8_t *known, const uint8_t *want,
			       const uint8_t *mask, size_t size)
{
	enum filter_match m = FILTER_ALWAYS;

	for (size_t i = 0; i < size; i++) {
		uint8_t matters = mask ? mask[i] : 0xff;

		if ((value[i] & known[i] & matters) != (want[i] & known[i] & matters))
			return FILTER_NEVER;
		if (matters & ~known[i])
			m = FILTER_PERHAPS;
	}
	return m;
}

enum filter_match filter_between(const uint8_t *value, const uint8_t *known, const uint8_t *low,
				 const uint8_t *high, size_t size)
{
	uint8_t least[FILTER_HEADER_SIZE];
	uint8_t most[FILTER_HEADER_SIZE];

	if (size > sizeof(least))
		return FILTER_PERHAPS;
	for (size_t i = 0; i < size; i++) {
		least[i] = value[i] & known[i];
		most[i] = (uint8_t)(least[i] | ~known[i]);
	}
	if (memcmp(most, low, size) < 0 || memcmp(least, high, size) > 0)
		return FILTER_NEVER;
	return memcmp(least, low, size) >= 0 && memcmp(most, high, size) <= 0 ? FILTER_ALWAYS
									      : FILTER_PERHAPS;
}

/* ---- headers ---- */

static void set_bytes(struct filter_header *h, size_t at, const void *value, size_t size)
{
	memcpy(h->value + at, value, size);
	memset(h->known + at, 0xff, size);
}

static void set_net(struct filter_header *h, size_t at, const struct ip_net *net)
{
	if (!ip_net_is_set(net))
		return;
	memcpy(h->value + at, net->addr.b, ip_addr_size(&net->addr));
	for (unsigned i = 0; i < net->len; i++)
		h->known[at + i / 8] |= (uint8_t)(0x80 >> i % 8);
}

void filter_network_header(const struct filter_packet *p, struct filter_header *ret)
{
	static const uint8_t no_fragment[2];
	bool v4 = p->family == AF_INET;

	*ret = (struct filter_header){ 0 };
	if (v4)
		set_bytes(ret, offsetof(struct iphdr, frag_off), no_fragment, 2);
	if (p->protocol)
		set_bytes(ret,
			  v4 ? offsetof(struct iphdr, protocol) : offsetof(struct ip6_hdr, ip6_nxt),
			  &p->protocol, 1);
	set_net(ret, v4 ? offsetof(struct iphdr, saddr) : offsetof(struct ip6_hdr, ip6_src),
		&p->source);
	set_net(ret, v4 ? offsetof(struct iphdr, daddr) : offsetof(struct ip6_hdr, ip6_dst),
		&p->destination);
}

void filter_transport_header(const struct filter_packet *p, struct filter_header *ret)
{
	uint16_t ports[2] = { htons(FILTER_SAMPLE_PORT), htons(p->port) };

	*ret = (struct filter_header){ 0 };
	if (p->port)
		set_bytes(ret, 0, ports, sizeof(ports));
}

/* ---- the walk ---- */

struct walk {
	filter_next_fn *next;
	void *arg;
	const char *const *without;
	unsigned steps;
	bool perhaps; /* some may have been accepted before */
	bool doubt;   /* or stopped */
	bool acts;    /* something may have become of some */
	struct filter_outcome *outcome;
};

enum end { END_OF_CHAIN, END_ACCEPTED, END_DROPPED };

static enum end walk_chain(struct walk *w, const char *chain, unsigned depth);

/* A jump whose rule matches perhaps: what is accepted there perhaps was. */
static enum end walk_jump(struct walk *w, const struct filter_rule *rule, unsigned depth)
{
	enum end end = depth < DEPTH_MAX ? walk_chain(w, rule->target, depth + 1) : END_OF_CHAIN;

	if (depth >= DEPTH_MAX)
		w->perhaps = w->doubt = w->acts = true;
	if (rule->matches == FILTER_ALWAYS)
		return end;
	w->perhaps |= end == END_ACCEPTED;
	w->doubt |= end == END_DROPPED;
	return END_OF_CHAIN;
}

static void note_drop(struct walk *w, const char *chain, unsigned number, uint64_t handle)
{
	snprintf(w->outcome->chain, sizeof(w->outcome->chain), "%s", chain);
	w->outcome->number = number;
	w->outcome->handle = handle;
}

/* `rule` matches, at least perhaps. True if the chain is left, as *ret_end says. */
static bool take_rule(struct walk *w, const char *chain, const struct filter_rule *rule,
		      unsigned number, unsigned depth, bool *sure, enum end *ret_end)
{
	bool always = rule->matches == FILTER_ALWAYS;

	*ret_end = END_OF_CHAIN;
	w->acts |= rule->acts || rule->verdict == FILTER_DROP ||
		   rule->verdict == FILTER_TRANSLATE || rule->verdict == FILTER_UNKNOWN;
	switch (rule->verdict) {
	case FILTER_CONTINUE:
		return false;
	case FILTER_ACCEPT:
		w->perhaps |= !always;
		*ret_end = END_ACCEPTED;
		return always;
	case FILTER_DROP:
		if (always)
			note_drop(w, chain, number, rule->handle);
		w->doubt |= !always;
		*ret_end = END_DROPPED;
		return always;
	case FILTER_RETURN:
		*sure &= always;
		return always;
	case FILTER_JUMP:
		*ret_end = walk_jump(w, rule, depth);
		return *ret_end != END_OF_CHAIN;
	case FILTER_GOTO:
		*ret_end = walk_jump(w, rule, depth);
		*sure &= always;
		return always;
	case FILTER_TRANSLATE:
		w->outcome->translates = true;
		w->perhaps = true;
		*sure = false;
		return false;
	case FILTER_UNKNOWN:
		w->perhaps = w->doubt = true;
		*sure = false;
		return false;
	}
	return false;
}

/* Those that only count or log say nothing of what becomes of the packet. */
static void note_way(struct walk *w, const char *chain, const struct filter_rule *rule,
		     unsigned number)
{
	uint64_t parts[4] = { w->outcome->way, number, rule->matches, rule->verdict };

	if (rule->verdict == FILTER_CONTINUE)
		return;
	parts[1] ^= hash_bytes(chain, strlen(chain));
	w->outcome->way = hash_bytes(parts, sizeof(parts));
}

static bool is_left_out(const struct walk *w, const struct filter_rule *rule)
{
	for (size_t i = 0; w->without && w->without[i]; i++) {
		if (strcmp(rule->target, w->without[i]) == 0)
			return true;
	}
	return false;
}

static enum end walk_chain(struct walk *w, const char *chain, unsigned depth)
{
	struct filter_rule rule;
	unsigned number = 0;
	bool sure = true; /* what came in comes to this rule */
	size_t cursor = 0;
	enum end end;

	while (w->next(w->arg, chain, &cursor, &rule)) {
		number++;
		if (w->steps++ > STEPS_MAX) {
			w->perhaps = w->doubt = w->acts = true;
			break;
		}
		if (depth == 0)
			w->outcome->top = number;
		if (!sure)
			rule.matches = filter_and(rule.matches, FILTER_PERHAPS);
		if (rule.matches == FILTER_NEVER || is_left_out(w, &rule))
			continue;
		note_way(w, chain, &rule, number);
		if (take_rule(w, chain, &rule, number, depth, &sure, &end))
			return end;
	}
	return END_OF_CHAIN;
}

void filter_walk(const char *chain, bool policy_drops, const char *const *without,
		 filter_next_fn *next, void *arg, struct filter_outcome *ret)
{
	struct walk w = { .next = next, .arg = arg, .without = without, .outcome = ret };
	enum end end;

	*ret = (struct filter_outcome){ 0 };
	end = walk_chain(&w, chain, 0);
	if (end == END_OF_CHAIN && policy_drops) {
		note_drop(&w, chain, 0, 0);
		end = END_DROPPED;
		ret->top = 0;
	}
	ret->stops = end == END_DROPPED && !w.perhaps;
	ret->passes = end != END_DROPPED;
	ret->doubt = w.doubt;
	ret->idle = !w.acts && ret->passes;
}
