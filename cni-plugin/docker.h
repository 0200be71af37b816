/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker's containers on the fabric: what the daemon's driver for docker (flanneld/docker.h) has the
 * plugin do, so that there is one pool of addresses, and one kind of record, for all containers.
 *
 *     RequestAddress    an address is reserved for a MAC, which docker has chosen by then
 *     CreateEndpoint    it becomes the endpoint's; record, rules, bridge, veth pair: as by ADD, but
 *                       that the container's end stays here
 *     Join              the name of that end, which dockerd moves into the container and configures
 *     Program-, RevokeExternalConnectivity    ports of the host lead to it, or no more
 *     DeleteEndpoint    rules and veth pair go
 *     ReleaseAddress    reservation and record go
 *
 * The record's network is MARK_DOCKER_NETWORK, its container is the endpoint's id: dockerd does not tell
 * which container that is. Every call may come again at any time, after a restart of either side too,
 * and says the same again. An address is never free while docker counts on it, nor while there is an
 * interface that has it: so a late ReleaseAddress takes nothing from the next who has the address.
 */
#ifndef CNI_PLUGIN_DOCKER_H
#define CNI_PLUGIN_DOCKER_H

#include "cni-plugin/config.h"
#include "cni-plugin/docker_call.h"
#include "cni-plugin/host.h"
#include "cni-plugin/pool.h"
#include "cni-plugin/record.h"

/* Where things are, and what is read of them when a call needs it. */
struct docker {
	const char *data_dir;
	const char *ipam_dir;
	const char *subnet_file;
	char *pool_dir;
	struct host host;
	/* docker_open_fabric */
	struct subnet_env fabric;
	struct netconf n;
	json_t *object;
	struct config config;
};

/*
 * `flannel docker CALL DATA-DIR IPAM-DIR SUBNET-FILE`: one call, its body on stdin, the answer on
 * stdout; an error as {"Err": "..."}, with exit status 1.
 */
int docker_command(int argc, char **argv);

/* What subnet.env says, as the configuration of an interface. CNI_TRY_AGAIN: there is none yet. */
int docker_open_fabric(struct docker *d, struct err *e) MUST_CHECK;
/* This host's subnet of that family; CNI_CONFIG if it is not `pool`, or if it has none. */
int docker_find_set(const struct docker *d, const struct ip_net *pool, size_t *ret,
		    struct err *e) MUST_CHECK;
/* The pool of addresses, locked, in view of what all other networks have reserved. */
int docker_open_pool(const struct docker *d, struct pool **ret, struct err *e) MUST_CHECK;

#define DOCKER_OWNER_SIZE 24
/* Who has an address between RequestAddress and CreateEndpoint; the text is in `buf`. */
struct pool_owner docker_pending_owner(const struct mac_addr *mac,
				       char buf[static DOCKER_OWNER_SIZE]);
/* What the container's end is called until dockerd renames it; the same for the same endpoint. */
void docker_interface_name(const char *endpoint_id, char ret[static IFNAMSIZ]);

/* The calls, in docker_ipam.c and docker_endpoint.c; *ret is the answer, the caller's. */
int docker_request_pool(struct docker *d, const struct docker_call *c, json_t **ret,
			struct err *e) MUST_CHECK;
int docker_request_address(struct docker *d, const struct docker_call *c, json_t **ret,
			   struct err *e) MUST_CHECK;
int docker_release_address(struct docker *d, const struct docker_call *c, json_t **ret,
			   struct err *e) MUST_CHECK;
int docker_create_network(struct docker *d, const struct docker_call *c, json_t **ret,
			  struct err *e) MUST_CHECK;
int docker_create_endpoint(struct docker *d, const struct docker_call *c, json_t **ret,
			   struct err *e) MUST_CHECK;
int docker_delete_endpoint(struct docker *d, const struct docker_call *c, json_t **ret,
			   struct err *e) MUST_CHECK;
int docker_join(struct docker *d, const struct docker_call *c, json_t **ret,
		struct err *e) MUST_CHECK;
int docker_publish(struct docker *d, const struct docker_call *c, json_t **ret,
		   struct err *e) MUST_CHECK;
int docker_revoke(struct docker *d, const struct docker_call *c, json_t **ret,
		  struct err *e) MUST_CHECK;

#endif
