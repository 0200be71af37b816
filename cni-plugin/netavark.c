/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/netavark.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/error.h"
#include "cni-plugin/netconf.h"
#include "cni-plugin/version.h"
#include "lib/nearest.h"

/* ---- the network ---- */

/* What `podman network create -o KEY=VALUE` may say, and the keys of the CNI form that it becomes. */
enum option {
	OPTION_MTU,
	OPTION_DOCKER_MTU,
	OPTION_MODE,
	OPTION_ISOLATE,
	OPTION_SUBNET_FILE,
	OPTION_DATA_DIR,
	OPTION_IPAM_DIR,
	OPTIONS_LEN,
};

static const char *const option_names[OPTIONS_LEN] = {
	[OPTION_MTU] = "mtu",
	[OPTION_DOCKER_MTU] =
		"com.docker.network.driver.mtu", /* podman knows it by this name too */
	[OPTION_MODE] = "mode",
	[OPTION_ISOLATE] = "isolate",
	[OPTION_SUBNET_FILE] = "subnetFile",
	[OPTION_DATA_DIR] = "dataDir",
	[OPTION_IPAM_DIR] = "ipamDataDir",
};

struct network {
	const char *name;
	const char *bridge; /* "": the usual one */
	bool internal;
	const char *options[OPTIONS_LEN]; /* NULL: not given */
	const json_t *routes;
	const json_t *resolvers;
};

static int fail(struct err *e)
{
	return cni_classify(e, CNI_CONFIG);
}

static int read_array(const json_t *object, const char *key, const json_t **ret, struct err *e)
{
	json_t *list = NULL;

	if (json_find(object, key, &list, e) < 0)
		return e->code;
	if (list && !json_is_array(list))
		return err_set(e, -EINVAL, "%s must be a list", key);
	*ret = list;
	return 0;
}

static int refuse_option(const char *key, struct err *e)
{
	struct nearest n = { .word = key };
	char all[160] = "";
	size_t used = 0;

	for (unsigned i = 0; i < OPTIONS_LEN; i++) {
		nearest_consider(&n, option_names[i]);
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "",
					 option_names[i]);
	}
	if (n.best)
		return err_set(e, -EINVAL, "there is no option %.40s; did you mean %s?", key,
			       n.best);
	return err_set(e, -EINVAL, "there is no option %.40s; there are %s", key, all);
}

static int read_options(const json_t *json, struct network *n, struct err *e)
{
	json_t *options = NULL;
	const char *key;
	json_t *value;

	if (json_find(json, "options", &options, e) < 0)
		return e->code;
	if (options && !json_is_object(options))
		return err_set(e, -EINVAL, "options must be an object");
	json_object_foreach (options, key, value) {
		unsigned i = 0;

		while (i < OPTIONS_LEN && strcmp(option_names[i], key) != 0)
			i++;
		if (i == OPTIONS_LEN)
			return refuse_option(key, e);
		if (!json_is_string(value))
			return err_set(e, -EINVAL, "option %s must be a string", key);
		n->options[i] = json_string_value(value);
	}
	return 0;
}

static int check_option(const struct network *n, enum option which, const char *first,
			const char *second, struct err *e)
{
	const char *value = n->options[which];

	if (!value || strcmp(value, first) == 0 || strcmp(value, second) == 0)
		return 0;
	return err_set(e, -EINVAL, "option %s is \"%.40s\", must be %s or %s", option_names[which],
		       value, first, second);
}

static int check_path(const struct network *n, enum option which, struct err *e)
{
	const char *value = n->options[which];

	if (!value || value[0] == '/')
		return 0;
	return err_set(e, -EINVAL, "option %s is \"%.80s\", must be an absolute path",
		       option_names[which], value);
}

static const char *mtu_text(const struct network *n)
{
	return n->options[OPTION_MTU] ? n->options[OPTION_MTU] : n->options[OPTION_DOCKER_MTU];
}

static int read_mtu(const struct network *n, json_int_t *ret, struct err *e)
{
	const char *text = mtu_text(n);
	unsigned value = 0;
	char after;

	if (!text)
		return 0;
	if (strspn(text, "0123456789") == 0 || strlen(text) > 5 ||
	    sscanf(text, "%u%c", &value, &after) != 1 || value < 68 || value > 65535)
		return err_set(e, -EINVAL, "option mtu is \"%.40s\", must be from 68 to 65535",
			       text);
	*ret = value;
	return 0;
}

static int check_options(const struct network *n, struct err *e)
{
	json_int_t mtu;

	if (check_option(n, OPTION_MODE, "bridge", "ptp", e) < 0 ||
	    check_option(n, OPTION_ISOLATE, "true", "false", e) < 0 ||
	    check_path(n, OPTION_SUBNET_FILE, e) < 0 || check_path(n, OPTION_DATA_DIR, e) < 0 ||
	    check_path(n, OPTION_IPAM_DIR, e) < 0)
		return e->code;
	return read_mtu(n, &mtu, e);
}

