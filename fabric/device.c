/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/device.h"

#include <errno.h>
#include <fcntl.h>

/* Router advertisements have no business on a tunnel. Best effort: /proc may be read-only to us,
 * status says so. */
static void refuse_router_advertisements(const char *name)
{
	auto_free char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/accept_ra", name);
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		ssize_t ignored UNUSED = write(fd, "0", 1);
	}
}

/* By what cannot be changed. */
static bool is_tunnel(const struct link_info *link, const struct backend_device *d)
{
	const struct link_vxlan *have = &link->vxlan;
	const struct link_vxlan *want = &d->vxlan;

	return strcmp(link->kind, "vxlan") == 0 && have->vni == want->vni &&
	       have->port == want->port && have->gbp == want->gbp && !have->l2miss &&
	       have->local.family == want->local.family;
}

static bool is_at_its_place(const struct link_info *link, const struct backend_device *d)
{
	return link->vxlan.lower_ifindex == d->vxlan.lower_ifindex &&
	       ip_addr_equal(&link->vxlan.local, &d->vxlan.local) &&
	       link->vxlan.learning == d->vxlan.learning;
}

bool device_is_as_wanted(const struct link_info *link, const struct backend_device *d)
{
	return strcmp(link->name, d->name) == 0 && is_tunnel(link, d) && is_at_its_place(link, d) &&
	       link->up && (!d->mtu_bytes || link->mtu_bytes == d->mtu_bytes) &&
	       memcmp(&link->mac, &d->mac, sizeof(d->mac)) == 0;
}

bool device_find(struct netlink *nl, const struct backend_device *d, uint32_t *ret_ifindex,
		 struct mac_addr *ret_mac)
{
	struct link_info link;

	if (link_get_by_name(nl, d->name, &link, NULL) < 0 || !is_tunnel(&link, d))
		return false;
	*ret_ifindex = link.ifindex;
	*ret_mac = link.mac;
	return true;
}

static int create_device(struct netlink *nl, const struct backend_device *d, struct link_info *ret,
			 struct err *e)
{
	int rc = link_create_vxlan(nl, d->name, &d->vxlan, &d->mac, d->mtu_bytes, e);

	if (rc < 0)
		return rc;
	refuse_router_advertisements(d->name);
	return link_get_by_name(nl, d->name, ret, e);
}

/*
 * The host has another place in the underlay. The device stays, and with it everything that is on
 * it: no packet is lost for the move itself. A kernel that cannot do that gets a new one: -ENODEV.
 */
static int move_device(struct netlink *nl, const struct backend_device *d, struct link_info *link,
		       struct err *e)
{
	if (link_move_vxlan(nl, link->ifindex, &d->vxlan, e) == 0)
		return link_get_by_name(nl, d->name, link, e);
	if (link_delete(nl, link->ifindex, e) < 0)
		return e->code;
	return -ENODEV;
}

/* -ENODEV if it is not there under another name either. */
static int find_renamed(struct netlink *nl, const struct backend_device *d, uint32_t known_ifindex,
			struct link_info *ret, struct err *e)
{
	int rc;

	if (!known_ifindex)
		return -ENODEV;
	rc = link_get_by_index(nl, known_ifindex, ret, e);
	if (rc == 0 && !is_tunnel(ret, d))
		rc = -ENODEV;
	return rc == 0 ? link_set_name(nl, known_ifindex, d->name, e) : rc;
}

int device_apply(struct netlink *nl, const struct backend_device *d, uint32_t known_ifindex,
		 uint32_t *ret_ifindex, bool *ret_changed, struct err *e)
{
	struct link_info link;
	bool changed = false;
	int rc;

	rc = link_get_by_name(nl, d->name, &link, e);
	if (rc < 0 && rc != -ENODEV)
		return rc;
	if (rc == 0 && strcmp(link.kind, "vxlan") != 0)
		return err_set(e, -EEXIST, "device %s exists and is of kind \"%s\", not vxlan",
			       d->name, link.kind);
	if (rc == 0 && !is_tunnel(&link, d)) {
		rc = link_delete(nl, link.ifindex, e);
		if (rc < 0)
			return rc;
		rc = -ENODEV;
	}
	if (rc == -ENODEV && find_renamed(nl, d, known_ifindex, &link, e) == 0) {
		changed = true;
		rc = link_get_by_name(nl, d->name, &link, e);
	}
	if (rc == 0 && !is_at_its_place(&link, d)) {
		changed = true;
		rc = move_device(nl, d, &link, e);
	}
	if (rc == -ENODEV) {
		changed = true;
		rc = create_device(nl, d, &link, e);
	}
	if (rc < 0)
		return rc;
	if (memcmp(&link.mac, &d->mac, sizeof(d->mac)) != 0) {
		changed = true;
		rc = link_set_mac(nl, link.ifindex, &d->mac, e);
	}
	if (rc == 0 && d->mtu_bytes && link.mtu_bytes != d->mtu_bytes) {
		changed = true;
		rc = link_set_mtu(nl, link.ifindex, d->mtu_bytes, e);
	}
	if (rc == 0 && !link.up) {
		changed = true;
		rc = link_set_up(nl, link.ifindex, e);
	}
	if (rc < 0)
		return err_wrap(e, "%s", d->name);
	*ret_ifindex = link.ifindex;
	*ret_changed = changed;
	return 0;
}
