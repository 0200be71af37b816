/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/external.h"

#include <errno.h>
#include <regex.h>

#include "kernel/link.h"
#include "kernel/sysctl.h"
#include "kernel/underlay.h"

/* What the kernel has, read once. */
struct facts {
	struct netlink *nl;
	struct link_info *links;
	size_t links_len;
	struct underlay_address *addresses;
	size_t addresses_len;
	const struct network_config *config;
	const struct external *before; /* or NULL */
};

/* What a way of choosing found: the interface and, if it named them, addresses. */
struct match {
	uint32_t ifindex;
	struct ip_addr v4;
	struct ip_addr v6;
};

static const struct link_info *link_by_index(const struct facts *f, uint32_t ifindex)
{
	for (size_t i = 0; i < f->links_len; i++) {
		if (f->links[i].ifindex == ifindex)
			return &f->links[i];
	}
	return NULL;
}

static const struct link_info *link_by_name(const struct facts *f, const char *name)
{
	for (size_t i = 0; i < f->links_len; i++) {
		if (strcmp(f->links[i].name, name) == 0)
			return &f->links[i];
	}
	return NULL;
}

/* Whether packets may carry the address, as far as the kernel is concerned. */
static bool is_settled(const struct underlay_address *a)
{
	return !a->tentative && !a->duplicate;
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
 * The address in use, if the interface still has it. Another that is as good must not move the
 * fabric: Linux lists the IPv6 address that was added last first.
 */
static struct ip_addr kept_address(const struct facts *f, uint32_t ifindex, int family)
{
	const struct ip_addr *before;

	if (!f->before)
		return (struct ip_addr){ 0 };
	before = family == AF_INET ? &f->before->local_v4 : &f->before->local_v6;
	for (size_t i = 0; i < f->addresses_len && ip_addr_is_set(before); i++) {
		const struct underlay_address *a = &f->addresses[i];

		/* One that is still tentative is worth waiting for. */
		if (a->ifindex == ifindex && usable(a) && !a->duplicate &&
		    ip_addr_equal(&a->net.addr, before))
			return *before;
	}
	return (struct ip_addr){ 0 };
}

/* The best address of one family on an interface; unset if there is none. */
static struct ip_addr best_address(const struct facts *f, uint32_t ifindex, int family)
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

static bool owns(const struct facts *f, uint32_t ifindex, const struct ip_addr *addr)
{
	for (size_t i = 0; i < f->addresses_len; i++) {
		if ((!ifindex || f->addresses[i].ifindex == ifindex) &&
		    ip_addr_equal(&f->addresses[i].net.addr, addr))
			return true;
	}
	return false;
}

/* The prefix that goes with an address of this interface. */
static struct ip_net segment_of(const struct facts *f, uint32_t ifindex, const struct ip_addr *addr)
{
	for (size_t i = 0; i < f->addresses_len; i++) {
		if (f->addresses[i].ifindex == ifindex &&
		    ip_addr_equal(&f->addresses[i].net.addr, addr))
			return ip_net_masked(&f->addresses[i].net);
	}
	return (struct ip_net){ 0 };
}

static int match_address(const struct facts *f, const struct ip_addr *addr, struct match *ret)
{
	for (size_t i = 0; i < f->addresses_len; i++) {
		if (!ip_addr_equal(&f->addresses[i].net.addr, addr))
			continue;
		ret->ifindex = f->addresses[i].ifindex;
		*(addr->family == AF_INET ? &ret->v4 : &ret->v6) = *addr;
		return 0;
	}
	return -ENODEV;
}

static int match_iface(const struct facts *f, const char *value, struct match *ret)
{
	const struct link_info *link;
	struct ip_addr addr;

	if (ip_addr_parse(value, AF_UNSPEC, &addr, NULL) == 0)
		return match_address(f, &addr, ret);
	link = link_by_name(f, value);
	if (!link)
		return -ENODEV;
	ret->ifindex = link->ifindex;
	return 0;
}

/* The first address of the wanted family on this interface whose text matches. */
static struct ip_addr matching_address(const struct facts *f, uint32_t ifindex, int family,
				       const regex_t *re)
{
	struct ip_addr kept = kept_address(f, ifindex, family);
	struct ip_addr unsettled = { 0 };
	char text[IP_ADDR_TEXT];

	if (ip_addr_is_set(&kept) && regexec(re, ip_addr_format(&kept, text), 0, NULL, 0) == 0)
		return kept;
	for (size_t i = 0; i < f->addresses_len; i++) {
		const struct underlay_address *a = &f->addresses[i];

		if (a->ifindex != ifindex || a->net.addr.family != family || !usable(a) ||
		    regexec(re, ip_addr_format(&a->net.addr, text), 0, NULL, 0) != 0)
			continue;
		if (is_settled(a))
			return a->net.addr;
		unsettled = a->net.addr;
	}
	return unsettled;
}

/* Addresses of any interface before names of any: 192\.168\. must not be beaten by a device called
 * so. */
static int match_regex(const struct facts *f, const char *pattern, struct match *ret, struct err *e)
{
	regex_t re;
	int rc = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);

	if (rc != 0) {
		char text[160];

		regerror(rc, &re, text, sizeof(text));
		return err_set(e, -EINVAL, "iface-regex \"%.80s\": %s", pattern, text);
	}
	rc = -ENODEV;
	for (size_t i = 0; i < f->links_len && rc < 0; i++) {
		struct match m = { .ifindex = f->links[i].ifindex };

		m.v4 = matching_address(f, m.ifindex, AF_INET, &re);
		m.v6 = matching_address(f, m.ifindex, AF_INET6, &re);
		if ((!f->config->v4.enabled || ip_addr_is_set(&m.v4)) &&
		    (!f->config->v6.enabled || ip_addr_is_set(&m.v6))) {
			*ret = m;
			rc = 0;
		}
	}
	for (size_t i = 0; i < f->links_len && rc < 0; i++) {
		if (regexec(&re, f->links[i].name, 0, NULL, 0) == 0) {
			*ret = (struct match){ .ifindex = f->links[i].ifindex };
			rc = 0;
		}
	}
	regfree(&re);
	return rc;
}

