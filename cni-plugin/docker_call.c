/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/docker_call.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/env.h"

/* Keys of options that docker has for every driver. */
#define DOCKER_PREFIX "com.docker."
#define KEY_GENERIC   "com.docker.network.generic"
#define KEY_INTERNAL  "com.docker.network.internal"
#define KEY_PORTS     "com.docker.network.portmap"
#define KEY_MAC       "com.docker.network.endpoint.macaddress"
#define KEY_TYPE      "RequestAddressType"
#define TYPE_GATEWAY  "com.docker.network.gateway"

static const char *const names[] = {
	[DOCKER_REQUEST_POOL] = "IpamDriver.RequestPool",
	[DOCKER_REQUEST_ADDRESS] = "IpamDriver.RequestAddress",
	[DOCKER_RELEASE_ADDRESS] = "IpamDriver.ReleaseAddress",
	[DOCKER_CREATE_NETWORK] = "NetworkDriver.CreateNetwork",
	[DOCKER_CREATE_ENDPOINT] = "NetworkDriver.CreateEndpoint",
	[DOCKER_DELETE_ENDPOINT] = "NetworkDriver.DeleteEndpoint",
	[DOCKER_JOIN] = "NetworkDriver.Join",
	[DOCKER_PUBLISH] = "NetworkDriver.ProgramExternalConnectivity",
	[DOCKER_REVOKE] = "NetworkDriver.RevokeExternalConnectivity",
};

int docker_method_parse(const char *name, enum docker_method *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret = (enum docker_method)i;
			return 0;
		}
	}
	return -ENOENT;
}

/* docker sends null, {} or nothing where it has none. */
static int read_object(const json_t *parent, const char *key, json_t **ret, struct err *e)
{
	json_t *value = NULL;

	if (json_find(parent, key, &value, e) < 0)
		return e->code;
	if (value && !json_is_object(value))
		return err_set(e, -EINVAL, "%s must be an object", key);
	*ret = value;
	return 0;
}

/* "" counts as absent. */
static int read_text(const json_t *object, const char *key, const char **ret, struct err *e)
{
	const char *text = NULL;

	if (object && json_read_string(object, key, &text, e) < 0)
		return e->code;
	*ret = text && *text ? text : NULL;
	return 0;
}

static int read_net(const json_t *object, const char *key, int family, struct ip_net *ret,
		    struct err *e)
{
	const char *text = NULL;

	if (read_text(object, key, &text, e) < 0)
		return e->code;
	if (text && ip_net_parse(text, family, ret, e) < 0)
		return err_wrap(e, "%s", key);
	return 0;
}

static int read_mac(const json_t *object, const char *key, struct mac_addr *ret, struct err *e)
{
	const char *text = NULL;

	if (read_text(object, key, &text, e) < 0)
		return e->code;
	if (text && mac_addr_parse(text, ret, e) < 0)
		return err_wrap(e, "%s", key);
	if (text && (ret->b[0] & 1))
		return err_set(e, -EINVAL, "%s is \"%.20s\", must not be a group's address", key,
			       text);
	return 0;
}

static int read_id(const json_t *object, const char *key, const char **ret, struct err *e)
{
	if (read_text(object, key, ret, e) < 0)
		return e->code;
	if (!*ret)
		return err_set(e, -EINVAL, "%s is missing", key);
	if (!cni_is_identifier(*ret) || strlen(*ret) > DOCKER_ID_SIZE_MAX)
		return err_set(e, -EINVAL,
			       "%s is \"%.40s\", must be letters and digits, %d at most", key, *ret,
			       DOCKER_ID_SIZE_MAX);
	return 0;
}

/* The first that does not begin with `passed`, or NULL: of options we have none. */
static const char *find_option(const json_t *options, const char *passed)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)options, key, value) {
		if (!*passed || strncmp(key, passed, strlen(passed)) != 0)
			return key;
	}
	return NULL;
}

/* ---- addresses ---- */

