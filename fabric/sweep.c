/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we made and nobody wants any more: of another backend, VNI or version, or of flannel.
 *
 * What is ours says so (kernel/marks.h), so this goes by no names. What flannel made has no mark;
 * its device is known by the address of the subnet that this host had, which nobody else has a use
 * for, unless the backend is one whose devices somebody else makes. It gets our mark first, so that it stays ours if we are stopped in between.
 */
#include "fabric/fabric_internal.h"
#include "fastpath/fast_path.h"
#include "kernel/link.h"
#include "kernel/underlay.h"
#include "lib/log.h"

static bool is_wanted(const struct fabric *f, const struct link_info *link)
{
	for (size_t i = 0; i < f->devices_len; i++) {
		if (link->ifindex == f->ifindexes[i] || strcmp(link->name, f->devices[i].name) == 0)
			return true;
	}
	return false;
}

/* NULL: none of those that a backend makes. */
static const struct device_kind *kind_of(const struct link_info *link)
{
	for (size_t i = 0; backend_types[i]; i++) {
		const struct device_kind *kind = backend_types[i]->device_kind;

		if (kind && strcmp(link->kind, kind->name) == 0)
			return kind;
	}
	return NULL;
}

/* Whether the device has the address that flannel, and we, give to the tunnel of our subnet. */
static bool has_subnet_address(const struct fabric *f, const struct link_info *link,
			       const struct underlay_address *addresses, size_t len)
{
	const struct ip_addr *known[] = { &f->previous.own.v4.addr, &f->previous.own.v6.addr,
					  &f->own.v4.addr, &f->own.v6.addr };

	for (size_t i = 0; i < len; i++) {
		const struct ip_net *net = &addresses[i].net;

		if (addresses[i].ifindex != link->ifindex ||
		    net->len != ip_family_bits(net->addr.family))
			continue;
		for (size_t k = 0; k < ARRAY_LEN(known); k++) {
			if (ip_addr_equal(&net->addr, known[k]))
				return true;
		}
	}
	return false;
}

static void adopt(struct fabric *f, struct link_info *link)
{
	struct err e;

	if (link_set_alias(f->nl, link->ifindex, f->mark, &e) < 0) {
		log_warn("leftover", "%s: %s", link->name, e.text);
		return;
	}
	snprintf(link->alias, sizeof(link->alias), "%s", f->mark);
}

static bool remove_device(struct fabric *f, const struct link_info *link)
{
	const struct device_kind *kind = kind_of(link);
	struct err e;

	if (link_delete(f->nl, link->ifindex, &e) < 0) {
		log_warn("leftover", "%s: %s", link->name, e.text);
		return false;
	}
	if (kind && kind->release && kind->release(link, &e) < 0)
		log_warn("leftover", "%s: %s", link->name, e.text);
	log_info("leftover", "removed: device %s, which nobody wants any more", link->name);
	return true;
}

static void sweep_devices(struct fabric *f)
{
	struct underlay_address *addresses = NULL;
	struct link_info *links = NULL;
	size_t addresses_len = 0;
	size_t links_len = 0;

	if (link_list(f->nl, &links, &links_len, NULL) < 0 ||
	    underlay_addresses(f->nl, AF_UNSPEC, &addresses, &addresses_len, NULL) < 0) {
		f->sweep_due = true;
		links_len = 0;
	}
	for (size_t i = 0; i < links_len; i++) {
		if (is_wanted(f, &links[i]))
			continue;
		if (!*links[i].alias && kind_of(&links[i]) && !f->backend->type->foreign_devices &&
		    has_subnet_address(f, &links[i], addresses, addresses_len))
			adopt(f, &links[i]);
		if (strcmp(links[i].alias, f->mark) == 0)
			remove_device(f, &links[i]);
	}
	free(links);
	free(addresses);
}

void fabric_sweep(struct fabric *f)
{
	f->sweep_due = false;
	sweep_devices(f);
	fabric_sweep_live(f);
	rules_sweep(f->rules);
	fabric_place_fast_path(f);
	fast_path_sweep(f->fast);
}

bool fabric_sweep_conflicts(struct fabric *f, const struct backend_device *d)
{
	struct link_info *links = NULL;
	bool removed = false;
	size_t len = 0;

	if (!d->kind->conflicts || link_list(f->nl, &links, &len, NULL) < 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (strcmp(links[i].alias, f->mark) == 0 && !is_wanted(f, &links[i]) &&
		    strcmp(links[i].kind, d->kind->name) == 0 &&
		    d->kind->conflicts(d->spec, &links[i]))
			removed |= remove_device(f, &links[i]);
	}
	free(links);
	return removed;
}