static int match_can_reach(const struct facts *f, const char *value, struct match *ret,
			   struct err *e)
{
	struct underlay_route route;
	struct ip_addr dst;
	int rc;

	rc = ip_addr_parse(value, AF_UNSPEC, &dst, e);
	if (rc == 0)
		rc = underlay_route_to(f->nl, &dst, &route, e);
	if (rc < 0)
		return rc;
	ret->ifindex = route.ifindex;
	if (ip_addr_is_set(&route.source))
		*(dst.family == AF_INET ? &ret->v4 : &ret->v6) = route.source;
	return 0;
}

/* The interface that has the address in use of one family; 0: none has it. */
static uint32_t present_interface(const struct facts *f, int family)
{
	for (size_t i = 0; i < f->addresses_len; i++) {
		const struct underlay_address *a = &f->addresses[i];

		if (a->net.addr.family == family) {
			struct ip_addr kept = kept_address(f, a->ifindex, family);

			if (ip_addr_is_set(&kept))
				return a->ifindex;
		}
	}
	return 0;
}

/* All default routes, the one in use before the others. */
static int list_defaults(const struct facts *f, int family, const struct underlay_default *in_use,
			 struct underlay_default **ret, size_t *ret_len, struct err *e)
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
static int default_interface(const struct facts *f, int family, uint32_t *ret,
			     struct external *noted, struct err *e)
{
	auto_free struct underlay_default *all = NULL;
	char note[DEFAULT_ROUTE_NOTE];
	struct underlay_default in_use = { 0 };
	struct default_route_facts facts = {
		.family = family,
		.network = family == AF_INET ? f->config->v4.network : f->config->v6.network,
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
		snprintf(noted->note[family != AF_INET], DEFAULT_ROUTE_NOTE, "%s", note);
	return rc;
}

/* Whether the kernel has no IPv6 at all, or not on this interface, which nobody's route would mend. */
static bool is_v6_off(const char *interface)
{
	unsigned off;

	return sysctl_get(&off, NULL, "ipv6/conf/%s/disable_ipv6", interface) < 0 || off;
}

static int say_v6_off(const char *interface, struct err *e)
{
	return err_set(e, -ENODEV,
		       "the network has IPv6, but it is switched off in the kernel "
		       "(net.ipv6.conf.%s.disable_ipv6)",
		       interface);
}

static int match_default_route(const struct facts *f, struct match *ret, struct external *noted,
			       struct err *e)
{
	uint32_t v4 = 0;
	uint32_t v6 = 0;
	int rc = 0;

