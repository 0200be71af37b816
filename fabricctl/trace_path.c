/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps, in the order in which a packet takes them; the walk ends at the first that stops it.
 *
 *   source, forwarding, route, filter, device
 *     the destination is here:   neighbour, port
 *     through a tunnel:          tunnel, underlay, neighbour, filter, mtu, peer
 *     by a router or on a link:  neighbour, mtu, peer
 *
 * What the other host tells of itself follows on the peer (trace_host.c).
 */
#include <errno.h>
#include <netinet/in.h>

#include <linux/fib_rules.h>
#include <linux/netfilter.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>

#include "fabricctl/trace.h"
#include "kernel/marks.h"
#include "kernel/policy_rule.h"
#include "kernel/sysctl.h"
#include "kernel/underlay.h"
#include "lib/json.h"

static const char *const states[] = { "ok", "warning", "unknown", "stops" };

bool trace_say(struct trace *t, const char *step, enum trace_state state, const char *remedy,
	       const char *fmt, ...)
{
	char text[512];
	json_t *item;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	item = json_pack("{s:s,s:s,s:o,s:o}", "step", step, "state", states[state], "text",
			 json_text(text), "remedy", remedy ? json_text(remedy) : json_null());
	json_append(t->steps, item);
	t->is_unknown |= state == TRACE_UNKNOWN;
	if (state == TRACE_STOPS)
		t->stop = item;
	return state != TRACE_STOPS;
}

static bool cannot_tell(struct trace *t, const char *step, const struct err *e)
{
	return trace_say(t, step, TRACE_UNKNOWN, NULL, "%s", e->text);
}

static bool is_of_other_host(const struct owner *o)
{
	return o->lease && !o->is_public && json_is_false(json_object_get(o->lease, "own"));
}

static bool is_of_this_host(const struct owner *o)
{
	return o->lease && json_is_true(json_object_get(o->lease, "own"));
}

/* ---- devices and who is behind them ---- */

static bool check_up(struct trace *t, const char *step, const struct link_info *link)
{
	auto_free char *remedy = xasprintf("ip link set %s up", link->name);

	if (!link->up)
		return trace_say(t, step, TRACE_STOPS, remedy, "%s is down", link->name);
	if (!link->running)
		return trace_say(t, step, TRACE_STOPS, NULL, "%s is up and has no carrier%s",
				 link->name,
				 strcmp(link->kind, "bridge") == 0 ? ": no port of it is up" : "");
	return true;
}

/* The port of the bridge that leads to the MAC address. */
static bool find_port(struct trace *t, const char *step, const struct link_info *bridge,
		      const struct mac_addr *mac, struct link_info *ret)
{
	struct lookup_fdb fdb;
	struct err e;

	if (strcmp(bridge->kind, "bridge") != 0 || mac_addr_is_zero(mac))
		return true;
	if (lookup_fdb(t->kernel.route, bridge->ifindex, true, mac, &fdb, &e) < 0)
		return cannot_tell(t, step, &e);
	/* A bridge that has not heard of an address lately asks all its ports. */
	if (!fdb.found || link_get_by_index(t->kernel.route, fdb.port_ifindex, ret, NULL) < 0)
		return true;
	return check_up(t, step, ret);
}

/* Who has an address of a container, and behind which port. */
static bool find_container(struct trace *t, const char *step, const struct link_info *device,
			   const struct ip_addr *address, bool is_target)
{
	struct lookup_neighbour n = { 0 };
	struct link_info port = { 0 };
	char text[LOOKUP_NEIGHBOUR_TEXT];
	char ip[IP_ADDR_TEXT];
	struct err e;

	ip_addr_format(address, ip);
	if (!check_up(t, step, device))
		return false;
	if (lookup_neighbour(t->kernel.route, device->ifindex, address, &n, &e) < 0)
		return cannot_tell(t, step, &e);
	if (is_target && lookup_neighbour_is_silent(&n))
		return trace_say(t, step, TRACE_STOPS, NULL, "nobody on %s answers to %s (%s)",
				 device->name, ip, lookup_neighbour_format(&n, text));
	if (!find_port(t, step, device, &n.mac, &port))
		return false;
	if (!is_target) {
		t->mtu_bytes = port.ifindex ? port.mtu_bytes : device->mtu_bytes;
		t->port = port;
		t->source_mac = n.mac;
	}
	return trace_say(t, step, TRACE_OK, NULL, "%s is on %s%s%s, neighbour %s", ip, device->name,
			 port.ifindex ? ", port " : "", port.name,
			 lookup_neighbour_format(&n, text));
}

