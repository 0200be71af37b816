/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl lease reserve and unreserve: leases that never end, and that end again. */
#include <errno.h>
#include <string.h>

#include "fabricctl/command.h"
#include "fabricctl/lease.h"
#include "fabricctl/session.h"

#define UNRESERVED_TTL_S 86400 /* what a daemon gives a lease, unless told otherwise */

/* ---- reserve ---- */

int lease_parse_subnet(const char *text, struct subnet *ret, struct err *e)
{
	auto_free char *copy = xstrdup(text);
	struct subnet s = { 0 };
	char *rest = copy;

	while (rest) {
		const char *part = strsep(&rest, ",");
		struct ip_net net;
		struct ip_net *place;

		if (ip_net_parse(part, AF_UNSPEC, &net, e) < 0)
			return e->code;
		if (ip_net_has_host_bits(&net))
			return err_set(e, -EINVAL, "\"%.60s\" has host bits", part);
		place = net.addr.family == AF_INET ? &s.v4 : &s.v6;
		if (ip_net_is_set(place))
			return err_set(e, -EINVAL, "two subnets of one family");
		*place = net;
	}
	*ret = s;
	return 0;
}

static int check_family(const struct network_family *f, const struct ip_net *net, const char *name,
			struct err *e)
{
	char text[IP_NET_TEXT];
	char min[IP_ADDR_TEXT];
	char max[IP_ADDR_TEXT];

	if (!f->enabled && ip_net_is_set(net))
		return err_set(e, -EINVAL, "the network has no %s", name);
	if (f->enabled && !ip_net_is_set(net))
		return err_set(e, -EINVAL, "the network has %s: name a subnet of it, too", name);
	if (f->enabled && !network_family_allows(f, net))
		return err_set(e, -EINVAL, "%s leases /%u each from %s to %s",
			       ip_net_format(&f->network, text), f->subnet_len,
			       ip_addr_format(&f->subnet_min, min),
			       ip_addr_format(&f->subnet_max, max));
	return 0;
}

int lease_check_subnet(const struct network_config *config, const struct subnet *subnet,
		       struct err *e)
{
	int rc = check_family(&config->v4, &subnet->v4, "IPv4", e);

	return rc < 0 ? rc : check_family(&config->v6, &subnet->v6, "IPv6", e);
}

static bool is_done(const struct lease *l, const struct lease *reservation)
{
	if (!lease_is_reservation(l) || l->problem ||
	    !subnet_equal(&l->subnet, &reservation->subnet) || !l->node_name ||
	    strcmp(l->node_name, reservation->node_name) != 0)
		return false;
	/* Who uses it publishes what is right. */
	return l->node_id || (ip_addr_equal(&l->public_v4, &reservation->public_v4) &&
			      ip_addr_equal(&l->public_v6, &reservation->public_v6));
}

const struct lease *lease_in_the_way(struct lease *const *leases, size_t len,
				     const struct lease *reservation, bool *ret_done)
{
	*ret_done = false;
	for (size_t i = 0; i < len; i++) {
		if (!subnet_overlaps(&leases[i]->subnet, &reservation->subnet))
			continue;
		if (!is_done(leases[i], reservation))
			return leases[i];
		*ret_done = true;
	}
	return NULL;
}

static int taken(const struct ctl *c, const struct lease *lease, const struct lease *by)
{
	char wanted[SUBNET_KEY_TEXT];
	char theirs[SUBNET_KEY_TEXT];
	char address[IP_ADDR_TEXT] = "no address";
	auto_free char *why = NULL;

	if (!by)
		return ctl_fail(c, CTL_CONFLICT, "somebody took it this moment",
				"fabricctl subnets --store", "%s is not free",
				subnet_format(&lease->subnet, wanted));
	if (ip_addr_is_set(&by->public_v4))
		ip_addr_format(&by->public_v4, address);
	else if (ip_addr_is_set(&by->public_v6))
		ip_addr_format(&by->public_v6, address);
	why = xasprintf("%s is %s %s (%s)", subnet_format(&by->subnet, theirs),
			lease_is_reservation(by) ? "reserved for" : "leased to",
			by->node_name ? by->node_name : "a host without a name", address);
	return ctl_fail(c, CTL_CONFLICT, why, "fabricctl subnets --store", "%s is not free",
			subnet_format(&lease->subnet, wanted));
}

/* Reads the configuration: only what the network would lease can be reserved, so that two leases
 * overlap only if they have the same key. */
static int check_network(const struct ctl *c, struct session *s, const struct lease *lease)
{
	auto_network_config struct network_config config = { 0 };
	struct store_reply reply = { 0 };
	int status = CTL_OK;
	struct err e;

	session_ask(s, &(struct store_request){ .op = STORE_CONFIG }, &reply);
	if (reply.status != STORE_OK)
		status = session_fail(c, s, &reply);
	else if (network_config_parse(reply.config, reply.config_size, &config, &e) < 0)
		status = ctl_fail(c, CTL_FOUND, e.text, "fabricctl config show --store",
				  "the network configuration in the store is not valid");
	else if (lease_check_subnet(&config, &lease->subnet, &e) < 0)
		status = ctl_fail(c, CTL_USAGE, e.text, "fabricctl config show --store",
				  "no host could have this subnet");
	store_reply_fini(&reply);
	return status;
}

