/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wireguard: what goes from host to host is encrypted and authenticated.
 *
 *   WireGuard peer  PUBLIC KEY at 192.0.2.3 port 51820     the host
 *   allowed-ip      10.5.3.0/24 of that peer               its subnet
 *   route           10.5.0.0/16 dev flannel-wg             one for the whole network
 *
 * A peer has no route of its own: what is sent to one that has left goes nowhere, and not in the
 * clear over the default route. Names, ports, keys of the configuration and data of the lease are
 * flannel's, so that hosts of both kinds form one network (backends/wireguard_config.c reads them).
 *
 *   Mode separate     flannel-wg for IPv4 inside IPv4, flannel-wg-v6 for IPv6 inside IPv6
 *        ipv4, ipv6   flannel-wg alone, for all that is inside, to peers' addresses of that family
 *        auto         likewise, to whichever address of a peer is the better one
 */
#include "backends/wireguard_internal.h"

#include <errno.h>
#include <string.h>

#include "kernel/marks.h"
#include "lib/base64.h"
#include "lib/x25519.h"

static struct wireguard *wireguard_of(const struct backend *b)
{
	return (struct wireguard *)b;
}

static void init_side(struct wireguard_side *side, int family, const struct network_family *f)
{
	*side = (struct wireguard_side){ .enabled = f->enabled,
					 .family = family,
					 .network = f->network };
}

static int wireguard_create(const struct network_config *config, struct backend **ret,
			    struct err *e)
{
	struct wireguard *w = xcalloc(1, sizeof(*w));
	int rc;

	w->base.type = &backend_wireguard;
	init_side(&w->sides[0], AF_INET, &config->v4);
	init_side(&w->sides[1], AF_INET6, &config->v6);
	rc = wireguard_read_config(w, config->backend, e);
	if (rc < 0) {
		backend_free(&w->base);
		return rc;
	}
	*ret = &w->base;
	return 0;
}

static void wireguard_free(struct backend *b)
{
	struct wireguard *w = wireguard_of(b);

	explicit_bzero(w, sizeof(*w));
	free(w);
}

/* ---- this host ---- */

/* Of what carries this side: 0 if this host has no place there. */
static uint32_t underlay_mtu(const struct wireguard *w, size_t side)
{
	uint32_t lower = 0;

	switch (w->mode) {
	case WIREGUARD_SEPARATE:
		lower = w->host.lower[side].mtu_bytes;
		break;
	case WIREGUARD_AUTO:
		lower = backend_least_mtu(&w->host);
		break;
	case WIREGUARD_IPV4:
		lower = w->host.lower[0].mtu_bytes;
		break;
	case WIREGUARD_IPV6:
		lower = w->host.lower[1].mtu_bytes;
		break;
	}
	return w->mtu_bytes && w->mtu_bytes < lower ? w->mtu_bytes : lower;
}

static uint16_t port_of(const struct wireguard *w, size_t side)
{
	return w->ports[w->mode == WIREGUARD_SEPARATE ? side : 0];
}

static void describe_device(struct wireguard *w, size_t side, bool has_v6_name)
{
	struct backend_device *d = &w->devices[w->devices_len];
	struct device_wireguard *spec = &w->specs[w->devices_len];

	spec->interface.port = port_of(w, side);
	spec->keepalive_s = w->keepalive_s;
	memcpy(spec->preshared, w->preshared, sizeof(spec->preshared));
	*d = (struct backend_device){
		.kind = &device_wireguard,
		.spec = spec,
		.mtu_bytes = underlay_mtu(w, side) - WIREGUARD_OVERHEAD,
		.udp_port = spec->interface.port,
	};
	snprintf(d->name, sizeof(d->name), "flannel-wg%s", has_v6_name ? "-v6" : "");
	w->devices_len++;
}