static bool is_on(const struct network *n, enum option which)
{
	return n->options[which] && strcmp(n->options[which], "true") == 0;
}

static bool is_ptp(const struct network *n)
{
	return n->options[OPTION_MODE] && strcmp(n->options[OPTION_MODE], "ptp") == 0;
}

/* podman would choose addresses by itself, of which the fabric and the other networks know nothing. */
static int check_addressing(const json_t *json, struct err *e)
{
	const json_t *subnets = NULL;
	const char *driver = "";
	json_t *ipam = NULL;

	if (read_array(json, "subnets", &subnets, e) < 0 ||
	    json_find(json, "ipam_options", &ipam, e) < 0)
		return e->code;
	if (json_array_size(subnets))
		return err_set(
			e, -EINVAL,
			"subnets are not for this driver to choose: the addresses are of the "
			"subnet that flanneld leased for this host; leave out --subnet");
	if (json_read_string(ipam, "driver", &driver, e) < 0)
		return err_wrap(e, "ipam_options");
	if (driver[0] && strcmp(driver, "host-local") != 0)
		return err_set(e, -EINVAL,
			       "ipam_options.driver is \"%.40s\": leave out --ipam-driver, the "
			       "addresses are of the host's subnet",
			       driver);
	return 0;
}

static int read_name(const json_t *json, struct network *n, struct err *e)
{
	n->name = "";
	if (json_read_string(json, "name", &n->name, e) < 0)
		return e->code;
	if (!cni_is_identifier(n->name) || strlen(n->name) > NETCONF_NAME_SIZE_MAX)
		return err_set(e, -EINVAL, "network name \"%.80s\" is not valid", n->name);
	return 0;
}

static int read_network(const json_t *json, struct network *n, struct err *e)
{
	n->bridge = "";
	if (read_name(json, n, e) < 0 || check_addressing(json, e) < 0 ||
	    json_read_string(json, "network_interface", &n->bridge, e) < 0 ||
	    json_read_bool(json, "internal", &n->internal, e) < 0 ||
	    read_array(json, "routes", &n->routes, e) < 0 ||
	    read_array(json, "network_dns_servers", &n->resolvers, e) < 0 ||
	    read_options(json, n, e) < 0 || check_options(n, e) < 0)
		return e->code;
	if (n->bridge[0] && !cni_is_ifname(n->bridge))
		return err_set(e, -EINVAL, "network_interface \"%.40s\" is not an interface name",
			       n->bridge);
	if (n->bridge[0] && is_ptp(n))
		return err_set(e, -EINVAL,
			       "network_interface names a bridge, which option mode=ptp "
			       "has none of");
	if (is_on(n, OPTION_ISOLATE) && is_ptp(n))
		return err_set(e, -EINVAL,
			       "option isolate is for a bridge, which option mode=ptp has none of");
	return 0;
}

int netavark_check_network(const json_t *network, struct err *e)
{
	struct network n = { 0 };

	return read_network(network, &n, e) < 0 ? fail(e) : 0;
}

/* ---- the configuration ---- */

static json_t *delegate_json(const struct network *n, json_int_t mtu)
{
	json_t *d = json_pack("{s:s, s:b}", "type", is_ptp(n) ? "ptp" : "bridge",
			      "isDefaultGateway", !n->internal);

	if (!is_ptp(n)) {
		json_object_set_new(d, "hairpinMode", json_true());
		json_object_set_new(d, "macspoofchk", json_true());
		json_object_set_new(d, "portIsolation", json_boolean(is_on(n, OPTION_ISOLATE)));
		if (n->bridge[0])
			json_object_set_new(d, "bridge", json_text(n->bridge));
	}
	if (n->internal)
		json_object_set_new(d, "ipMasq", json_false());
	if (mtu)
		json_object_set_new(d, "mtu", json_integer(mtu));
	return d;
}

/* Their names of a route's parts, and ours. */
static int routes_json(const struct network *n, json_t *ret, struct err *e)
{
	const json_t *item;
	size_t i;

	json_array_foreach (n->routes, i, item) {
		const char *dst = "";
		const char *gateway = "";
		uint64_t metric = 0;
		json_t *route;

		if (!json_is_object(item))
			return err_set(e, -EINVAL, "routes[%zu] must be an object", i);
		if (json_read_string(item, "destination", &dst, e) < 0 ||
		    json_read_string(item, "gateway", &gateway, e) < 0 ||
		    json_read_uint(item, "metric", 0, UINT32_MAX, &metric, e) < 0)
			return err_wrap(e, "routes[%zu]", i);
		route = json_pack("{s:o}", "dst", json_text(dst));
		if (gateway[0])
			json_object_set_new(route, "gw", json_text(gateway));
		if (metric)
			json_object_set_new(route, "priority", json_integer((json_int_t)metric));
		json_append(ret, route);
	}
	return 0;
}

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text)
		json_object_set_new(object, key, json_text(text));
}