static int parse_request_pool(struct docker_call *c, struct err *e)
{
	json_t *options = NULL;
	const char *sub = NULL;
	int family;

	if (json_read_bool(c->json, "V6", &c->v6, e) < 0)
		return e->code;
	family = c->v6 ? AF_INET6 : AF_INET;
	if (read_net(c->json, "Pool", family, &c->pool, e) < 0 ||
	    read_text(c->json, "SubPool", &sub, e) < 0 ||
	    read_object(c->json, "Options", &options, e) < 0)
		return e->code;
	if (sub)
		return err_set(e, -EINVAL,
			       "ip-range is \"%.60s\", must not be given: the whole subnet is "
			       "this host's",
			       sub);
	/* dockerd adds some of its own, beside those of --ipam-opt. */
	c->option = find_option(options, DOCKER_PREFIX);
	return 0;
}

static int parse_address(struct docker_call *c, struct err *e)
{
	const char *text = NULL;
	json_t *options = NULL;
	const char *type = NULL;

	if (read_net(c->json, "PoolID", AF_UNSPEC, &c->pool, e) < 0 ||
	    read_text(c->json, "Address", &text, e) < 0 ||
	    read_object(c->json, "Options", &options, e) < 0 ||
	    read_text(options, KEY_TYPE, &type, e) < 0 ||
	    read_mac(options, KEY_MAC, &c->mac, e) < 0)
		return e->code;
	if (!ip_net_is_set(&c->pool))
		return err_set(e, -EINVAL, "PoolID is missing");
	if (text && ip_addr_parse(text, c->pool.addr.family, &c->address, e) < 0)
		return err_wrap(e, "Address");
	c->is_gateway = type && strcmp(type, TYPE_GATEWAY) == 0;
	if (c->method == DOCKER_RELEASE_ADDRESS && !text)
		return err_set(e, -EINVAL, "Address is missing");
	return 0;
}

/* ---- networks ---- */

static int read_pools(struct docker_call *c, const char *key, int family, struct err *e)
{
	json_t *list = NULL;
	const json_t *item;
	size_t i;

	if (json_find(c->json, key, &list, e) < 0)
		return e->code;
	if (list && (!json_is_array(list) || json_array_size(list) > DOCKER_POOLS_MAX))
		return err_set(e, -EINVAL, "%s must be a list of %d subnets at most", key,
			       DOCKER_POOLS_MAX);
	json_array_foreach (list, i, item) {
		struct docker_pool *pool = &c->pools[c->pools_len];
		const char *space = NULL;

		*pool = (struct docker_pool){ 0 };
		if (!json_is_object(item))
			return err_set(e, -EINVAL, "%s[%zu] must be an object", key, i);
		if (read_text(item, "AddressSpace", &space, e) < 0 ||
		    read_net(item, "Pool", family, &pool->net, e) < 0)
			return err_wrap(e, "%s[%zu]", key, i);
		if (!ip_net_is_set(&pool->net))
			return err_set(e, -EINVAL, "%s[%zu]: Pool is missing", key, i);
		pool->address_space = space ? space : "";
		c->pools_len++;
	}
	return 0;
}

static int parse_create_network(struct docker_call *c, struct err *e)
{
	json_t *options = NULL;
	json_t *generic = NULL;

	if (read_pools(c, "IPv4Data", AF_INET, e) < 0 ||
	    read_pools(c, "IPv6Data", AF_INET6, e) < 0 ||
	    read_object(c->json, "Options", &options, e) < 0)
		return e->code;
	if (!options)
		return 0;
	if (json_read_bool(options, KEY_INTERNAL, &c->internal, e) < 0 ||
	    read_object(options, KEY_GENERIC, &generic, e) < 0)
		return e->code;
	/* All are the user's, those of docker's bridge too: nothing would come of an MTU here. */
	c->option = find_option(generic, "");
	return 0;
}

/* ---- endpoints ---- */

