/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the ipsec backend share; for nobody else. */
#ifndef BACKENDS_IPSEC_INTERNAL_H
#define BACKENDS_IPSEC_INTERNAL_H

#include "backends/ipsec.h"
#include "lib/vici.h"

#define IPSEC_NAME_SIZE (2 * (IP_ADDR_TEXT + IP_NET_TEXT))

struct ipsec_charon;

struct ipsec {
	struct backend base;
	struct ip_net network;
	char *preshared; /* wiped when freed */
	char *proposal;
	bool encapsulate; /* ESP in UDP always, not only where there is NAT */
	struct backend_host host;
	struct subnet own;           /* as the live part was told */
	struct ipsec_charon *charon; /* of the live part */
	bool leftover;               /* of an earlier configuration: connections are only removed */
};

struct ipsec *ipsec_new(void);
void ipsec_free(struct ipsec *x);

/* flannel's names of the connection to a peer, and of the tunnel in it. */
void ipsec_name(const struct ipsec *x, const struct ip_net *subnet, const struct ip_addr *public,
		char name[static IPSEC_NAME_SIZE], char child[static IPSEC_NAME_SIZE]);
/* Whether a connection is called as those of a fabric are: address, subnet, subnet, address. */
bool ipsec_is_name(const char *name);
/* The request load-shared, with a secret in it, and load-conn. */
void ipsec_put_key(struct vici_message *m, const struct ipsec *x, const char *name,
		   const struct ip_addr *public);
void ipsec_put_connection(struct vici_message *m, const struct ipsec *x, const char *name,
			  const char *child, const struct ip_net *subnet,
			  const struct ip_addr *public);

/* The host stands elsewhere now: all connections are named anew. charon may be NULL. */
void ipsec_charon_moved(struct ipsec_charon *c);

extern const struct backend_live ipsec_live;
/* See backend_type. */
struct backend *ipsec_leftover(const char *state_dir);

#endif
