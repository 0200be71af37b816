/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VXLAN without learning and without broadcast: every peer's place is written down.
 *
 *   route      10.5.3.0/24 via 10.5.3.0 dev flannel.1 onlink   the peer's subnet is behind its VTEP
 *   neighbour  10.5.3.0 lladdr 02:..:03 dev flannel.1          the VTEP's address has this MAC
 *   FDB        02:..:03 dst 192.0.2.3 dev flannel.1            the MAC is at this underlay address
 *
 * IPv6 is the same on a device of its own, flannel-v6.<VNI>, since a VXLAN device has one source
 * address. Formats and names are flannel's, so that hosts of both kinds form one network.
 */
#include "backends/vxlan.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include "kernel/device_vxlan.h"
#include "kernel/marks.h"

#define VNI_MAX 0xffffff
/* The smallest MTU with which IPv4 (RFC 791) and IPv6 (RFC 8200) still work inside. */
#define MTU_MIN_V4 (576 + VXLAN_OVERHEAD_V4)
#define MTU_MIN_V6 (1280 + VXLAN_OVERHEAD_V6)
#define MTU_MAX    65535

/* One family's half of the backend. */
struct vxlan_side {
	bool enabled; /* the network has it */
	bool works;   /* and the underlay's MTU is large enough for it; see set_host */
	int family;
	struct ip_net network;
	struct mac_addr mac;
	bool mac_kept; /* the device's own, see device_is */
	uint32_t ifindex;
	uint32_t overhead;
	struct device_vxlan spec;
};

/* What a peer's lease says, IPv4 and IPv6; zero in a family that it has no subnet of. */
struct vxlan_peer {
	uint32_t vni[2];
	struct mac_addr mac[2];
};

struct vxlan {
	struct backend base;
	uint32_t vni;
	uint16_t port; /* 0: the default */
	bool gbp;
	bool learning;
	bool direct_routing;
	uint32_t mtu_bytes; /* configured, of the underlay; 0: follow the underlay */
	struct backend_host host;
	struct vxlan_side sides[2];
	struct backend_device devices[BACKEND_DEVICES_MAX];
	size_t device_sides[BACKEND_DEVICES_MAX]; /* device number -> side */
	size_t devices_len;
};

static struct vxlan *vxlan_of(const struct backend *b)
{
	return (struct vxlan *)b;
}

static int format_name(char buf[static IFNAMSIZ], int family, uint32_t vni)
{
	return snprintf(buf, IFNAMSIZ, "%s.%u", family == AF_INET ? "flannel" : "flannel-v6", vni);
}

static int read_config(const struct network_config *config, struct vxlan *v, struct err *e)
{
	uint32_t mtu_min = config->v6.enabled ? MTU_MIN_V6 : MTU_MIN_V4;
	char name[IFNAMSIZ];
	uint64_t vni = VXLAN_DEFAULT_VNI;
	uint64_t port = 0;
	uint64_t mtu = 0;
	int rc;

	rc = json_read_uint(config->backend, "VNI", 1, VNI_MAX, &vni, e);
	if (rc == 0)
		rc = json_read_uint(config->backend, "Port", 0, 65535, &port, e);
	if (rc == 0)
		rc = json_read_bool(config->backend, "GBP", &v->gbp, e);
	if (rc == 0)
		rc = json_read_bool(config->backend, "Learning", &v->learning, e);
	if (rc == 0)
		rc = json_read_bool(config->backend, "DirectRouting", &v->direct_routing, e);
	if (rc == 0)
		rc = json_read_uint(config->backend, "MTU", 0, MTU_MAX, &mtu, e);
	if (rc < 0)
		return rc;
	if (mtu && mtu < mtu_min)
		return err_set(e, -EINVAL, "MTU is %u, must be 0 or from %u to %u", (unsigned)mtu,
			       mtu_min, MTU_MAX);
	/* A name that was cut would be another network's. */
	if (format_name(name, config->v6.enabled ? AF_INET6 : AF_INET, (uint32_t)vni) >= IFNAMSIZ)
		return err_set(e, -EINVAL,
			       "VNI is %u, must be %u at most: device names have %d bytes",
			       (unsigned)vni, config->v6.enabled ? 9999 : 9999999, IFNAMSIZ - 1);
	v->vni = (uint32_t)vni;
	v->port = (uint16_t)port;
	v->mtu_bytes = (uint32_t)mtu;
	return 0;
}

static void init_side(struct vxlan *v, size_t i, const struct network_family *f)
{
	struct vxlan_side *side = &v->sides[i];

	side->enabled = f->enabled;
	side->family = i == 0 ? AF_INET : AF_INET6;
	side->network = f->network;
	side->overhead = i == 0 ? VXLAN_OVERHEAD_V4 : VXLAN_OVERHEAD_V6;
}

