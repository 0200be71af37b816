/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/forwarding.h"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include "kernel/sysctl.h"
#include "kernel/underlay.h"

struct keeping {
	void (*kept)(const char *interface);
	int rc;
	struct err error;
};

static void accept_advertisements(void *arg, const struct kernel_object *route)
{
	struct keeping *k = arg;
	char name[IFNAMSIZ];
	unsigned value;
	int rc;

	if (!if_indextoname(route->value.ifindex, name) ||
	    sysctl_get(&value, NULL, "ipv6/conf/%s/accept_ra", name) < 0 || value != 1)
		return;
	rc = sysctl_set(2, &k->error, "ipv6/conf/%s/accept_ra", name);
	if (rc < 0)
		k->rc = rc;
	else if (k->kept)
		k->kept(name);
}

static int keep_advertised_routes(void (*kept)(const char *interface), struct err *e)
{
	struct keeping k = { .kept = kept };
	struct netlink *nl;
	int rc = netlink_open(NETLINK_ROUTE, &nl, e);

	if (rc < 0)
		return rc;
	rc = underlay_routes_visit(nl, AF_INET6, RTPROT_RA, accept_advertisements, &k, e);
	netlink_close(nl);
	if (rc == 0 && k.rc < 0)
		return err_set(e, k.rc, "%s", k.error.text);
	return rc;
}

int forwarding_turn_on_v6(void (*kept)(const char *interface), struct err *e)
{
	unsigned value;
	int rc;

	if (sysctl_get(&value, NULL, "ipv6/conf/all/forwarding") == 0 && value)
		return 0;
	rc = keep_advertised_routes(kept, e);
	return rc < 0 ? rc : sysctl_set(1, e, "ipv6/conf/all/forwarding");
}
