/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/config.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/pool.h"
#include "cni-plugin/version.h"
#include "kernel/device.h"
#include "lib/file.h"

#define RESOLVER_SIZE_MAX (64 * 1024)

void config_fini(struct config *c)
{
	ranges_fini(&c->ranges);
	ports_fini(&c->ports);
	free(c->pool_dir);
	free(c->routes);
	json_decref(c->dns);
	json_decref(c->resolver);
}

/* args.cni, an object of conventional arguments; NULL if there is none. */
static int read_args_cni(const struct netconf *n, json_t **ret, struct err *e)
{
	return json_find(json_get_any_case(n->json, "args"), "cni", ret, e);
}

static int parse_flags(const json_t *object, struct config *c, struct err *e)
{
	const struct {
		const char *key;
		bool *value;
	} flags[] = {
		{ "isGateway", &c->is_gateway },
		{ "isDefaultGateway", &c->is_default_gateway },
		{ "forceAddress", &c->force_address },
		{ "ipMasq", &c->ip_masq },
		{ "hairpinMode", &c->hairpin },
		{ "promiscMode", &c->promiscuous },
		{ "portIsolation", &c->isolated },
		{ "macspoofchk", &c->mac_guard },
		{ "enabledad", &c->detect_duplicates },
		{ "disableContainerInterface", &c->interface_down },
		{ "preserveDefaultVlan", &c->vlans.keep_default },
	};

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
		if (json_read_bool(object, flags[i].key, flags[i].value, e) < 0)
			return e->code;
	}
	if (c->is_default_gateway)
		c->is_gateway = true;
	if (c->hairpin && c->promiscuous)
		return err_set(e, -EINVAL, "hairpinMode and promiscMode exclude each other");
	return 0;
}

static int parse_masquerade_backend(const json_t *object, struct err *e)
{
	const char *backend = NULL;

	if (json_read_string(object, "ipMasqBackend", &backend, e) < 0)
		return e->code;
	if (backend && backend[0] && strcmp(backend, "nftables") != 0)
		return err_set(
			e, -EINVAL,
			"ipMasqBackend is \"%.40s\", must be nftables: there is no other here",
			backend);
	return 0;
}

static int parse_vlan_id(const json_t *json, const char *key, int64_t min, int64_t *ret,
			 struct err *e)
{
	json_t *v = NULL;
	int rc = json_find(json, key, &v, e);

	if (rc < 0 || !v)
		return rc;
	if (!json_is_integer(v) || json_integer_value(v) < min ||
	    json_integer_value(v) > DEVICE_VLAN_MAX)
		return err_set(e, -EINVAL, "%s: invalid VLAN ID %lld (must be between %lld and %d)",
			       key, (long long)json_integer_value(v), (long long)min,
			       DEVICE_VLAN_MAX);
	*ret = json_integer_value(v);
	return 0;
}

static int append_trunk(struct config *c, int64_t first, int64_t last, struct err *e)
{
	if (c->vlans.trunk_len == CONFIG_TRUNK_MAX)
		return err_set(e, -EINVAL, "more than %d entries", CONFIG_TRUNK_MAX);
	c->vlans.trunk[c->vlans.trunk_len++] =
		(struct config_vlan_range){ .first = (uint16_t)first, .last = (uint16_t)last };
	return 0;
}

static int parse_trunk_entry(const json_t *entry, struct config *c, struct err *e)
{
	int64_t first = -1;
	int64_t last = -1;
	int64_t id = -1;

	if (!json_is_object(entry))
		return err_set(e, -EINVAL, "must be an object");
	if (parse_vlan_id(entry, "minID", 1, &first, e) < 0 ||
	    parse_vlan_id(entry, "maxID", 1, &last, e) < 0 ||
	    parse_vlan_id(entry, "id", 1, &id, e) < 0)
		return e->code;
	if (first >= 0 && last < 0)
		return err_set(e, -EINVAL, "minID without maxID");
	if (last >= 0 && first < 0)
		return err_set(e, -EINVAL, "maxID without minID");
	if (first > last)
		return err_set(e, -EINVAL, "minID is greater than maxID");
	if (first >= 0 && append_trunk(c, first, last, e) < 0)
		return e->code;
	if (id >= 0 && append_trunk(c, id, id, e) < 0)
		return e->code;
	return 0;
}