static int vxlan_create(const struct network_config *config, struct backend **ret, struct err *e)
{
	struct vxlan *v = xcalloc(1, sizeof(*v));
	int rc = read_config(config, v, e);

	if (rc < 0) {
		free(v);
		return rc;
	}
	v->base.type = &backend_vxlan;
	v->base.needs_paths = v->direct_routing;
	init_side(v, 0, &config->v4);
	init_side(v, 1, &config->v6);
	*ret = &v->base;
	return 0;
}

static const struct backend_lower *lower_of(const struct vxlan *v, const struct vxlan_side *side)
{
	return &v->host.lower[side->family == AF_INET ? 0 : 1];
}

/* What of the underlay is used: a smaller configured MTU is the user's word. */
static uint32_t usable_mtu(const struct vxlan *v, const struct vxlan_side *side)
{
	uint32_t lower = lower_of(v, side)->mtu_bytes;

	return v->mtu_bytes && v->mtu_bytes < lower ? v->mtu_bytes : lower;
}

/* The kernel refuses more than the lower device can carry. */
static uint32_t device_mtu(const struct vxlan *v, const struct vxlan_side *side)
{
	uint32_t lower = usable_mtu(v, side);

	return lower > side->overhead ? lower - side->overhead : 0;
}

/* The MTU that the underlay needs for a family. */
static uint32_t needed_mtu(const struct vxlan_side *side)
{
	return side->family == AF_INET ? MTU_MIN_V4 : MTU_MIN_V6;
}

static void describe_device(const struct vxlan *v, struct vxlan_side *side,
			    struct backend_device *ret)
{
	side->spec = (struct device_vxlan){
		.vni = v->vni,
		.port = v->port ? v->port : VXLAN_DEFAULT_PORT,
		.gbp = v->gbp,
		.learning = v->learning,
		.lower_ifindex = lower_of(v, side)->ifindex,
		.local = side->family == AF_INET ? v->host.local_v4 : v->host.local_v6,
	};
	*ret = (struct backend_device){
		.kind = &device_vxlan,
		.spec = &side->spec,
		.mac = side->mac,
		.mtu_bytes = device_mtu(v, side),
		.families = side->family == AF_INET ? 1 : 2,
		.udp_port = side->spec.port,
		.has_neighbours = true,
		.guard = { { IPPROTO_UDP, side->spec.port } },
	};
	format_name(ret->name, side->family, v->vni);
}

static void describe_devices(struct vxlan *v)
{
	v->devices_len = 0;
	for (size_t i = 0; i < ARRAY_LEN(v->sides); i++) {
		struct vxlan_side *side = &v->sides[i];

		if (!side->works) {
			side->ifindex = 0;
			continue;
		}
		v->device_sides[v->devices_len] = i;
		describe_device(v, side, &v->devices[v->devices_len++]);
	}
}

/*
 * A family that this host has no place for, or whose packets would not fit, is left out, if the other
 * one works: IPv6 needs 70 bytes and
 * 1280, and the kernel takes IPv6 off a device that has less.
 */
static int vxlan_set_host(struct backend *b, const struct backend_host *host, struct err *e)
{
	struct vxlan *v = vxlan_of(b);
	size_t first = v->sides[0].enabled ? 0 : 1;
	const struct vxlan_side *least = &v->sides[first];

	if (host->lower[first].mtu_bytes < needed_mtu(least))
		return err_set(e, -EMSGSIZE,
			       "the interface's MTU is %u, must be %u at least for %s in vxlan",
			       host->lower[first].mtu_bytes, needed_mtu(least),
			       least->family == AF_INET ? "IPv4" : "IPv6");
	v->host = *host;
	for (size_t i = 0; i < ARRAY_LEN(v->sides); i++) {
		struct vxlan_side *side = &v->sides[i];

		side->works = side->enabled && host->lower[i].mtu_bytes >= needed_mtu(side);
		if (!side->mac_kept)
			side->mac = backend_derive_mac(host->node_id, v->vni, side->family);
	}
	/* The caller's string need not live on. */
	v->host.node_id = NULL;
	describe_devices(v);
	return 0;
}

static void vxlan_device_is(struct backend *b, size_t device, uint32_t ifindex,
			    const struct mac_addr *mac)
{
	struct vxlan *v = vxlan_of(b);
	struct vxlan_side *side = &v->sides[v->device_sides[device]];

	side->ifindex = ifindex;
	if (!ifindex || mac_addr_is_zero(mac) || (mac->b[0] & 1))
		return;
	side->mac = *mac;
	side->mac_kept = true;
	describe_devices(v);
}

static void vxlan_free(struct backend *b)
{
	free(vxlan_of(b));
}