static void describe_devices(struct wireguard *w)
{
	w->devices_len = 0;
	for (size_t i = 0; i < ARRAY_LEN(w->sides); i++) {
		struct wireguard_side *side = &w->sides[i];

		if (!side->works)
			continue;
		if (w->mode == WIREGUARD_SEPARATE || w->devices_len == 0)
			describe_device(w, i, w->mode == WIREGUARD_SEPARATE && i == 1);
		side->device = w->devices_len - 1;
		w->devices[side->device].families |= i == 0 ? 1 : 2;
	}
	for (size_t i = w->devices_len; i < ARRAY_LEN(w->ifindexes); i++)
		w->ifindexes[i] = 0;
}

static int take_key(struct wireguard *w, const void *secret, struct err *e)
{
	uint8_t key[WIREGUARD_KEY_SIZE];
	int rc = 0;

	memcpy(key, secret, sizeof(key));
	x25519_clamp(key);
	if (memcmp(key, w->specs[0].interface.private_key, sizeof(key)) != 0)
		rc = x25519_public(key, w->public_key, e);
	for (size_t i = 0; i < ARRAY_LEN(w->specs) && rc == 0; i++)
		memcpy(w->specs[i].interface.private_key, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	return rc;
}

/* A family that this host has no place for, or whose packets would not fit, is left out, if the other
 * one works. */
static int wireguard_set_host(struct backend *b, const struct backend_host *host, struct err *e)
{
	struct wireguard *w = wireguard_of(b);
	const struct backend_host before = w->host;
	size_t first = w->sides[0].enabled ? 0 : 1;

	w->host = *host;
	if (underlay_mtu(w, first) < wireguard_needed_mtu(first)) {
		uint32_t mtu_bytes = underlay_mtu(w, first);

		w->host = before;
		return err_set(e, -EMSGSIZE,
			       "the interface's MTU is %u, must be %u at least for %s in wireguard",
			       mtu_bytes, wireguard_needed_mtu(first),
			       first == 0 ? "IPv4" : "IPv6");
	}
	if (take_key(w, host->secret, e) < 0) {
		w->host = before;
		return e->code;
	}
	/* The caller's need not live on. */
	w->host.node_id = NULL;
	w->host.secret = NULL;
	for (size_t i = 0; i < ARRAY_LEN(w->sides); i++)
		w->sides[i].works = w->sides[i].enabled && host->lower[i].mtu_bytes &&
				    underlay_mtu(w, i) >= wireguard_needed_mtu(i);
	describe_devices(w);
	return 0;
}

static char *format_data(const struct wireguard *w, size_t side)
{
	auto_free char *key = base64_encode(w->public_key, sizeof(w->public_key));

	return xasprintf("{\"PublicKey\":\"%s\",\"Port\":%u}", key, port_of(w, side));
}

static int wireguard_publish(const struct backend *b, struct lease *own, struct err *e UNUSED)
{
	const struct wireguard *w = wireguard_of(b);

	own->backend_type = xstrdup(backend_wireguard.name);
	if (w->sides[0].works) {
		own->public_v4 = w->host.public_v4;
		if (!ip_addr_equal(&w->host.local_v4, &w->host.public_v4))
			own->source_v4 = w->host.local_v4;
		own->mtu_v4_bytes = backend_publish_mtu(underlay_mtu(w, 0));
		own->backend_data = format_data(w, 0);
	}
	if (w->sides[1].works) {
		own->public_v6 = w->host.public_v6;
		if (!ip_addr_equal(&w->host.local_v6, &w->host.public_v6))
			own->source_v6 = w->host.local_v6;
		own->mtu_v6_bytes = backend_publish_mtu(underlay_mtu(w, 1));
		own->backend_v6_data = format_data(w, 1);
	}
	return 0;
}

static size_t wireguard_devices(const struct backend *b, const struct backend_device **ret)
{
	*ret = wireguard_of(b)->devices;
	return wireguard_of(b)->devices_len;
}

static void wireguard_device_is(struct backend *b, size_t device, uint32_t ifindex,
				const struct mac_addr *mac UNUSED)
{
	wireguard_of(b)->ifindexes[device] = ifindex;
}

static void wireguard_want_own(const struct backend *b, const struct subnet *own, struct wants *ret)
{
	const struct wireguard *w = wireguard_of(b);

	for (size_t i = 0; i < ARRAY_LEN(w->sides); i++) {
		const struct wireguard_side *side = &w->sides[i];
		const struct ip_net *subnet = backend_subnet(own, side->family);
		uint32_t ifindex = w->ifindexes[side->device];
		struct kernel_object object;
		struct ip_net host;

		if (!side->works || !ifindex || !ip_net_is_set(subnet))
			continue;
		host = (struct ip_net){ subnet->addr, (uint8_t)ip_family_bits(side->family) };
		object = kernel_address(ifindex, &host);
		wants_add(ret, &object);
		object = kernel_route(&side->network, NULL, ifindex, false,
				      fabric_route_protocol(&side->network));
		wants_add(ret, &object);
	}
}

/* ---- peers ---- */

static bool is_private_v4(const struct ip_addr *a)
{
	return a->b[0] == 10 || (a->b[0] == 172 && (a->b[1] & 0xf0) == 16) ||
	       (a->b[0] == 192 && a->b[1] == 168);
}

static bool is_private_v6(const struct ip_addr *a)
{
	return (a->b[0] & 0xfe) == 0xfc;
}

/* As flannel chooses, for it must be the same on both sides. */
static size_t outer_side(const struct wireguard *w, const struct lease *peer)
{
	const struct backend_host *h = &w->host;

	if (w->mode != WIREGUARD_AUTO)
		return w->mode == WIREGUARD_IPV4 ? 0 : 1;
	if (!ip_addr_is_set(&h->public_v6) || !ip_addr_is_set(&peer->public_v6))
		return 0;
	if (!ip_addr_is_set(&h->public_v4) || !ip_addr_is_set(&peer->public_v4))
		return 1;
	if (!is_private_v4(&peer->public_v4))
		return 0;
	return is_private_v6(&h->public_v6) || is_private_v6(&peer->public_v6) ? 0 : 1;
}

/*
 * Where a peer listens. With one device for both families flannel publishes ListenPortV6 all the same,
 * where nobody listens: the port that it has is the other one.
 */
static uint16_t peer_port(const struct wireguard *w, const struct lease *peer,
			  const struct wireguard_lease *l, size_t outer)
{
	size_t said = w->mode != WIREGUARD_SEPARATE && !peer->node_id && l->has[0] ? 0 : outer;

	if (w->mode != WIREGUARD_SEPARATE && !peer->node_id && !l->has[0])
		return w->ports[0];
	return l->port[said] ? l->port[said] : port_of(w, outer);
}

/* The peer itself, on the device of `side`. */
static int want_host(const struct wireguard *w, const struct lease *peer,
		     const struct wireguard_lease *l, size_t side, size_t outer, struct wants *ret,
		     struct err *e)
{
	int family = outer == 0 ? AF_INET : AF_INET6;
	struct kernel_object o;

	if (backend_check_public(peer, family, &w->sides[outer].network, &w->host, e) < 0)
		return e->code;
	if (memcmp(l->key[side], w->public_key, sizeof(w->public_key)) == 0)
		return err_set(e, -EINVAL, "PublicKey is this host's own");
	o = kernel_wireguard_peer(w->ifindexes[w->sides[side].device], l->key[side],
				  backend_public_address(peer, family),
				  peer_port(w, peer, l, outer));
	if (o.key.ifindex)
		wants_add(ret, &o);
	return 0;
}

static void want_subnet(const struct wireguard *w, const struct lease *peer, size_t side,
			const uint8_t key[static WIREGUARD_KEY_SIZE], struct wants *ret)
{
	struct kernel_object o =
		kernel_allowed_ip(w->ifindexes[w->sides[side].device],
				  backend_subnet(&peer->subnet, w->sides[side].family), key);

	if (o.key.ifindex)
		wants_add(ret, &o);
}

static int wireguard_want_peer(const struct backend *b, const struct lease *peer, const void *data,
			       const struct backend_path paths[static 2] UNUSED, struct wants *ret,
			       struct err *e)
{
	const struct wireguard *w = wireguard_of(b);
	const struct wireguard_lease *l = data;
	size_t hosts = 0;
	size_t host = 0; /* the side whose key it is known by */
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(w->sides) && rc == 0; i++) {
		if (!w->sides[i].works || !l->has[i])
			continue;
		if (w->mode == WIREGUARD_SEPARATE || hosts == 0) {
			host = i;
			hosts++;
			rc = want_host(w, peer, l, i,
				       w->mode == WIREGUARD_SEPARATE ? i : outer_side(w, peer), ret,
				       e);
		}
		if (rc == 0)
			want_subnet(w, peer, i, l->key[host], ret);
	}
	if (rc == 0 && hosts == 0)
		rc = err_set(e, -EINVAL, "has no subnet in a family that this network uses");
	return rc;
}

