/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/external_match.h"

#include <errno.h>
#include <regex.h>

static const int families[2] = { AF_INET, AF_INET6 };

const struct link_info *external_link(const struct external_facts *f, uint32_t ifindex)
{
	for (size_t i = 0; i < f->links_len; i++) {
		if (f->links[i].ifindex == ifindex)
			return &f->links[i];
	}
	return NULL;
}

static const struct link_info *link_by_name(const struct external_facts *f, const char *name)
{
	for (size_t i = 0; i < f->links_len; i++) {
		if (strcmp(f->links[i].name, name) == 0)
			return &f->links[i];
	}
	return NULL;
}

static bool usable(const struct underlay_address *a)
{
	return !a->deprecated && !ip_addr_is_loopback(&a->net.addr) &&
	       !ip_addr_is_multicast(&a->net.addr);
}

/*
 * Lower is better: global before link-local, then one that can be used before one that cannot,
 * permanent before dynamic, stable before temporary. A global address that cannot be used yet is
 * waited for: the link-local one is ready before it, and would do for no peer behind a router.
 */
static unsigned rank(const struct underlay_address *a)
{
	return (ip_addr_is_link_local(&a->net.addr) ? 16u : 0u) + (a->duplicate ? 8u : 0u) +
	       (a->tentative ? 4u : 0u) + (a->dynamic ? 2u : 0u) + (a->temporary ? 1u : 0u);
}

/*
 * Another that is as good must not move the fabric: Linux lists the IPv6 address that was added last
 * first.
 */
struct ip_addr external_kept_address(const struct external_facts *f, uint32_t ifindex, int family)
{
	const struct ip_addr *before;

	if (!f->before)
		return (struct ip_addr){ 0 };
	before = &f->before->places[external_index(family)].local;
	for (size_t i = 0; i < f->addresses_len && ip_addr_is_set(before); i++) {
		const struct underlay_address *a = &f->addresses[i];

		/* One that is still tentative is worth waiting for. */
		if (a->ifindex == ifindex && usable(a) && !a->duplicate &&
		    ip_addr_equal(&a->net.addr, before))
			return *before;
	}
	return (struct ip_addr){ 0 };
}

struct ip_addr external_best_address(const struct external_facts *f, uint32_t ifindex, int family)
{
	const struct underlay_address *best = NULL;

	for (size_t i = 0; i < f->addresses_len; i++) {
		const struct underlay_address *a = &f->addresses[i];

		if (a->ifindex == ifindex && a->net.addr.family == family && usable(a) &&
		    (!best || rank(a) < rank(best)))
			best = a;
	}
	return best ? best->net.addr : (struct ip_addr){ 0 };
}

bool external_owns(const struct external_facts *f, uint32_t ifindex, const struct ip_addr *addr)
{
	for (size_t i = 0; i < f->addresses_len; i++) {
		if ((!ifindex || f->addresses[i].ifindex == ifindex) &&
		    ip_addr_equal(&f->addresses[i].net.addr, addr))
			return true;
	}
	return false;
}

bool external_is_given(const struct external_options *o)
{
	return o->iface.len || o->iface_regex.len || *o->iface_can_reach;
}

/* ---- iface ---- */

static void take_link(const struct link_info *link, struct external_match *ret)
{
	*ret = (struct external_match){ .ifindex = link->ifindex };
	snprintf(ret->asked, sizeof(ret->asked), "%s", link->name);
}

static bool match_address(const struct external_facts *f, const struct ip_addr *addr,
			  struct external_match *ret)
{
	for (size_t i = 0; i < f->addresses_len; i++) {
		if (!ip_addr_equal(&f->addresses[i].net.addr, addr))
			continue;
		*ret = (struct external_match){ .ifindex = f->addresses[i].ifindex, .addr = *addr };
		return true;
	}
	return false;
}

/* An interface by its name or an address, whichever family that is of. */
static bool match_value(const struct external_facts *f, const char *value,
			struct external_match *ret)
{
	const struct link_info *link;
	struct ip_addr addr;

	if (ip_addr_parse(value, AF_UNSPEC, &addr, NULL) == 0)
		return match_address(f, &addr, ret);
	link = link_by_name(f, value);
	if (link)
		take_link(link, ret);
	return link;
}

