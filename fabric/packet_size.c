/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large packets to a peer are: those of containers here, and what carries them in the underlay. Where the
 * route to a peer has an MTU of its own, because its underlay is smaller (Node.MTU), containers are
 * told so by this host's kernel, and send nothing larger.
 */
#include "fabric/fabric_internal.h"
#include "kernel/kinds.h"

void fabric_underlay_mtu(const struct fabric *f, uint16_t ret_bytes[static 2])
{
	struct lease *own = lease_new();

	/* What is not known yet is what the interface has. */
	if (fabric_publish(f, own, NULL) < 0)
		own->mtu_v4_bytes = own->mtu_v6_bytes = 0;
	ret_bytes[0] = own->mtu_v4_bytes ? own->mtu_v4_bytes
					 : backend_publish_mtu(f->external.places[0].mtu_bytes);
	ret_bytes[1] = own->mtu_v6_bytes ? own->mtu_v6_bytes
					 : backend_publish_mtu(f->external.places[1].mtu_bytes);
	lease_free(own);
}

/* The routes to one peer. */
struct way {
	bool found[2];
	uint16_t mtu_bytes[2]; /* 0: the device's */
	uint32_t ifindex[2];
};

static void find_route(void *arg, const struct kernel_object *o, bool settled UNUSED,
		       const char *error UNUSED)
{
	unsigned i = kernel_object_family(o) == AF_INET6;
	struct way *way = arg;

	if (kernel_kind_of(o) != kernel_kinds[KERNEL_ROUTE] || !o->value.ifindex)
		return;
	way->found[i] = true;
	way->mtu_bytes[i] = o->value.mtu_bytes;
	way->ifindex[i] = o->value.ifindex;
}

/* What the tunnel adds to packets of a family; 0: they do not go through it. */
static uint16_t overhead(const struct fabric *f, unsigned family, const struct way *way)
{
	for (size_t i = 0; i < f->devices_len; i++) {
		const struct backend_device *d = &f->devices[i];
		uint32_t inside_bytes = d->mtu_bytes ? d->mtu_bytes : fabric_pod_mtu(f);

		if (!(d->families & 1u << family) ||
		    (way->found[family] && way->ifindex[family] != f->ifindexes[i]))
			continue;
		return f->probing.mtu_bytes[family] > inside_bytes
			       ? (uint16_t)(f->probing.mtu_bytes[family] - inside_bytes)
			       : 0;
	}
	return 0;
}

void fabric_packet_sizes(const struct fabric *f, const struct peer *p,
			 struct reach_size ret[static 2][REACH_LAYERS])
{
	const struct lease *l = p->member->lease;
	const uint16_t theirs[] = { l->mtu_v4_bytes, l->mtu_v6_bytes };
	struct way way = { 0 };

	reconcile_owner_visit(f->reconcile, &p->owner, find_route, &way);
	for (unsigned i = 0; i < ARRAY_LEN(theirs); i++) {
		uint16_t underlay_bytes = f->probing.mtu_bytes[i];
		uint16_t pod_bytes = backend_publish_mtu(fabric_pod_mtu(f));

		if (theirs[i])
			underlay_bytes = MIN(underlay_bytes, theirs[i]);
		if (way.mtu_bytes[i])
			pod_bytes = MIN(pod_bytes, way.mtu_bytes[i]);
		ret[i][REACH_UNDERLAY] = (struct reach_size){ .bytes = underlay_bytes };
		ret[i][REACH_OVERLAY] =
			(struct reach_size){ .bytes = pod_bytes,
					     .overhead_bytes = overhead(f, i, &way) };
	}
}
