/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BACKENDS_IPIP_H
#define BACKENDS_IPIP_H

#include "backends/backend.h"
#include "kernel/device_ipip.h"

/* IPv4 in IPv4, one device; no data in the lease. */
extern const struct backend_type backend_ipip;

/*
 * What backends/udp.c has in common with it: all but keys, names and words. The members of struct
 * backend_type.
 */
struct ipip {
	struct backend base;
	/* Set by who creates it. */
	const char *device_name;
	uint32_t overhead_bytes;
	bool direct_routing;
	struct device_ipip spec; /* local is set_host's */
	/* ipip.c's. */
	struct ip_net network;
	struct backend_host host;
	uint32_t ifindex;
	struct backend_device device;
};

static inline struct ipip *ipip_of(const struct backend *b)
{
	return (struct ipip *)b;
}

/* Zero but for type and network; an error if the network is not one of IPv4 alone. */
int ipip_new(const struct backend_type *type, const struct network_config *config,
	     struct ipip **ret, struct err *e) MUST_CHECK;
void ipip_free(struct backend *b);
uint32_t ipip_pod_mtu(const struct backend *b);
int ipip_set_host(struct backend *b, const struct backend_host *host, struct err *e);
int ipip_publish(const struct backend *b, struct lease *own, struct err *e);
size_t ipip_devices(const struct backend *b, const struct backend_device **ret);
void ipip_device_is(struct backend *b, size_t device, uint32_t ifindex, const struct mac_addr *mac);
void ipip_want_own(const struct backend *b, const struct subnet *own, struct wants *ret);
int ipip_want_peer(const struct backend *b, const struct lease *peer, const void *data,
		   const struct backend_path paths[static 2], struct wants *ret, struct err *e);

#endif
