/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What charon is told of a peer, as messages. Pure. All that both sides must have alike is flannel's: proposals,
 * identities, networks, the number of the policies.
 *
 * Source: strongSwan, src/libcharon/plugins/vici/README.md.
 */
#include <string.h>

#include "backends/ipsec_internal.h"

#define IKE_PROPOSAL "aes256-sha256-modp4096" /* flannel's */
#define REQID        "11"                     /* KERNEL_XFRM_REQID */

void ipsec_name(const struct ipsec_end *ours, const struct ipsec_end *theirs,
		char name[static IPSEC_NAME_SIZE], char child[static IPSEC_NAME_SIZE])
{
	char local[IP_ADDR_TEXT];
	char remote[IP_ADDR_TEXT];
	char from[IP_NET_TEXT];
	char to[IP_NET_TEXT];

	snprintf(child, IPSEC_NAME_SIZE, "%s-%s", ip_net_format(&ours->subnet, from),
		 ip_net_format(&theirs->subnet, to));
	snprintf(name, IPSEC_NAME_SIZE, "%s-%s-%s-%s", ip_addr_format(&ours->public, local), from,
		 to, ip_addr_format(&theirs->public, remote));
}

bool ipsec_read_name(const char *name, struct ipsec_end *ret_ours, struct ipsec_end *ret_theirs)
{
	char copy[IPSEC_NAME_SIZE];
	char *rest = copy;
	struct ipsec_end ours;
	struct ipsec_end theirs;
	const char *parts[4];

	if (strlen(name) >= sizeof(copy))
		return false;
	snprintf(copy, sizeof(copy), "%s", name);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		parts[i] = strsep(&rest, "-");
		if (!parts[i])
			return false;
	}
	if (rest || ip_addr_parse(parts[0], AF_INET, &ours.public, NULL) < 0 ||
	    ip_net_parse(parts[1], AF_INET, &ours.subnet, NULL) < 0 ||
	    ip_net_parse(parts[2], AF_INET, &theirs.subnet, NULL) < 0 ||
	    ip_addr_parse(parts[3], AF_INET, &theirs.public, NULL) < 0)
		return false;
	*ret_ours = ours;
	*ret_theirs = theirs;
	return true;
}

void ipsec_put_key(struct vici_message *m, const struct ipsec *x, const char *name,
		   const struct ip_addr *public)
{
	char local[IP_ADDR_TEXT];
	char own[IP_ADDR_TEXT];
	char remote[IP_ADDR_TEXT];
	const char *owners[] = { ip_addr_format(&x->host.local_v4, local),
				 ip_addr_format(public, remote), NULL, NULL };

	if (strcmp(ip_addr_format(&x->host.public_v4, own), local) != 0)
		owners[2] = own;
	vici_value(m, "id", name);
	vici_value(m, "type", "IKE");
	vici_value(m, "data", x->preshared);
	vici_list(m, "owners", owners);
}

static void put_child(struct vici_message *m, const struct ipsec *x, const char *child,
		      const struct ip_net *subnet)
{
	char own[IP_NET_TEXT];
	char theirs[IP_NET_TEXT];
	const char *const local[] = { ip_net_format(&x->own.v4, own), NULL };
	const char *const remote[] = { ip_net_format(subnet, theirs), NULL };
	const char *const proposals[] = { x->proposal, NULL };

	vici_section(m, child);
	vici_list(m, "local_ts", local);
	vici_list(m, "remote_ts", remote);
	vici_list(m, "esp_proposals", proposals);
	vici_value(m, "mode", "tunnel");
	vici_value(m, "reqid", REQID);
	vici_value(m, "policies", "no");
	vici_value(m, "rekey_time", "1h");
	vici_value(m, "start_action", "start");
	/* Not flannel's "trap": all have one reqid, so a trap begins whichever comes first. */
	vici_value(m, "close_action", "start");
	vici_value(m, "dpd_action", "restart");
	vici_section_end(m);
}

static void put_auth(struct vici_message *m, const char *side, const char *id)
{
	vici_section(m, side);
	vici_value(m, "auth", "psk");
	if (id)
		vici_value(m, "id", id);
	vici_section_end(m);
}

void ipsec_put_connection(struct vici_message *m, const struct ipsec *x, const char *name,
			  const char *child, const struct ip_net *subnet,
			  const struct ip_addr *public)
{
	char local[IP_ADDR_TEXT];
	char own[IP_ADDR_TEXT];
	char remote[IP_ADDR_TEXT];
	const char *const from[] = { ip_addr_format(&x->host.local_v4, local), NULL };
	const char *const to[] = { ip_addr_format(public, remote), NULL };
	const char *const proposals[] = { IKE_PROPOSAL, NULL };

	ip_addr_format(&x->host.public_v4, own);
	vici_section(m, name);
	vici_value(m, "version", "2");
	vici_list(m, "local_addrs", from);
	vici_list(m, "remote_addrs", to);
	vici_list(m, "proposals", proposals);
	vici_value(m, "keyingtries", "0");
	vici_value(m, "dpd_delay", "30s");
	vici_value(m, "encap", x->encapsulate ? "yes" : "no");
	/* Behind NAT it is known by what peers send to. */
	put_auth(m, "local", strcmp(local, own) != 0 ? own : NULL);
	put_auth(m, "remote", NULL);
	vici_section(m, "children");
	put_child(m, x, child, subnet);
	vici_section_end(m);
	vici_section_end(m);
}