static char *format_data(const struct vxlan *v, const struct vxlan_side *side)
{
	char mac[MAC_TEXT];

	return xasprintf("{\"VNI\":%u,\"VtepMAC\":\"%s\"}", v->vni,
			 mac_addr_format(&side->mac, mac));
}

static int vxlan_publish(const struct backend *b, struct lease *own, struct err *e UNUSED)
{
	const struct vxlan *v = vxlan_of(b);

	own->backend_type = xstrdup(backend_vxlan.name);
	if (v->sides[0].works) {
		own->public_v4 = v->host.public_v4;
		if (!ip_addr_equal(&v->host.local_v4, &v->host.public_v4))
			own->source_v4 = v->host.local_v4;
		own->mtu_v4_bytes = backend_publish_mtu(usable_mtu(v, &v->sides[0]));
		own->backend_data = format_data(v, &v->sides[0]);
	}
	if (v->sides[1].works) {
		own->public_v6 = v->host.public_v6;
		if (!ip_addr_equal(&v->host.local_v6, &v->host.public_v6))
			own->source_v6 = v->host.local_v6;
		own->mtu_v6_bytes = backend_publish_mtu(usable_mtu(v, &v->sides[1]));
		own->backend_v6_data = format_data(v, &v->sides[1]);
	}
	return 0;
}

static size_t vxlan_devices(const struct backend *b, const struct backend_device **ret)
{
	*ret = vxlan_of(b)->devices;
	return vxlan_of(b)->devices_len;
}

static void vxlan_want_own(const struct backend *b, const struct subnet *own, struct wants *ret)
{
	const struct vxlan *v = vxlan_of(b);

	for (size_t i = 0; i < ARRAY_LEN(v->sides); i++) {
		const struct vxlan_side *side = &v->sides[i];
		const struct ip_net *subnet = backend_subnet(own, side->family);
		struct kernel_object address;
		struct ip_net host;

		if (!side->works || !side->ifindex || !ip_net_is_set(subnet))
			continue;
		host = (struct ip_net){ subnet->addr, (uint8_t)ip_family_bits(side->family) };
		address = kernel_address(side->ifindex, &host);
		wants_add(ret, &address);
	}
}

static int parse_data(const char *text, uint32_t *ret_vni, struct mac_addr *ret_mac, struct err *e)
{
	auto_json json_t *object = NULL;
	const char *mac_text = NULL;
	struct mac_addr mac;
	uint64_t vni = 0;
	int rc;

	if (!text)
		return err_set(e, -EINVAL, "missing");
	rc = json_parse_object(text, strlen(text), &object, e);
	if (rc == 0)
		rc = json_read_uint(object, "VNI", 0, VNI_MAX, &vni, e);
	if (rc == 0)
		rc = json_read_string(object, "VtepMAC", &mac_text, e);
	if (rc == 0 && !mac_text)
		rc = err_set(e, -EINVAL, "VtepMAC is missing");
	if (rc == 0)
		rc = mac_addr_parse(mac_text, &mac, e);
	if (rc < 0)
		return rc;
	if (mac_addr_is_zero(&mac) || (mac.b[0] & 1))
		return err_set(e, -EINVAL, "VtepMAC is %s, must be a unicast address", mac_text);
	*ret_vni = (uint32_t)vni;
	*ret_mac = mac;
	return 0;
}

static int vxlan_peer_parse(const struct lease *peer, void **ret, struct err *e)
{
	struct vxlan_peer p = { 0 };
	struct vxlan_peer *kept;

	if (ip_net_is_set(&peer->subnet.v4) &&
	    parse_data(peer->backend_data, &p.vni[0], &p.mac[0], e) < 0)
		return err_wrap(e, "BackendData");
	if (ip_net_is_set(&peer->subnet.v6) && !backend_lacks_v6(peer) &&
	    parse_data(peer->backend_v6_data, &p.vni[1], &p.mac[1], e) < 0)
		return err_wrap(e, "BackendV6Data");
	kept = xmalloc(sizeof(*kept));
	*kept = p;
	*ret = kept;
	return 0;
}

static void vxlan_describe_peer(const void *data, struct members *item)
{
	static const char *const names[] = { "mac", "macV6" };
	const struct vxlan_peer *p = data;
	char text[MAC_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		bool known = p && !mac_addr_is_zero(&p->mac[i]);

		member_text_or_null(item, names[i],
				    known ? mac_addr_format(&p->mac[i], text) : NULL);
	}
}

static int want_side(const struct vxlan *v, const struct vxlan_side *side, const struct lease *peer,
		     const struct vxlan_peer *data, const struct backend_path *path,
		     struct wants *ret, struct err *e)
{
	const struct ip_net *subnet = backend_subnet(&peer->subnet, side->family);
	const struct ip_addr *public = backend_public_address(peer, side->family);
	size_t i = side->family == AF_INET ? 0 : 1;
	const struct mac_addr *mac = &data->mac[i];
	struct kernel_object route;
	struct kernel_object fdb;
	struct kernel_object neighbour;

