/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/lease_json.h"

static void put_net(struct members *item, const char *name, const struct ip_net *net)
{
	char text[IP_NET_TEXT];

	member_text_or_null(item, name, ip_net_is_set(net) ? ip_net_format(net, text) : NULL);
}

static void put_address(struct members *item, const char *name, const struct ip_addr *addr)
{
	char text[IP_ADDR_TEXT];

	member_text_or_null(item, name, ip_addr_is_set(addr) ? ip_addr_format(addr, text) : NULL);
}

void lease_put_members(const struct lease *l, struct members *item)
{
	put_net(item, "subnet", &l->subnet.v4);
	put_net(item, "subnetV6", &l->subnet.v6);
	member_text_or_null(item, "node", l->node_name);
	member_text_or_null(item, "nodeID", l->node_id);
	put_address(item, "publicIP", &l->public_v4);
	put_address(item, "publicIPv6", &l->public_v6);
	member_text_or_null(item, "backend", l->backend_type);
}

/* As text: JSON numbers of most readers end at 2^53. */
void lease_put_revision(const struct lease *l, struct members *item)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)l->mod_revision);
	member_text(item, "revision", text);
}

json_t *lease_text_json(const char *text)
{
	json_t *value = text && *text ? json_text(text) : NULL;

	return value ? value : json_null();
}

json_t *lease_net_json(const struct ip_net *net)
{
	char text[IP_NET_TEXT];

	return ip_net_is_set(net) ? json_string_nocheck(ip_net_format(net, text)) : json_null();
}

json_t *lease_addr_json(const struct ip_addr *addr)
{
	char text[IP_ADDR_TEXT];

	return ip_addr_is_set(addr) ? json_string_nocheck(ip_addr_format(addr, text)) : json_null();
}
