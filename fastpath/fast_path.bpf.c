/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The fast path: two programs at tc that hand a packet on where it would arrive anyway, past bridge, routing
 * and packet filter.
 *
 *   from_container   ingress of our end of a container's link: into the tunnel's device, or to another
 *                    container of this host
 *   from_tunnel      ingress of the tunnel's device: to a container of this host
 *
 * Neither decides anything that the kernel decides: routes, policy rules, neighbours, MTU and forwarding are
 * asked of it for each packet (bpf_fib_lookup), and so is whether it tracks the connection. A packet about
 * which there is any doubt goes the ordinary way, which is always right: TCX_NEXT leaves it to whoever comes
 * next on the hook. What a packet looks like at the end is what it would look like had it gone there.
 *
 * Compiled by clang for the kernel's machine, found in flanneld, loaded by fastpath/object.c. Source:
 * linux/bpf.h, bpf-helpers(7), Documentation/bpf/kfuncs.rst; for forwarding net/ipv4/ip_forward.c and
 * net/ipv6/ip6_output.c.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fastpath/maps.h"

#define TCX_NEXT           (-1)
#define AF_INET            2
#define AF_INET6           10
#define IP_DF              0x4000
#define GSO_BY_FRAGS       0xffff
#define DHCP_SERVER        67
#define DHCPV6_SERVER      547
#define IPS_NAT_MASK       0x30 /* linux/netfilter/nf_conntrack_common.h: SRC_NAT, DST_NAT */
#define HEADERS_MAX        (ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct tcphdr))
#define FIB_SKIP_NEIGHBOUR (1U << 2) /* BPF_FIB_LOOKUP_SKIP_NEIGH */

/* ---- what is shared with the daemon ---- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fast_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FAST_CONTAINERS_MAX);
	__type(key, struct fast_address);
	__type(value, struct fast_container);
} containers SEC(".maps");

/* Which devices of `containers` are there: the kernel itself takes one out when it is deleted, also while
 * no daemon runs. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, FAST_CONTAINERS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FAST_OUTCOMES_LEN);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FAST_METERED_MAX);
	__type(key, struct fast_metered);
	__type(value, struct fast_count);
} metered SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FAST_CONTAINERS_MAX);
	__type(key, __u32);
	__type(value, struct fast_count);
} delivered SEC(".maps");

/* ---- connection tracking ---- */

struct nf_conn {
	unsigned long status;
} __attribute__((preserve_access_index));

struct ct_options {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple,
					 __u32 tuple__sz, struct ct_options *options,
					 __u32 options__sz) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;

/* ---- packets ---- */

struct packet {
	struct fast_address source;
	struct fast_address destination;
	__u16 sport; /* network order */
	__u16 dport;
	__u32 size_bytes; /* of the largest IP packet that it is on the wire */
	__u8 family;
	__u8 protocol;
	__u8 hops;
	__u8 tos;
};

#define ALWAYS static __attribute__((always_inline)) inline

ALWAYS int end(enum fast_outcome outcome, int verdict)
{
	__u32 key = outcome;
	__u64 *count = bpf_map_lookup_elem(&outcomes, &key);

	if (count)
		(*count)++;
	return verdict;
}

/* What does not fit in is not counted. */
ALWAYS void count(void *map, const void *key, const struct __sk_buff *skb)
{
	struct fast_count one = { 1, skb->len - ETH_HLEN };
	struct fast_count *sum = bpf_map_lookup_elem(map, key);

	if (!sum) {
		bpf_map_update_elem(map, key, &one, BPF_NOEXIST);
		return;
	}
	sum->packets += one.packets;
	sum->bytes += one.bytes;
}

ALWAYS void count_peer(const struct fast_address *address, __u32 sent, const struct __sk_buff *skb)
{
	struct fast_metered key = { .address = *address, .sent = sent };

	count(&metered, &key, skb);
}

ALWAYS void map_v4(__u32 addr, struct fast_address *ret)
{
	ret->words[0] = ret->words[1] = 0;
	ret->words[2] = bpf_htonl(0xffff);
	ret->words[3] = addr;
}

