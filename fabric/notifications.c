/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel tells by itself: what of it concerns our devices, containers, objects and the place
 * in the underlay, and when that place is looked at again.
 */
#include <event2/event.h>

#include "fabric/device.h"
#include "fabric/fabric_internal.h"
#include "kernel/monitor.h"
#include "lib/clock.h"
#include "lib/log.h"

#define UNDERLAY_DELAY_MS 100  /* lets an interface come up with all its addresses */
#define NOTIFICATIONS_MAX 4096 /* read in one turn */

/* After a look at the underlay that has failed, or has found nothing of use. */
static const struct backoff_policy look_again = { .min_ms = 500, .max_ms = 30000 };

/* ---- the underlay ---- */

void fabric_want_underlay(struct fabric *f)
{
	fabric_arm_earlier(f, f->underlay, UNDERLAY_DELAY_MS);
}

void fabric_look_at_underlay(struct fabric *f)
{
	event_del(f->underlay);
	/* An interface that goes down takes routes along, IPv4 ones without a word. */
	if (f->backend->needs_paths) {
		f->wants_dirty = true;
		f->dirty |= kernel_kinds_with(KERNEL_KIND_SILENT);
		fabric_want_work(f, 0);
	}
	f->underlay_unsettled = !f->ops->underlay_changed(f->arg);
	/* What it waits for is told by the kernel, but for what failed here. */
	if (f->underlay_unsettled)
		fabric_arm_earlier(
			f, f->underlay,
			backoff_next(&f->underlay_backoff, &look_again, clock_boot_ms()));
	else
		backoff_reset(&f->underlay_backoff);
}

void fabric_underlay_now(struct fabric *f)
{
	if (event_pending(f->underlay, EV_TIMEOUT, NULL))
		fabric_look_at_underlay(f);
}

/* ---- notifications ---- */

static void on_link(void *arg, const struct link_info *link, bool gone)
{
	struct fabric *f = arg;

	for (size_t i = 0; i < f->devices_len; i++) {
		const struct backend_device *d = &f->devices[i];
		bool ours = link->ifindex == f->ifindexes[i];

		if (!ours && strcmp(link->name, d->name) != 0)
			continue;
		if (gone || !ours || !device_is_as_wanted(link, d, f->mark)) {
			f->devices_dirty = true;
			fabric_want_work(f, 0);
		}
		/* It may be up again when we look, but its IPv4 routes went without a word. */
		if (ours && !link->up)
			f->dirty = KERNEL_ALL_KINDS;
	}
	fabric_container_link(f, link, gone);
	if (external_is_interface(&f->external, link->ifindex) ||
	    external_is_name(&f->external, link->name) ||
	    (f->underlay_unsettled && !fabric_is_device(f, link->ifindex)))
		fabric_want_underlay(f);
}

/* Whether this object of somebody else may change where we stand, or how peers are reached. */
static bool concerns_underlay(const struct fabric *f, const struct kernel_object *o)
{
	if (kernel_is_address(o))
		return !fabric_is_device(f, o->key.ifindex) &&
		       (external_is_interface(&f->external, o->key.ifindex) ||
			f->backend->needs_paths || f->underlay_unsettled);
	if (!kernel_is_route(o) || fabric_is_device(f, o->value.ifindex) ||
	    fabric_is_our_protocol(o->value.protocol))
		return false;
	return o->key.len == 0 || f->backend->needs_paths || f->underlay_unsettled;
}

static void on_object(void *arg, const struct kernel_object *object, bool gone, uint32_t port_id)
{
	struct fabric *f = arg;

	fabric_container_object(f, object, gone, port_id);
	if (concerns_underlay(f, object))
		fabric_want_underlay(f);
	fabric_suspect(f, object, gone);
	fabric_notice(f, object, gone, port_id);
}

static void on_rule(void *arg)
{
	struct fabric *f = arg;

	fabric_suspect_policy(f);
	fabric_want_work(f, FABRIC_HEAL_DELAY_MS);
}

static void on_flushed(void *arg, unsigned kind)
{
	struct fabric *f = arg;

	f->dirty |= 1u << kind;
	fabric_want_work(f, FABRIC_HEAL_DELAY_MS);
}

static void on_overrun(void *arg)
{
	struct fabric *f = arg;

	f->overruns_total++;
	log_warn("notifications-lost", "the kernel had more to tell than we could read; comparing "
				       "everything");
	f->dirty = KERNEL_ALL_KINDS;
	f->devices_dirty = true;
	plugin_suspect(f->plugin, 0, "notifications of the kernel were lost");
	fabric_walk_shadows(f, FABRIC_HEAL_DELAY_MS);
	fabric_suspect_policy(f);
	fabric_want_work(f, FABRIC_HEAL_DELAY_MS);
	fabric_want_underlay(f);
}

static const struct monitor_ops monitor_ops = { .link = on_link,
						.object = on_object,
						.rule = on_rule,
						.flushed = on_flushed,
						.overrun = on_overrun };

bool fabric_read_notifications(struct fabric *f)
{
	return monitor_read(f->monitor, NOTIFICATIONS_MAX, &monitor_ops, f) < NOTIFICATIONS_MAX;
}

/* What is left comes in the next turn. */
static void on_policies(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fabric *f = arg;

	monitor_read(f->policies, NOTIFICATIONS_MAX, &monitor_ops, f);
}

void fabric_watch_policies(struct fabric *f)
{
	struct err e;

	if (f->policies || !f->kernel.xfrm ||
	    !reconcile_counts(f->reconcile)->wanted[KERNEL_XFRM_POLICY])
		return;
	/* Without it they are compared when everything is. */
	if (monitor_open_xfrm(netlink_port_id(f->kernel.xfrm), &f->policies, &e) < 0) {
		log_debug("ipsec", "%s", e.text);
		return;
	}
	f->policies_event =
		event_new(f->base, monitor_fd(f->policies), EV_READ | EV_PERSIST, on_policies, f);
	event_add(f->policies_event, NULL);
	/* What has changed since they were read was not told. */
	on_flushed(f, KERNEL_XFRM_POLICY);
}
