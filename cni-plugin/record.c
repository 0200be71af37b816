/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/record.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/env.h"
#include "kernel/device.h"

#define RECORD_VERSION 1

void record_fini(struct record *r)
{
	free(r->container_name);
	free(r->container_id);
	free(r->ifname);
	free(r->network);
	free(r->pool_dir);
	free(r->subnet_file);
	json_decref(r->delegate);
	ports_fini(&r->ports);
	memset(r, 0, sizeof(*r));
}

static void set_mac(json_t *j, const char *key, const struct mac_addr *mac)
{
	char text[MAC_TEXT];

	json_object_set_new(j, key, json_string(mac_addr_format(mac, text)));
}

static json_t *addresses_json(const struct record *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->addresses_len; i++) {
		char text[IP_ADDR_TEXT];

		json_array_append_new(list, json_string(ip_addr_format(&r->addresses[i], text)));
	}
	return list;
}

static json_t *nets_json(const struct ip_net *nets, size_t len)
{
	json_t *list = json_array();

	for (size_t i = 0; i < len; i++) {
		char text[IP_NET_TEXT];

		json_array_append_new(list, json_string(ip_net_format(&nets[i], text)));
	}
	return list;
}

/* [first, last, first, last, ...] */
static json_t *trunk_json(const struct config_vlans *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->trunk_len; i++) {
		json_array_append_new(list, json_integer(v->trunk[i].first));
		json_array_append_new(list, json_integer(v->trunk[i].last));
	}
	return list;
}

json_t *record_to_json(const struct record *r)
{
	const struct {
		const char *key;
		bool value;
	} flags[] = {
		{ "complete", r->complete },       { "ptp", r->ptp },
		{ "masquerade", r->masquerade },   { "macGuard", r->mac_guard },
		{ "hairpin", r->hairpin },         { "isolated", r->isolated },
		{ "promiscuous", r->promiscuous }, { "keepDefaultVlan", r->vlans.keep_default },
		{ "asksOnce", r->asks_once },
	};
	const struct {
		const char *key;
		const char *value; /* NULL: left out */
	} texts[] = {
		{ "kind", r->kind == RECORD_NATIVE ? "native" : "delegate" },
		{ "containerID", r->container_id },
		{ "containerName", r->container_name },
		{ "ifname", r->ifname },
		{ "network", r->network },
		{ "hostInterface", r->host_ifname },
		{ "bridge", r->bridge },
		{ "gatewayDevice", r->gateway_device },
		{ "pool", r->pool_dir },
		{ "subnetFile", r->subnet_file },
	};
	json_t *j = json_pack("{s:i}", "version", RECORD_VERSION);

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++)
		json_object_set_new(j, flags[i].key, json_boolean(flags[i].value));
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i].value)
			json_object_set_new(j, texts[i].key, json_string(texts[i].value));
	}
	set_mac(j, "hostMac", &r->host_mac);
	set_mac(j, "mac", &r->mac);
	json_object_set_new(j, "mtu", json_integer(r->mtu_bytes));
	json_object_set_new(j, "addresses", addresses_json(r));
	json_object_set_new(j, "gateways", nets_json(r->gateways, r->gateways_len));
	json_object_set_new(j, "unmasked", nets_json(r->unmasked, r->unmasked_len));
	if (r->ports.len)
		json_object_set_new(j, "ports", ports_json(&r->ports));
	if (r->vlans.access)
		json_object_set_new(j, "vlan", json_integer(r->vlans.access));
	if (r->vlans.trunk_len)
		json_object_set_new(j, "vlanTrunk", trunk_json(&r->vlans));
	if (r->delegate)
		json_object_set(j, "delegate", r->delegate);
	return j;
}

static int read_text(const json_t *j, const char *key, char **ret, struct err *e)
{
	const char *text = NULL;

	if (json_read_string(j, key, &text, e) < 0)
		return e->code;
	*ret = text ? xstrdup(text) : NULL;
	return 0;
}

/* "" or the name of an interface. */
static int read_ifname(const json_t *j, const char *key, char ret[static IFNAMSIZ], struct err *e)
{
	const char *text = "";

	if (json_read_string(j, key, &text, e) < 0)
		return e->code;
	if (text[0] && !cni_is_ifname(text))
		return err_set(e, -EINVAL, "%s is not an interface name", key);
	snprintf(ret, IFNAMSIZ, "%s", text);
	return 0;
}

static int read_mac(const json_t *j, const char *key, struct mac_addr *ret, struct err *e)
{
	const char *text = NULL;

	if (json_read_string(j, key, &text, e) < 0)
		return e->code;
	return text ? mac_addr_parse(text, ret, e) : 0;
}

static int read_addresses(const json_t *j, struct record *r, struct err *e)
{
	json_t *list = NULL;
	const json_t *item;
	size_t i;

	if (json_find(j, "addresses", &list, e) < 0)
		return e->code;
	if (json_array_size(list) > RECORD_ADDRESSES_MAX)
		return err_set(e, -EINVAL, "more than %d addresses", RECORD_ADDRESSES_MAX);
	json_array_foreach (list, i, item) {
		if (!json_is_string(item))
			return err_set(e, -EINVAL, "an address is not a string");
		if (ip_addr_parse(json_string_value(item), AF_UNSPEC,
				  &r->addresses[r->addresses_len], e) < 0)
			return e->code;
		r->addresses_len++;
	}
	return 0;
}

