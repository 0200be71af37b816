/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allowed-ips of a WireGuard device: behind which peer a subnet is. Packets to it go to that peer, and
 * from nobody else are packets with such a source taken. Each stands for one peer in the kernel too:
 * given to another, it moves, and nothing is in between.
 */
#include <errno.h>

#include "kernel/device_wireguard.h"
#include "kernel/kinds.h"
#include "lib/base64.h"

struct kernel_object kernel_allowed_ip(uint32_t ifindex, const struct ip_net *net,
				       const uint8_t key[static KERNEL_PUBLIC_KEY_SIZE])
{
	struct kernel_object o = { .key = { .kind = KERNEL_ALLOWED_IP,
					    .family = net->addr.family,
					    .len = net->len,
					    .ifindex = ifindex },
				   .value = { .allowed_ip = { .unused = { 0 } } } };

	memcpy(o.key.dst, net->addr.b, sizeof(o.key.dst));
	memcpy(o.value.allowed_ip.key, key, KERNEL_PUBLIC_KEY_SIZE);
	return o;
}

static bool owns(const struct kernel_marks *marks, const struct kernel_object *o)
{
	return kernel_marks_device(marks, o->key.ifindex);
}

struct reader {
	uint32_t ifindex;
	struct kernel_objects *found;
};

static void on_allowed_ip(void *arg, const uint8_t key[static WIREGUARD_KEY_SIZE],
			  const struct ip_net *net)
{
	const struct reader *r = arg;

	GROW(r->found->items, r->found->len, r->found->cap);
	r->found->items[r->found->len++] = kernel_allowed_ip(r->ifindex, net, key);
}

static void forget(void *arg)
{
	const struct reader *r = arg;

	r->found->len = r->found->before;
}

static int dump(struct kernel *k, struct kernel_objects *found, struct err *e)
{
	static const struct wireguard_visitor visitor = { .allowed_ip = on_allowed_ip,
							  .forget = forget };
	int rc = 0;

	for (size_t i = 0; i < k->marks.ifindexes_len && rc == 0; i++) {
		struct reader r = { k->marks.ifindexes[i], found };

		if (!r.ifindex || !device_wireguard_spec(&k->marks, r.ifindex))
			continue;
		found->before = found->len;
		rc = wireguard_read(k, r.ifindex, &visitor, &r, e);
		if (rc == -ENODEV)
			rc = 0;
	}
	return rc;
}

static void write_allowed_ip(struct kernel_batch *b, enum kernel_verb verb,
			     const struct kernel_object *o, void *cookie)
{
	struct wireguard_change change = {
		.verb = verb == KERNEL_DROP ? WIREGUARD_DROP_ALLOWED_IP : WIREGUARD_PUT_ALLOWED_IP,
		.ifindex = o->key.ifindex,
		.net = { kernel_object_dst(o), o->key.len },
	};

	memcpy(change.peer.key, o->value.allowed_ip.key, sizeof(change.peer.key));
	kernel_batch_wireguard(b, &change, cookie);
}

static void describe(const struct kernel_object *o, char *buf, size_t size)
{
	auto_free char *text = base64_encode(o->value.allowed_ip.key, KERNEL_PUBLIC_KEY_SIZE);
	struct ip_net net = { kernel_object_dst(o), o->key.len };
	char net_text[IP_NET_TEXT];

	snprintf(buf, size, "allowed-ip %s of peer %s dev %u", ip_net_format(&net, net_text), text,
		 o->key.ifindex);
}

extern const struct kernel_kind kernel_kind_allowed_ip;
const struct kernel_kind kernel_kind_allowed_ip = {
	.name = "allowed-ip",
	.owns = owns,
	.dump = dump,
	.write = write_allowed_ip,
	.describe = describe,
};