/* ---- where it comes from ---- */

static bool is_behind_this_host(const struct lookup_route *r)
{
	return !ip_addr_is_set(&r->gateway) && r->type == RTN_UNICAST &&
	       !fabric_is_our_protocol(r->protocol);
}

/* The interface that the sender is behind; 0: none. */
static uint32_t find_interface(struct trace *t)
{
	struct lookup_packet back = { .dst = t->packet.src };
	struct underlay_address *all = NULL;
	struct lookup_route r;
	uint32_t found = 0;
	size_t len = 0;

	if (lookup_route(t->kernel.route, &back, &r, NULL) == 0 && is_behind_this_host(&r))
		return r.ifindex;
	/* What keeps packets from going there may be what is looked for: a rule, another route. */
	if (underlay_addresses(t->kernel.route, t->packet.src.family, &all, &len, NULL) < 0)
		return 0;
	for (size_t i = 0; i < len && !found; i++) {
		if (ip_net_contains(&all[i].net, &t->packet.src))
			found = all[i].ifindex;
	}
	free(all);
	return found;
}

static bool step_source(struct trace *t)
{
	auto_free char *device = owner_local_device(&t->packet.src);
	char text[IP_ADDR_TEXT];
	uint32_t ifindex;
	struct err e;

	ip_addr_format(&t->packet.src, text);
	if (device)
		return trace_say(t, "source", TRACE_OK, NULL, "%s is this host's own, on %s", text,
				 device);
	ifindex = is_of_other_host(&t->source) ? 0 : find_interface(t);
	t->elsewhere = !ifindex && !is_of_this_host(&t->source);
	if (t->elsewhere)
		return false;
	if (!ifindex)
		return trace_say(
			t, "source", TRACE_STOPS, "flannel keep",
			"%s is in the subnet of this host, and no device of it leads there: the "
			"bridge is down, or has lost its address",
			text);
	if (link_get_by_index(t->kernel.route, ifindex, &t->in, &e) < 0)
		return cannot_tell(t, "source", &e);
	t->packet.iif_ifindex = t->in.ifindex;
	return find_container(t, "source", &t->in, &t->packet.src, false);
}

static bool check_forwarding(struct trace *t, const char *family, const char *device)
{
	auto_free char *remedy = xasprintf("sysctl -w net/%s/conf/%s/forwarding=1", family, device);
	unsigned value = 1;
	struct err e;

	if (sysctl_get(&value, &e, "%s/conf/%s/forwarding", family, device) < 0)
		return cannot_tell(t, "forwarding", &e);
	if (value)
		return true;
	return trace_say(t, "forwarding", TRACE_STOPS, remedy,
			 "net.%s.conf.%s.forwarding is 0: what comes in there is not passed on",
			 family, device);
}

static bool step_forwarding(struct trace *t)
{
	bool v4 = t->packet.dst.family == AF_INET;

	if (!t->in.ifindex || t->here)
		return true;
	if (!check_forwarding(t, v4 ? "ipv4" : "ipv6", v4 ? t->in.name : "all"))
		return false;
	return trace_say(t, "forwarding", TRACE_OK, NULL, "packets from %s are passed on",
			 t->in.name);
}

/* ---- the route ---- */

