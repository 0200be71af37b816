/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon says about this host: subnet.env, lines of KEY=VALUE.
 *
 * The daemon replaces the file as a whole, so it is read as a whole; no lock, no retry.
 */
#ifndef CNI_PLUGIN_FABRIC_H
#define CNI_PLUGIN_FABRIC_H

#include "lib/addr.h"

#define FABRIC_NETWORKS_MAX 32

struct fabric {
	struct ip_net networks[FABRIC_NETWORKS_MAX]; /* the overlay's, IPv4 first */
	size_t networks_len;
	struct ip_net subnet;    /* this host's, IPv4, host bits as written; may be unset */
	struct ip_net subnet_v6; /* one of both is set */
	uint32_t mtu_bytes;
	bool ip_masq; /* the daemon masquerades, so nobody else need do it */
};

/*
 * Parses the text: known keys are read strictly, others passed over; of several lines with a key
 * the last wins. -EINVAL names everything that is missing at once.
 */
int fabric_parse(const char *text, struct fabric *ret, struct err *e) MUST_CHECK;

/*
 * Reads the file. No file is CNI_TRY_AGAIN: the daemon has not got its subnet yet. A file that
 * anybody may write or replace is refused with CNI_CONFIG, as is one that does not parse.
 */
int fabric_read(const char *path, struct fabric *ret, struct err *e) MUST_CHECK;

#endif