	if (backend_check_public(peer, side->family, &side->network, &v->host, e) < 0)
		return e->code;
	/* flannel before 0.13 did not publish a VNI. */
	if (data->vni[i] && data->vni[i] != v->vni)
		return err_set(e, -EINVAL, "%s: VNI is %u, ours is %u",
			       i == 0 ? "BackendData" : "BackendV6Data", data->vni[i], v->vni);
	if (memcmp(mac, &side->mac, sizeof(*mac)) == 0)
		return err_set(e, -EINVAL, "VtepMAC is this host's own");
	/* No router in between: the tunnel would only cost. */
	if (v->direct_routing && path->on_link) {
		route = kernel_route(subnet, public, path->ifindex, false, FABRIC_ROUTE_PROTOCOL);
		route.value.mtu_bytes =
			backend_route_mtu(peer, side->family, lower_of(v, side)->mtu_bytes, 0);
		wants_add(ret, &route);
		return 0;
	}
	/* Without a device there is nothing to write yet. */
	if (!side->ifindex)
		return 0;
	fdb = kernel_fdb(side->ifindex, mac, public);
	neighbour = kernel_neighbour(side->ifindex, &subnet->addr, mac);
	route = kernel_route(subnet, &subnet->addr, side->ifindex, true,
			     fabric_route_protocol(subnet));
	route.value.mtu_bytes =
		backend_route_mtu(peer, side->family, device_mtu(v, side), side->overhead);
	wants_add(ret, &fdb);
	wants_add(ret, &neighbour);
	wants_add(ret, &route);
	return 0;
}

static int vxlan_want_peer(const struct backend *b, const struct lease *peer, const void *data,
			   const struct backend_path paths[static 2], struct wants *ret,
			   struct err *e)
{
	const struct vxlan *v = vxlan_of(b);
	bool usable = false;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(v->sides) && rc == 0; i++) {
		const struct vxlan_side *side = &v->sides[i];

		if (!side->works || !ip_net_is_set(backend_subnet(&peer->subnet, side->family)) ||
		    (i == 1 && backend_lacks_v6(peer)))
			continue;
		rc = want_side(v, side, peer, data, &paths[i], ret, e);
		usable = true;
	}
	if (rc == 0 && !usable)
		rc = err_set(e, -EINVAL, "has no subnet in a family that this network uses");
	return rc;
}

static uint32_t vxlan_pod_mtu(const struct backend *b)
{
	const struct vxlan *v = vxlan_of(b);
	uint32_t mtu = MTU_MAX;

	for (size_t i = 0; i < v->devices_len; i++)
		mtu = MIN(mtu, device_mtu(v, &v->sides[v->device_sides[i]]));
	return mtu;
}

static unsigned vxlan_families(const struct backend *b)
{
	const struct vxlan *v = vxlan_of(b);

	return (v->sides[0].works ? 1u : 0u) | (v->sides[1].works ? 2u : 0u);
}

static void vxlan_health(const struct backend *b, struct problem_list *ret)
{
	const struct vxlan_side *side = &vxlan_of(b)->sides[1];
	uint32_t mtu_bytes = lower_of(vxlan_of(b), side)->mtu_bytes;

	if (side->enabled && mtu_bytes && !side->works)
		problem_add(
			ret, PROBLEM_WARNING, "mtu-too-small",
			"the external interface's MTU is %u, IPv6 in vxlan needs %u: containers "
			"here have IPv4 only",
			mtu_bytes, needed_mtu(side));
}

static void vxlan_describe(const struct backend *b, char *buf, size_t size)
{
	const struct vxlan *v = vxlan_of(b);

	snprintf(buf, size, "vxlan vni %u port %u%s", v->vni,
		 v->port ? v->port : VXLAN_DEFAULT_PORT,
		 v->direct_routing ? " direct routing" : "");
}

const struct backend_type backend_vxlan = {
	.name = "vxlan",
	.keys = "VNI Port GBP Learning DirectRouting MTU",
	.device_kind = &device_vxlan,
	.create = vxlan_create,
	.free = vxlan_free,
	.set_host = vxlan_set_host,
	.publish = vxlan_publish,
	.devices = vxlan_devices,
	.device_is = vxlan_device_is,
	.want_own = vxlan_want_own,
	.peer_parse = vxlan_peer_parse,
	.want_peer = vxlan_want_peer,
	.describe_peer = vxlan_describe_peer,
	.pod_mtu = vxlan_pod_mtu,
	.families = vxlan_families,
	.health = vxlan_health,
	.describe = vxlan_describe,
};