static int parse_vlans(const json_t *object, struct config *c, struct err *e)
{
	json_t *trunk = NULL;
	const json_t *entry;
	int64_t vlan = 0;
	size_t i;

	if (parse_vlan_id(object, "vlan", 0, &vlan, e) < 0 ||
	    json_find(object, "vlanTrunk", &trunk, e) < 0)
		return e->code;
	c->vlans.access = (uint16_t)vlan;
	if (!trunk)
		return 0;
	if (!json_is_array(trunk))
		return err_set(e, -EINVAL, "vlanTrunk must be a list");
	json_array_foreach (trunk, i, entry) {
		if (parse_trunk_entry(entry, c, e) < 0)
			return err_wrap(e, "vlanTrunk[%zu]", i);
	}
	return 0;
}

/* In the order of precedence: the capability, args.cni, CNI_ARGS. */
static int parse_mac(const struct netconf *n, const json_t *object, const struct cni_args *args,
		     struct config *c, struct err *e)
{
	json_t *places[] = { json_get_any_case(object, "runtimeConfig"), NULL };

	if (read_args_cni(n, &places[1], e) < 0)
		return err_wrap(e, "args");
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		const char *text = NULL;

		if (json_read_string(places[i], "mac", &text, e) < 0)
			return e->code;
		if (!text || !text[0])
			continue;
		if (mac_addr_parse(text, &c->mac, e) < 0)
			return err_wrap(e, "mac");
		c->has_mac = true;
		break;
	}
	if (!c->has_mac && args->has_mac) {
		c->mac = args->mac;
		c->has_mac = true;
	}
	if (c->has_mac && (c->mac.b[0] & 1 || mac_addr_is_zero(&c->mac)))
		return err_set(e, -EINVAL, "mac is not the address of one interface");
	return 0;
}

/* A list of texts, moved from one key to another. */
static void copy_texts(const json_t *from, const char *from_key, json_t *to, const char *to_key)
{
	json_t *list = json_get_any_case(from, from_key);

	if (json_array_size(list))
		json_object_set(to, to_key, list);
}

static int check_texts(const json_t *dns, const char *key, struct err *e)
{
	json_t *list = NULL;
	const json_t *item;
	size_t i;

	if (json_find(dns, key, &list, e) < 0)
		return err_wrap(e, "dns");
	if (list && !json_is_array(list))
		return err_set(e, -EINVAL, "dns.%s must be a list", key);
	json_array_foreach (list, i, item) {
		if (!json_is_string(item))
			return err_set(e, -EINVAL, "dns.%s must be a list of strings", key);
	}
	return 0;
}

/*
 * The runtime's dns capability over our dns over the address management's, each as a whole: any key
 * that is there, even with an empty list, means that the rest is meant to be empty.
 */
static int parse_dns(const struct netconf *n, const json_t *object, struct config *c, struct err *e)
{
	struct {
		json_t *dns;
		const char *keys[3];
	} places[] = {
		{ NULL, { "servers", "searches", "options" } },
		{ NULL, { "nameservers", "search", "options" } },
	};
	const char *domain = NULL;

	if (json_find(json_get_any_case(object, "runtimeConfig"), "dns", &places[0].dns, e) < 0)
		return err_wrap(e, "runtimeConfig");
	if (json_find(object, "dns", &places[1].dns, e) < 0)
		return e->code;
	if (!places[1].dns)
		places[1].dns = json_get_any_case(n->json, "dns");
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		const char *const *keys = places[i].keys;
		const json_t *d = places[i].dns;

		if (!d)
			continue;
		if (!json_is_object(d))
			return err_set(e, -EINVAL, "dns must be an object");
		for (unsigned k = 0; k < 3; k++) {
			if (check_texts(d, keys[k], e) < 0)
				return e->code;
		}
		if (json_read_string(d, "domain", &domain, e) < 0)
			return err_wrap(e, "dns");
		if (!domain && !json_get_any_case(d, keys[0]) && !json_get_any_case(d, keys[1]) &&
		    !json_get_any_case(d, keys[2]))
			continue;
		c->dns = json_object();
		copy_texts(d, keys[0], c->dns, "nameservers");
		if (domain && domain[0])
			json_object_set_new(c->dns, "domain", json_string(domain));
		copy_texts(d, keys[1], c->dns, "search");
		copy_texts(d, keys[2], c->dns, "options");
		return 0;
	}
	return 0;
}

