/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of an interface that we make ourselves, read out of the object that netconf.c
 * generated.
 *
 * Every key of the bridge, ptp and host-local plugins is here: it is either in the struct or
 * refused by name. Pure, but for resolvConf, a file that the configuration may name.
 */
#ifndef CNI_PLUGIN_CONFIG_H
#define CNI_PLUGIN_CONFIG_H

#include <net/if.h>

#include "cni-plugin/env.h"
#include "cni-plugin/fabric.h"
#include "cni-plugin/netconf.h"
#include "cni-plugin/ports.h"
#include "cni-plugin/ranges.h"
#include "cni-plugin/result.h"

#define CONFIG_TRUNK_MAX     256
#define CONFIG_REQUESTED_MAX 64
#define CONFIG_ROUTES_MAX    256

enum config_ipam {
	CONFIG_IPAM_NONE,       /* layer 2 only */
	CONFIG_IPAM_HOST_LOCAL, /* done here */
	CONFIG_IPAM_PLUGIN,     /* another plugin is executed */
};

struct config_vlan_range {
	uint16_t first;
	uint16_t last;
};

/* Of a port of the bridge. */
struct config_vlans {
	uint16_t access; /* 0: none */
	bool keep_default;
	struct config_vlan_range trunk[CONFIG_TRUNK_MAX];
	size_t trunk_len;
};

struct config {
	bool ptp; /* a veth without a bridge */
	char bridge[IFNAMSIZ];
	bool is_gateway;
	bool is_default_gateway;
	bool force_address;
	bool keep_other_addresses; /* flannel's form: a new subnet joins the bridge's old one */
	bool ip_masq;
	bool hairpin;
	bool promiscuous;
	bool isolated;
	bool mac_guard;
	bool detect_duplicates; /* enabledad */
	bool interface_down;    /* disableContainerInterface */
	uint32_t mtu_bytes;
	struct config_vlans vlans;
	struct mac_addr mac;
	bool has_mac;
	struct ports ports;
	json_t *dns; /* replaces the address management's; NULL: does not */

	enum config_ipam ipam;
	const char *ipam_type; /* borrowed from the object */
	struct ranges ranges;
	char *pool_dir;
	struct ip_addr requested[CONFIG_REQUESTED_MAX];
	size_t requested_len;
	struct result_route *routes;
	size_t routes_len;
	size_t routes_cap;
	json_t *resolver; /* what resolvConf says; NULL: none */

	/*
	 * Where masquerading ends: the overlay, whose other hosts answer to the container's own
	 * address.
	 */
	struct ip_net unmasked[SUBNET_ENV_NETWORKS_MAX];
	size_t unmasked_len;
};

/*
 * `object` is what netconf_generate made, `n` what it was made from, `fabric` may be NULL. Borrows
 * from both JSON objects. CNI_CONFIG with the key at fault. config_fini frees.
 */
int config_parse(const struct netconf *n, const json_t *object, const struct subnet_env *fabric,
		 const struct cni_args *args, struct config *ret, struct err *e) MUST_CHECK;
void config_fini(struct config *c);

/*
 * The directory of the network's reservations: ipam.dataDir or the default, and the name. Caller
 * frees.
 */
char *config_pool_dir(const json_t *object, const char *network);

/* resolv.conf text to a dns object of a result; caller owns it. */
json_t *config_parse_resolver(const char *text);

static inline void config_fini_ref(struct config *c)
{
	config_fini(c);
}
#define auto_config __attribute__((cleanup(config_fini_ref)))

#endif