	if (f->config->v4.enabled)
		rc = default_interface(f, AF_INET, &v4, noted, e);
	if (rc < 0)
		err_wrap(e, "IPv4");
	if (rc == 0 && f->config->v6.enabled) {
		const struct link_info *link = link_by_index(f, v4);

		rc = default_interface(f, AF_INET6, &v6, noted, e);
		if (rc < 0 && is_v6_off(link ? link->name : "all"))
			say_v6_off(link ? link->name : "all", e);
		else if (rc < 0)
			err_wrap(e, "IPv6");
	}
	if (rc < 0)
		return err_set(e, -ENODEV, "no external interface: %s; choose one with iface",
			       e->text);
	if (v4 && v6 && v4 != v6)
		return err_set(e, -ENODEV,
			       "no external interface: the default routes of IPv4 and IPv6 use "
			       "different ones; choose one with iface");
	ret->ifindex = v4 ? v4 : v6;
	return 0;
}

static bool is_given(const struct external_options *o)
{
	return o->iface.len || o->iface_regex.len || *o->iface_can_reach;
}

static int choose(const struct facts *f, const struct external_options *o, struct match *ret,
		  struct external *noted, struct err *e)
{
	struct ip_addr public;
	int rc;

	for (size_t i = 0; i < o->iface.len; i++) {
		if (match_iface(f, o->iface.items[i], ret) == 0)
			return 0;
	}
	for (size_t i = 0; i < o->iface_regex.len; i++) {
		rc = match_regex(f, o->iface_regex.items[i], ret, e);
		if (rc == 0 || rc == -EINVAL)
			return rc;
	}
	if (*o->iface_can_reach && match_can_reach(f, o->iface_can_reach, ret, e) == 0)
		return 0;
	if (is_given(o))
		return err_set(
			e, -ENODEV,
			"no external interface matches iface (%zu given, first \"%.40s\"), "
			"iface-regex (%zu given, first \"%.40s\") or iface-can-reach (\"%.40s\")",
			o->iface.len, o->iface.len ? o->iface.items[0] : "", o->iface_regex.len,
			o->iface_regex.len ? o->iface_regex.items[0] : "", o->iface_can_reach);
	/* A public address that is ours names the interface; one that is not (NAT) says nothing
	 * about it. */
	if (f->config->v4.enabled && *o->public_ip &&
	    ip_addr_parse(o->public_ip, AF_INET, &public, e) == 0 &&
	    match_address(f, &public, ret) == 0)
		return 0;
	if (f->config->v6.enabled && *o->public_ipv6 &&
	    ip_addr_parse(o->public_ipv6, AF_INET6, &public, e) == 0 &&
	    match_address(f, &public, ret) == 0)
		return 0;
	return match_default_route(f, ret, noted, e);
}

/* However the address was chosen: one that the kernel does not let out is of no use to anybody. */
static int check_settled(const struct facts *f, const struct link_info *link,
			 const struct ip_addr *addr, struct err *e)
{
	char text[IP_ADDR_TEXT];

	for (size_t i = 0; i < f->addresses_len; i++) {
		const struct underlay_address *a = &f->addresses[i];

		if (a->ifindex != link->ifindex || !ip_addr_equal(&a->net.addr, addr) ||
		    is_settled(a))
			continue;
		ip_addr_format(addr, text);
		if (a->duplicate)
			return err_set(
				e, -EADDRNOTAVAIL,
				"interface %s: another host has the address %s too "
				"(duplicate address detection failed); remove it there, then "
				"here, and add it again",
				link->name, text);
		return err_set(e, -EAGAIN,
			       "interface %s: the address %s is still tentative; waiting for "
			       "duplicate address detection to end",
			       link->name, text);
	}
	return 0;
}

/* One family's local and public address. `given`: the interface was chosen by the user. */
static int settle(const struct facts *f, const struct link_info *link, int family,
		  const struct ip_addr *matched, bool given, const char *public_text,
		  struct ip_addr *ret_local, struct ip_addr *ret_public, struct err *e)
{
	struct ip_addr local = *matched;
	struct ip_addr public = { 0 };
	char text[IP_ADDR_TEXT];

