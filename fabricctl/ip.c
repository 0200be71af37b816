/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabricctl ip: who has an address. The leases say which host, the longest prefix first; of this
 * host the kernel says which addresses are its own, the CNI plugin which are containers'.
 */
#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/command.h"
#include "fabricctl/containers.h"
#include "fabricctl/document.h"
#include "fabricctl/lease_source.h"
#include "fabricctl/owner.h"
#include "fabricctl/runtime.h"
#include "fabricctl/table.h"
#include "kernel/link.h"
#include "kernel/lookup.h"
#include "lib/clock.h"
#include "lib/json.h"

static void copy(json_t *to, const json_t *from, const char *key)
{
	json_t *value = json_object_get(from, key);

	json_object_set(to, key, value ? value : json_null());
}

/* The port of a bridge behind which the MAC address is; else the device itself. */
static void add_device(struct netlink *nl, const struct link_info *device,
		       const struct mac_addr *mac, json_t *document)
{
	bool is_bridge = strcmp(device->kind, "bridge") == 0;
	struct lookup_fdb fdb = { 0 };
	char port[IFNAMSIZ];
	char text[MAC_TEXT];

	json_object_set_new(document, "mac", json_string(mac_addr_format(mac, text)));
	if (is_bridge)
		json_object_set_new(document, "bridge", json_text(device->name));
	if (!is_bridge)
		json_object_set_new(document, "device", json_text(device->name));
	else if (lookup_fdb(nl, device->ifindex, true, mac, &fdb, NULL) == 0 && fdb.found &&
		 if_indextoname(fdb.port_ifindex, port))
		json_object_set_new(document, "device", json_text(port));
}

/* Whether somebody has answered for it here, whoever attached him. */
static bool look_at_kernel(const struct ip_addr *address, json_t *document)
{
	struct lookup_packet packet = { .dst = *address };
	struct lookup_neighbour n = { 0 };
	struct link_info device;
	struct lookup_route way;
	struct netlink *nl;
	bool found;

	if (netlink_open(NETLINK_ROUTE, &nl, NULL) < 0)
		return false;
	found = lookup_route(nl, &packet, &way, NULL) == 0 && !ip_addr_is_set(&way.gateway) &&
		lookup_neighbour(nl, way.ifindex, address, &n, NULL) == 0 &&
		!mac_addr_is_zero(&n.mac) && !lookup_neighbour_is_silent(&n) &&
		link_get_by_index(nl, way.ifindex, &device, NULL) == 0;
	if (found)
		add_device(nl, &device, &n.mac, document);
	netlink_close(nl);
	return found;
}

static void add_pod(const char *directory, const json_t *attachment, json_t *document)
{
	auto_free char *pod = NULL;

	runtime_view(directory, attachment, &pod);
	json_object_set_new(document, "pod", pod ? json_text(pod) : json_null());
}

/* What the CNI plugin knows of it, else the kernel. Returns who has it. */
static const char *look_at_containers(const struct ctl *c, const struct settings *s,
				      const struct ip_addr *address, json_t *document)
{
	static const char *const keys[] = { "containerID", "interface", "network", "device",
					    "bridge",      "mac",       "since" };
	auto_json json_t *list = NULL;
	const json_t *failed;
	const json_t *found;
	struct err e;

	if (containers_list(s, &list, &e) < 0) {
		if (look_at_kernel(address, document))
			return "unrecorded";
		json_object_set_new(document, "reason", json_text(e.text));
		return "unknown";
	}
	found = containers_find(list, address);
	for (size_t i = 0; found && i < ARRAY_LEN(keys); i++)
		copy(document, found, keys[i]);
	if (found) {
		add_pod(c->options.cni_cache_dir ? c->options.cni_cache_dir : RUNTIME_DIRECTORY,
			found, document);
		return "container";
	}
	if (look_at_kernel(address, document))
		return "unrecorded";
	failed = json_array_get(json_object_get(list, "failed"), 0);
	if (!failed)
		return "nobody";
	json_object_set(document, "reason", (json_t *)failed);
	return "unknown";
}

/* Who on the host. Of another host only itself can tell. */
static const char *look_here(const struct ctl *c, const struct settings *s,
			     const struct ip_addr *address, const struct owner *o, json_t *document)
{
	auto_free char *device = NULL;

	if (o->is_public)
		return "host";
	if (json_is_false(json_object_get(o->lease, "own")))
		return "remote";
	device = owner_local_device(address);
	if (!device)
		return look_at_containers(c, s, address, document);
	json_object_set_new(document, "device", json_text(device));
	return "host";
}

