/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/device.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>

#include "kernel/link.h"
#include "kernel/rehearsal.h"
#include "kernel/sysctl.h"
#include "kernel/udp_port.h"

/* Router advertisements have no business on a tunnel. Best effort: /proc may be read-only to us,
 * status says so. */
static void refuse_router_advertisements(const char *name)
{
	(void)!sysctl_set(0, NULL, "ipv6/conf/%s/accept_ra", name);
}

/* Where IPv6 is off for every new device (net.ipv6.conf.default.disable_ipv6), or was switched off for
 * ours: without it no address and no route of IPv6 can be on it. Best effort likewise. */
static void allow_ipv6(const struct backend_device *d)
{
	if (d->families & 2)
		(void)!sysctl_set(0, NULL, "ipv6/conf/%s/disable_ipv6", d->name);
}

/* One more thing that was done to a device. */
static void PRINTF(2, 3) note(char changes[static DEVICE_CHANGES_TEXT], const char *fmt, ...)
{
	size_t used = strlen(changes);
	va_list args;

	if (used && used < DEVICE_CHANGES_TEXT)
		used += (size_t)snprintf(changes + used, DEVICE_CHANGES_TEXT - used, "; ");
	if (used >= DEVICE_CHANGES_TEXT)
		return;
	va_start(args, fmt);
	vsnprintf(changes + used, DEVICE_CHANGES_TEXT - used, fmt, args);
	va_end(args);
}

static bool has_kind(const struct link_info *link, const char *name)
{
	return name && strcmp(link->kind, name) == 0;
}

static enum device_match match(const struct link_info *link, const struct backend_device *d)
{
	return has_kind(link, d->kind->name) || has_kind(link, d->kind->other_name)
		       ? d->kind->match(d->spec, link)
		       : DEVICE_OTHER;
}

static bool has_mac(const struct link_info *link, const struct backend_device *d)
{
	return mac_addr_is_zero(&d->mac) || memcmp(&link->mac, &d->mac, sizeof(d->mac)) == 0;
}

static bool has_mtu(const struct link_info *link, const struct backend_device *d)
{
	return !d->mtu_bytes || link->mtu_bytes == d->mtu_bytes;
}

bool device_is_as_wanted(const struct link_info *link, const struct backend_device *d,
			 const char *mark)
{
	return strcmp(link->name, d->name) == 0 && strcmp(link->alias, mark) == 0 &&
	       match(link, d) == DEVICE_SAME && link->up && !link->master_ifindex &&
	       has_mtu(link, d) && has_mac(link, d);
}

bool device_find(struct netlink *nl, const struct backend_device *d, uint32_t *ret_ifindex,
		 struct mac_addr *ret_mac)
{
	struct link_info link;

	if (link_get_by_name(nl, d->name, &link, NULL) < 0 || match(&link, d) == DEVICE_OTHER)
		return false;
	*ret_ifindex = link.ifindex;
	*ret_mac = link.mac;
	return true;
}

/* What stays for want of a word from the kernel is in nobody's way, or named by what it is in the way of. */
static void release(const struct backend_device *d, const struct link_info *link)
{
	if (d->kind->release)
		(void)!d->kind->release(link, NULL);
}

static int create_device(struct kernel *k, const struct backend_device *d, struct link_info *ret,
			 struct err *e)
{
	const struct link_new device = { .name = d->name,
					 .kind = d->kind,
					 .spec = d->spec,
					 .mac = d->mac,
					 .mtu_bytes = d->mtu_bytes };
	int rc;

	if (d->kind->prepare && d->kind->prepare(d->spec, e) < 0)
		return err_wrap(e, "device %s", d->name);
	rc = d->kind->create ? d->kind->create(k, &device, e) : link_create(k->route, &device, e);
	return rc < 0 ? rc : link_get_by_name(k->route, d->name, ret, e);
}

/*
 * The host has another place in the underlay. The device stays, and with it everything that is on
 * it: no packet is lost for the move itself. A kernel that cannot do that gets a new one: -ENODEV.
 */
static int move_device(struct netlink *nl, const struct backend_device *d, struct link_info *link,
		       struct err *e)
{
	bool changed = link_change(nl, link->ifindex, d->kind, d->spec, e) == 0;

	if (!changed && link_delete(nl, link->ifindex, e) < 0)
		return e->code;
	release(d, link);
	return changed ? link_get_by_name(nl, d->name, link, e) : -ENODEV;
}

/* -ENODEV if it is not there under another name either. */
static int find_renamed(struct netlink *nl, const struct backend_device *d, uint32_t known_ifindex,
			struct link_info *ret, struct err *e)
{
	int rc;

	if (!known_ifindex)
		return -ENODEV;
	rc = link_get_by_index(nl, known_ifindex, ret, e);
	if (rc == 0 && match(ret, d) == DEVICE_OTHER)
		rc = -ENODEV;
	return rc == 0 ? link_set_name(nl, known_ifindex, d->name, e) : rc;
}

/* The device under our name, made, moved or found; `changes` as in device_apply. */
static int get_device(struct kernel *k, const struct backend_device *d, uint32_t known_ifindex,
		      struct link_info *link, char changes[static DEVICE_CHANGES_TEXT],
		      struct err *e)
{
	struct netlink *nl = k->route;
	int rc = link_get_by_name(nl, d->name, link, e);