struct rule_search {
	struct policy_question question;
	const char *iif;
	uint32_t table; /* that the route was found in; 0: there is none */
	char text[POLICY_RULE_TEXT];
};

/* The rule that led to the table, or refused; "" if it is one that every host has. */
static void on_rule(void *arg, const struct policy_rule *r)
{
	struct rule_search *s = arg;
	bool leads = r->action == FR_ACT_TO_TBL;

	if (s->text[0] || !policy_rule_fits(r, &s->question, s->iif) ||
	    (s->table ? !leads || r->table != s->table : leads))
		return;
	policy_rule_format(r, s->text);
	if (policy_rule_is_default(r))
		snprintf(s->text, sizeof(s->text), " ");
}

static void find_rule(struct trace *t, uint32_t table, char ret[static POLICY_RULE_TEXT])
{
	struct rule_search s = { .question = { t->packet.dst, t->packet.src,
					       t->packet.iif_ifindex },
				 .iif = t->in.name,
				 .table = table };
	int family = t->packet.dst.family;

	if (policy_rules_visit(t->kernel.route, family, on_rule, &s, NULL) < 0)
		s.text[0] = '\0';
	snprintf(ret, POLICY_RULE_TEXT, "%s", s.text[0] == ' ' ? "" : s.text);
}

static const char look[] = "ip rule; ip route show table all";

static bool refuse(struct trace *t, const struct err *refusal)
{
	const char *remedy = NULL;
	char rule[POLICY_RULE_TEXT];
	char dst[IP_ADDR_TEXT];
	char src[IP_ADDR_TEXT];
	const char *why = refusal->code == -EINVAL         ? "a route or rule says blackhole"
			  : refusal->code == -EACCES       ? "a route or rule says prohibit"
			  : refusal->code == -EHOSTUNREACH ? "a route or rule says unreachable"
							   : "there is no route";

	ip_addr_format(&t->packet.dst, dst);
	ip_addr_format(&t->packet.src, src);
	if (refusal->code == -EXDEV)
		return trace_say(t, "route", TRACE_STOPS, "sysctl -w net.ipv4.conf.all.rp_filter=2",
				 "%s does not belong behind %s, says rp_filter", src, t->in.name);
	find_rule(t, 0, rule);
	if (refusal->code != -ENETUNREACH)
		remedy = look;
	else if (is_of_other_host(&t->destination))
		remedy = "fabricctl sync";
	return trace_say(t, "route", TRACE_STOPS, remedy, "nothing leads to %s: %s%s%s", dst, why,
			 rule[0] ? ": ip rule " : "", rule);
}

/* The backends whose routes are the fabric's. */
static bool has_routes(const json_t *lease)
{
	static const char *const without[] = { "extension", "alloc" };
	const char *backend = ctl_text(lease, "backend");

	for (size_t i = 0; backend && i < ARRAY_LEN(without); i++) {
		if (strcmp(backend, without[i]) == 0)
			return false;
	}
	return backend != NULL;
}

static bool step_route(struct trace *t)
{
	char text[LOOKUP_ROUTE_TEXT];
	char rule[POLICY_RULE_TEXT];
	char dst[IP_ADDR_TEXT];
	struct err e;

	if (lookup_route(t->kernel.route, &t->packet, &t->route, &e) < 0)
		return refuse(t, &e);
	find_rule(t, t->route.table, rule);
	lookup_route_format(&t->route, text);
	if (is_of_other_host(&t->destination) && has_routes(t->destination.lease) &&
	    !fabric_is_our_protocol(t->route.protocol))
		return trace_say(t, "route", TRACE_STOPS, look,
				 "%s, which is not the fabric's, takes packets for %s%s%s", text,
				 ip_addr_format(&t->packet.dst, dst),
				 rule[0] ? ", for ip rule " : "", rule);
	return trace_say(t, "route", TRACE_OK, NULL, "%s%s%s", text, rule[0] ? ", by ip rule " : "",
			 rule);
}

