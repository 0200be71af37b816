/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers of a WireGuard device: which host has which key, and where it is. What all peers have alike,
 * preshared key and keepalive, is the device's (kernel/device_wireguard.h), so no secret is in an
 * object.
 *
 * A peer's place in a table is the first half of its public key. Nobody finds two keys for two private
 * ones that have it alike; who merely says to have such a key is taken for having the same.
 *
 * The kernel learns where a peer really is from the packets that it authenticates. As long as keys
 * agreed on there are good, that is what counts; later the lease's word is as good.
 */
#include <errno.h>

#include "kernel/device_wireguard.h"
#include "kernel/kinds.h"
#include "lib/base64.h"
#include "lib/clock.h"

#define HALF (KERNEL_PUBLIC_KEY_SIZE / 2)

struct kernel_object kernel_wireguard_peer(uint32_t ifindex,
					   const uint8_t key[static KERNEL_PUBLIC_KEY_SIZE],
					   const struct ip_addr *address, uint16_t port)
{
	struct kernel_object o = { .key = { .kind = KERNEL_WIREGUARD_PEER, .ifindex = ifindex } };

	memcpy(o.key.dst, key, HALF);
	memcpy(o.value.wireguard.second, key + HALF, HALF);
	memcpy(o.value.wireguard.address, address->b, sizeof(o.value.wireguard.address));
	o.value.wireguard.family = address->family;
	o.value.wireguard.port = address->family ? port : 0;
	return o;
}

void kernel_wireguard_peer_key(const struct kernel_object *o,
			       uint8_t ret[static KERNEL_PUBLIC_KEY_SIZE])
{
	memcpy(ret, o->key.dst, HALF);
	memcpy(ret + HALF, o->value.wireguard.second, HALF);
}

static bool owns(const struct kernel_marks *marks, const struct kernel_object *o)
{
	return kernel_marks_device(marks, o->key.ifindex);
}

/* ---- reading ---- */

struct reader {
	const struct device_wireguard *spec;
	uint32_t ifindex;
	int64_t now_s;
	struct kernel_objects *found;
};

static bool is_alive(const struct reader *r, const struct wireguard_peer *p)
{
	return p->handshake_s && p->handshake_s <= r->now_s + WIREGUARD_SESSION_S &&
	       p->handshake_s >= r->now_s - WIREGUARD_SESSION_S;
}

static void on_peer(void *arg, const struct wireguard_peer *p)
{
	const struct reader *r = arg;
	struct kernel_object o = kernel_wireguard_peer(r->ifindex, p->key, &p->address, p->port);

	if (is_alive(r, p))
		o.value.wireguard.state |= KERNEL_WIREGUARD_ALIVE;
	if (p->keepalive_s != r->spec->keepalive_s ||
	    memcmp(p->preshared, r->spec->preshared, sizeof(p->preshared)) != 0)
		o.value.wireguard.state |= KERNEL_WIREGUARD_OTHER;
	GROW(r->found->items, r->found->len, r->found->cap);
	r->found->items[r->found->len++] = o;
}

static void forget(void *arg)
{
	const struct reader *r = arg;

	r->found->len = r->found->before;
}

static int dump(struct kernel *k, struct kernel_objects *found, struct err *e)
{
	static const struct wireguard_visitor visitor = { .peer = on_peer, .forget = forget };
	int rc = 0;

	for (size_t i = 0; i < k->marks.ifindexes_len && rc == 0; i++) {
		uint32_t ifindex = k->marks.ifindexes[i];
		struct reader r = { device_wireguard_spec(&k->marks, ifindex), ifindex,
				    clock_wall_ms() / 1000, found };

		if (!r.spec || !ifindex)
			continue;
		found->before = found->len;
		rc = wireguard_read(k, ifindex, &visitor, &r, e);
		/* The device vanished between two steps. */
		if (rc == -ENODEV)
			rc = 0;
	}
	return rc;
}

static bool will_do(const struct kernel_object *wanted, const struct kernel_object *found)
{
	struct kernel_object like = *found;

	like.value.wireguard.state &= (uint8_t)~KERNEL_WIREGUARD_ALIVE;
	if (found->value.wireguard.state & KERNEL_WIREGUARD_ALIVE) {
		like.value.wireguard.family = wanted->value.wireguard.family;
		like.value.wireguard.port = wanted->value.wireguard.port;
		memcpy(like.value.wireguard.address, wanted->value.wireguard.address,
		       sizeof(like.value.wireguard.address));
	}
	return kernel_value_equal(wanted, &like);
}

/* ---- writing ---- */

static void write_peer(struct kernel_batch *b, enum kernel_verb verb, const struct kernel_object *o,
		       void *cookie)
{
	const struct device_wireguard *spec =
		device_wireguard_spec(kernel_batch_marks(b), o->key.ifindex);
	struct wireguard_change change = {
		.verb = verb == KERNEL_DROP ? WIREGUARD_DROP_PEER : WIREGUARD_PUT_PEER,
		.ifindex = o->key.ifindex,
		.peer = { .port = o->value.wireguard.port },
	};

	kernel_wireguard_peer_key(o, change.peer.key);
	if (o->value.wireguard.family)
		change.peer.address =
			ip_addr_from_bytes(o->value.wireguard.family, o->value.wireguard.address);
	if (spec) {
		change.peer.keepalive_s = spec->keepalive_s;
		memcpy(change.peer.preshared, spec->preshared, sizeof(spec->preshared));
	}
	kernel_batch_wireguard(b, &change, cookie);
	explicit_bzero(change.peer.preshared, sizeof(change.peer.preshared));
}

static void describe(const struct kernel_object *o, char *buf, size_t size)
{
	uint8_t key[KERNEL_PUBLIC_KEY_SIZE];
	auto_free char *text = NULL;
	char address[IP_ADDR_TEXT] = "nowhere";
	struct ip_addr a;

	kernel_wireguard_peer_key(o, key);
	text = base64_encode(key, sizeof(key));
	if (o->value.wireguard.family) {
		a = ip_addr_from_bytes(o->value.wireguard.family, o->value.wireguard.address);
		ip_addr_format(&a, address);
	}
	snprintf(buf, size, "WireGuard peer %s at %s port %u dev %u%s", text, address,
		 o->value.wireguard.port, o->key.ifindex,
		 o->value.wireguard.state & KERNEL_WIREGUARD_OTHER
			 ? ", with another preshared key or keepalive"
			 : "");
}

extern const struct kernel_kind kernel_kind_wireguard_peer;
const struct kernel_kind kernel_kind_wireguard_peer = {
	.name = "wireguard-peer",
	.owns = owns,
	.dump = dump,
	.write = write_peer,
	.will_do = will_do,
	.describe = describe,
};