/* Every interface with IPv6 gives itself a link-local address: that says nothing. */
static bool has_address(const struct external_facts *f, uint32_t ifindex, int family)
{
	struct ip_addr addr = external_best_address(f, ifindex, family);

	return ip_addr_is_set(&addr) && !ip_addr_is_link_local(&addr);
}

/* In any family of the network. */
static bool has_any(const struct external_facts *f, uint32_t ifindex)
{
	return (f->config->v4.enabled && has_address(f, ifindex, AF_INET)) ||
	       (f->config->v6.enabled && has_address(f, ifindex, AF_INET6));
}

/*
 * The first of them that is there. One that has addresses of the other family alone is for that one;
 * one that has none at all is waited for. An address of the other family tells the interface, unless
 * there is one of this family.
 */
static void match_iface(const struct external_facts *f, const struct option_list *values,
			int family, struct external_match *ret)
{
	struct external_match m;
	struct external_match last_resort = { 0 };

	for (size_t i = 0; i < values->len; i++) {
		bool other;
		bool has;

		if (!match_value(f, values->items[i], &m))
			continue;
		other = ip_addr_is_set(&m.addr) && m.addr.family != family;
		if (ret->ifindex && (other || !ip_addr_is_set(&m.addr)))
			continue;
		has = has_address(f, m.ifindex, family);
		if (!other && (ip_addr_is_set(&m.addr) || has || !has_any(f, m.ifindex))) {
			*ret = m;
			return;
		}
		if (other)
			m.addr = (struct ip_addr){ 0 };
		if (other && has)
			*ret = m;
		else if (!last_resort.ifindex)
			last_resort = m;
	}
	if (!ret->ifindex)
		*ret = last_resort;
}

/*
 * An interface that was asked for by its name, and has another one now, is the same one as long as it
 * has our address and nobody else has the name.
 */
static void match_renamed(const struct external_facts *f, int family, struct external_match *ret)
{
	const struct external_place *p =
		f->before ? &f->before->places[external_index(family)] : NULL;
	struct ip_addr kept;

	if (!p || !*p->asked || link_by_name(f, p->asked) || !external_link(f, p->ifindex))
		return;
	kept = external_kept_address(f, p->ifindex, family);
	if (!ip_addr_is_set(&kept))
		return;
	*ret = (struct external_match){ .ifindex = p->ifindex };
	memcpy(ret->asked, p->asked, sizeof(ret->asked));
}

/* ---- iface-regex ---- */

/* The first address of the wanted family on this interface whose text matches. */
static struct ip_addr matching_address(const struct external_facts *f, uint32_t ifindex, int family,
				       const regex_t *re)
{
	struct ip_addr kept = external_kept_address(f, ifindex, family);
	struct ip_addr unsettled = { 0 };
	char text[IP_ADDR_TEXT];

	if (ip_addr_is_set(&kept) && regexec(re, ip_addr_format(&kept, text), 0, NULL, 0) == 0)
		return kept;
	for (size_t i = 0; i < f->addresses_len; i++) {
		const struct underlay_address *a = &f->addresses[i];

		if (a->ifindex != ifindex || a->net.addr.family != family || !usable(a) ||
		    regexec(re, ip_addr_format(&a->net.addr, text), 0, NULL, 0) != 0)
			continue;
		if (external_is_settled(a))
			return a->net.addr;
		unsettled = a->net.addr;
	}
	return unsettled;
}

/* Where all families of the network have an address that matches. */
static bool match_shared(const struct external_facts *f, const regex_t *re,
			 struct external_match ret[static 2])
{
	for (size_t i = 0; i < f->links_len; i++) {
		struct external_match m[2] = { 0 };
		bool all = true;

		for (size_t k = 0; k < ARRAY_LEN(families); k++) {
			m[k].ifindex = f->links[i].ifindex;
			m[k].addr = matching_address(f, m[k].ifindex, families[k], re);
			all &= !external_family(f, families[k])->enabled ||
			       ip_addr_is_set(&m[k].addr);
		}
		if (all) {
			memcpy(ret, m, sizeof(m));
			return true;
		}
	}
	return false;
}

