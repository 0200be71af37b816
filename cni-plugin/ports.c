/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define PORT_MAX 65535

static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {
	{ "tcp", IPPROTO_TCP },
	{ "udp", IPPROTO_UDP },
	{ "sctp", IPPROTO_SCTP },
};

const char *ports_protocol_name(uint8_t protocol)
{
	for (unsigned i = 0; i < ARRAY_LEN(protocols); i++) {
		if (protocols[i].number == protocol)
			return protocols[i].name;
	}
	return "?";
}

void ports_fini(struct ports *p)
{
	free(p->items);
	*p = (struct ports){ 0 };
}

bool ports_has_family(const struct port_mapping *m, int family)
{
	return !ip_addr_is_set(&m->host) || m->host.family == family;
}

static int read_protocol(const json_t *json, uint8_t *ret, struct err *e)
{
	const char *name = "";

	if (json_read_string(json, "protocol", &name, e) < 0)
		return e->code;
	if (!name[0])
		name = "tcp";
	for (unsigned i = 0; i < ARRAY_LEN(protocols); i++) {
		if (strcasecmp(protocols[i].name, name) == 0) {
			*ret = protocols[i].number;
			return 0;
		}
	}
	return err_set(e, -EINVAL, "protocol is \"%.40s\", must be tcp, udp or sctp", name);
}

static int read_one(const json_t *json, struct port_mapping *ret, struct err *e)
{
	struct port_mapping m = { 0 };
	const char *host = "";
	uint64_t container = 0;
	uint64_t count = 1;
	uint64_t port = 0;

	if (!json_is_object(json))
		return err_set(e, -EINVAL, "must be an object");
	if (json_read_uint(json, "hostPort", 0, PORT_MAX, &port, e) < 0 ||
	    json_read_uint(json, "containerPort", 1, PORT_MAX, &container, e) < 0 ||
	    json_read_uint(json, "count", 1, PORTS_MAX, &count, e) < 0 ||
	    json_read_string(json, "hostIP", &host, e) < 0 ||
	    read_protocol(json, &m.protocol, e) < 0)
		return e->code;
	if (container == 0)
		return err_set(e, -EINVAL, "containerPort is missing");
	if (port + count - 1 > PORT_MAX || container + count - 1 > PORT_MAX)
		return err_set(e, -EINVAL, "%u ports from %u on end beyond %d", (unsigned)count,
			       (unsigned)MAX(port, container), PORT_MAX);
	if (host[0] && ip_addr_parse(host, AF_UNSPEC, &m.host, e) < 0)
		return err_wrap(e, "hostIP");
	m.host_port = (uint16_t)port;
	m.container_port = (uint16_t)container;
	m.count = (uint16_t)count;
	*ret = m;
	return 0;
}

static bool is_any(const struct ip_addr *a)
{
	return !ip_addr_is_set(a) || ip_addr_to_u128(a) == 0;
}

bool ports_is_on_all(const struct port_mapping *m)
{
	return is_any(&m->host);
}

static bool same_host(const struct ip_addr *a, const struct ip_addr *b)
{
	if (is_any(a) && is_any(b))
		return !ip_addr_is_set(a) || !ip_addr_is_set(b) || a->family == b->family;
	return ip_addr_equal(a, b);
}

static bool overlap(const struct port_mapping *a, const struct port_mapping *b)
{
	return a->protocol == b->protocol && same_host(&a->host, &b->host) &&
	       a->host_port < b->host_port + b->count && b->host_port < a->host_port + a->count;
}

static int append(struct ports *p, const struct port_mapping *m, struct err *e)
{
	size_t all = m->count;

	for (size_t i = 0; i < p->len; i++) {
		all += p->items[i].count;
		if (overlap(&p->items[i], m))
			return err_set(e, -EINVAL, "hostPort %u/%s is published twice",
				       MAX(m->host_port, p->items[i].host_port),
				       ports_protocol_name(m->protocol));
	}
	if (all > PORTS_MAX)
		return err_set(e, -EINVAL, "more than %d host ports", PORTS_MAX);
	p->items[p->len++] = *m;
	return 0;
}

int ports_parse(const json_t *list, struct ports *ret, struct err *e)
{
	struct ports p = { 0 };
	const json_t *item;
	size_t i;

	if (list && !json_is_array(list))
		return err_set(e, -EINVAL, "portMappings must be a list");
	if (json_array_size(list) > PORTS_MAX)
		return err_set(e, -EINVAL, "portMappings: more than %d", PORTS_MAX);
	p.items = json_array_size(list) ? xcalloc(json_array_size(list), sizeof(*p.items)) : NULL;
	json_array_foreach (list, i, item) {
		struct port_mapping m;

		if (read_one(item, &m, e) < 0 || (m.host_port && append(&p, &m, e) < 0)) {
			ports_fini(&p);
			return err_wrap(e, "portMappings[%zu]", i);
		}
	}
	*ret = p;
	return 0;
}

json_t *ports_json(const struct ports *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->len; i++) {
		const struct port_mapping *m = &p->items[i];
		char text[IP_ADDR_TEXT];
		json_t *item = json_pack("{s:i, s:i, s:s, s:i}", "hostPort", m->host_port,
					 "containerPort", m->container_port, "protocol",
					 ports_protocol_name(m->protocol), "count", m->count);

		if (ip_addr_is_set(&m->host))
			json_object_set_new(item, "hostIP",
					    json_string(ip_addr_format(&m->host, text)));
		json_append(list, item);
	}
	return list;
}