/* False: the kernel would drop it, or handles it in more than one way. */
ALWAYS int read_v4(const struct iphdr *ip, __u32 ip_size, struct packet *p)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;

	if (ip->version != 4 || ip->ihl != 5 || ip->frag_off & ~bpf_htons(IP_DF) ||
	    bpf_ntohs(ip->tot_len) != ip_size)
		return 0;
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	if (sum != 0xffff)
		return 0;
	map_v4(ip->saddr, &p->source);
	map_v4(ip->daddr, &p->destination);
	p->family = AF_INET;
	p->protocol = ip->protocol;
	p->hops = ip->ttl;
	p->tos = ip->tos;
	return 1;
}

ALWAYS int read_v6(const struct ipv6hdr *ip, __u32 ip_size, struct packet *p)
{
	if (ip->version != 6 || bpf_ntohs(ip->payload_len) + sizeof(*ip) != ip_size)
		return 0;
	__builtin_memcpy(&p->source, &ip->saddr, sizeof(p->source));
	__builtin_memcpy(&p->destination, &ip->daddr, sizeof(p->destination));
	p->family = AF_INET6;
	p->protocol = ip->nexthdr;
	p->hops = ip->hop_limit;
	p->tos = 0;
	return 1;
}

/*
 * Reads what is to be known of a packet. Returns FAST_OUT if it may be shortened as far as its own form
 * goes, else why not.
 */
ALWAYS enum fast_outcome read_packet(struct __sk_buff *skb, struct packet *p)
{
	void *data;
	void *data_end;
	void *l4;
	__u32 l3_size;
	__u32 l4_size;

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return FAST_PROTOCOL;
	if (skb->vlan_present)
		return FAST_FORM;
	/* What a network card left elsewhere is brought here. */
	if (skb->data + HEADERS_MAX > skb->data_end &&
	    bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX) < 0)
		return FAST_FORM;
	data = (void *)(long)skb->data;
	data_end = (void *)(long)skb->data_end;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		const struct iphdr *ip = data + ETH_HLEN;

		l3_size = sizeof(*ip);
		l4 = data + ETH_HLEN + sizeof(*ip);
		if (l4 + sizeof(struct udphdr) > data_end || !read_v4(ip, skb->len - ETH_HLEN, p))
			return FAST_FORM;
	} else {
		const struct ipv6hdr *ip = data + ETH_HLEN;

		l3_size = sizeof(*ip);
		l4 = data + ETH_HLEN + sizeof(*ip);
		if (l4 + sizeof(struct udphdr) > data_end || !read_v6(ip, skb->len - ETH_HLEN, p))
			return FAST_FORM;
	}
	if (p->protocol == IPPROTO_UDP) {
		const struct udphdr *udp = l4;

		p->sport = udp->source;
		p->dport = udp->dest;
		l4_size = sizeof(*udp);
	} else if (p->protocol == IPPROTO_TCP) {
		const struct tcphdr *tcp = l4;

		if (l4 + sizeof(*tcp) > data_end)
			return FAST_FORM;
		p->sport = tcp->source;
		p->dport = tcp->dest;
		l4_size = tcp->doff * 4;
	} else {
		/* What follows an extension header may be a fragment. */
		return p->family == AF_INET6 ? FAST_FORM : FAST_PROTOCOL;
	}
	p->size_bytes = skb->len - ETH_HLEN;
	if (skb->gso_size == GSO_BY_FRAGS)
		return FAST_FORM;
	if (skb->gso_size)
		p->size_bytes = l3_size + l4_size + skb->gso_size;
	return FAST_OUT;
}

/* The guards of this host drop these, from or to whomever: they are shown to them. */
ALWAYS int is_reserved(const struct packet *p, const struct fast_settings *set)
{
	return p->protocol == IPPROTO_UDP &&
	       (p->dport == (__u16)set->port || p->sport == bpf_htons(DHCP_SERVER) ||
		p->sport == bpf_htons(DHCPV6_SERVER));
}

/*
 * Whether the kernel tracks the connection in a way that the packet must be seen for: one that it translates,
 * and one of TCP, of which it knows what may come next.
 */
ALWAYS int is_tracked(struct __sk_buff *skb, const struct packet *p)
{
	struct ct_options options = { .netns_id = -1, .l4proto = p->protocol };
	struct bpf_sock_tuple tuple = { 0 };
	struct nf_conn *ct;
	int tracked;

	if (p->family == AF_INET) {
		tuple.ipv4.saddr = p->source.words[3];
		tuple.ipv4.daddr = p->destination.words[3];
		tuple.ipv4.sport = p->sport;
		tuple.ipv4.dport = p->dport;
		ct = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &p->source, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &p->destination, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = p->sport;
		tuple.ipv6.dport = p->dport;
		ct = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv6), &options, sizeof(options));
	}
	if (!ct)
		return 0;
	tracked = p->protocol == IPPROTO_TCP || (ct->status & IPS_NAT_MASK) != 0;
	bpf_ct_release(ct);
	return tracked;
}