static int append_requested(struct config *c, const char *text, struct err *e)
{
	struct ip_addr a;
	struct ip_net net;

	if (strchr(text, '/')) {
		if (ip_net_parse(text, AF_UNSPEC, &net, e) < 0)
			return e->code;
		a = net.addr;
	} else if (ip_addr_parse(text, AF_UNSPEC, &a, e) < 0) {
		return e->code;
	}
	if (c->requested_len == CONFIG_REQUESTED_MAX)
		return err_set(e, -EINVAL, "more than %d addresses", CONFIG_REQUESTED_MAX);
	c->requested[c->requested_len++] = a;
	return 0;
}

/* The three ways to ask for an address add up. */
static int parse_requested(const struct netconf *n, const json_t *object,
			   const struct cni_args *args, struct config *c, struct err *e)
{
	json_t *lists[2] = { NULL };
	json_t *args_cni = NULL;
	const json_t *item;
	size_t i;

	if (read_args_cni(n, &args_cni, e) < 0 || json_find(args_cni, "ips", &lists[0], e) < 0)
		return err_wrap(e, "args");
	if (json_find(json_get_any_case(object, "runtimeConfig"), "ips", &lists[1], e) < 0)
		return err_wrap(e, "runtimeConfig");
	if (ip_addr_is_set(&args->ip))
		c->requested[c->requested_len++] = args->ip;
	for (unsigned k = 0; k < ARRAY_LEN(lists); k++) {
		if (lists[k] && !json_is_array(lists[k]))
			return err_set(e, -EINVAL, "ips must be a list");
		json_array_foreach (lists[k], i, item) {
			if (!json_is_string(item))
				return err_set(e, -EINVAL, "ips must be a list of strings");
			if (append_requested(c, json_string_value(item), e) < 0)
				return err_wrap(e, "ips");
		}
	}
	return 0;
}

static bool same_route(const struct result_route *a, const struct result_route *b)
{
	return ip_net_equal(&a->dst, &b->dst) && ip_addr_equal(&a->gateway, &b->gateway) &&
	       a->priority == b->priority && a->table == b->table;
}

static int parse_routes(const json_t *ipam, struct config *c, struct err *e)
{
	json_t *list = NULL;
	const json_t *item;
	size_t i;

	if (json_find(ipam, "routes", &list, e) < 0)
		return err_wrap(e, "ipam");
	if (list && !json_is_array(list))
		return err_set(e, -EINVAL, "ipam.routes must be a list");
	json_array_foreach (list, i, item) {
		struct result_route route;
		bool known = false;

		if (result_parse_route(item, &route, e) < 0)
			return err_wrap(e, "ipam.routes[%zu]", i);
		for (size_t k = 0; k < c->routes_len; k++)
			known |= same_route(&c->routes[k], &route);
		if (known)
			continue;
		if (c->routes_len == CONFIG_ROUTES_MAX)
			return err_set(e, -EINVAL, "ipam.routes: more than %d", CONFIG_ROUTES_MAX);
		GROW(c->routes, c->routes_len, c->routes_cap);
		c->routes[c->routes_len++] = route;
	}
	return 0;
}