/* What both verbs need: whose records and reservations are meant. */
static json_t *base_json(const struct network *n)
{
	json_t *c = json_pack("{s:s, s:o, s:s, s:{s:s}}", "cniVersion", VERSION_LATEST, "name",
			      json_text(n->name), "type", "flannel", "ipam", "type", "host-local");

	set_text(c, "subnetFile", n->options[OPTION_SUBNET_FILE]);
	set_text(c, "dataDir", n->options[OPTION_DATA_DIR]);
	set_text(json_object_get(c, "ipam"), "dataDir", n->options[OPTION_IPAM_DIR]);
	return c;
}

/* ---- the container ---- */

static int read_member(const json_t *request, const char *key, json_t **ret, struct err *e)
{
	if (json_find(request, key, ret, e) < 0)
		return e->code;
	if (!json_is_object(*ret))
		return err_set(e, -EINVAL, "%s must be an object", key);
	return 0;
}

static int read_container(const json_t *request, const char *netns, struct cni_env *ret,
			  json_t **ret_network, json_t **ret_options, struct err *e)
{
	struct cni_env env = CNI_ENV_EMPTY;

	env.netns = netns;
	env.asks_once = true;
	if (json_read_string(request, "container_id", &env.container_id, e) < 0 ||
	    json_read_string(request, "container_name", &env.container_name, e) < 0 ||
	    read_member(request, "network", ret_network, e) < 0 ||
	    read_member(request, "network_options", ret_options, e) < 0)
		return e->code;
	if (json_read_string(*ret_options, "interface_name", &env.ifname, e) < 0)
		return err_wrap(e, "network_options");
	if (!cni_is_identifier(env.container_id) || strlen(env.container_id) > CNI_ID_SIZE_MAX)
		return err_set(e, -EINVAL, "container_id \"%.80s\" is not valid", env.container_id);
	if (!cni_is_ifname(env.ifname))
		return err_set(e, -EINVAL, "network_options.interface_name \"%.40s\" is not valid",
			       env.ifname);
	*ret = env;
	return 0;
}

/* args.cni: the addresses and the MAC that are wanted for this container. */
static int wanted_json(const json_t *options, json_t **ret, struct err *e)
{
	auto_json json_t *wanted = json_object();
	const json_t *ips = NULL;
	const char *mac = NULL;

	if (read_array(options, "static_ips", &ips, e) < 0 ||
	    json_read_string(options, "static_mac", &mac, e) < 0)
		return err_wrap(e, "network_options");
	if (ips)
		json_object_set(wanted, "ips", (json_t *)ips);
	if (mac && mac[0])
		json_object_set_new(wanted, "mac", json_text(mac));
	*ret = STEAL(wanted);
	return 0;
}

/*
 * A mapping under CNI's names: host_port N and `range` ports in a row, for each of "tcp,udp". What is
 * left out is 0, "" or null.
 */
static int append_mapping(const json_t *item, json_t *list, struct err *e)
{
	const char *protocols = "";
	const char *host = "";
	uint64_t container = 0;
	uint64_t range = 0;
	uint64_t port = 0;

	if (!json_is_object(item))
		return err_set(e, -EINVAL, "must be an object");
	if (json_read_uint(item, "container_port", 1, UINT16_MAX, &container, e) < 0 ||
	    json_read_uint(item, "host_port", 0, UINT16_MAX, &port, e) < 0 ||
	    json_read_uint(item, "range", 0, UINT16_MAX, &range, e) < 0 ||
	    json_read_string(item, "host_ip", &host, e) < 0 ||
	    json_read_string(item, "protocol", &protocols, e) < 0)
		return e->code;
	do {
		size_t size = strcspn(protocols, ",");
		auto_free char *protocol = strndup(protocols, size);

		json_append(list,
			    json_pack("{s:I, s:I, s:I, s:o, s:o}", "hostPort", (json_int_t)port,
				      "containerPort", (json_int_t)container, "count",
				      (json_int_t)(range ? range : 1), "hostIP", json_text(host),
				      "protocol", json_text(protocol)));
		protocols += size + (protocols[size] == ',');
	} while (*protocols);
	return 0;
}

static int ports_of(const json_t *request, json_t **ret, struct err *e)
{
	auto_json json_t *list = json_array();
	const json_t *mappings = NULL;
	const json_t *item;
	size_t i;

	if (read_array(request, "port_mappings", &mappings, e) < 0)
		return e->code;
	json_array_foreach (mappings, i, item) {
		if (append_mapping(item, list, e) < 0)
			return err_wrap(e, "port_mappings[%zu]", i);
	}
	*ret = STEAL(list);
	return 0;
}

