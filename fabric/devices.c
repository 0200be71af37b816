/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of the fabric: kept as the backend wants them, by name; and what is obsolete. */
#include "fabric/apply.h"
#include "fabric/device.h"
#include "fabric/fabric_internal.h"
#include "kernel/link.h"
#include "kernel/underlay.h"
#include "lib/log.h"

static void set_ifindex(struct fabric *f, size_t i, uint32_t ifindex)
{
	if (f->ifindexes[i] == ifindex)
		return;
	if (f->ifindexes[i])
		reconcile_forget_device(f->reconcile, f->ifindexes[i]);
	f->ifindexes[i] = ifindex;
	f->kernel.marks.ifindexes[i] = ifindex;
	f->backend->type->set_ifindex(f->backend, i, ifindex);
}

_Static_assert(TRAFFIC_DEVICES >= BACKEND_DEVICES && TRAFFIC_GUARDS >= BACKEND_GUARDS,
	       "the rules know all devices and guards");

void fabric_place_rules(struct fabric *f)
{
	struct rules_place place = {
		.network = { f->kernel.marks.networks[0], f->kernel.marks.networks[1] },
		.own = { f->own.v4, f->own.v6 },
		.devices_len = f->devices_len,
		.lower_ifindex = f->external.ifindex,
		.enable_nftables = f->config.enable_nftables,
	};

	for (size_t i = 0; i < f->devices_len; i++) {
		const struct backend_device *d = &f->devices[i];

		memcpy(place.devices[i].name, d->name, sizeof(d->name));
		for (size_t g = 0; g < BACKEND_GUARDS; g++) {
			place.devices[i].guard[g].protocol = d->guard[g].protocol;
			place.devices[i].guard[g].port = d->guard[g].port;
		}
		place.ifindexes[i] = f->ifindexes[i];
	}
	rules_place(f->rules, &place);
}

bool fabric_look_after_devices(struct fabric *f)
{
	bool moved = false;
	bool all = true;

	f->devices_dirty = false;
	f->devices_len = backend_devices(f->backend, &f->devices);
	f->kernel.marks.ifindexes_len = f->devices_len;
	for (size_t i = 0; i < f->devices_len; i++) {
		uint32_t ifindex = 0;
		bool changed = false;
		struct err e;

		if (device_apply(f->nl, &f->devices[i], f->ifindexes[i], &ifindex, &changed, &e) <
		    0) {
			f->device_error = e;
			all = false;
		}
		if (changed) {
			f->device_repairs_total += f->settled_once;
			log_info(f->settled_once ? "device-repaired" : "device-made",
				 "%s, index %u", f->devices[i].name, ifindex);
			f->dirty = KERNEL_ALL_KINDS;
		}
		moved |= ifindex != f->ifindexes[i];
		set_ifindex(f, i, ifindex);
	}
	if (moved) {
		f->wants_dirty = true;
		f->dirty = KERNEL_ALL_KINDS;
		fabric_place_rules(f);
	}
	if (all)
		f->device_error.text[0] = '\0';
	f->devices_ok = all;
	return all;
}

void fabric_find_devices(struct fabric *f)
{
	const struct backend_device *devices;

	f->kernel.marks.ifindexes_len = backend_devices(f->backend, &devices);
	for (size_t i = 0; i < f->kernel.marks.ifindexes_len; i++) {
		uint32_t ifindex = 0;
		struct mac_addr mac;

		if (device_find(f->nl, &devices[i], &ifindex, &mac))
			f->backend->type->keep_mac(f->backend, i, &mac);
		set_ifindex(f, i, ifindex);
	}
}

/*
 * A tunnel device that an earlier configuration needed: it carries the address of the subnet we
 * had, and so is nobody else's.
 */
static bool is_obsolete(const struct fabric *f, const struct link_info *link,
			const struct underlay_address *addresses, size_t len,
			const struct fabric_previous *previous)
{
	const struct backend_device *devices;
	size_t devices_len = backend_devices(f->backend, &devices);

	if (!*link->kind)
		return false;
	for (size_t i = 0; i < devices_len; i++) {
		if (strcmp(link->name, devices[i].name) == 0)
			return false;
	}
	for (size_t i = 0; i < len; i++) {
		const struct ip_addr *addr = &addresses[i].net.addr;

		if (addresses[i].ifindex == link->ifindex &&
		    addresses[i].net.len == ip_family_bits(addr->family) &&
		    (ip_addr_equal(addr, &previous->own.v4.addr) ||
		     ip_addr_equal(addr, &previous->own.v6.addr)))
			return true;
	}
	return false;
}

void fabric_find_obsolete(struct fabric *f, const struct fabric_previous *previous)
{
	struct underlay_address *addresses = NULL;
	struct link_info *links = NULL;
	size_t addresses_len = 0;
	size_t links_len = 0;

	f->obsolete_len = 0;
	if (link_list(f->nl, &links, &links_len, NULL) == 0 &&
	    underlay_addresses(f->nl, AF_UNSPEC, &addresses, &addresses_len, NULL) == 0) {
		for (size_t i = 0; i < links_len && f->obsolete_len < FABRIC_OBSOLETE_MAX; i++) {
			if (is_obsolete(f, &links[i], addresses, addresses_len, previous))
				f->obsolete[f->obsolete_len++] = links[i].ifindex;
		}
	}
	free(links);
	free(addresses);
}

void fabric_remove_obsolete(struct fabric *f)
{
	struct err e;

	for (size_t i = 0; i < f->obsolete_len; i++) {
		if (link_delete(f->nl, f->obsolete[i], &e) < 0)
			log_warn("device-obsolete", "%s", e.text);
		else
			log_info("device-obsolete",
				 "device %u of an earlier configuration is removed",
				 f->obsolete[i]);
	}
	f->obsolete_len = 0;
}
