/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the kernel's WireGuard. Source: linux/wireguard.h; drivers/net/wireguard/netlink.c.
 *
 * A request is a list of peers, many of them at once, and is done in this order: what comes before one
 * that is refused has been done. No list is longer than an attribute can be (64 KiB). A dump comes in many
 * messages; a peer that does not fit into one goes on in the next, with its key and further allowed-ips
 * only.
 */
#include "kernel/wireguard.h"

#include <linux/genetlink.h>
#include <linux/time_types.h>
#include <linux/wireguard.h>
#include <netinet/in.h>

#include "kernel/message.h"

/* A peer that is nobody: what it is given, it takes away with it. Linux before 6.16 cannot take an
 * allowed-ip from a peer otherwise, but for all of them at once. */
static const uint8_t nobody[WIREGUARD_KEY_SIZE] = "flanneld: nobody has this key...";

static void put_key(struct nlmsghdr *hdr, uint16_t type, const uint8_t *key)
{
	nlattr_put(hdr, type, WIREGUARD_KEY_SIZE, key);
}

static void put_endpoint(struct nlmsghdr *hdr, const struct wireguard_peer *p)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(p->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(p->port) };

	memcpy(&v4.sin_addr, p->address.b, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, p->address.b, sizeof(v6.sin6_addr));
	if (p->address.family == AF_INET)
		nlattr_put(hdr, WGPEER_A_ENDPOINT, sizeof(v4), &v4);
	else if (p->address.family == AF_INET6)
		nlattr_put(hdr, WGPEER_A_ENDPOINT, sizeof(v6), &v6);
}

static void put_allowed_ip(struct nlmsghdr *hdr, const struct ip_net *net)
{
	struct nlattr *list = nlattr_nest_begin(hdr, WGPEER_A_ALLOWEDIPS);
	struct nlattr *one = nlattr_nest_begin(hdr, 0);

	nlattr_put_u16(hdr, WGALLOWEDIP_A_FAMILY, net->addr.family);
	nlattr_put(hdr, WGALLOWEDIP_A_IPADDR, ip_addr_size(&net->addr), net->addr.b);
	nlattr_put_u8(hdr, WGALLOWEDIP_A_CIDR_MASK, net->len);
	nlattr_nest_end(hdr, one);
	nlattr_nest_end(hdr, list);
}

static void put_interface(struct nlmsghdr *hdr, const struct wireguard_interface *i)
{
	put_key(hdr, WGDEVICE_A_PRIVATE_KEY, i->private_key);
	nlattr_put_u16(hdr, WGDEVICE_A_LISTEN_PORT, i->port);
	nlattr_put_u32(hdr, WGDEVICE_A_FWMARK, i->mark);
}

/* `net` may be NULL. */
static void put_peer(struct nlmsghdr *hdr, const uint8_t *key, uint32_t flags,
		     const struct ip_net *net)
{
	struct nlattr *one = nlattr_nest_begin(hdr, 0);

	put_key(hdr, WGPEER_A_PUBLIC_KEY, key);
	nlattr_put_u32(hdr, WGPEER_A_FLAGS, flags);
	if (net)
		put_allowed_ip(hdr, net);
	nlattr_nest_end(hdr, one);
}

static void put_whole_peer(struct nlmsghdr *hdr, const struct wireguard_peer *p)
{
	struct nlattr *one = nlattr_nest_begin(hdr, 0);

	put_key(hdr, WGPEER_A_PUBLIC_KEY, p->key);
	put_key(hdr, WGPEER_A_PRESHARED_KEY, p->preshared);
	put_endpoint(hdr, p);
	nlattr_put_u16(hdr, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, p->keepalive_s);
	nlattr_nest_end(hdr, one);
}

/* What a change says of peers, which stands in the list of them. */
static void put_change(struct nlmsghdr *hdr, const struct wireguard_change *c)
{
	switch (c->verb) {
	case WIREGUARD_SET_INTERFACE:
		break;
	case WIREGUARD_PUT_PEER:
		put_whole_peer(hdr, &c->peer);
		break;
	case WIREGUARD_DROP_PEER:
		put_peer(hdr, c->peer.key, WGPEER_F_REMOVE_ME, NULL);
		break;
	case WIREGUARD_PUT_ALLOWED_IP:
		put_peer(hdr, c->peer.key, WGPEER_F_UPDATE_ONLY, &c->net);
		break;
	case WIREGUARD_DROP_ALLOWED_IP:
		put_peer(hdr, nobody, 0, &c->net);
		put_peer(hdr, nobody, WGPEER_F_REMOVE_ME, NULL);
		break;
	}
}

void wireguard_encode(const struct wireguard_change *c, size_t len, uint16_t type,
		      struct nlmsghdr *hdr)
{
	struct genlmsghdr *g;
	struct nlattr *peers;

	nlmsg_begin(hdr);
	hdr->nlmsg_type = type;
	hdr->nlmsg_flags = NLM_F_REQUEST;
	g = nlmsg_put_header(hdr, sizeof(*g));
	g->cmd = WG_CMD_SET_DEVICE;
	g->version = WG_GENL_VERSION;
	nlattr_put_u32(hdr, WGDEVICE_A_IFINDEX, c->ifindex);
	if (c->verb == WIREGUARD_SET_INTERFACE) {
		put_interface(hdr, &c->interface);
		return;
	}
	peers = nlattr_nest_begin(hdr, WGDEVICE_A_PEERS);
	for (size_t i = 0; i < len; i++)
		put_change(hdr, &c[i]);
	nlattr_nest_end(hdr, peers);
}

