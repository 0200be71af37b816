/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/host.h"

#include <event2/event.h>
#include <string.h>

#include "lib/log.h"
#include "stores/store_open.h"

/* So long the end waits for the store: a store that is away must not keep a machine from going down. */
#define LEAVE_MAX_S 3

static void take_name(struct daemon *d, const char *name)
{
	if (!*name || strcmp(name, d->node_name) == 0)
		return;
	log_info("node-name", "the store knows this host as %s, not %s", name, d->node_name);
	free(d->node_name);
	d->node_name = xstrdup(name);
	if (d->manager)
		manager_set_node_name(d->manager, name);
}

int host_start(struct daemon *d, struct err *e)
{
	int rc = d->store->type->host ? d->store->type->host(d->store, &d->host, e) : 0;

	if (rc == 0)
		take_name(d, d->host.node);
	return rc;
}

void host_heard(struct daemon *d)
{
	struct store_host before = d->host;
	struct manager_view m;

	if (!d->store->type->host || d->store->type->host(d->store, &d->host, NULL) < 0)
		return;
	take_name(d, d->host.node);
	manager_view(d->manager, &m);
	/* Where we stand was chosen by it at the start. */
	if (m.own) {
		d->host.public_v4 = before.public_v4;
		d->host.public_v6 = before.public_v6;
	}
	if (m.own && (!ip_addr_equal(&before.overwrite_v4, &d->host.overwrite_v4) ||
		      !ip_addr_equal(&before.overwrite_v6, &d->host.overwrite_v6)))
		d->publish_wanted = true;
	if (d->publish_wanted)
		event_active(d->deferred, 0, 0);
}

/* ---- out of use ---- */

static bool is_out_of_use(const struct daemon *d)
{
	if (d->host.out_of_use == STORE_OUT_STOPPED && d->leaving)
		return true;
	return d->host.out_of_use != STORE_OUT_NEVER && d->drain != DRAIN_OFF;
}

bool host_leave(struct daemon *d)
{
	static const struct timeval patience = { LEAVE_MAX_S, 0 };

	if (d->leaving || d->host.out_of_use != STORE_OUT_STOPPED || host_has_left(d))
		return false;
	d->leaving = d->publish_wanted = true;
	event_active(d->deferred, 0, 0);
	event_base_loopexit(d->base, &patience);
	return true;
}

bool host_has_left(const struct daemon *d)
{
	struct manager_view m;

	manager_view(d->manager, &m);
	return m.state != MANAGER_HELD || m.own->out_of_use;
}

/* ---- what we publish ---- */

struct external_options host_options(struct daemon *d)
{
	struct external_options o = d->options->fabric.external;

	if (ip_addr_is_set(&d->host.public_v4))
		o.public_ip = (char *)ip_addr_format(&d->host.public_v4, d->host_public[0]);
	if (ip_addr_is_set(&d->host.public_v6))
		o.public_ipv6 = (char *)ip_addr_format(&d->host.public_v6, d->host_public[1]);
	return o;
}

/* What comes from the host still has its own address for source: peers are told to let it in. */
static void overwrite(const struct ip_addr *by, struct ip_addr *public, struct ip_addr *source)
{
	if (!ip_addr_is_set(by) || !ip_addr_is_set(public) || ip_addr_equal(by, public))
		return;
	if (!ip_addr_is_set(source))
		*source = *public;
	*public = *by;
}

void host_overwrite(const struct daemon *d, struct lease *attributes)
{
	overwrite(&d->host.overwrite_v4, &attributes->public_v4, &attributes->source_v4);
	overwrite(&d->host.overwrite_v6, &attributes->public_v6, &attributes->source_v6);
	attributes->out_of_use = is_out_of_use(d);
}