/* ---- the kernel's routes ---- */

/* Where the kernel would send the packet that came in by this device. 0, or why it would not. */
ALWAYS enum fast_outcome route_packet(struct __sk_buff *skb, const struct packet *p, __u32 ifindex,
				      struct bpf_fib_lookup *fib)
{
	long rc;

	__builtin_memset(fib, 0, sizeof(*fib));
	fib->family = p->family;
	fib->l4_protocol = p->protocol;
	fib->sport = p->sport;
	fib->dport = p->dport;
	fib->tot_len = (__u16)p->size_bytes;
	fib->ifindex = ifindex;
	if (p->family == AF_INET) {
		fib->tos = p->tos;
		fib->ipv4_src = p->source.words[3];
		fib->ipv4_dst = p->destination.words[3];
	} else {
		__builtin_memcpy(fib->ipv6_src, &p->source, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, &p->destination, sizeof(fib->ipv6_dst));
	}
	rc = bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
	if (rc == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return FAST_SIZE;
	return rc == BPF_FIB_LKUP_RET_SUCCESS ? FAST_OUT : FAST_ROUTE;
}

/* Whether the way back to the packet's source leads through this device. */
ALWAYS int comes_from(struct __sk_buff *skb, const struct packet *p, __u32 in, __u32 back_from)
{
	struct bpf_fib_lookup fib = { .family = p->family, .ifindex = back_from };
	long rc;

	if (p->family == AF_INET) {
		fib.ipv4_src = p->destination.words[3];
		fib.ipv4_dst = p->source.words[3];
	} else {
		__builtin_memcpy(fib.ipv6_src, &p->destination, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, &p->source, sizeof(fib.ipv6_dst));
	}
	rc = bpf_fib_lookup(skb, &fib, sizeof(fib), FIB_SKIP_NEIGHBOUR);
	return rc == BPF_FIB_LKUP_RET_SUCCESS && fib.ifindex == in;
}

ALWAYS int is_same_mac(const __u8 *a, const __u8 *b)
{
	return *(const __u16 *)a == *(const __u16 *)b &&
	       *(const __u16 *)(a + 2) == *(const __u16 *)(b + 2) &&
	       *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

/* linux/pkt_sched.h: what forwarding makes of TOS, of which two bits count: 0, 2, 6, 4. */
ALWAYS __u32 priority_of(__u8 tos)
{
	return 0x4620U >> (tos >> 1 & 0xc) & 0xf;
}

/* One hop on, as forwarding does it. False: the packet is as it was. */
ALWAYS int step(struct __sk_buff *skb, const struct packet *p, const struct bpf_fib_lookup *fib)
{
	struct ethhdr *eth;
	struct iphdr *ip;
	__u32 sum;

	/* The sum over an IPv6 packet that a card has counted is kept by this; IPv4's does not change. */
	if (p->family == AF_INET6) {
		__u8 hops = p->hops - 1;

		if (bpf_skb_store_bytes(skb, ETH_HLEN + 7, &hops, 1, BPF_F_RECOMPUTE_CSUM) < 0)
			return 0;
	}
	eth = (void *)(long)skb->data;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return 0;
	__builtin_memcpy(eth->h_dest, fib->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib->smac, ETH_ALEN);
	if (p->family == AF_INET) {
		sum = ip->check + bpf_htons(0x0100);
		ip->check = (__u16)(sum + (sum >= 0xffff));
		ip->ttl--;
		skb->priority = priority_of(p->tos);
	}
	return 1;
}

/* ---- the programs ---- */

SEC("tc")
int from_container(struct __sk_buff *skb)
{
	__u32 zero = 0;
	const struct fast_settings *set = bpf_map_lookup_elem(&settings, &zero);
	const struct fast_container *from;
	const struct fast_container *to;
	struct bpf_fib_lookup fib;
	enum fast_outcome outcome;
	struct packet p;
	struct ethhdr *eth;

	if (!set || !set->on)
		return end(FAST_OFF, TCX_NEXT);
	outcome = read_packet(skb, &p);
	if (outcome != FAST_OUT)
		return end(outcome, TCX_NEXT);
	if (is_reserved(&p, set))
		return end(FAST_PROTOCOL, TCX_NEXT);
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return end(FAST_FORM, TCX_NEXT);
	from = bpf_map_lookup_elem(&containers, &p.source);
	if (!from || from->ifindex != skb->ifindex || !is_same_mac(eth->h_source, from->mac))
		return end(FAST_SOURCE, TCX_NEXT);
	to = bpf_map_lookup_elem(&containers, &p.destination);
	if (to) {
		/* A bridge hands on what is sent to the container itself, as it is. */
		if (to->segment != from->segment || to->ifindex == from->ifindex ||
		    !is_same_mac(eth->h_dest, to->mac) ||
		    !bpf_map_lookup_elem(&devices, &to->ifindex))
			return end(FAST_DESTINATION, TCX_NEXT);
		if (p.size_bytes > to->mtu_bytes)
			return end(FAST_SIZE, TCX_NEXT);
		if (is_tracked(skb, &p))
			return end(FAST_CONNTRACK, TCX_NEXT);
		bpf_skb_change_type(skb, PACKET_HOST);
		if (set->counts)
			count(&delivered, &to->ifindex, skb);
		return end(FAST_LOCAL, bpf_redirect_peer(to->ifindex, 0));
	}
	if (!is_same_mac(eth->h_dest, from->gateway))
		return end(FAST_DESTINATION, TCX_NEXT);
	if (p.hops <= 1)
		return end(FAST_TTL, TCX_NEXT);
	outcome = route_packet(skb, &p, from->segment, &fib);
	if (outcome != FAST_OUT)
		return end(outcome, TCX_NEXT);
	if (fib.ifindex != set->tunnels[0] && fib.ifindex != set->tunnels[1])
		return end(FAST_ROUTE, TCX_NEXT);
	if (is_tracked(skb, &p))
		return end(FAST_CONNTRACK, TCX_NEXT);
	if (!step(skb, &p, &fib))
		return end(FAST_FORM, TCX_NEXT);
	bpf_skb_change_type(skb, PACKET_HOST);
	if (set->counts)
		count_peer(&p.destination, 1, skb);
	return end(FAST_OUT, bpf_redirect(fib.ifindex, 0));
}

SEC("tc")
int from_tunnel(struct __sk_buff *skb)
{
	__u32 zero = 0;
	const struct fast_settings *set = bpf_map_lookup_elem(&settings, &zero);
	const struct fast_container *to;
	struct bpf_fib_lookup fib;
	enum fast_outcome outcome;
	struct packet p;

	if (!set || !set->on)
		return end(FAST_OFF, TCX_NEXT);
	/* Not in a frame to this host alone. */
	if (skb->pkt_type != PACKET_HOST)
		return end(FAST_FORM, TCX_NEXT);
	outcome = read_packet(skb, &p);
	if (outcome != FAST_OUT)
		return end(outcome, TCX_NEXT);
	if (is_reserved(&p, set))
		return end(FAST_PROTOCOL, TCX_NEXT);
	if (p.hops <= 1)
		return end(FAST_TTL, TCX_NEXT);
	to = bpf_map_lookup_elem(&containers, &p.destination);
	if (!to || !bpf_map_lookup_elem(&devices, &to->ifindex))
		return end(FAST_DESTINATION, TCX_NEXT);
	if (p.size_bytes > to->mtu_bytes)
		return end(FAST_SIZE, TCX_NEXT);
	if (!comes_from(skb, &p, skb->ifindex, to->segment))
		return end(FAST_SOURCE, TCX_NEXT);
	outcome = route_packet(skb, &p, skb->ifindex, &fib);
	if (outcome != FAST_OUT)
		return end(outcome, TCX_NEXT);
	if (fib.ifindex != to->segment || !is_same_mac(fib.dmac, to->mac))
		return end(FAST_ROUTE, TCX_NEXT);
	if (is_tracked(skb, &p))
		return end(FAST_CONNTRACK, TCX_NEXT);
	if (!step(skb, &p, &fib))
		return end(FAST_FORM, TCX_NEXT);
	skb->mark = 0;
	if (set->counts) {
		count_peer(&p.source, 0, skb);
		count(&delivered, &to->ifindex, skb);
	}
	return end(FAST_IN, bpf_redirect_peer(to->ifindex, 0));
}

/* What the kernel offers is offered to programs under its licence. */
char _license[] SEC("license") = "GPL";