/* ---- reading ---- */

#define ATTRS_MAX (WGPEER_A_MAX > WGDEVICE_A_MAX ? WGPEER_A_MAX + 1 : WGDEVICE_A_MAX + 1)

/* Attributes by type; of repeated ones the last. */
struct attrs {
	const struct nlattr *by_type[ATTRS_MAX];
};

static void keep(struct attrs *a, const struct nlattr *attr)
{
	if (nlattr_type(attr) < ATTRS_MAX)
		a->by_type[nlattr_type(attr)] = attr;
}

static struct attrs read_nest(const struct nlattr *nest)
{
	struct attrs a = { 0 };
	const struct nlattr *attr;

	nlattr_for_each_nested (attr, nest)
		keep(&a, attr);
	return a;
}

static bool copy(const struct attrs *a, unsigned type, size_t size, void *ret)
{
	const struct nlattr *attr = a->by_type[type];

	if (!attr || nlattr_size(attr) != size)
		return false;
	memcpy(ret, nlattr_data(attr), size);
	return true;
}

static void read_endpoint(const struct attrs *a, struct wireguard_peer *ret)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	if (copy(a, WGPEER_A_ENDPOINT, sizeof(v4), &v4) && v4.sin_family == AF_INET) {
		ret->address = ip_addr_from_bytes(AF_INET, &v4.sin_addr);
		ret->port = ntohs(v4.sin_port);
	} else if (copy(a, WGPEER_A_ENDPOINT, sizeof(v6), &v6) && v6.sin6_family == AF_INET6) {
		ret->address = ip_addr_from_bytes(AF_INET6, &v6.sin6_addr);
		ret->port = ntohs(v6.sin6_port);
	}
}

static void read_allowed_ip(const struct nlattr *nest, const uint8_t *key,
			    const struct wireguard_visitor *v, void *arg)
{
	struct attrs a = read_nest(nest);
	uint16_t family = 0;
	uint8_t bytes[16];
	struct ip_net net;
	uint8_t len = 0;

	if (!copy(&a, WGALLOWEDIP_A_FAMILY, sizeof(family), &family) ||
	    (family != AF_INET && family != AF_INET6) ||
	    !copy(&a, WGALLOWEDIP_A_IPADDR, family == AF_INET ? 4 : 16, bytes) ||
	    !copy(&a, WGALLOWEDIP_A_CIDR_MASK, sizeof(len), &len) || len > ip_family_bits(family))
		return;
	net = (struct ip_net){ ip_addr_from_bytes(family, bytes), len };
	v->allowed_ip(arg, key, &net);
}

static void read_peer(const struct nlattr *nest, const struct wireguard_visitor *v, void *arg)
{
	struct attrs a = read_nest(nest);
	const struct nlattr *ips = a.by_type[WGPEER_A_ALLOWEDIPS];
	struct __kernel_timespec handshake = { 0 };
	struct wireguard_peer p = { 0 };
	const struct nlattr *ip;

	if (!copy(&a, WGPEER_A_PUBLIC_KEY, sizeof(p.key), p.key))
		return;
	/* What goes on does not say this again. */
	if (copy(&a, WGPEER_A_TX_BYTES, sizeof(p.sent_bytes), &p.sent_bytes)) {
		copy(&a, WGPEER_A_RX_BYTES, sizeof(p.received_bytes), &p.received_bytes);
		copy(&a, WGPEER_A_PRESHARED_KEY, sizeof(p.preshared), p.preshared);
		copy(&a, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, sizeof(p.keepalive_s),
		     &p.keepalive_s);
		copy(&a, WGPEER_A_LAST_HANDSHAKE_TIME, sizeof(handshake), &handshake);
		p.handshake_s = handshake.tv_sec;
		read_endpoint(&a, &p);
		if (v->peer)
			v->peer(arg, &p);
		explicit_bzero(p.preshared, sizeof(p.preshared));
	}
	if (!ips || !v->allowed_ip)
		return;
	nlattr_for_each_nested (ip, ips)
		read_allowed_ip(ip, p.key, v, arg);
}

void wireguard_decode(const struct nlmsghdr *hdr, const struct wireguard_visitor *v, void *arg)
{
	struct wireguard_interface i = { 0 };
	const struct nlattr *attr;
	struct attrs a = { 0 };

	if (nlmsg_size(hdr) < sizeof(struct genlmsghdr))
		return;
	nlattr_for_each (attr, hdr, sizeof(struct genlmsghdr))
		keep(&a, attr);
	/* Only the first message has what is the device's own; without a key it has none. */
	if (v->interface && copy(&a, WGDEVICE_A_LISTEN_PORT, sizeof(i.port), &i.port)) {
		copy(&a, WGDEVICE_A_PRIVATE_KEY, sizeof(i.private_key), i.private_key);
		copy(&a, WGDEVICE_A_FWMARK, sizeof(i.mark), &i.mark);
		v->interface(arg, &i);
		explicit_bzero(&i, sizeof(i));
	}
	if (!a.by_type[WGDEVICE_A_PEERS])
		return;
	nlattr_for_each_nested (attr, a.by_type[WGDEVICE_A_PEERS])
		read_peer(attr, v, arg);
}