/* ---- filters ---- */

static void set_device(const struct link_info *link, char name[static IFNAMSIZ], uint32_t *index)
{
	snprintf(name, IFNAMSIZ, "%s", link->name);
	*index = link->ifindex;
}

static struct ip_net host_net(const struct ip_addr *a)
{
	return (struct ip_net){ *a, (uint8_t)ip_family_bits(a->family) };
}

static bool walk_chains(struct trace *t, const struct filter_packet *packet, const uint32_t *hooks,
			size_t len)
{
	const char *what = packet->protocol == t->packet.protocol ? "it" : "the tunnel's packet";
	char why[CHAINS_TEXT];

	for (size_t i = 0; i < len; i++) {
		struct filter_packet here = *packet;

		if (hooks[i] == NF_INET_PRE_ROUTING || hooks[i] == NF_INET_LOCAL_IN)
			here.out_device[0] = '\0', here.out_index = 0;
		if (hooks[i] == NF_INET_POST_ROUTING)
			here.in_device[0] = '\0', here.in_index = 0;
		switch (chains_walk(t->chains, &here, hooks[i], why)) {
		case CHAINS_PASS:
			break;
		case CHAINS_UNKNOWN:
			trace_say(t, "filter", TRACE_UNKNOWN, "nft -a list ruleset",
				  "whether %s stops %s is not certain", why, what);
			break;
		case CHAINS_STOP:
			return trace_say(t, "filter", TRACE_STOPS, "nft -a list ruleset",
					 "%s stops %s", why, what);
		}
	}
	return trace_say(t, "filter", TRACE_OK, NULL, "no chain of this host stops %s for certain",
			 what);
}

static bool step_filter(struct trace *t)
{
	static const uint32_t forwarded[] = { NF_INET_PRE_ROUTING, NF_INET_FORWARD,
					      NF_INET_POST_ROUTING };
	static const uint32_t taken[] = { NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN };
	static const uint32_t own[] = { NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING };
	struct filter_packet p = { .family = t->packet.dst.family,
				   .source = host_net(&t->packet.src),
				   .destination = host_net(&t->packet.dst),
				   .protocol = t->packet.protocol,
				   .port = t->packet.port };

	set_device(&t->in, p.in_device, &p.in_index);
	set_device(&t->out, p.out_device, &p.out_index);
	if (!t->in.ifindex)
		return walk_chains(t, &p, own, ARRAY_LEN(own));
	if (t->here)
		return walk_chains(t, &p, taken, ARRAY_LEN(taken));
	return walk_chains(t, &p, forwarded, ARRAY_LEN(forwarded));
}

/* ---- out of this host ---- */

/* Who has the address on a link of the underlay. Who was not asked for lately will be. */
static bool check_neighbour(struct trace *t, const struct lookup_route *way,
			    const struct ip_addr *dst)
{
	const struct ip_addr *next = ip_addr_is_set(&way->gateway) ? &way->gateway : dst;
	struct lookup_neighbour n;
	char text[LOOKUP_NEIGHBOUR_TEXT];
	char ip[IP_ADDR_TEXT];
	struct err e;

	ip_addr_format(next, ip);
	if (lookup_neighbour(t->kernel.route, way->ifindex, next, &n, &e) < 0)
		return cannot_tell(t, "neighbour", &e);
	lookup_neighbour_format(&n, text);
	if (lookup_neighbour_is_silent(&n))
		return trace_say(t, "neighbour", TRACE_STOPS, NULL, "%s does not answer on %s (%s)",
				 ip, way->device, text);
	return trace_say(t, "neighbour", TRACE_OK, NULL, "%s on %s: %s", ip, way->device, text);
}

