/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of the fabric: kept as the backend wants them, by name. */
#include <errno.h>

#include "fabric/apply.h"
#include "fabric/device.h"
#include "fabric/fabric_internal.h"
#include "kernel/link.h"
#include "kernel/rehearsal.h"
#include "lib/clock.h"
#include "lib/log.h"

static void forget_device(struct fabric *f, size_t i)
{
	if (!f->ifindexes[i])
		return;
	reconcile_forget_device(f->reconcile, f->ifindexes[i]);
	f->ifindexes[i] = f->kernel.marks.ifindexes[i] = 0;
	f->kernel.marks.devices[i] = (struct kernel_device){ 0 };
	f->sweep_due = true;
}

static void set_device(struct fabric *f, size_t i, const struct backend_device *d, uint32_t ifindex,
		       const struct mac_addr *mac)
{
	if (f->ifindexes[i] == ifindex) {
		f->kernel.marks.devices[i] = (struct kernel_device){ d->kind, d->spec };
		return;
	}
	forget_device(f, i);
	f->sweep_due = true;
	f->ifindexes[i] = ifindex;
	f->kernel.marks.ifindexes[i] = ifindex;
	f->kernel.marks.devices[i] = (struct kernel_device){ d->kind, d->spec };
	f->backend->type->device_is(f->backend, i, ifindex, mac);
}

_Static_assert(TRAFFIC_DEVICES >= BACKEND_DEVICES_MAX && TRAFFIC_GUARDS >= BACKEND_GUARDS,
	       "the rules know all devices and guards");

void fabric_place_rules(struct fabric *f)
{
	struct rules_place place = {
		.network = { f->kernel.marks.networks[0], f->kernel.marks.networks[1] },
		.own = { f->own.v4, f->own.v6 },
		.devices_len = f->devices_len,
		.enable_nftables = f->config.enable_nftables,
	};

	memcpy(place.mark, f->mark, sizeof(place.mark));
	for (size_t i = 0; i < ARRAY_LEN(place.underlay); i++) {
		memcpy(place.underlay[i], f->external.places[i].name, sizeof(place.underlay[i]));
		place.local[i] = f->external.places[i].local;
	}

	for (size_t i = 0; i < f->devices_len; i++) {
		const struct backend_device *d = &f->devices[i];

		memcpy(place.devices[i].name, d->name, sizeof(d->name));
		place.devices[i].udp_port = d->udp_port;
		for (size_t g = 0; g < BACKEND_GUARDS; g++) {
			place.devices[i].guard[g].protocol = d->guard[g].protocol;
			place.devices[i].guard[g].port = d->guard[g].port;
		}
	}
	rules_place(f->rules, &place);
}

/* Each repair makes the next one wait longer, unless all has been calm in between. */
void fabric_set_mark(struct fabric *f, const char *mark)
{
	snprintf(f->mark, sizeof(f->mark), "%s", mark);
}

bool fabric_is_device(const struct fabric *f, uint32_t ifindex)
{
	for (size_t i = 0; i < f->devices_len; i++) {
		if (ifindex && ifindex == f->ifindexes[i])
			return true;
	}
	return false;
}

/*
 * Those of `known` that are no more, which are zero then. By looking: the kernel's word of it may come
 * after our new device.
 */
static void tell_gone_devices(struct fabric *f, uint32_t known[static BACKEND_DEVICES_MAX])
{
	struct link_info link;
	struct err e;

	for (size_t i = 0; i < f->devices_len; i++) {
		if (!known[i] || fight_is_on(&f->device_fights[i]) ||
		    link_get_by_index(f->nl, known[i], &link, &e) != -ENODEV)
			continue;
		known[i] = 0;
		/* An underlay that was lost takes it along, and is told first. */
		fabric_underlay_now(f);
		log_warn("device-gone", "%s was deleted; making it again", f->devices[i].name);
	}
}

static void note_repair(struct fabric *f, size_t i, uint32_t ifindex, const char *changes)
{
	struct fight *fight = &f->device_fights[i];
	bool before = fight_is_on(fight);
	char text[FIGHT_TEXT];

	f->device_repairs_total++;
	fight_undone(fight, clock_boot_ms());
	if (!before)
		log_info("device-repaired", "%s, index %u: %s", f->devices[i].name, ifindex,
			 changes);
	if (fight_is_on(fight) && !before)
		log_warn("fighting", "device %s: %s; it is put back later and later",
			 f->devices[i].name, fight_describe(fight, text));
}

/*
 * Whether to leave it be for the moment. What is on a device that is gone or down is not wanted
 * meanwhile: it could not be written, and is nobody's fight.
 */
static bool is_waiting(struct fabric *f, size_t i, uint32_t *ret_ifindex)
{
	int64_t left_ms = fight_wait(&f->device_fights[i], clock_boot_ms());
	const struct backend_device *d = &f->devices[i];
	char text[FIGHT_TEXT];
	struct link_info link;
	bool there;

	if (left_ms <= 0)
		return false;
	there = link_get_by_name(f->nl, d->name, &link, NULL) == 0;
	if (there && device_is_as_wanted(&link, d, f->mark))
		return false;
	*ret_ifindex = there && link.up && link.ifindex == f->ifindexes[i] ? link.ifindex : 0;
	err_set(&f->device_error, -EAGAIN, "device %s is %s: %s", d->name,
		there ? "altered" : "gone", fight_describe(&f->device_fights[i], text));
	fabric_want_work(f, left_ms);
	return true;
}