json_t *config_parse_resolver(const char *text)
{
	json_t *dns = json_object();
	auto_free char *copy = xstrdup(text);
	char *save_line = NULL;

	for (char *line = strtok_r(copy, "\n", &save_line); line;
	     line = strtok_r(NULL, "\n", &save_line)) {
		char *save = NULL;
		const char *key = strtok_r(line, " \t\r", &save);
		const char *word;
		const char *list = NULL;

		if (!key || *key == '#' || *key == ';')
			continue;
		if (strcmp(key, "nameserver") == 0)
			list = "nameservers";
		else if (strcmp(key, "search") == 0)
			list = "search";
		else if (strcmp(key, "options") == 0)
			list = "options";
		else if (strcmp(key, "domain") == 0 && (word = strtok_r(NULL, " \t\r", &save)))
			json_object_set_new(dns, "domain", json_string(word));
		while (list && (word = strtok_r(NULL, " \t\r", &save)) && *word != '#' &&
		       *word != ';') {
			if (!json_object_get(dns, list))
				json_object_set_new(dns, list, json_array());
			json_array_append_new(json_object_get(dns, list), json_string(word));
		}
	}
	return dns;
}

static int parse_resolver(const json_t *ipam, struct config *c, struct err *e)
{
	auto_free char *text = NULL;
	const char *path = NULL;

	if (json_read_string(ipam, "resolvConf", &path, e) < 0)
		return e->code;
	if (!path || !path[0])
		return 0;
	if (file_read(path, RESOLVER_SIZE_MAX, &text, NULL, e) < 0)
		return err_wrap(e, "ipam.resolvConf");
	c->resolver = config_parse_resolver(text);
	return 0;
}

char *config_pool_dir(const json_t *object, const char *network)
{
	const json_t *ipam = json_get_any_case(object, "ipam");
	const char *dir = json_string_value(json_get_any_case(ipam, "dataDir"));

	return xasprintf("%s/%s", dir && dir[0] ? dir : POOL_DATA_DIR, network);
}

/* Results before 0.3.0 have no room for a second address of a family. */
static int check_old_version(const struct netconf *n, const struct ranges *r, struct err *e)
{
	unsigned v4 = 0;
	unsigned v6 = 0;

	if (version_shape(n->cni_version) != VERSION_SHAPE_IP4_IP6)
		return 0;
	for (size_t i = 0; i < r->len; i++)
		r->sets[i].items[0].start.family == AF_INET ? v4++ : v6++;
	if (v4 > 1 || v6 > 1)
		return err_set(e, -EINVAL,
			       "CNI version %s does not support more than 1 address per family",
			       n->cni_version);
	return 0;
}

static int parse_host_local(const struct netconf *n, const json_t *object, const json_t *ipam,
			    const struct cni_args *args, struct config *c, struct err *e)
{
	const char *data_dir = NULL;

	if (json_read_string(ipam, "dataDir", &data_dir, e) < 0)
		return e->code;
	if (ranges_parse(ipam, json_get_any_case(object, "runtimeConfig"), &c->ranges, e) < 0)
		return err_wrap(e, "ipam");
	if (check_old_version(n, &c->ranges, e) < 0 || parse_routes(ipam, c, e) < 0 ||
	    parse_requested(n, object, args, c, e) < 0 || parse_resolver(ipam, c, e) < 0)
		return e->code;
	c->pool_dir = config_pool_dir(object, n->name);
	return 0;
}

static int parse_ipam(const struct netconf *n, const json_t *object, const struct cni_args *args,
		      struct config *c, struct err *e)
{
	const json_t *ipam = json_get_any_case(object, "ipam");

	if (!json_object_size(ipam)) {
		c->ipam = CONFIG_IPAM_NONE;
		return c->ptp ? err_set(e, -EINVAL, "ptp needs ipam") : 0;
	}
	if (json_read_string(ipam, "type", &c->ipam_type, e) < 0)
		return err_wrap(e, "ipam");
	if (c->interface_down)
		return err_set(e, -EINVAL,
			       "disableContainerInterface does not go together with ipam");
	if (!c->ipam_type || !c->ipam_type[0])
		return err_set(e, -EINVAL, "ipam has no type");
	if (strcmp(c->ipam_type, "host-local") != 0) {
		c->ipam = CONFIG_IPAM_PLUGIN;
		return 0;
	}
	c->ipam = CONFIG_IPAM_HOST_LOCAL;
	return parse_host_local(n, object, ipam, args, c, e);
}

