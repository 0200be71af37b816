/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnet.env: what the daemon tells the CNI plugin and scripts about this host's share of the
 * network, and what it reads back at its next start to ask for the same subnet again. Format and
 * line order are flannel's.
 *
 * Shells source this file, so everything in it is printed from binary values, never copied from
 * outside.
 */
#ifndef SUBNET_SUBNET_ENV_H
#define SUBNET_SUBNET_ENV_H

#include "subnet/config.h"
#include "subnet/lease.h"

#define SUBNET_ENV_MAX_SIZE 4096

/* Text of the file; caller frees. */
char *subnet_env_format(const struct network_config *config, const struct subnet *own,
			unsigned mtu_bytes, bool ip_masq);

/*
 * Finds the previous subnet in such a text. Quotes and "export" are tolerated; a value that is not
 * exactly one prefix counts as none. Never fails: an unreadable file is no previous subnet. Host
 * bits are masked off.
 */
void subnet_env_parse(const char *text, struct subnet *ret_subnet);

/* The same for the networks (IPv4, IPv6) that the last run belonged to. */
void subnet_env_parse_networks(const char *text, struct ip_net ret[static 2]);

#endif