/* One of docker's in the words of ports.h. docker has made one of each port of a range. */
static int parse_port(const json_t *from, json_t **ret, struct err *e)
{
	uint64_t container = 0;
	const char *ip = NULL;
	uint64_t number = 0;
	uint64_t host = 0;
	uint64_t end = 0;

	if (!json_is_object(from))
		return err_set(e, -EINVAL, "must be an object");
	if (json_read_uint(from, "Proto", 0, UINT8_MAX, &number, e) < 0 ||
	    json_read_uint(from, "Port", 1, UINT16_MAX, &container, e) < 0 ||
	    json_read_uint(from, "HostPort", 0, UINT16_MAX, &host, e) < 0 ||
	    json_read_uint(from, "HostPortEnd", 0, UINT16_MAX, &end, e) < 0 ||
	    read_text(from, "HostIP", &ip, e) < 0)
		return e->code;
	if (host == 0 || (end != 0 && end != host))
		return err_set(e, -EINVAL,
			       "port %u: say which port of the host it is (-p 8080:%u): none is "
			       "chosen here",
			       (unsigned)container, (unsigned)container);
	*ret = json_pack("{s:I, s:I, s:s, s:s}", "hostPort", (json_int_t)host, "containerPort",
			 (json_int_t)container, "protocol", ports_protocol_name((uint8_t)number),
			 "hostIP", ip ? ip : "");
	return *ret ? 0 : err_set(e, -EINVAL, "is no text");
}

static int parse_ports(struct docker_call *c, struct err *e)
{
	auto_json json_t *ours = json_array();
	json_t *options = NULL;
	const json_t *item;
	json_t *list = NULL;
	size_t i;

	if (read_object(c->json, "Options", &options, e) < 0 ||
	    (options && json_find(options, KEY_PORTS, &list, e) < 0))
		return e->code;
	if (list && (!json_is_array(list) || json_array_size(list) > PORTS_MAX))
		return err_set(e, -EINVAL, "%s must be a list of %d ports at most", KEY_PORTS,
			       PORTS_MAX);
	json_array_foreach (list, i, item) {
		json_t *one = NULL;

		if (parse_port(item, &one, e) < 0)
			return err_wrap(e, "published ports");
		json_array_append_new(ours, one);
	}
	return ports_parse(ours, &c->ports, e) < 0 ? err_wrap(e, "published ports") : 0;
}

static int parse_endpoint(struct docker_call *c, struct err *e)
{
	static const struct {
		const char *key;
		int family;
	} keys[] = { { "Address", AF_INET }, { "AddressIPv6", AF_INET6 } };
	json_t *interface = NULL;

	if (read_id(c->json, "EndpointID", &c->endpoint_id, e) < 0)
		return e->code;
	if (c->method == DOCKER_PUBLISH)
		return parse_ports(c, e);
	if (c->method != DOCKER_CREATE_ENDPOINT)
		return 0;
	if (read_object(c->json, "Interface", &interface, e) < 0)
		return e->code;
	for (size_t i = 0; interface && i < ARRAY_LEN(keys); i++) {
		struct ip_net net = { 0 };

		if (read_net(interface, keys[i].key, keys[i].family, &net, e) < 0)
			return err_wrap(e, "Interface");
		if (ip_net_is_set(&net))
			c->addresses[c->addresses_len++] = net;
	}
	if (interface && read_mac(interface, "MacAddress", &c->mac, e) < 0)
		return err_wrap(e, "Interface");
	if (c->addresses_len == 0)
		return err_set(e, -EINVAL, "Interface has no address");
	return 0;
}

int docker_call_parse(enum docker_method method, const char *text, size_t size,
		      struct docker_call *ret, struct err *e)
{
	struct docker_call c = { .method = method };
	int rc = json_parse_object(text, size, &c.json, e);

	if (rc < 0)
		return rc;
	switch (method) {
	case DOCKER_REQUEST_POOL:
		rc = parse_request_pool(&c, e);
		break;
	case DOCKER_REQUEST_ADDRESS:
	case DOCKER_RELEASE_ADDRESS:
		rc = parse_address(&c, e);
		break;
	case DOCKER_CREATE_NETWORK:
		rc = parse_create_network(&c, e);
		break;
	case DOCKER_CREATE_ENDPOINT:
	case DOCKER_DELETE_ENDPOINT:
	case DOCKER_JOIN:
	case DOCKER_PUBLISH:
	case DOCKER_REVOKE:
		rc = parse_endpoint(&c, e);
		break;
	}
	if (rc < 0)
		docker_call_fini(&c);
	else
		*ret = c;
	return rc;
}

void docker_call_fini(struct docker_call *c)
{
	ports_fini(&c->ports);
	json_decref(c->json);
	c->json = NULL;
}