static int parse_bridge(const json_t *object, struct config *c, struct err *e)
{
	const char *bridge = NULL;

	if (json_read_string(object, "bridge", &bridge, e) < 0)
		return e->code;
	if (!bridge || !bridge[0])
		bridge = "cni0";
	if (!cni_is_ifname(bridge))
		return err_set(e, -EINVAL, "bridge \"%.40s\" is not an interface name", bridge);
	snprintf(c->bridge, sizeof(c->bridge), "%s", bridge);
	return 0;
}

/* Keys of the bridge plugin that would silently do nothing on a link without a bridge. */
static int refuse_bridge_keys(const struct netconf *n, const json_t *object, struct err *e)
{
	/* Keys of the lists that flannel installs come first: whoever only turns ptp on keeps them. */
	static const char *const keys[] = {
		"hairpinMode",
		"forceAddress",
		"promiscMode",
		"portIsolation",
		"vlan",
		"vlanTrunk",
		"preserveDefaultVlan",
		"macspoofchk",
		"bridge",
		"disableContainerInterface",
	};

	for (unsigned i = n->direct ? 0 : 2; i < ARRAY_LEN(keys); i++) {
		const json_t *v = json_get_any_case(object, keys[i]);

		if (v && !json_is_false(v))
			return err_set(e, -EINVAL, "%s does not go together with ptp", keys[i]);
	}
	return 0;
}

static void copy_unmasked(const struct subnet_env *f, struct config *c)
{
	if (!f)
		return;
	memcpy(c->unmasked, f->networks, sizeof(f->networks));
	c->unmasked_len = f->networks_len;
}

/* RFC 791 and RFC 8200; the kernel would say no more than "Invalid argument". */
static int check_mtu(const struct config *c, struct err *e)
{
	uint32_t least = 68;

	for (size_t i = 0; i < c->ranges.len; i++) {
		if (c->ranges.sets[i].items[0].start.family == AF_INET6)
			least = IPV6_MTU_MIN;
	}
	if (c->mtu_bytes && c->mtu_bytes < least)
		return err_set(e, -EINVAL, "mtu is %u, must be at least %u%s", c->mtu_bytes, least,
			       least == 68 ? "" : " for IPv6");
	return 0;
}

static int parse_ports(const json_t *object, struct config *c, struct err *e)
{
	json_t *list = NULL;

	if (json_find(json_get_any_case(object, "runtimeConfig"), "portMappings", &list, e) < 0)
		return err_wrap(e, "runtimeConfig");
	return ports_parse(list, &c->ports, e);
}

static int parse(const struct netconf *n, const json_t *object, const struct cni_args *args,
		 struct config *c, struct err *e)
{
	const char *type = json_string_value(json_get_any_case(object, "type"));
	uint64_t mtu = 0;

	c->ptp = type && strcmp(type, "ptp") == 0;
	if (c->ptp && refuse_bridge_keys(n, object, e) < 0)
		return e->code;
	if (parse_bridge(object, c, e) < 0 || parse_flags(object, c, e) < 0 ||
	    parse_masquerade_backend(object, e) < 0 || parse_vlans(object, c, e) < 0 ||
	    json_read_uint(object, "mtu", 0, 65535, &mtu, e) < 0 ||
	    parse_mac(n, object, args, c, e) < 0 || parse_dns(n, object, c, e) < 0 ||
	    parse_ports(object, c, e) < 0)
		return e->code;
	c->mtu_bytes = (uint32_t)mtu;
	if (parse_ipam(n, object, args, c, e) < 0)
		return e->code;
	return check_mtu(c, e);
}

int config_parse(const struct netconf *n, const json_t *object, const struct subnet_env *fabric,
		 const struct cni_args *args, struct config *ret, struct err *e)
{
	struct config c = { .keep_other_addresses =
				    !n->direct && !json_get_any_case(object, "forceAddress") };

	copy_unmasked(fabric, &c);
	if (parse(n, object, args, &c, e) < 0) {
		config_fini(&c);
		return cni_classify(e, CNI_CONFIG);
	}
	*ret = c;
	return 0;
}