/* ---- what it says of itself ---- */

static uint32_t wireguard_pod_mtu(const struct backend *b)
{
	const struct wireguard *w = wireguard_of(b);
	uint32_t mtu = WIREGUARD_MTU_MAX;

	for (size_t i = 0; i < w->devices_len; i++)
		mtu = MIN(mtu, w->devices[i].mtu_bytes);
	return mtu;
}

static unsigned wireguard_families(const struct backend *b)
{
	const struct wireguard *w = wireguard_of(b);

	return (w->sides[0].works ? 1u : 0u) | (w->sides[1].works ? 2u : 0u);
}

static void wireguard_health(const struct backend *b, struct problem_list *ret)
{
	const struct wireguard *w = wireguard_of(b);

	if (w->sides[1].enabled && w->host.lower[1].mtu_bytes && !w->sides[1].works)
		problem_add(ret, PROBLEM_WARNING, "mtu-too-small",
			    "the external interface's MTU is %u, IPv6 in wireguard needs %u: "
			    "containers here have IPv4 only",
			    underlay_mtu(w, 1), wireguard_needed_mtu(1));
}

static void wireguard_describe(const struct backend *b, char *buf, size_t size)
{
	static const uint8_t zero[WIREGUARD_KEY_SIZE];
	const struct wireguard *w = wireguard_of(b);
	bool shared = memcmp(w->preshared, zero, sizeof(zero)) != 0;
	size_t used = (size_t)snprintf(buf, size, "wireguard mode %s port",
				       wireguard_mode_names[w->mode]);

	for (size_t i = 0; i < w->devices_len && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, " %u",
					 w->specs[i].interface.port);
	if (shared && used < size)
		snprintf(buf + used, size - used, " preshared key");
}

static const struct backend_secret secret = { "wireguard.key", WIREGUARD_KEY_SIZE,
					      "WIREGUARD_KEY_FILE", "/run/flannel/wgkey" };

const struct backend_type backend_wireguard = {
	.name = "wireguard",
	.keys = "PSK ListenPort ListenPortV6 MTU Mode PersistentKeepaliveInterval",
	.device_kind = &device_wireguard,
	.secret = &secret,
	.live = &wireguard_live,
	.create = wireguard_create,
	.free = wireguard_free,
	.set_host = wireguard_set_host,
	.publish = wireguard_publish,
	.devices = wireguard_devices,
	.device_is = wireguard_device_is,
	.want_own = wireguard_want_own,
	.peer_parse = wireguard_read_lease,
	.want_peer = wireguard_want_peer,
	.describe_peer = wireguard_describe_lease,
	.pod_mtu = wireguard_pod_mtu,
	.families = wireguard_families,
	.health = wireguard_health,
	.describe = wireguard_describe,
};
