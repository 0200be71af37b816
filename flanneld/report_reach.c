/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of peers by asking them (fabric/reach.h): the part of flanneld/report.h that says so. */
#include <string.h>

#include "flanneld/report.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "subnet/lease_json.h"

static const int families[] = { AF_INET, AF_INET6 };

static const char *family_name(int family)
{
	return family == AF_INET6 ? "ipv6" : "ipv4";
}

/* Seconds with the precision that was measured. */
static json_t *rtt_json(const struct reach_way *w)
{
	return w && w->rtt_us >= 0 ? json_real((double)w->rtt_us / 1e6) : json_null();
}

static json_t *loss_json(const struct reach_way *w)
{
	return w && w->asked ? json_integer(reach_loss_percent(w)) : json_null();
}

/* Of the way that its packets take: through the tunnel, where there is one. */
void report_put_reach(struct members *item, const struct reach_peer *p)
{
	const struct reach_way *w = reach_main_way(p);

	member_text_or_null(item, "reach", p ? reach_state_name(reach_state(p)) : NULL);
	if (w && w->rtt_us >= 0)
		member_real(item, "rttSeconds", (double)w->rtt_us / 1e6, 6);
	else
		member_null(item, "rttSeconds");
	if (w && w->asked)
		member_integer(item, "lossPercent", reach_loss_percent(w));
	else
		member_null(item, "lossPercent");
}

static json_t *bytes_json(uint16_t bytes)
{
	return bytes ? json_integer(bytes) : json_null();
}

static json_t *ago_json(uint32_t when)
{
	return when ? json_integer((clock_boot_ms() - clock_tenths_ms(when)) / 1000) : json_null();
}

/* Whether large packets pass one way; `item` gets it. */
static void add_path(json_t *item, const struct path_mtu *m)
{
	json_object_set_new(item, "pathMTU", json_string(path_mtu_state_name(m->state)));
	json_object_set_new(item, "fullMTU", bytes_json(m->size_bytes));
	json_object_set_new(item, "passedMTU", bytes_json(m->passed_bytes));
	json_object_set_new(item, "failedMTU", bytes_json(m->failed_bytes));
	json_object_set_new(item, "passedSecondsAgo", ago_json(m->passed));
}

void report_put_probes(struct members *item, const struct reach_peer *p)
{
	enum path_mtu_state worst = PATH_MTU_UNKNOWN;
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		worst = MAX(worst, reach_path(p, families[i]));
		for (enum reach_layer layer = 0; layer < REACH_LAYERS; layer++) {
			const struct reach_way *w = reach_way(p, families[i], layer);
			struct ip_addr address = reach_address(p, families[i], layer);
			json_t *probe;

			if (!w)
				continue;
			probe = json_pack(
				"{s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "family", family_name(families[i]),
				"layer", reach_layer_name(layer), "address",
				lease_addr_json(&address), "rttSeconds", rtt_json(w), "lossPercent",
				loss_json(w), "heardSecondsAgo", ago_json(w->heard), "error",
				w->error ? json_string(strerror(-w->error)) : json_null());
			add_path(probe, &w->path);
			json_append(list, probe);
		}
	}
	member_text_or_null(item, "pathMTU", p ? path_mtu_state_name(worst) : NULL);
	member_json(item, "probes", list);
}

/* ---- how large packets may be ---- */

static json_t *path_json(const struct reach_way *w)
{
	json_t *path;

	if (!w)
		return json_null();
	path = json_object();
	add_path(path, &w->path);
	return path;
}

/* The device that packets of a family go through; NULL: there is none. */
static const struct backend_device *device_of(const struct fabric_view *f, unsigned family)
{
	for (size_t i = 0; i < f->devices_len; i++) {
		if (f->devices[i].families & 1u << family)
			return &f->devices[i];
	}
	return NULL;
}

/* Of one peer in one family. */
static void put_mtu_members(struct members *item, const struct fabric_view *f,
			    const struct lease *l, const struct reach_peer *p, unsigned family)
{
	const struct external_place *place = &f->external->places[family];
	const struct backend_device *device = device_of(f, family);

	member_json(item, "subnet", lease_net_json(&l->subnet.v4));
	member_json(item, "subnetV6", lease_net_json(&l->subnet.v6));
	member_text(item, "node", l->node_name);
	member_text(item, "family", family_name(families[family]));
	member_json(item, "publicIP", lease_addr_json(backend_public_address(l, families[family])));
	member_text(item, "interface", place->name);
	member_integer(item, "interfaceMTU", place->mtu_bytes);
	member_text_or_null(item, "device", device ? device->name : NULL);
	member_json(item, "deviceMTU",
		    device && device->mtu_bytes ? json_integer(device->mtu_bytes) : json_null());
	member_json(item, "containersMTU", bytes_json(reach_packet_bytes(p, families[family])));
	member_json(item, "underlay", path_json(reach_way(p, families[family], REACH_UNDERLAY)));
	member_json(item, "tunnel", path_json(reach_way(p, families[family], REACH_OVERLAY)));
	member_text(item, "reach", reach_state_name(reach_state(p)));
	member_text(item, "verdict", path_mtu_state_name(reach_path(p, families[family])));
}

static void put_mtu(const struct daemon_view *v, const struct manager_member *member,
		    struct report_list *out)
{
	const struct reach_peer *p =
		member->own ? NULL : fabric_peer_reach(v->fabric.fabric, member);

	for (unsigned family = 0; p && family < ARRAY_LEN(families); family++) {
		if (!reach_packet_bytes(p, families[family]))
			continue;
		put_mtu_members(report_item(out), &v->fabric, member->lease, p, family);
		report_end_item(out);
	}
}

char *report_mtu_text(const struct daemon_view *v, const char *fields)
{
	json_t *root = report_document("PathMTUList");

	json_object_set_new(root, "on", json_boolean(v->fabric.reach != NULL));
	json_object_set_new(root, "reason", json_text(v->fabric.reach_off));
	return report_list_text(v, fields, root, put_mtu);
}
