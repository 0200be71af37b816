/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipsec: ESP tunnels between hosts. Keys are agreed on by strongSwan's charon (backends/ipsec_charon.c);
 * which packets go through them is said here:
 *
 *   out  10.5.1.0/24 -> 10.5.3.0/24   tunnel 192.0.2.1 -> 192.0.2.3
 *   in   10.5.3.0/24 -> 10.5.1.0/24   tunnel 192.0.2.3 -> 192.0.2.1
 *   fwd  the same as in, for what goes on to containers
 *   10.5.3.0/24 dev eth0              so that what finds no policy goes to no router in plain text
 *
 * There is no device: what is inside is taken by policies before it reaches the neighbour. Without a policy
 * for forwarding, gateways reach each other and containers do not. Names and numbers are flannel's.
 */
#include "backends/ipsec_internal.h"

#include <errno.h>
#include <string.h>

#include "kernel/marks.h"

#define PRESHARED_MIN    96 /* flannel's */
#define PRESHARED_MAX    1024
#define PROPOSAL         "aes128gcm16-sha256-prfsha256-ecp256"
#define PROPOSAL_MAX     200
#define OVERHEAD         77 /* the most that ESP in a tunnel adds, as flannel reckons */
#define OVERHEAD_UDP     8
#define INSIDE_MIN_BYTES 576

static struct ipsec *ipsec_of(const struct backend *b)
{
	return (struct ipsec *)b;
}

/* ---- configuration ---- */

struct ipsec *ipsec_new(void)
{
	struct ipsec *x = xcalloc(1, sizeof(*x));

	x->base.type = &backend_ipsec;
	return x;
}

void ipsec_free(struct ipsec *x)
{
	if (x->preshared)
		explicit_bzero(x->preshared, strlen(x->preshared));
	free(x->preshared);
	free(x->proposal);
	free(x);
}

/* What it is never stands in an error. */
static int read_preshared(const json_t *backend, char **ret, struct err *e)
{
	const char *text = NULL;
	size_t size;

	if (json_read_string(backend, "PSK", &text, NULL) < 0)
		return err_set(e, -EINVAL, "PSK must be a string");
	size = text ? strlen(text) : 0;
	if (size < PRESHARED_MIN || size > PRESHARED_MAX)
		return err_set(e, -EINVAL, "PSK has %zu characters, must have from %d to %d", size,
			       PRESHARED_MIN, PRESHARED_MAX);
	*ret = xstrdup(text);
	return 0;
}

static int read_proposal(const json_t *backend, char **ret, struct err *e)
{
	const char *text = PROPOSAL;
	size_t size;

	if (json_read_string(backend, "ESPProposal", &text, e) < 0)
		return e->code;
	size = strlen(text);
	if (size == 0 || size > PROPOSAL_MAX ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") != size)
		return err_set(
			e, -EINVAL,
			"ESPProposal is \"%.60s\", must be names of algorithms with - between, "
			"as in " PROPOSAL,
			text);
	*ret = xstrdup(text);
	return 0;
}

static int ipsec_create(const struct network_config *config, struct backend **ret, struct err *e)
{
	struct ipsec *x;

	if (!config->v4.enabled || config->v6.enabled)
		return err_set(
			e, -EINVAL,
			"ipsec carries IPv4 only: EnableIPv4 must be true, EnableIPv6 false");
	x = ipsec_new();
	x->network = config->v4.network;
	if (read_preshared(config->backend, &x->preshared, e) < 0 ||
	    read_proposal(config->backend, &x->proposal, e) < 0 ||
	    json_read_bool(config->backend, "UDPEncap", &x->encapsulate, e) < 0) {
		ipsec_free(x);
		return e->code;
	}
	*ret = &x->base;
	return 0;
}

static void ipsec_type_free(struct backend *b)
{
	ipsec_free(ipsec_of(b));
}

static uint32_t overhead(const struct ipsec *x)
{
	return OVERHEAD + (x->encapsulate ? OVERHEAD_UDP : 0);
}

static uint32_t ipsec_pod_mtu(const struct backend *b)
{
	return ipsec_of(b)->host.lower[0].mtu_bytes - overhead(ipsec_of(b));
}

static int ipsec_set_host(struct backend *b, const struct backend_host *host, struct err *e)
{
	struct ipsec *x = ipsec_of(b);
	bool moved = !ip_addr_equal(&x->host.local_v4, &host->local_v4) ||
		     !ip_addr_equal(&x->host.public_v4, &host->public_v4);

	if (host->lower[0].mtu_bytes < INSIDE_MIN_BYTES + overhead(x))
		return err_set(e, -EMSGSIZE,
			       "the interface's MTU is %u, must be %u at least for ipsec",
			       host->lower[0].mtu_bytes, INSIDE_MIN_BYTES + overhead(x));
	x->host = *host;
	x->host.node_id = NULL;
	x->host.secret = NULL;
	if (moved)
		ipsec_charon_moved(x->charon);
	return 0;
}

static int ipsec_publish(const struct backend *b, struct lease *own, struct err *e UNUSED)
{
	const struct backend_host *host = &ipsec_of(b)->host;

	own->backend_type = xstrdup(b->type->name);
	own->public_v4 = host->public_v4;
	if (!ip_addr_equal(&host->local_v4, &host->public_v4))
		own->source_v4 = host->local_v4;
	own->mtu_v4_bytes = backend_publish_mtu(host->lower[0].mtu_bytes);
	return 0;
}

/* ---- peers ---- */

static int ipsec_want_peer(const struct backend *b, const struct lease *peer,
			   const void *data UNUSED,
			   const struct backend_path paths[static 2] UNUSED, struct wants *ret,
			   struct err *e)
{
	static const enum kernel_xfrm_direction inward[] = { KERNEL_XFRM_IN, KERNEL_XFRM_FORWARD };
	const struct ipsec *x = ipsec_of(b);
	const struct ip_net *theirs = &peer->subnet.v4;
	struct kernel_object o;

	if (!ip_net_is_set(theirs))
		return err_set(e, -EINVAL, "has no IPv4 subnet, and ipsec carries IPv4 only");
	if (backend_check_public(peer, AF_INET, &x->network, &x->host, e) < 0)
		return e->code;
	if (!x->host.lower[0].ifindex || !ip_net_is_set(&x->own.v4))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(inward); i++) {
		o = kernel_xfrm_policy(inward[i], theirs, &x->own.v4, &peer->public_v4,
				       &x->host.local_v4);
		wants_add(ret, &o);
	}
	o = kernel_xfrm_policy(KERNEL_XFRM_OUT, &x->own.v4, theirs, &x->host.local_v4,
			       &peer->public_v4);
	wants_add(ret, &o);
	o = kernel_route(theirs, NULL, x->host.lower[0].ifindex, false, FABRIC_ROUTE_PROTOCOL);
	wants_add(ret, &o);
	return 0;
}

static void ipsec_describe(const struct backend *b, char *buf, size_t size)
{
	const struct ipsec *x = ipsec_of(b);

	snprintf(buf, size, "ipsec %s%s", x->proposal, x->encapsulate ? " in UDP" : "");
}

const struct backend_type backend_ipsec = {
	.name = "ipsec",
	.keys = "PSK UDPEncap ESPProposal",
	.live = &ipsec_live,
	.create = ipsec_create,
	.free = ipsec_type_free,
	.set_host = ipsec_set_host,
	.publish = ipsec_publish,
	.want_peer = ipsec_want_peer,
	.pod_mtu = ipsec_pod_mtu,
	.describe = ipsec_describe,
	.leftover = ipsec_leftover,
};
