/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnet.env: what the daemon tells the CNI plugin and scripts about this host's share of the
 * network, and what it reads back at its next start to ask for the same subnet again. Format and
 * line order are flannel's. Lines of KEY=VALUE; of several with one key the last wins.
 *
 * Whoever writes it replaces it as a whole, so it is read as a whole; no lock, no retry.
 *
 * Shells source this file, so everything in it is printed from binary values, never copied from
 * outside.
 */
#ifndef SUBNET_SUBNET_ENV_H
#define SUBNET_SUBNET_ENV_H

#include "subnet/config.h"
#include "subnet/lease.h"

#define SUBNET_ENV_MAX_SIZE     4096 /* as we write it */
#define SUBNET_ENV_NETWORKS_MAX 32

/* Text of the file; caller frees. drained: nothing new is to be attached, which flannel's plugin does not
 * know of. */
char *subnet_env_format(const struct network_config *config, const struct subnet *own,
			unsigned mtu_bytes, bool ip_masq, bool drained);

/* What it says; unset, 0 or false where it says nothing. */
struct subnet_env {
	struct ip_net networks[SUBNET_ENV_NETWORKS_MAX]; /* the overlay's, in the file's order */
	size_t networks_len;
	struct ip_net subnet; /* this host's, IPv4, host bits as written */
	struct ip_net subnet_v6;
	uint32_t mtu_bytes;
	bool ip_masq;       /* the daemon masquerades, so nobody else need do it */
	bool drained;       /* no more containers are to be attached */
	bool ip_masq_plain; /* that is "true" or "false" there; anything else counts as false */
};

/*
 * Strictly, for who builds on it: known keys must have proper values, others are passed over.
 * -EINVAL names the key, or everything that is missing at once: a network, a subnet, MTU and IPMASQ.
 */
int subnet_env_parse(const char *text, struct subnet_env *ret, struct err *e) MUST_CHECK;

/*
 * What can be made out of the last run's subnet and networks (IPv4, IPv6), whoever wrote it: quotes
 * and "export" are tolerated; what is not exactly one prefix counts as none. Never fails. Host bits
 * are masked off.
 */
void subnet_env_recall(const char *text, struct subnet *ret_subnet,
		       struct ip_net ret_networks[static 2]);

#endif