static int make_config(const struct network *n, const json_t *request, const json_t *options,
		       json_t **ret, struct err *e)
{
	auto_json json_t *config = base_json(n);
	json_t *routes = json_array();
	json_t *wanted = NULL;
	json_t *ports = NULL;
	json_int_t mtu = 0;

	json_object_set_new(json_object_get(config, "ipam"), "routes", routes);
	if (read_mtu(n, &mtu, e) < 0 || routes_json(n, routes, e) < 0 ||
	    wanted_json(options, &wanted, e) < 0)
		return e->code;
	if (ports_of(request, &ports, e) < 0) {
		json_decref(wanted);
		return e->code;
	}
	json_object_set_new(config, "runtimeConfig", json_pack("{s:o}", "portMappings", ports));
	json_object_set_new(config, "delegate", delegate_json(n, mtu));
	json_object_set_new(config, "args", json_pack("{s:o}", "cni", wanted));
	if (n->resolvers)
		json_object_set_new(config, "dns", json_pack("{s:O}", "nameservers", n->resolvers));
	*ret = STEAL(config);
	return 0;
}

int netavark_read_setup(const json_t *request, const char *netns, struct cni_env *ret_env,
			json_t **ret_config, struct err *e)
{
	struct network n = { 0 };
	json_t *network = NULL;
	json_t *options = NULL;
	struct cni_env env;

	if (read_container(request, netns, &env, &network, &options, e) < 0)
		return fail(e);
	if (read_network(network, &n, e) < 0) {
		err_wrap(e, "network");
		return fail(e);
	}
	if (make_config(&n, request, options, ret_config, e) < 0)
		return fail(e);
	env.command = CNI_ADD;
	*ret_env = env;
	return 0;
}

int netavark_read_teardown(const json_t *request, const char *netns, struct cni_env *ret_env,
			   json_t **ret_config, struct err *e)
{
	static const enum option needed[] = { OPTION_SUBNET_FILE, OPTION_DATA_DIR, OPTION_IPAM_DIR,
					      OPTION_MODE };
	struct network n = { 0 };
	json_t *network = NULL;
	json_t *options = NULL;
	struct cni_env env;

	if (read_container(request, netns, &env, &network, &options, e) < 0 ||
	    read_name(network, &n, e) < 0)
		return fail(e);
	for (unsigned i = 0; i < ARRAY_LEN(needed); i++) {
		const json_t *given = json_object_get(json_object_get(network, "options"),
						      option_names[needed[i]]);

		n.options[needed[i]] = json_string_value(given);
	}
	n.bridge = json_string_value(json_object_get(network, "network_interface"));
	*ret_config = base_json(&n);
	if (!is_ptp(&n) && n.bridge && cni_is_ifname(n.bridge))
		json_object_set_new(*ret_config, "delegate",
				    json_pack("{s:o}", "bridge", json_text(n.bridge)));
	else if (is_ptp(&n))
		json_object_set_new(*ret_config, "delegate", json_pack("{s:s}", "type", "ptp"));
	env.command = CNI_DEL;
	*ret_env = env;
	return 0;
}

/* ---- the answer ---- */

static json_t *subnets_of(const json_t *result)
{
	json_t *list = json_array();
	const json_t *ip;
	size_t i;

	json_array_foreach (json_object_get(result, "ips"), i, ip) {
		json_t *gateway = json_object_get(ip, "gateway");
		json_t *item = json_pack("{s:O}", "ipnet", json_object_get(ip, "address"));

		if (gateway)
			json_object_set(item, "gateway", gateway);
		json_append(list, item);
	}
	return list;
}

json_t *netavark_status(const json_t *result)
{
	json_t *dns = json_object_get(result, "dns");
	json_t *resolvers = json_object_get(dns, "nameservers");
	json_t *search = json_object_get(dns, "search");
	json_t *interfaces = json_object();
	const json_t *item;
	size_t i;

	json_array_foreach (json_object_get(result, "interfaces"), i, item) {
		json_t *mac = json_object_get(item, "mac");

		if (json_object_get(item, "sandbox") && mac)
			json_object_set_new(interfaces,
					    json_string_value(json_object_get(item, "name")),
					    json_pack("{s:O, s:o}", "mac_address", mac, "subnets",
						      subnets_of(result)));
	}
	return json_pack("{s:o, s:o, s:o}", "dns_search_domains",
			 search ? json_incref(search) : json_array(), "dns_server_ips",
			 resolvers ? json_incref(resolvers) : json_array(), "interfaces",
			 interfaces);
}