static int create(const struct ctl *c, struct session *s, const struct lease *lease)
{
	struct store_reply reply = { 0 };
	int status;

	/* Nobody is told to change anything by this, so nobody is asked. */
	session_ask(s, &(struct store_request){ .op = STORE_CREATE, .lease = lease }, &reply);
	if (reply.status == STORE_OK)
		status = lease_print_change(c, "reserve", lease, true, reply.revision);
	else if (reply.status == STORE_CONFLICT)
		status = taken(c, lease, reply.holder);
	else
		status = session_fail(c, s, &reply);
	store_reply_fini(&reply);
	return status;
}

static int read_reservation(const struct ctl *c, struct lease *ret)
{
	const char *name = c->options.node;
	struct err e;
	int rc;

	if (!name || !*name)
		return ctl_fail(c, CTL_USAGE, "somebody must be the one that it is kept for",
				"fabricctl lease reserve SUBNET --node NAME", "--node is missing");
	if (strlen(name) > LEASE_TEXT_MAX)
		return ctl_fail(c, CTL_USAGE, NULL, NULL, "--node is longer than %d bytes",
				LEASE_TEXT_MAX);
	rc = lease_parse_subnet(c->operands[1], &ret->subnet, &e);
	if (rc == 0 && c->options.public_ip)
		rc = ip_addr_parse(c->options.public_ip, AF_INET, &ret->public_v4, &e);
	if (rc == 0 && c->options.public_ipv6)
		rc = ip_addr_parse(c->options.public_ipv6, AF_INET6, &ret->public_v6, &e);
	if (rc < 0)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command), "%s", e.text);
	/* Empty: a name is written only with an identity, and that the host has yet to bring. */
	ret->node_id = xstrdup("");
	ret->node_name = xstrdup(name);
	return CTL_OK;
}

int lease_reserve(struct ctl *c)
{
	auto_lease struct lease *lease = lease_new();
	auto_session struct session s = { 0 };
	struct store_reply list = { 0 };
	const struct lease *other;
	bool done = false;
	int status = read_reservation(c, lease);

	if (status == CTL_OK)
		status = session_open(c, &s);
	if (status == CTL_OK)
		status = session_need_trait(c, &s, STORE_ASSIGNS, false,
					    "assigns subnets itself, none can be reserved");
	if (status == CTL_OK)
		status = check_network(c, &s, lease);
	if (status)
		return status;
	session_ask(&s, &(struct store_request){ .op = STORE_LIST }, &list);
	if (list.status != STORE_OK)
		status = session_fail(c, &s, &list);
	else if ((other = lease_in_the_way(list.leases, list.leases_len, lease, &done)))
		status = taken(c, lease, other);
	else if (done || c->options.dry_run)
		status = lease_print_change(c, "reserve", lease, !done, 0);
	else
		status = create(c, &s, lease);
	store_reply_fini(&list);
	return status;
}

/* ---- unreserve ---- */

/* Nobody uses it, as far as the store knows. */
static bool is_vacant(const struct lease *l)
{
	return l->problem || (!l->node_id && !l->backend_type);
}

static const struct lease *find(const struct store_reply *list, const struct subnet *subnet)
{
	for (size_t i = 0; i < list->leases_len; i++) {
		if (subnet_equal(&list->leases[i]->subnet, subnet))
			return list->leases[i];
	}
	return NULL;
}

/* It gets the end that a lease has, which its host, if it lives, puts off. */
static int give_an_end(const struct ctl *c, struct session *s, const struct lease *there)
{
	auto_lease struct lease *lease = lease_copy(there);
	struct store_request request = { .lease = lease, .ttl_s = UNRESERVED_TTL_S };
	struct store_reply reply = { 0 };
	int status;

	request.op = is_vacant(there) ? STORE_REMOVE : STORE_BIND;
	lease->reserved = false;
	session_ask(s, &request, &reply);
	/* Gone meanwhile is gone. */
	if (reply.status == STORE_OK || (reply.status == STORE_CONFLICT && !reply.holder))
		status = lease_print_change(c, "unreserve", there, true, reply.revision);
	else
		status = session_fail(c, s, &reply);
	store_reply_fini(&reply);
	return status;
}

static int unreserve(const struct ctl *c, struct session *s, const struct lease *there)
{
	char subnet[SUBNET_KEY_TEXT];
	const char *name = there->node_name ? there->node_name : "a host without a name";
	auto_free char *what = NULL;
	int status;

	if (c->options.dry_run)
		return lease_print_change(c, "unreserve", there, true, 0);
	subnet_format(&there->subnet, subnet);
	what = is_vacant(there)
		       ? xasprintf("no longer keep %s for %s, so that another host may get it",
				   subnet, name)
		       : xasprintf("let the lease of %s on %s end in a day, unless that host lives",
				   name, subnet);
	status = ctl_confirm(c, what);
	return status ? status : give_an_end(c, s, there);
}

int lease_unreserve(struct ctl *c)
{
	auto_session struct session s = { 0 };
	struct store_reply list = { 0 };
	auto_lease struct lease *named = lease_new();
	const struct lease *there;
	struct err e;
	int status;

	if (lease_parse_subnet(c->operands[1], &named->subnet, &e) < 0)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command), "%s", e.text);
	status = session_open(c, &s);
	if (status == CTL_OK)
		status = session_need_trait(c, &s, STORE_ASSIGNS, false,
					    "assigns subnets itself, none is reserved");
	if (status)
		return status;
	session_ask(&s, &(struct store_request){ .op = STORE_LIST }, &list);
	if (list.status != STORE_OK)
		status = session_fail(c, &s, &list);
	else if (!(there = find(&list, &named->subnet)) || !(there->flags & LEASE_RESERVED))
		status = lease_print_change(c, "unreserve", there ? there : named, false, 0);
	else
		status = unreserve(c, &s, there);
	store_reply_fini(&list);
	return status;
}
