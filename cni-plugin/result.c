/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/result.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/version.h"

void result_fini(struct result *r)
{
	for (size_t i = 0; i < r->interfaces_len; i++)
		free(r->interfaces[i].sandbox);
	free(r->interfaces);
	free(r->addresses);
	free(r->routes);
	json_decref(r->dns);
	memset(r, 0, sizeof(*r));
}

size_t result_add_interface(struct result *r, const char *name, const struct mac_addr *mac,
			    uint32_t mtu_bytes, const char *sandbox)
{
	struct result_interface *i;

	GROW(r->interfaces, r->interfaces_len, r->interfaces_cap);
	i = &r->interfaces[r->interfaces_len];
	memset(i, 0, sizeof(*i));
	snprintf(i->name, sizeof(i->name), "%s", name);
	if (mac) {
		i->mac = *mac;
		i->has_mac = true;
	}
	i->mtu_bytes = mtu_bytes;
	i->sandbox = sandbox && sandbox[0] ? xstrdup(sandbox) : NULL;
	return r->interfaces_len++;
}

void result_add_address(struct result *r, const struct ip_net *net, const struct ip_addr *gateway)
{
	struct result_address *a;

	GROW(r->addresses, r->addresses_len, r->addresses_cap);
	a = &r->addresses[r->addresses_len++];
	memset(a, 0, sizeof(*a));
	a->interface = -1;
	a->net = *net;
	if (gateway)
		a->gateway = *gateway;
}

void result_add_route(struct result *r, const struct result_route *route)
{
	GROW(r->routes, r->routes_len, r->routes_cap);
	r->routes[r->routes_len++] = *route;
}

static json_t *addr_json(const struct ip_addr *a)
{
	char text[IP_ADDR_TEXT];

	return json_string(ip_addr_format(a, text));
}

static json_t *net_json(const struct ip_net *n)
{
	char text[IP_NET_TEXT];

	return json_string(ip_net_format(n, text));
}

static json_t *interface_json(const struct result_interface *i, enum version_shape shape)
{
	json_t *j = json_pack("{s:s}", "name", i->name);
	char mac[MAC_TEXT];

	if (i->has_mac)
		json_object_set_new(j, "mac", json_string(mac_addr_format(&i->mac, mac)));
	if (i->mtu_bytes && shape >= VERSION_SHAPE_1_1)
		json_object_set_new(j, "mtu", json_integer(i->mtu_bytes));
	if (i->sandbox)
		json_object_set_new(j, "sandbox", json_string(i->sandbox));
	return j;
}

static json_t *address_json(const struct result_address *a, enum version_shape shape)
{
	json_t *j = json_object();

	if (shape == VERSION_SHAPE_INTERFACES)
		json_object_set_new(j, "version",
				    json_string(a->net.addr.family == AF_INET ? "4" : "6"));
	if (a->interface >= 0)
		json_object_set_new(j, "interface", json_integer(a->interface));
	json_object_set_new(j, "address", net_json(&a->net));
	if (ip_addr_is_set(&a->gateway))
		json_object_set_new(j, "gateway", addr_json(&a->gateway));
	return j;
}

static void set_number(json_t *j, const char *key, int64_t value, int64_t absent)
{
	if (value != absent)
		json_object_set_new(j, key, json_integer(value));
}

static json_t *route_json(const struct result_route *r, enum version_shape shape)
{
	json_t *j = json_object();

	json_object_set_new(j, "dst", net_json(&r->dst));
	if (ip_addr_is_set(&r->gateway))
		json_object_set_new(j, "gw", addr_json(&r->gateway));
	if (shape >= VERSION_SHAPE_1_1) {
		set_number(j, "mtu", r->mtu_bytes, 0);
		set_number(j, "advmss", r->advmss_bytes, 0);
		set_number(j, "priority", r->priority, -1);
		set_number(j, "table", r->table, -1);
		set_number(j, "scope", r->scope, -1);
	}
	return j;
}

/* The first address of a family with the family's routes; NULL if there is none. */
static json_t *family_json(const struct result *r, int family)
{
	const struct result_address *first = NULL;
	json_t *routes;
	json_t *j;

	for (size_t i = 0; i < r->addresses_len && !first; i++) {
		if (r->addresses[i].net.addr.family == family)
			first = &r->addresses[i];
	}
	if (!first)
		return NULL;
	j = json_object();
	json_object_set_new(j, "ip", net_json(&first->net));
	if (ip_addr_is_set(&first->gateway))
		json_object_set_new(j, "gateway", addr_json(&first->gateway));
	routes = json_array();
	for (size_t i = 0; i < r->routes_len; i++) {
		if (r->routes[i].dst.addr.family == family)
			json_array_append_new(routes,
					      route_json(&r->routes[i], VERSION_SHAPE_IP4_IP6));
	}
	if (json_array_size(routes))
		json_object_set(j, "routes", routes);
	json_decref(routes);
	return j;
}