/* Whether the way is as wide as what is sent on it. */
static bool step_mtu(struct trace *t, const struct link_info *link, const struct lookup_route *way)
{
	uint32_t way_bytes = way->mtu_bytes ? way->mtu_bytes : link->mtu_bytes;
	uint32_t inside_bytes = t->out.mtu_bytes;
	uint32_t room_bytes = way_bytes - MIN(way_bytes, (uint32_t)t->tunnel.overhead_bytes);

	if (t->route.mtu_bytes)
		inside_bytes = MIN(inside_bytes, t->route.mtu_bytes);
	if (room_bytes < inside_bytes)
		return trace_say(
			t, "mtu", TRACE_WARNING, NULL,
			"%u bytes fit into the way over %s, %u are sent by %s: larger ones may "
			"be lost",
			room_bytes, way->device, inside_bytes, t->out.name);
	if (t->mtu_bytes > inside_bytes)
		return trace_say(
			t, "mtu", TRACE_WARNING, NULL,
			"the sender's interface has %u bytes, the way %u: larger packets come "
			"back with an ICMP error",
			t->mtu_bytes, inside_bytes);
	return trace_say(t, "mtu", TRACE_OK, NULL, "%u bytes", inside_bytes);
}

static bool is_at(const json_t *lease, const struct ip_addr *remote)
{
	const char *text = ctl_text(lease, remote->family == AF_INET ? "publicIP" : "publicIPv6");
	struct ip_addr public;

	return !text || ip_addr_parse(text, remote->family, &public, NULL) < 0 ||
	       ip_addr_equal(&public, remote);
}

static bool step_tunnel(struct trace *t)
{
	const struct ip_addr *next =
		ip_addr_is_set(&t->route.gateway) ? &t->route.gateway : &t->packet.dst;
	const char *remedy = is_of_other_host(&t->destination) ? "fabricctl sync" : NULL;
	const char *public;
	struct err e;
	int rc = tunnel_find(&t->kernel, &t->out, next, &t->packet.dst, &t->tunnel, &e);

	if (rc == -ENOENT)
		return trace_say(t, "tunnel", TRACE_STOPS, remedy, "%s", e.text);
	if (rc < 0)
		return cannot_tell(t, "tunnel", &e);
	if (!t->tunnel.is_tunnel)
		return true;
	if (is_of_other_host(&t->destination) && !is_at(t->destination.lease, &t->tunnel.remote)) {
		public = ctl_text(t->destination.lease,
				  t->tunnel.remote.family == AF_INET ? "publicIP" : "publicIPv6");
		return trace_say(t, "tunnel", TRACE_STOPS, remedy, "%s, but its lease says %s",
				 t->tunnel.how, public);
	}
	return trace_say(t, "tunnel", TRACE_OK, NULL, "%s", t->tunnel.how);
}

static bool step_underlay(struct trace *t)
{
	static const uint32_t hooks[] = { NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING };
	struct lookup_packet outer = { .dst = t->tunnel.remote,
				       .src = t->tunnel.local,
				       .protocol = t->tunnel.protocol,
				       .port = t->tunnel.port };
	struct filter_packet p = { .family = outer.dst.family,
				   .destination = host_net(&outer.dst),
				   .protocol = outer.protocol,
				   .port = outer.port };
	struct lookup_route way;
	struct link_info link;
	char text[LOOKUP_ROUTE_TEXT];
	struct err e;

	if (lookup_route(t->kernel.route, &outer, &way, &e) < 0)
		return trace_say(t, "underlay", TRACE_STOPS, NULL, "%s", e.text);
	if (link_get_by_index(t->kernel.route, way.ifindex, &link, &e) < 0)
		return cannot_tell(t, "underlay", &e);
	t->underlay = link;
	if (!check_up(t, "underlay", &link))
		return false;
	trace_say(t, "underlay", TRACE_OK, NULL, "%s", lookup_route_format(&way, text));
	if (ip_addr_is_set(&outer.src) || ip_addr_is_set(&way.source))
		p.source = host_net(ip_addr_is_set(&outer.src) ? &outer.src : &way.source);
	set_device(&link, p.out_device, &p.out_index);
	return check_neighbour(t, &way, &outer.dst) &&
	       walk_chains(t, &p, hooks, ARRAY_LEN(hooks)) && step_mtu(t, &link, &way);
}