	if (rc < 0 && rc != -ENODEV)
		return rc;
	if (rc == 0 && !has_kind(link, d->kind->name) && match(link, d) == DEVICE_OTHER)
		return err_set(e, -EEXIST, "device %s exists and is of kind \"%s\", not %s",
			       d->name, link->kind, d->kind->name);
	if (rc == 0 && match(link, d) == DEVICE_OTHER) {
		rc = link_delete(nl, link->ifindex, e);
		if (rc < 0)
			return rc;
		release(d, link);
		note(changes, "another tunnel of its name was deleted");
		rc = -ENODEV;
	}
	if (rc == -ENODEV && find_renamed(nl, d, known_ifindex, link, e) == 0) {
		note(changes, "given its name back, it was %s", link->name);
		rc = rehearsal_is_on() ? 0 : link_get_by_name(nl, d->name, link, e);
	}
	if (rc == 0 && match(link, d) == DEVICE_MOVABLE) {
		note(changes, "moved to this host's place in the underlay");
		rc = move_device(nl, d, link, e);
	}
	if (rc == -ENODEV) {
		note(changes, "made");
		rc = create_device(k, d, link, e);
	}
	return rc;
}

/* Another device of the kind that is in this one's way, by name. */
static bool find_conflict(struct netlink *nl, const struct backend_device *d,
			  char ret_name[static IFNAMSIZ])
{
	struct link_info *links = NULL;
	bool found = false;
	size_t len = 0;

	if (!d->kind->conflicts || link_list(nl, &links, &len, NULL) < 0)
		return false;
	for (size_t i = 0; i < len && !found; i++) {
		found = strcmp(links[i].kind, d->kind->name) == 0 &&
			strcmp(links[i].name, d->name) != 0 &&
			d->kind->conflicts(d->spec, &links[i]);
		if (found)
			memcpy(ret_name, links[i].name, IFNAMSIZ);
	}
	free(links);
	return found;
}

/* The kernel says that something is in the way, not what. */
static int name_conflict(struct netlink *nl, const struct backend_device *d, struct err *e)
{
	struct err why = *e;
	char holder[IFNAMSIZ + 32];

	if (why.code != -EADDRINUSE && why.code != -EEXIST)
		return why.code;
	if (find_conflict(nl, d, holder))
		return err_set(e, why.code, "%s: device %s of the same kind holds the port",
			       why.text, holder);
	if (d->udp_port && udp_port_holder(d->udp_port, holder, sizeof(holder)))
		return err_set(e, why.code, "%s: %s holds UDP port %u", why.text, holder,
			       d->udp_port);
	return why.code;
}

/* What follows once the device is there; *link is as it is then. */
static int configure(struct kernel *k, const struct backend_device *d, struct link_info *link,
		     char changes[static DEVICE_CHANGES_TEXT], struct err *e)
{
	int rc = d->kind->configure ? d->kind->configure(k, link->ifindex, d->spec, e) : 0;

	if (rc <= 0)
		return rc;
	note(changes, "keys or ports set");
	return link_get_by_index(k->route, link->ifindex, link, e);
}

int device_apply(struct kernel *k, const struct backend_device *d, const char *mark,
		 uint32_t known_ifindex, uint32_t *ret_ifindex,
		 char changes[static DEVICE_CHANGES_TEXT], struct err *e)
{
	struct netlink *nl = k->route;
	char master[IFNAMSIZ] = "another device";
	struct link_info link;
	char mac[MAC_TEXT];
	char other[MAC_TEXT];
	int rc;

	rc = get_device(k, d, known_ifindex, &link, changes, e);
	/* It is not there, and was not made. */
	if (rc == -ENODEV && *changes && rehearsal_is_on()) {
		*ret_ifindex = 0;
		return 0;
	}
	if (rc < 0)
		return name_conflict(nl, d, e);
	refuse_router_advertisements(d->name);
	allow_ipv6(d);
	/* First of all, so that whatever happens next it is known as ours. */
	if (strcmp(link.alias, mark) != 0) {
		note(changes, "marked as ours");
		rc = link_set_alias(nl, link.ifindex, mark, e);
	}
	/* What arrives would be the bridge's, or looked up in the VRF's routes. */
	if (rc == 0 && link.master_ifindex) {
		if_indextoname(link.master_ifindex, master);
		note(changes, "taken out of %s", master);
		rc = link_set_alone(nl, link.ifindex, e);
	}
	if (rc == 0 && !has_mac(&link, d)) {
		note(changes, "MAC %s -> %s", mac_addr_format(&link.mac, mac),
		     mac_addr_format(&d->mac, other));
		rc = link_set_mac(nl, link.ifindex, &d->mac, e);
	}
	if (rc == 0 && !has_mtu(&link, d)) {
		note(changes, "mtu %u -> %u", link.mtu_bytes, d->mtu_bytes);
		rc = link_set_mtu(nl, link.ifindex, d->mtu_bytes, e);
	}
	if (rc == 0)
		rc = configure(k, d, &link, changes, e);
	if (rc == 0 && !link.up) {
		note(changes, "set up, it was down");
		rc = link_set_up(nl, link.ifindex, e);
	}
	if (rc < 0) {
		err_wrap(e, "%s", d->name);
		return name_conflict(nl, d, e);
	}
	*ret_ifindex = link.ifindex;
	return 0;
}