static int fill_ip4_ip6(const struct result *r, json_t *j, struct err *e)
{
	json_t *ip4 = family_json(r, AF_INET);
	json_t *ip6 = family_json(r, AF_INET6);

	if (!ip4 && !ip6)
		return cni_error(e, CNI_UNSUPPORTED_FIELD,
				 "cannot convert: no valid IP addresses, and results before 0.3.0 "
				 "need one");
	if (ip4)
		json_object_set_new(j, "ip4", ip4);
	if (ip6)
		json_object_set_new(j, "ip6", ip6);
	return 0;
}

static void fill_lists(const struct result *r, enum version_shape shape, json_t *j)
{
	json_t *list;

	if (r->interfaces_len) {
		list = json_array();
		for (size_t i = 0; i < r->interfaces_len; i++)
			json_array_append_new(list, interface_json(&r->interfaces[i], shape));
		json_object_set_new(j, "interfaces", list);
	}
	if (r->addresses_len) {
		list = json_array();
		for (size_t i = 0; i < r->addresses_len; i++)
			json_array_append_new(list, address_json(&r->addresses[i], shape));
		json_object_set_new(j, "ips", list);
	}
	if (r->routes_len) {
		list = json_array();
		for (size_t i = 0; i < r->routes_len; i++)
			json_array_append_new(list, route_json(&r->routes[i], shape));
		json_object_set_new(j, "routes", list);
	}
}

int result_to_json(const struct result *r, const char *version, json_t **ret, struct err *e)
{
	auto_json json_t *j = json_pack("{s:s}", "cniVersion", version);
	enum version_shape shape = version_shape(version);
	int rc;

	if (shape == VERSION_SHAPE_IP4_IP6) {
		rc = fill_ip4_ip6(r, j, e);
		if (rc < 0)
			return rc;
	} else {
		fill_lists(r, shape, j);
	}
	if (json_object_size(r->dns))
		json_object_set(j, "dns", r->dns);
	else if (shape < VERSION_SHAPE_1_0)
		json_object_set_new(j, "dns", json_object());
	*ret = STEAL(j);
	return 0;
}

/* An optional list of objects; each goes to `read`. */
static int parse_list(const json_t *parent, const char *key, struct result *r,
		      int (*read)(const json_t *item, struct result *r, struct err *e),
		      struct err *e)
{
	json_t *list = NULL;
	const json_t *item;
	size_t i;
	int rc = json_find(parent, key, &list, e);

	if (rc < 0 || !list)
		return rc;
	if (!json_is_array(list) || json_array_size(list) > RESULT_LEN_MAX)
		return err_set(e, -EINVAL, "%s must be a list of at most %d", key, RESULT_LEN_MAX);
	json_array_foreach (list, i, item) {
		if (!json_is_object(item))
			return err_set(e, -EINVAL, "%s[%zu] must be an object", key, i);
		if (read(item, r, e) < 0)
			return err_wrap(e, "%s[%zu]", key, i);
	}
	return 0;
}

static int parse_interface(const json_t *item, struct result *r, struct err *e)
{
	const char *sandbox = NULL;
	const char *name = NULL;
	const char *mac = NULL;
	struct mac_addr parsed;
	uint64_t mtu = 0;
	bool has_mac;

	if (json_read_string(item, "name", &name, e) < 0 ||
	    json_read_string(item, "mac", &mac, e) < 0 ||
	    json_read_string(item, "sandbox", &sandbox, e) < 0 ||
	    json_read_uint(item, "mtu", 0, UINT32_MAX, &mtu, e) < 0)
		return e->code;
	/*
	 * Other plugins list devices with longer hardware addresses; those are not ours to compare.
	 */
	has_mac = mac && mac_addr_parse(mac, &parsed, NULL) == 0;
	result_add_interface(r, name ? name : "", has_mac ? &parsed : NULL, (uint32_t)mtu, sandbox);
	return 0;
}

static int parse_address(const json_t *item, struct result *r, struct err *e)
{
	struct ip_addr gateway = { 0 };
	struct ip_net net = { 0 };
	json_t *index = NULL;

	if (json_find(item, "interface", &index, e) < 0 ||
	    json_read_ip_net(item, "address", AF_UNSPEC, &net, e) < 0 ||
	    json_read_ip_addr(item, "gateway", AF_UNSPEC, &gateway, e) < 0)
		return e->code;
	if (!ip_net_is_set(&net))
		return err_set(e, -EINVAL, "address is missing");
	result_add_address(r, &net, &gateway);
	if (!index)
		return 0;
	if (!json_is_integer(index) || json_integer_value(index) < 0 ||
	    (size_t)json_integer_value(index) >= r->interfaces_len)
		return err_set(e, -EINVAL, "interface is not an index of the interfaces");
	r->addresses[r->addresses_len - 1].interface = (int)json_integer_value(index);
	return 0;
}