static int read_nets(const json_t *j, const char *key, struct ip_net *ret, size_t max,
		     size_t *ret_len, struct err *e)
{
	json_t *list = NULL;
	const json_t *item;
	size_t i;

	if (json_find(j, key, &list, e) < 0)
		return e->code;
	if (json_array_size(list) > max)
		return err_set(e, -EINVAL, "%s has more than %zu entries", key, max);
	json_array_foreach (list, i, item) {
		if (!json_is_string(item))
			return err_set(e, -EINVAL, "%s[%zu] is not a string", key, i);
		if (ip_net_parse(json_string_value(item), AF_UNSPEC, &ret[i], e) < 0)
			return err_wrap(e, "%s", key);
	}
	*ret_len = json_array_size(list);
	return 0;
}

static int read_vlans(const json_t *j, struct config_vlans *ret, struct err *e)
{
	json_t *list = NULL;
	uint64_t access = 0;
	const json_t *item;
	size_t len;
	size_t i;

	if (json_read_bool(j, "keepDefaultVlan", &ret->keep_default, e) < 0 ||
	    json_read_uint(j, "vlan", 0, DEVICE_VLAN_MAX, &access, e) < 0 ||
	    json_find(j, "vlanTrunk", &list, e) < 0)
		return e->code;
	ret->access = (uint16_t)access;
	len = json_array_size(list);
	if (len > 2 * CONFIG_TRUNK_MAX || len % 2)
		return err_set(e, -EINVAL, "vlanTrunk has %zu entries", len);
	json_array_foreach (list, i, item) {
		struct config_vlan_range *range = &ret->trunk[i / 2];
		json_int_t id = json_integer_value(item);

		if (id < 1 || id > DEVICE_VLAN_MAX)
			return err_set(e, -EINVAL, "vlanTrunk[%zu] is not a VLAN", i);
		if (i % 2)
			range->last = (uint16_t)id;
		else
			range->first = (uint16_t)id;
	}
	ret->trunk_len = len / 2;
	return 0;
}

static int check_names(const struct record *r, struct err *e)
{
	if (!r->container_id || !cni_is_identifier(r->container_id) || !r->ifname ||
	    !cni_is_ifname(r->ifname) || !r->network || !cni_is_identifier(r->network))
		return err_set(e, -EINVAL, "containerID, ifname or network is not valid");
	if (r->pool_dir && r->pool_dir[0] != '/')
		return err_set(e, -EINVAL, "pool is not an absolute path");
	if (r->delegate && !json_is_object(r->delegate))
		return err_set(e, -EINVAL, "delegate is not an object");
	if (r->kind == RECORD_DELEGATE && !r->delegate)
		return err_set(e, -EINVAL, "delegate is missing");
	return 0;
}

static int parse(const json_t *j, struct record *r, struct err *e)
{
	const char *kind = "native";
	json_t *delegate = NULL;
	json_t *ports = NULL;
	uint64_t version = 0;
	uint64_t mtu = 0;

	if (json_read_uint(j, "version", 1, RECORD_VERSION, &version, e) < 0)
		return e->code;
	if (version == 0)
		return err_set(e, -EINVAL, "version is missing");
	if (json_read_string(j, "kind", &kind, e) < 0 ||
	    json_read_bool(j, "complete", &r->complete, e) < 0 ||
	    json_read_bool(j, "ptp", &r->ptp, e) < 0 ||
	    json_read_bool(j, "asksOnce", &r->asks_once, e) < 0 ||
	    read_text(j, "containerName", &r->container_name, e) < 0 ||
	    read_text(j, "containerID", &r->container_id, e) < 0 ||
	    read_text(j, "ifname", &r->ifname, e) < 0 ||
	    read_text(j, "network", &r->network, e) < 0 ||
	    read_text(j, "pool", &r->pool_dir, e) < 0 ||
	    read_text(j, "subnetFile", &r->subnet_file, e) < 0 ||
	    read_ifname(j, "hostInterface", r->host_ifname, e) < 0 ||
	    read_ifname(j, "bridge", r->bridge, e) < 0 ||
	    read_mac(j, "hostMac", &r->host_mac, e) < 0 || read_mac(j, "mac", &r->mac, e) < 0 ||
	    json_read_bool(j, "masquerade", &r->masquerade, e) < 0 ||
	    json_read_bool(j, "macGuard", &r->mac_guard, e) < 0 ||
	    json_read_bool(j, "hairpin", &r->hairpin, e) < 0 ||
	    json_read_bool(j, "isolated", &r->isolated, e) < 0 ||
	    json_read_bool(j, "promiscuous", &r->promiscuous, e) < 0 ||
	    json_read_uint(j, "mtu", 0, 65535, &mtu, e) < 0 ||
	    read_ifname(j, "gatewayDevice", r->gateway_device, e) < 0 ||
	    read_addresses(j, r, e) < 0 ||
	    read_nets(j, "gateways", r->gateways, RECORD_ADDRESSES_MAX, &r->gateways_len, e) < 0 ||
	    read_nets(j, "unmasked", r->unmasked, RECORD_UNMASKED_MAX, &r->unmasked_len, e) < 0 ||
	    read_vlans(j, &r->vlans, e) < 0 || json_find(j, "ports", &ports, e) < 0 ||
	    ports_parse(ports, &r->ports, e) < 0 || json_find(j, "delegate", &delegate, e) < 0)
		return e->code;
	r->kind = strcmp(kind, "delegate") == 0 ? RECORD_DELEGATE : RECORD_NATIVE;
	r->mtu_bytes = (uint32_t)mtu;
	r->delegate = json_incref(delegate);
	return check_names(r, e);
}

int record_parse(const char *text, size_t size, struct record *ret, struct err *e)
{
	auto_record struct record r = { 0 };
	auto_json json_t *j = NULL;

	if (json_parse_object(text, size, &j, e) < 0 || parse(j, &r, e) < 0) {
		e->code = -EINVAL;
		return err_wrap(e, "record");
	}
	*ret = r;
	r = (struct record){ 0 };
	return 0;
}
