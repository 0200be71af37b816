/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dockerd asks of a network and address driver (libnetwork's remote drivers): one call, parsed
 * and checked. Pure.
 *
 * Calls are named as in their path, "IpamDriver.RequestAddress"; those whose answer is always the same
 * are answered by the daemon (flanneld/docker.c) and are not here. Source: libnetwork/docs/remote.md and
 * docs/ipam.md of the moby repository; what dockerd 20.10, 26 and 28 send.
 */
#ifndef CNI_PLUGIN_DOCKER_CALL_H
#define CNI_PLUGIN_DOCKER_CALL_H

#include "cni-plugin/ports.h"
#include "lib/json.h"

#define DOCKER_CALL_SIZE_MAX ((size_t)1 << 18) /* bytes of one call's body */
#define DOCKER_ID_SIZE_MAX   128               /* bytes of a network's or an endpoint's id */
#define DOCKER_POOLS_MAX     8                 /* subnets of one network, of each family */
#define DOCKER_ADDRESS_SPACE "flannel"

enum docker_method {
	DOCKER_REQUEST_POOL,
	DOCKER_REQUEST_ADDRESS,
	DOCKER_RELEASE_ADDRESS,
	DOCKER_CREATE_NETWORK,
	DOCKER_CREATE_ENDPOINT,
	DOCKER_DELETE_ENDPOINT,
	DOCKER_JOIN,
	DOCKER_PUBLISH, /* ProgramExternalConnectivity */
	DOCKER_REVOKE,  /* RevokeExternalConnectivity */
};

/* A subnet of a network that is to be made. */
struct docker_pool {
	const char *address_space; /* borrowed; "" if not said */
	struct ip_net net;
};

/* Fields that a call does not have are zero. Texts are borrowed from `json`. */
struct docker_call {
	enum docker_method method;
	json_t *json;
	/* addresses */
	struct ip_net pool;     /* the subnet that is asked for, or that the address is of */
	struct ip_addr address; /* that is wanted, or given back */
	struct mac_addr mac;    /* of the endpoint; zero: not said */
	bool v6;
	bool is_gateway; /* the address is to be the gateway's */
	/* networks */
	struct docker_pool pools[2 * DOCKER_POOLS_MAX];
	size_t pools_len;
	bool internal;
	const char *option; /* the first that the user has given; NULL */
	/* endpoints */
	const char *endpoint_id;
	struct ip_net addresses[2];
	size_t addresses_len;
	struct ports ports; /* to be published; docker_call_fini frees what nobody has taken */
};

/* -ENOENT: there is no such call, or the daemon answers it. */
int docker_method_parse(const char *name, enum docker_method *ret) MUST_CHECK;

/*
 * Parses `size` bytes of the call's body. -EINVAL with a sentence that names key and value.
 * docker_call_fini frees.
 */
int docker_call_parse(enum docker_method method, const char *text, size_t size,
		      struct docker_call *ret, struct err *e) MUST_CHECK;
void docker_call_fini(struct docker_call *c);

static inline void docker_call_fini_ref(struct docker_call *c)
{
	docker_call_fini(c);
}
#define auto_docker_call __attribute__((cleanup(docker_call_fini_ref)))

#endif
