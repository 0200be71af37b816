/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network configuration: the JSON document that every host of a fabric reads, usually
 * <prefix>/config in the store. Parsing applies flannel's rules: keys in any case, unknown ones
 * ignored, defaults derived from Network.
 *
 * What stands under Backend belongs to the backend of that type, which parses it
 * (backends/backend.h).
 */
#ifndef SUBNET_CONFIG_H
#define SUBNET_CONFIG_H

#include "lib/addr.h"
#include "lib/json.h"
#include "subnet/lease.h"

#define NETWORK_CONFIG_MAX_SIZE  (64 * 1024)
#define NETWORK_BACKEND_TYPE_MAX 32

/* One address family's share of the configuration. Meaningless unless enabled. */
struct network_family {
	bool enabled;
	struct ip_net network;
	uint8_t subnet_len; /* prefix length of every host's subnet */
	struct ip_addr
		subnet_min; /* first and last subnet that may be handed out, both inside network */
	struct ip_addr subnet_max;
};

struct network_config {
	struct network_family v4;
	struct network_family v6;
	bool enable_nftables;
	/* When Backend.Type becomes another: false, with each host's next start; true, a host that has a
	 * lease goes on with the type of that until half of the others have another. */
	bool change_with_majority;
	char backend_type[NETWORK_BACKEND_TYPE_MAX]; /* lower case; "" if there was no Backend */
	json_t *backend; /* the Backend object; an empty one if there was none */
};

/*
 * Parses and validates. Errors name the key, its value and what is allowed. The result is released
 * with network_config_fini. Source: reference behaviour of flannel's config.go, by observation.
 */
int network_config_parse(const char *text, size_t size, struct network_config *ret,
			 struct err *e) MUST_CHECK;
void network_config_fini(struct network_config *c);

/* The keys of the document, between blanks; those below Backend are the backend's. */
extern const char network_config_keys[];

/* How many subnets a family can hand out. */
u128 network_family_capacity(const struct network_family *f);

/* Whether a subnet of this family could have been handed out under this configuration. */
bool network_family_allows(const struct network_family *f, const struct ip_net *subnet);

/*
 * What differs between two configurations, each key with both values ("SubnetLen is 25, was 24");
 * of what stands under Backend, where secrets may be, only the key. False and "" if they mean the
 * same, however they are written; how a change of type is made is none. `default_backend` is the type where there is no Backend.
 */
bool network_config_differs(const struct network_config *now, const struct network_config *was,
			    const char *default_backend, char *buf, size_t size);
/*
 * Whether a host keeps its subnet under this configuration: a family that both have must allow it,
 * and there must be one. A family that comes or goes renumbers nobody.
 */
bool network_config_keeps(const struct network_config *c, const struct subnet *own);
/*
 * Whether a subnet that somebody else has assigned is of use: it has each family that the network has, and
 * lies inside. SubnetLen, SubnetMin and SubnetMax are for who chooses. -EINVAL says what is wrong.
 */
int network_config_has_room(const struct network_config *c, const struct subnet *assigned,
			    struct err *e) MUST_CHECK;

#define auto_network_config __attribute__((cleanup(network_config_fini)))

#endif
