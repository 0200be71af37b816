/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/lease_json.h"

json_t *lease_to_json(const struct lease *l)
{
	json_t *item = json_object();

	json_object_set_new(item, "subnet", lease_net_json(&l->subnet.v4));
	json_object_set_new(item, "subnetV6", lease_net_json(&l->subnet.v6));
	json_object_set_new(item, "node", lease_text_json(l->node_name));
	json_object_set_new(item, "nodeID", lease_text_json(l->node_id));
	json_object_set_new(item, "publicIP", lease_addr_json(&l->public_v4));
	json_object_set_new(item, "publicIPv6", lease_addr_json(&l->public_v6));
	json_object_set_new(item, "backend", lease_text_json(l->backend_type));
	return item;
}

json_t *lease_text_json(const char *text)
{
	json_t *value = text && *text ? json_text(text) : NULL;

	return value ? value : json_null();
}

json_t *lease_net_json(const struct ip_net *net)
{
	char text[IP_NET_TEXT];

	return ip_net_is_set(net) ? json_string(ip_net_format(net, text)) : json_null();
}

json_t *lease_addr_json(const struct ip_addr *addr)
{
	char text[IP_ADDR_TEXT];

	return ip_addr_is_set(addr) ? json_string(ip_addr_format(addr, text)) : json_null();
}

/* As text: JSON numbers of most readers end at 2^53. */
json_t *lease_revision_json(uint64_t revision)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)revision);
	return json_string(text);
}