/* What the fabric knows of the host that has the destination. */
static void step_peer(struct trace *t)
{
	const json_t *lease = t->destination.lease;
	const char *reach = ctl_text(lease, "reach");
	const char *node = ctl_text(lease, "node");
	const char *public = ctl_text(lease, "publicIP");

	if (!is_of_other_host(&t->destination))
		return;
	t->reached_peer = true;
	node = node ? node : public ? public : "the other host";
	if (!reach || strcmp(reach, "new") == 0)
		trace_say(t, "peer", TRACE_UNKNOWN, NULL,
			  "the rest is done by %s; whether it answers is not known", node);
	else if (strcmp(reach, "silent") == 0)
		trace_say(t, "peer", TRACE_STOPS, "fabricctl peers",
			  "%s answers neither through the tunnel nor in the underlay", node);
	else if (strcmp(reach, "tunnel-silent") == 0)
		trace_say(t, "peer", TRACE_STOPS, "fabricctl peers",
			  "%s answers in the underlay, and not through the tunnel: its packets are "
			  "stopped on the way or there",
			  node);
	else
		trace_say(t, "peer", TRACE_OK, NULL,
			  "%s answers; on it: fabricctl trace, from there", node);
}

/* Containers and other devices behind this host. */
static bool ends_here(const struct trace *t)
{
	return !ip_addr_is_set(&t->route.gateway) && !is_of_other_host(&t->destination) &&
	       (strcmp(t->out.kind, "bridge") == 0 || is_of_this_host(&t->destination));
}

int trace_open(struct trace *t, struct err *e)
{
	t->steps = json_array();
	if (netlink_open(NETLINK_ROUTE, &t->kernel.route, e) < 0)
		return e->code;
	/* A kernel without nf_tables has no chains of it. */
	if (netlink_open(NETLINK_NETFILTER, &t->kernel.netfilter, NULL) < 0)
		t->kernel.netfilter = NULL;
	t->chains = chains_new(t->kernel.netfilter);
	return 0;
}

void trace_close(struct trace *t)
{
	chains_free(t->chains);
	netlink_close(t->kernel.route);
	netlink_close(t->kernel.netfilter);
	netlink_close(t->kernel.generic);
	json_decref(t->steps);
}

static void begin(struct trace *t)
{
	struct trace fresh = { .packet = t->packet,
			       .leases = t->leases,
			       .kernel = t->kernel,
			       .chains = t->chains,
			       .steps = t->steps };

	json_array_clear(fresh.steps);
	fresh.packet.iif_ifindex = 0;
	fresh.source = owner_find(t->leases, &t->packet.src);
	fresh.destination = owner_find(t->leases, &t->packet.dst);
	*t = fresh;
}

void trace_walk(struct trace *t)
{
	auto_free char *here = owner_local_device(&t->packet.dst);
	struct err e;

	begin(t);
	t->here = here != NULL;
	if (!step_source(t) || !step_forwarding(t) || !step_route(t))
		return;
	if (link_get_by_index(t->kernel.route, t->route.ifindex, &t->out, &e) < 0) {
		cannot_tell(t, "device", &e);
		return;
	}
	if (!step_filter(t) || !check_up(t, "device", &t->out))
		return;
	if (t->here) {
		trace_say(t, "device", TRACE_OK, NULL, "it is for this host itself, on %s", here);
		return;
	}
	if (ends_here(t)) {
		find_container(t, "neighbour", &t->out, &t->packet.dst, true);
		return;
	}
	if (!step_tunnel(t))
		return;
	if (t->tunnel.is_tunnel ? step_underlay(t)
				: check_neighbour(t, &t->route, &t->packet.dst) &&
					  step_mtu(t, &t->out, &t->route))
		step_peer(t);
}