static const struct field {
	const char *key;
	const char *heading;
} fields[] = {
	{ "address", "ADDRESS" },       { "node", "NODE" },           { "subnet", "SUBNET" },
	{ "publicIP", "PUBLIC IP" },    { "owner", "OWNER" },         { "pod", "POD" },
	{ "containerID", "CONTAINER" }, { "interface", "INTERFACE" }, { "device", "DEVICE" },
	{ "since", "SINCE" },
};

static int print(const struct ctl *c, const json_t *document)
{
	struct table_column columns[ARRAY_LEN(fields)];
	auto_table struct table *table = NULL;
	auto_free char *reason = ctl_safe(c, document, "reason");
	int64_t since_ms;
	int status;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		columns[i] =
			(struct table_column){ .name = fields[i].heading, .key = fields[i].key };
	table = table_new(columns, ARRAY_LEN(fields));
	table_add_row(table);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *text = ctl_text(document, fields[i].key);
		char age[CLOCK_TEXT];

		if (text && c->format != FORMAT_RAW && strcmp(fields[i].key, "since") == 0 &&
		    clock_parse_utc(text, &since_ms) == 0)
			text = clock_format_duration((clock_wall_ms() - since_ms) / 1000, age);
		table_set(table, i, text, COLOR_NONE);
	}
	status = table_print(table, c);
	if (status == CTL_OK && c->format != FORMAT_RAW &&
	    json_is_string(json_object_get(document, "reason")))
		fprintf(c->out, "%swhich container has it is not known: %s%s\n",
			ctl_color_on(c, COLOR_WARN), reason, ctl_color_off(c, COLOR_WARN));
	return status;
}

static json_t *describe(const struct ctl *c, const struct settings *s,
			const struct ip_addr *address, const struct owner *o)
{
	static const char *const unknown[] = { "pod",     "containerID", "interface",
					       "network", "device",      "bridge",
					       "mac",     "since",       "reason" };
	json_t *document = ctl_document("Address");
	bool v4 = address->family == AF_INET;
	char text[IP_ADDR_TEXT];
	json_t *subnet = json_object_get(o->lease, v4 ? "subnet" : "subnetV6");
	json_t *public = json_object_get(o->lease, v4 ? "publicIP" : "publicIPv6");

	json_object_set_new(document, "address", json_string(ip_addr_format(address, text)));
	json_object_set(document, "subnet", subnet ? subnet : json_null());
	copy(document, o->lease, "node");
	copy(document, o->lease, "nodeID");
	/* An overlay of IPv6 may go over IPv4. */
	json_object_set(document, "publicIP",
			json_is_string(public)
				? public
				: json_object_get(o->lease, v4 ? "publicIPv6" : "publicIP"));
	copy(document, o->lease, "own");
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		json_object_set_new(document, unknown[i], json_null());
	json_object_set_new(document, "owner", json_string(look_here(c, s, address, o, document)));
	return document;
}

int ip_run(struct ctl *c)
{
	const char *text = c->operands_len ? c->operands[0] : NULL;
	auto_settings struct settings settings = { 0 };
	auto_json json_t *leases = NULL;
	auto_json json_t *document = NULL;
	struct ip_addr address;
	struct owner o;
	struct err e;
	int status;

	if (!text)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command),
				"fabricctl ip needs an address");
	if (ip_addr_parse(text, AF_UNSPEC, &address, &e) < 0)
		return ctl_fail(c, CTL_USAGE, NULL, command_help_hint(c->command), "%s", e.text);
	status = settings_read(c, false, &settings);
	if (status == CTL_OK)
		status = lease_source_get(c, "fabricctl ip ADDRESS --store", &leases);
	if (status)
		return status;
	o = owner_find(leases, &address);
	if (!o.lease)
		return ctl_fail(c, CTL_NOT_FOUND,
				"it is in no lease's subnet, and no host's public address",
				"fabricctl subnets", "nobody in the fabric has %.60s", text);
	document = describe(c, &settings, &address, &o);
	if (!document_is_wanted(c))
		return print(c, document);
	document_print(c, json_incref(document));
	return CTL_OK;
}