void fabric_tick_device_fights(struct fabric *f, int64_t now_ms)
{
	for (size_t i = 0; i < BACKEND_DEVICES_MAX; i++) {
		if (!fight_is_over(&f->device_fights[i], now_ms))
			continue;
		if (i < f->devices_len && fight_is_on(&f->device_fights[i]))
			log_info("fight-over", "device %s has stood for a while",
				 f->devices[i].name);
		f->device_fights[i] = (struct fight){ 0 };
	}
}

struct netlink_counts fabric_counts(const struct fabric *f)
{
	const struct netlink *const others[] = { f->kernel.generic, f->kernel.xfrm };
	struct netlink_counts sum = *netlink_counts(f->nl);

	sum.writes += f->kernel.process_writes;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		const struct netlink_counts *more = others[i] ? netlink_counts(others[i]) : NULL;

		if (!more)
			continue;
		sum.writes += more->writes;
		sum.dumps += more->dumps;
		sum.system_calls += more->system_calls;
		sum.errors += more->errors;
	}
	return sum;
}

uint64_t fabric_writes_total(const struct fabric *f)
{
	const struct netlink *nft = f->kernel.netfilter;
	uint64_t writes = fabric_counts(f).writes;

	return writes + (nft ? netlink_counts(nft)->writes : 0) + f->device_repairs_total;
}

/* False if it is not as wanted. */
static bool look_after_device(struct fabric *f, size_t i, uint32_t *ret_ifindex)
{
	const struct backend_device *d = &f->devices[i];
	char changes[DEVICE_CHANGES_TEXT] = "";
	struct err e;
	int rc;

	rc = device_apply(&f->kernel, d, f->mark, f->ifindexes[i], ret_ifindex, changes, &e);
	/* One of ours from before, which would go later anyway, may stand in the way. */
	if ((rc == -EADDRINUSE || rc == -EEXIST) && fabric_sweep_conflicts(f, d)) {
		changes[0] = '\0';
		rc = device_apply(&f->kernel, d, f->mark, f->ifindexes[i], ret_ifindex, changes,
				  &e);
	}
	if (rc < 0)
		f->device_error = e;
	if (rc == 0 && changes[0]) {
		if (f->settled_once)
			note_repair(f, i, *ret_ifindex, changes);
		else
			log_info("device-made", "%s, index %u", d->name, *ret_ifindex);
		f->dirty = KERNEL_ALL_KINDS;
	}
	return rc == 0;
}

/* As they are: what they lack is told by fabric_visit_devices. */
static void take_devices(struct fabric *f)
{
	f->devices_dirty = false;
	f->devices_len = backend_devices(f->backend, &f->devices);
	f->devices_ok = true;
	fabric_find_devices(f);
	for (size_t i = 0; i < f->devices_len; i++)
		f->devices_ok &= f->ifindexes[i] != 0;
}

void fabric_look_after_devices(struct fabric *f)
{
	uint32_t known[BACKEND_DEVICES_MAX];
	bool waiting = false;
	bool moved = false;
	bool all = true;

	if (rehearsal_is_on()) {
		take_devices(f);
		return;
	}
	memcpy(known, f->ifindexes, sizeof(known));
	tell_gone_devices(f, known);
	f->devices_dirty = false;
	f->devices_len = backend_devices(f->backend, &f->devices);
	f->kernel.marks.ifindexes_len = f->devices_len;
	for (size_t i = 0; i < f->devices_len; i++) {
		uint32_t ifindex = 0;

		if (is_waiting(f, i, &ifindex))
			waiting = true;
		else
			all &= look_after_device(f, i, &ifindex);
		if (ifindex)
			known[i] = 0;
		moved |= ifindex != f->ifindexes[i];
		set_device(f, i, &f->devices[i], ifindex, &f->devices[i].mac);
	}
	/* The backend may want fewer than before. */
	for (size_t i = f->devices_len; i < BACKEND_DEVICES_MAX; i++) {
		moved |= f->ifindexes[i] != 0;
		forget_device(f, i);
	}
	if (moved) {
		f->wants_dirty = true;
		f->dirty = KERNEL_ALL_KINDS;
		fabric_place_rules(f);
	}
	if (all && !waiting)
		f->device_error.text[0] = '\0';
	f->devices_ok = all && !waiting;
	f->devices_dirty = waiting;
	/* They went while we looked. */
	tell_gone_devices(f, known);
}

void fabric_find_devices(struct fabric *f)
{
	const struct backend_device *devices;

	f->kernel.marks.ifindexes_len = backend_devices(f->backend, &devices);
	for (size_t i = 0; i < f->kernel.marks.ifindexes_len; i++) {
		uint32_t ifindex = 0;
		struct mac_addr mac = { 0 };

		if (device_find(f->nl, &devices[i], &ifindex, &mac) && ifindex == f->ifindexes[i])
			/* Found before for another configuration. */
			f->backend->type->device_is(f->backend, i, ifindex, &mac);
		set_device(f, i, &devices[i], ifindex, &mac);
	}
}

void fabric_visit_devices(struct fabric *f, fabric_difference_fn *visit, void *arg)
{
	bool before = rehearsal_is_on();

	rehearsal_set(true);
	for (size_t i = 0; i < f->devices_len; i++) {
		const struct backend_device *d = &f->devices[i];
		char changes[DEVICE_CHANGES_TEXT] = "";
		char text[IFNAMSIZ + ERR_TEXT_SIZE + 16];
		uint32_t ifindex = 0;
		struct err e = { 0 };
		int rc = device_apply(&f->kernel, d, f->mark, f->ifindexes[i], &ifindex, changes,
				      &e);

		if (rc == 0 && !changes[0])
			continue;
		snprintf(text, sizeof(text), "device %s: %s", d->name, rc < 0 ? e.text : changes);
		visit(arg, rc == 0 && !ifindex ? "create" : "replace", "device", text);
	}
	rehearsal_set(before);
}