int result_parse_route(const json_t *json, struct result_route *ret, struct err *e)
{
	struct result_route r = { .priority = -1, .table = -1, .scope = -1 };
	struct {
		const char *key;
		uint64_t max;
		uint64_t value;
	} numbers[] = { { "mtu", UINT32_MAX, 0 },
			{ "advmss", UINT32_MAX, 0 },
			{ "priority", UINT32_MAX, UINT64_MAX },
			{ "table", UINT32_MAX, UINT64_MAX },
			{ "scope", UINT8_MAX, UINT64_MAX } };

	if (!json_is_object(json))
		return err_set(e, -EINVAL, "a route must be an object");
	if (json_read_ip_net(json, "dst", AF_UNSPEC, &r.dst, e) < 0 ||
	    json_read_ip_addr(json, "gw", AF_UNSPEC, &r.gateway, e) < 0)
		return e->code;
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
		if (json_read_uint(json, numbers[i].key, 0, numbers[i].max, &numbers[i].value, e) <
		    0)
			return e->code;
	}
	if (!ip_net_is_set(&r.dst))
		return err_set(e, -EINVAL, "dst is missing");
	if (ip_addr_is_set(&r.gateway) && r.gateway.family != r.dst.addr.family)
		return err_set(e, -EINVAL, "gw is of another family than dst");
	r.mtu_bytes = (uint32_t)numbers[0].value;
	r.advmss_bytes = (uint32_t)numbers[1].value;
	r.priority = (int64_t)numbers[2].value;
	r.table = (int64_t)numbers[3].value;
	r.scope = (int64_t)numbers[4].value;
	*ret = r;
	return 0;
}

static int parse_route(const json_t *item, struct result *r, struct err *e)
{
	struct result_route route;
	int rc = result_parse_route(item, &route, e);

	if (rc == 0)
		result_add_route(r, &route);
	return rc;
}

/* ip4 and ip6 of the shapes before 0.3.0. */
static int parse_family(const json_t *json, const char *key, int family, struct result *r,
			struct err *e)
{
	struct ip_addr gateway = { 0 };
	struct ip_net net = { 0 };
	json_t *j = NULL;
	int rc = json_find(json, key, &j, e);

	if (rc < 0 || !j)
		return rc;
	if (!json_is_object(j))
		return err_set(e, -EINVAL, "%s must be an object", key);
	if (json_read_ip_net(j, "ip", family, &net, e) < 0 ||
	    json_read_ip_addr(j, "gateway", family, &gateway, e) < 0 ||
	    parse_list(j, "routes", r, parse_route, e) < 0)
		return err_wrap(e, "%s", key);
	if (!ip_net_is_set(&net))
		return err_set(e, -EINVAL, "%s.ip is missing", key);
	result_add_address(r, &net, &gateway);
	return 0;
}

/* The two shapes from 1.0.0 on are one family: a result of one is a valid result of the other. */
static unsigned shape_family(enum version_shape shape)
{
	return shape == VERSION_SHAPE_1_1 ? VERSION_SHAPE_1_0 : shape;
}

static int parse_body(const json_t *json, const char *version, struct result *r, struct err *e)
{
	const char *own = version;
	json_t *dns = NULL;

	if (!json_is_object(json))
		return err_set(e, -EINVAL, "not an object");
	if (json_read_string(json, "cniVersion", &own, e) < 0 ||
	    json_find(json, "dns", &dns, e) < 0)
		return e->code;
	if (!own[0])
		own = version;
	if (version_check(own, e) < 0 ||
	    shape_family(version_shape(own)) != shape_family(version_shape(version)))
		return err_set(e, -EINVAL, "a result of version %.40s does not go with %s", own,
			       version);
	if (json_is_object(dns))
		r->dns = json_incref(dns);
	if (version_shape(own) == VERSION_SHAPE_IP4_IP6) {
		if (parse_family(json, "ip4", AF_INET, r, e) < 0 ||
		    parse_family(json, "ip6", AF_INET6, r, e) < 0)
			return e->code;
		return 0;
	}
	if (parse_list(json, "interfaces", r, parse_interface, e) < 0 ||
	    parse_list(json, "ips", r, parse_address, e) < 0 ||
	    parse_list(json, "routes", r, parse_route, e) < 0)
		return e->code;
	return 0;
}

int result_parse(const json_t *json, const char *version, struct result *ret, struct err *e)
{
	struct result r = { 0 };

	if (parse_body(json, version, &r, e) < 0) {
		result_fini(&r);
		e->code = -EINVAL; /* version_check may have set a code of its own */
		return cni_classify(e, CNI_DECODING);
	}
	*ret = r;
	return 0;
}
