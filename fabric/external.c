/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/external.h"

#include <errno.h>

#include "fabric/external_match.h"
#include "kernel/sysctl.h"

static const int families[2] = { AF_INET, AF_INET6 };

/* The prefix that goes with an address of this interface. */
static struct ip_net segment_of(const struct external_facts *f, uint32_t ifindex,
				const struct ip_addr *addr)
{
	for (size_t i = 0; i < f->addresses_len; i++) {
		if (f->addresses[i].ifindex == ifindex &&
		    ip_addr_equal(&f->addresses[i].net.addr, addr))
			return ip_net_masked(&f->addresses[i].net);
	}
	return (struct ip_net){ 0 };
}

/* However the address was chosen: one that the kernel does not let out is of no use to anybody. */
static int check_settled(const struct external_facts *f, const struct link_info *link,
			 const struct ip_addr *addr, struct err *e)
{
	char text[IP_ADDR_TEXT];

	for (size_t i = 0; i < f->addresses_len; i++) {
		const struct underlay_address *a = &f->addresses[i];

		if (a->ifindex != link->ifindex || !ip_addr_equal(&a->net.addr, addr) ||
		    external_is_settled(a))
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

/*
 * A link-local address is good for one link, if for anything: a host gives it itself where no DHCP server
 * answers, and every interface has one of IPv6. What had another one is waited for.
 */
static bool had_better(const struct external_facts *f, int family)
{
	const struct ip_addr *before =
		f->before ? &f->before->places[external_index(family)].local : NULL;

	return before && ip_addr_is_set(before) && !ip_addr_is_link_local(before);
}

/* One family's local and public address. `given`: the interface was chosen by the user. */
static int settle(const struct external_facts *f, const struct link_info *link, int family,
		  const struct external_match *m, bool given, const char *public_text,
		  struct external_place *ret, struct err *e)
{
	struct ip_addr best = external_best_address(f, link->ifindex, family);
	struct ip_addr local = m->addr;
	struct ip_addr public = { 0 };
	char text[IP_ADDR_TEXT];

	if (*public_text && ip_addr_parse(public_text, family, &public, e) < 0)
		return e->code;
	/* The published address if the interface has it, so that peers see packets from where they
	 * send to. */
	if (!ip_addr_is_set(&local) && ip_addr_is_set(&public) &&
	    external_owns(f, link->ifindex, &public))
		local = public;
	if (!ip_addr_is_set(&local))
		local = external_kept_address(f, link->ifindex, family);
	/* A link-local one was there first, and gives way to one that comes later, once that can be
	 * used. */
	if (!ip_addr_is_set(&local) ||
	    (ip_addr_is_link_local(&local) && !ip_addr_is_set(&m->addr) &&
	     !ip_addr_is_link_local(&best) && check_settled(f, link, &best, NULL) == 0))
		local = best;
	if (!ip_addr_is_set(&local))
		return err_set(e, -ENODEV, "interface %s has no %s address", link->name,
			       external_family_name(family));
	if (check_settled(f, link, &local, e) < 0)
		return e->code;
	if (ip_addr_is_link_local(&local) && !ip_addr_is_set(&public) &&
	    (!given || had_better(f, family)))
		return err_set(
			e, -ENODEV, "interface %s has no %s address but %s, which is link-local%s",
			link->name, external_family_name(family), ip_addr_format(&local, text),
			given ? "" : "; choose it with iface if all hosts are on that link");
	ret->local = local;
	ret->public = ip_addr_is_set(&public) ? public : local;
	ret->segment = segment_of(f, link->ifindex, &local);
	return 0;
}

/* ---- the MTU ---- */

/* The smallest of those that lead to other hosts: up, no port of a bridge, none of the overlay's. */
static const struct link_info *narrowest(const struct external_facts *f, int family)
{
	const struct ip_net *network = &external_family(f, family)->network;
	const struct link_info *found = NULL;

	for (size_t i = 0; i < f->addresses_len; i++) {
		const struct underlay_address *a = &f->addresses[i];
		const struct link_info *link = external_link(f, a->ifindex);

		if (a->net.addr.family == family && link && link->up && !link->loopback &&
		    !link->master_ifindex && !ip_net_contains(network, &a->net.addr) &&
		    (!found || link->mtu_bytes < found->mtu_bytes))
			found = link;
	}
	return found;
}

/*
 * A routed host may have its address on lo, and packets with it leave by other interfaces: the one of
 * the default route tells how large they may be, or else the narrowest.
 */
static const struct link_info *way_out(const struct external_facts *f, const struct link_info *link,
				       int family)
{
	struct underlay_default route;
	const struct link_info *out = NULL;

	if (!link->loopback)
		return link;
	if (underlay_default_in_use(f->nl, family, &route))
		out = external_link(f, route.ifindex);
	if (!out || out->loopback)
		out = narrowest(f, family);
	return out ? out : link;
}

/* ---- a place ---- */

static int find_place(const struct external_facts *f, const struct external_options *o, int family,
		      const struct external_match *m, const struct err *error,
		      struct external_place *ret, struct err *e)
{
	const struct link_info *link = external_link(f, m->ifindex);
	const char *public = family == AF_INET ? o->public_ip : o->public_ipv6;
	const struct link_info *out;

	if (!m->ifindex)
		return err_set(e, -ENODEV, "no external interface: %s; choose one with iface",
			       error->text);
	if (!link)
		return err_set(e, -ENODEV, "interface %u has vanished", m->ifindex);
	if (!link->up)
		return err_set(e, -ENETDOWN, "interface %s is down", link->name);
	if (link->mtu_bytes == 0)
		return err_set(e, -ENODEV, "interface %s has no MTU", link->name);
	out = way_out(f, link, family);
	ret->ifindex = link->ifindex;
	ret->mtu_bytes = out->mtu_bytes;
	ret->mtu_ifindex = out->ifindex;
	memcpy(ret->name, link->name, sizeof(ret->name));
	memcpy(ret->asked, m->asked, sizeof(ret->asked));
	ret->by = m->by;
	return settle(f, link, family, m, external_is_given(o), public, ret, e);
}

/* ---- IPv6 that is switched off ---- */

static bool is_switched_off(const char *interface, char ret[static EXTERNAL_OFF_TEXT])
{
	unsigned off;

	if (sysctl_get(&off, NULL, "ipv6/conf/%s/disable_ipv6", interface) < 0 || !off)
		return false;
	snprintf(ret, EXTERNAL_OFF_TEXT,
		 "it is switched off in the kernel (net.ipv6.conf.%s.disable_ipv6 is 1)",
		 interface);
	return true;
}

/* Whether that is why there is no place for it, and how it is switched off. */
static bool is_v6_off(const struct external_facts *f, const struct external_match m[static 2],
		      char ret[static EXTERNAL_OFF_TEXT])
{
	const struct link_info *link = external_link(f, m[m[1].ifindex ? 1 : 0].ifindex);
	unsigned any;

	/* Nothing tells of an interface: the first is as good a guess as there is. */
	for (size_t i = 0; i < f->links_len && !link; i++) {
		if (f->links[i].up && !f->links[i].loopback)
			link = &f->links[i];
	}
	if (sysctl_get(&any, NULL, "ipv6/conf/all/disable_ipv6") == -ENOENT) {
		snprintf(ret, EXTERNAL_OFF_TEXT, "the kernel has none (ipv6.disable)");
		return true;
	}
	if (link && !is_switched_off(link->name, ret))
		return false;
	/* For all is for this one too, and what was done. */
	return is_switched_off("all", ret) || link;
}

/* ---- all ---- */

/*
 * A family that has lost its place stays where it was, if the other one has one: that one may move all
 * the same.
 */
static bool keep_place(const struct external_facts *f, size_t i, struct external *x,
		       const struct err *error)
{
	const char *family = external_family_name(families[i]);

	if (!f->before || !f->before->places[i].ifindex || *x->lost)
		return false;
	x->places[i] = f->before->places[i];
	snprintf(x->lost, sizeof(x->lost), "%s%s%s", strstr(error->text, family) ? "" : family,
		 strstr(error->text, family) ? "" : ": ", error->text);
	return true;
}

static int from_facts(const struct external_facts *f, const struct external_options *o,
		      struct external *ret, struct err *e)
{
	struct external x = { 0 };
	struct external_match m[2] = { 0 };
	struct err errors[2] = { 0 };
	bool any = false;
	int rc;

	rc = external_match(f, o, m, &x, errors, e);
	for (size_t i = 0; i < ARRAY_LEN(families) && rc == 0; i++) {
		if (!external_family(f, families[i])->enabled)
			continue;
		rc = find_place(f, o, families[i], &m[i], &errors[i], &x.places[i], e);
		any |= rc == 0;
		if (rc < 0 && families[i] == AF_INET6 && is_v6_off(f, m, x.v6_off)) {
			if (!f->config->v4.enabled)
				return err_set(e, -ENODEV, "the network has IPv6, but %s",
					       x.v6_off);
			x.places[i] = (struct external_place){ 0 };
			rc = 0;
		} else if (rc < 0 && keep_place(f, i, &x, e)) {
			rc = 0;
		} else if (rc < 0 && *x.lost) {
			rc = err_set(e, rc, "%s", x.lost);
		}
	}
	if (rc < 0)
		return rc;
	if (!any)
		return err_set(e, -ENODEV, "%s", x.lost);
	*ret = x;
	return 0;
}

int external_choose(struct netlink *nl, const struct external_options *o,
		    const struct network_config *config, const struct external *before,
		    struct external *ret, struct err *e)
{
	struct external_facts f = { .nl = nl, .config = config, .before = before };
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

/* ---- what was chosen ---- */

bool external_is_unsettled(const struct external *x)
{
	return *x->places[0].note || *x->places[1].note || *x->v6_off || *x->lost;
}

bool external_is_interface(const struct external *x, uint32_t ifindex)
{
	for (size_t i = 0; i < ARRAY_LEN(x->places); i++) {
		const struct external_place *p = &x->places[i];

		if (ifindex && (ifindex == p->ifindex || ifindex == p->mtu_ifindex))
			return true;
	}
	return false;
}

bool external_is_name(const struct external *x, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(x->places); i++) {
		if (strcmp(name, x->places[i].name) == 0 || strcmp(name, x->places[i].asked) == 0)
			return true;
	}
	return false;
}

bool external_equal(const struct external *a, const struct external *b)
{
	for (size_t i = 0; i < ARRAY_LEN(a->places); i++) {
		const struct external_place *p = &a->places[i];
		const struct external_place *q = &b->places[i];

		if (p->ifindex != q->ifindex || strcmp(p->name, q->name) != 0 ||
		    p->mtu_bytes != q->mtu_bytes || p->mtu_ifindex != q->mtu_ifindex ||
		    !ip_addr_equal(&p->local, &q->local) ||
		    !ip_addr_equal(&p->public, &q->public) ||
		    !ip_net_equal(&p->segment, &q->segment))
			return false;
	}
	return true;
}

static void put_public(FILE *out, const struct external *x, bool first, bool second)
{
	char text[IP_ADDR_TEXT];

	first &= ip_addr_is_set(&x->places[0].public);
	second &= ip_addr_is_set(&x->places[1].public);
	if (first)
		fputs(ip_addr_format(&x->places[0].public, text), out);
	if (first && second)
		fputs(" and ", out);
	if (second)
		fputs(ip_addr_format(&x->places[1].public, text), out);
	if (!first && !second)
		fputs("none", out);
}

static void put_places(FILE *out, const struct external *before, const struct external *now,
		       bool first, bool second)
{
	const struct external_place *p = &now->places[first ? 0 : 1];
	const struct external_place *old = before ? &before->places[first ? 0 : 1] : p;
	bool same = true;

	if (strcmp(old->name, p->name) != 0)
		fprintf(out, "%s -> ", *old->name ? old->name : "none");
	fprintf(out, "%s, mtu ", p->name);
	if (old->mtu_bytes != p->mtu_bytes && old->mtu_bytes)
		fprintf(out, "%u -> ", old->mtu_bytes);
	fprintf(out, "%u, public address ", p->mtu_bytes);
	for (size_t i = first ? 0 : 1; before && i <= (second ? 1u : 0u); i++)
		same &= ip_addr_equal(&before->places[i].public, &now->places[i].public);
	if (!same) {
		put_public(out, before, first, second);
		fputs(" -> ", out);
	}
	put_public(out, now, first, second);
	if (*p->asked && strcmp(p->asked, p->name) != 0)
		fprintf(out,
			" (the same interface as %s, which was asked for; a restart would "
			"not find it by that name)",
			p->asked);
}

const char *external_format(const struct external *before, const struct external *now,
			    char buf[static EXTERNAL_TEXT])
{
	const struct external_place *p = now->places;
	FILE *out = fmemopen(buf, EXTERNAL_TEXT, "w");

	if (!out)
		abort();
	if (p[0].ifindex && p[0].ifindex == p[1].ifindex) {
		put_places(out, before, now, true, true);
	} else {
		if (p[0].ifindex)
			put_places(out, before, now, true, false);
		if (p[0].ifindex && p[1].ifindex)
			fputs("; ", out);
		if (p[1].ifindex)
			put_places(out, before, now, false, true);
	}
	fclose(out);
	buf[EXTERNAL_TEXT - 1] = '\0';
	return buf;
}