static void match_names(const struct external_facts *f, const regex_t *re, int family,
			struct external_match *ret)
{
	const struct link_info *first = NULL;

	for (size_t i = 0; i < f->links_len; i++) {
		const struct link_info *link = &f->links[i];
		bool has = has_address(f, link->ifindex, family);

		if (regexec(re, link->name, 0, NULL, 0) != 0)
			continue;
		if (!first || has)
			first = link;
		if (has || !has_any(f, first->ifindex))
			break;
	}
	if (first)
		take_link(first, ret);
}

/* Addresses of any interface before names of any: 192\.168\. must not be beaten by a device called
 * so. */
static void match_regex(const struct external_facts *f, const regex_t *re,
			struct external_match ret[static 2])
{
	if (!ret[0].ifindex && !ret[1].ifindex && match_shared(f, re, ret))
		return;
	for (size_t k = 0; k < ARRAY_LEN(families); k++) {
		for (size_t i = 0; i < f->links_len && !ret[k].ifindex; i++) {
			struct ip_addr addr =
				matching_address(f, f->links[i].ifindex, families[k], re);

			if (ip_addr_is_set(&addr))
				ret[k] = (struct external_match){ .ifindex = f->links[i].ifindex,
								  .addr = addr };
		}
		if (!ret[k].ifindex)
			match_names(f, re, families[k], &ret[k]);
	}
}

static int match_pattern(const struct external_facts *f, const char *pattern,
			 struct external_match ret[static 2], struct err *e)
{
	regex_t re;
	int rc = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);

	if (rc != 0) {
		char text[160];

		regerror(rc, &re, text, sizeof(text));
		return err_set(e, -EINVAL, "iface-regex \"%.80s\": %s", pattern, text);
	}
	match_regex(f, &re, ret);
	regfree(&re);
	return 0;
}

/* ---- iface-can-reach, public-ip ---- */

static void match_can_reach(const struct external_facts *f, const char *value,
			    struct external_match ret[static 2])
{
	struct external_match *m;
	struct underlay_route route;
	struct ip_addr dst;

	if (ip_addr_parse(value, AF_UNSPEC, &dst, NULL) < 0)
		return;
	m = &ret[external_index(dst.family)];
	if (m->ifindex || underlay_route_to(f->nl, &dst, &route, NULL) < 0)
		return;
	m->ifindex = route.ifindex;
	m->addr = route.source;
}

/* A public address that is ours names the interface; one that is not (NAT) says nothing about it. */
static void match_public(const struct external_facts *f, const struct external_options *o,
			 struct external_match ret[static 2])
{
	const char *const texts[] = { o->public_ip, o->public_ipv6 };

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct ip_addr public;

		if (external_family(f, families[i])->enabled && *texts[i] &&
		    ip_addr_parse(texts[i], families[i], &public, NULL) == 0)
			(void)match_address(f, &public, &ret[i]);
	}
}

/* ---- the default route ---- */

/* The interface that has the address in use of one family; 0: none has it. */
static uint32_t present_interface(const struct external_facts *f, int family)
{
	for (size_t i = 0; i < f->addresses_len; i++) {
		const struct underlay_address *a = &f->addresses[i];

		if (a->net.addr.family == family) {
			struct ip_addr kept = external_kept_address(f, a->ifindex, family);

			if (ip_addr_is_set(&kept))
				return a->ifindex;
		}
	}
	return 0;
}

/* All default routes, the one in use before the others. */
static int list_defaults(const struct external_facts *f, int family,
			 const struct underlay_default *in_use, struct underlay_default **ret,
			 size_t *ret_len, struct err *e)
{
	struct underlay_default *all;
	int rc = underlay_defaults(f->nl, family, &all, ret_len, e);

	if (rc < 0)
		return rc;
	*ret = xmalloc((*ret_len + 1) * sizeof(*all));
	if (*ret_len)
		memcpy(*ret + (in_use->ifindex != 0), all, *ret_len * sizeof(*all));
	free(all);
	if (in_use->ifindex) {
		**ret = *in_use;
		*ret_len += 1;
	}
	return 0;
}

/*
 * Where the default route in use leads over the interface that has our address, we stay. So nothing
 * needs a look at all routes, of which there may be a million, but a change.
 */