	if (*public_text && ip_addr_parse(public_text, family, &public, e) < 0)
		return e->code;
	/* The published address if the interface has it, so that peers see packets from where they
	 * send to. */
	if (!ip_addr_is_set(&local) && ip_addr_is_set(&public) && owns(f, link->ifindex, &public))
		local = public;
	if (!ip_addr_is_set(&local))
		local = kept_address(f, link->ifindex, family);
	if (!ip_addr_is_set(&local))
		local = best_address(f, link->ifindex, family);
	if (!ip_addr_is_set(&local) && family == AF_INET6 && is_v6_off(link->name))
		return say_v6_off(link->name, e);
	if (!ip_addr_is_set(&local))
		return err_set(e, -ENODEV, "interface %s has no %s address", link->name,
			       family == AF_INET ? "IPv4" : "IPv6");
	if (check_settled(f, link, &local, e) < 0)
		return e->code;
	/* What a host gives itself that found no DHCP server: good for one link, if for anything. */
	if (family == AF_INET && ip_addr_is_link_local(&local) && !ip_addr_is_set(&public) &&
	    !given)
		return err_set(e, -ENODEV,
			       "interface %s has no IPv4 address but %s, which is link-local; "
			       "choose it with iface if all hosts are on that link",
			       link->name, ip_addr_format(&local, text));
	*ret_local = local;
	*ret_public = ip_addr_is_set(&public) ? public : local;
	return 0;
}

static int from_facts(const struct facts *f, const struct external_options *o, struct external *ret,
		      struct err *e)
{
	const struct link_info *link;
	struct external x = { 0 };
	struct match m = { 0 };
	int rc;

	rc = choose(f, o, &m, &x, e);
	if (rc < 0)
		return rc;
	link = link_by_index(f, m.ifindex);
	if (!link)
		return err_set(e, -ENODEV, "interface %u has vanished", m.ifindex);
	if (!link->up)
		return err_set(e, -ENETDOWN, "interface %s is down", link->name);
	if (link->mtu_bytes == 0)
		return err_set(e, -ENODEV, "interface %s has no MTU", link->name);
	x.ifindex = link->ifindex;
	x.mtu_bytes = link->mtu_bytes;
	snprintf(x.name, sizeof(x.name), "%s", link->name);
	if (f->config->v4.enabled)
		rc = settle(f, link, AF_INET, &m.v4, is_given(o), o->public_ip, &x.local_v4,
			    &x.public_v4, e);
	if (rc == 0 && f->config->v6.enabled)
		rc = settle(f, link, AF_INET6, &m.v6, is_given(o), o->public_ipv6, &x.local_v6,
			    &x.public_v6, e);
	if (rc < 0)
		return rc;
	x.segment_v4 = segment_of(f, x.ifindex, &x.local_v4);
	x.segment_v6 = segment_of(f, x.ifindex, &x.local_v6);
	*ret = x;
	return 0;
}

int external_choose(struct netlink *nl, const struct external_options *o,
		    const struct network_config *config, const struct external *before,
		    struct external *ret, struct err *e)
{
	struct facts f = { .nl = nl, .config = config, .before = before };
	int rc;

	rc = link_list(nl, &f.links, &f.links_len, e);
	if (rc == 0)
		rc = underlay_addresses(nl, AF_UNSPEC, &f.addresses, &f.addresses_len, e);
	if (rc == 0)
		rc = from_facts(&f, o, ret, e);
	free(f.links);
	free(f.addresses);
	return rc;
}

const char *external_format_public(const struct external *x, char buf[static EXTERNAL_PUBLIC_TEXT])
{
	bool v4 = ip_addr_is_set(&x->public_v4);
	char text[IP_ADDR_TEXT];
	int used = snprintf(buf, EXTERNAL_PUBLIC_TEXT, "%s",
			    ip_addr_format(v4 ? &x->public_v4 : &x->public_v6, text));

	if (v4 && ip_addr_is_set(&x->public_v6))
		snprintf(buf + used, EXTERNAL_PUBLIC_TEXT - (size_t)used, " and %s",
			 ip_addr_format(&x->public_v6, text));
	return buf;
}

const char *external_format_change(const struct external *before, const struct external *now,
				   char buf[static EXTERNAL_CHANGE_TEXT])
{
	char public_before[EXTERNAL_PUBLIC_TEXT];
	char public_now[EXTERNAL_PUBLIC_TEXT];
	FILE *out = fmemopen(buf, EXTERNAL_CHANGE_TEXT, "w");

	if (!out)
		abort();
	if (strcmp(before->name, now->name) != 0)
		fprintf(out, "%s -> ", before->name);
	fprintf(out, "%s, mtu ", now->name);
	if (before->mtu_bytes != now->mtu_bytes)
		fprintf(out, "%u -> ", before->mtu_bytes);
	fprintf(out, "%u, public address ", now->mtu_bytes);
	external_format_public(before, public_before);
	external_format_public(now, public_now);
	if (strcmp(public_before, public_now) != 0)
		fprintf(out, "%s -> ", public_before);
	fprintf(out, "%s", public_now);
	fclose(out);
	return buf;
}