static int default_interface(const struct external_facts *f, int family, uint32_t *ret,
			     struct external *noted, struct err *e)
{
	auto_free struct underlay_default *all = NULL;
	char note[DEFAULT_ROUTE_NOTE];
	struct underlay_default in_use = { 0 };
	struct default_route_facts facts = {
		.family = family,
		.network = external_family(f, family)->network,
		.links = f->links,
		.links_len = f->links_len,
		.addresses = f->addresses,
		.addresses_len = f->addresses_len,
		.routes = &in_use,
		.present = present_interface(f, family),
	};
	int rc;

	facts.routes_len = underlay_default_in_use(f->nl, family, &in_use);
	if (facts.present) {
		bool stands = facts.routes_len && in_use.routed && in_use.ifindex == facts.present;

		facts.present_leads_out =
			stands || underlay_leads_out(f->nl, facts.present, family, &facts.network);
	}
	if (!facts.present_leads_out) {
		rc = list_defaults(f, family, &in_use, &all, &facts.routes_len, e);
		if (rc < 0)
			return rc;
		facts.routes = all;
	}
	rc = default_route_choose(&facts, ret, note, e);
	if (rc == 0 && *note)
		snprintf(noted->places[external_index(family)].note, DEFAULT_ROUTE_NOTE, "%s",
			 note);
	return rc;
}

/* ---- all of them ---- */

/* What was found since the last time was found by this. */
static void found_by(struct external_match m[static 2], const char *by)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (m[i].ifindex && !m[i].by)
			m[i].by = by;
	}
}

static int match_given(const struct external_facts *f, const struct external_options *o,
		       struct external_match ret[static 2], struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (o->iface.len || o->iface_regex.len)
			match_renamed(f, families[i], &ret[i]);
		if (!ret[i].ifindex)
			match_iface(f, &o->iface, families[i], &ret[i]);
	}
	found_by(ret, "iface");
	for (size_t i = 0; i < o->iface_regex.len; i++) {
		if (match_pattern(f, o->iface_regex.items[i], ret, e) < 0)
			return e->code;
	}
	found_by(ret, "iface-regex");
	match_can_reach(f, o->iface_can_reach, ret);
	found_by(ret, "iface-can-reach");
	return 0;
}

static bool is_found(const struct external_facts *f, const struct external_match m[static 2])
{
	return (f->config->v4.enabled && m[0].ifindex) || (f->config->v6.enabled && m[1].ifindex);
}

/* One that nothing has told yet: where the other one is, if it has an address there, or must be. */
static void follow_other(const struct external_facts *f, bool pinned,
			 struct external_match m[static 2])
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (!m[i].ifindex && m[!i].ifindex &&
		    (pinned || has_address(f, m[!i].ifindex, families[i])))
			m[i].ifindex = m[!i].ifindex;
	}
}

int external_match(const struct external_facts *f, const struct external_options *o,
		   struct external_match ret[static 2], struct external *noted,
		   struct err errors[static 2], struct err *e)
{
	struct external_match m[2] = { 0 };

	if (external_is_given(o) && match_given(f, o, m, e) < 0)
		return e->code;
	if (external_is_given(o) && !is_found(f, m))
		return err_set(
			e, -ENODEV,
			"no external interface matches iface (%zu given, first \"%.40s\"), "
			"iface-regex (%zu given, first \"%.40s\") or iface-can-reach (\"%.40s\")",
			o->iface.len, o->iface.len ? o->iface.items[0] : "", o->iface_regex.len,
			o->iface_regex.len ? o->iface_regex.items[0] : "", o->iface_can_reach);
	if (!external_is_given(o))
		match_public(f, o, m);
	found_by(m, "public-ip");
	follow_other(f, o->iface.len || o->iface_regex.len, m);
	found_by(m, "the other family");
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (!external_family(f, families[i])->enabled || m[i].ifindex)
			continue;
		if (default_interface(f, families[i], &m[i].ifindex, noted, &errors[i]) < 0)
			err_wrap(&errors[i], "%s", external_family_name(families[i]));
	}
	found_by(m, "the default route");
	memcpy(ret, m, sizeof(m));
	return 0;
}
