/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/sysctls.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "kernel/forwarding.h"
#include "kernel/sysctl.h"
#include "lib/log.h"

/* As sysctl(8) writes it: net.ipv4.conf.flannel/1.forwarding for flannel.1. */
static void format_name(const char *path, char *buf, size_t size)
{
	snprintf(buf, size, "net.%s", path);
	for (char *p = buf + strlen("net."); *p; p++) {
		if (*p == '/')
			*p = '.';
		else if (*p == '.')
			*p = '/';
	}
}

static void say_kept(const char *interface)
{
	log_info("sysctl-set", "net.ipv6.conf.%s.accept_ra = 2, to keep its routes", interface);
}

static const char all_lost[] = "nothing is forwarded between containers and other hosts";

/* Whether the switch is on, or is now; `lost` is what its being off means. One that cannot be read belongs to a family that the kernel
 * does not have. */
static bool is_on(const char *path, const char *lost, bool set, char *buf, size_t size)
{
	bool v6 = strncmp(path, "ipv6/", strlen("ipv6/")) == 0;
	char name[72];
	unsigned value;

	if (sysctl_get(&value, NULL, "%s", path) < 0 || value)
		return true;
	format_name(path, name, sizeof(name));
	if (set &&
	    (v6 ? forwarding_turn_on_v6(say_kept, NULL) : sysctl_set(1, NULL, "%s", path)) == 0) {
		log_info("sysctl-set", "%s = 1", name);
		return true;
	}
	snprintf(buf, size, "%s is 0, so %s; %s", name, lost,
		 set ? "it could not be set"
		     : "set it in /etc/sysctl.d, or start flanneld with --set-sysctls");
	return false;
}

/* The general switch sets those of all devices; one device may still have its own mind. Not so in
 * IPv6: there the general one alone decides what is forwarded. */
static bool device_is_on(const char *device, const char *lost, bool set, char *buf, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "ipv4/conf/%s/forwarding", device);
	return is_on(path, lost, set, buf, size);
}

/* What comes from outside the network comes in here; without a tunnel what comes from peers as well. */
static bool underlay_is_on(const struct sysctls_place *p, bool set, char *buf, size_t size)
{
	return !*p->underlay || strcmp(p->underlay, "lo") == 0 ||
	       device_is_on(p->underlay,
			    *p->device ? "containers get no answers from outside the network"
				       : all_lost,
			    set, buf, size);
}

/* The devices that containers live behind: whoever has an address of our own subnet. */
static bool containers_are_on(const struct ip_net *own, bool set, char *buf, size_t size)
{
	struct ifaddrs *all = NULL;
	bool on = true;

	if (!ip_net_is_set(own) || getifaddrs(&all) < 0)
		return true;
	for (const struct ifaddrs *i = all; i && on; i = i->ifa_next) {
		struct sockaddr_in sin;
		struct ip_addr addr;

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&sin, i->ifa_addr, sizeof(sin));
		addr = ip_addr_from_bytes(AF_INET, &sin.sin_addr);
		if (ip_net_contains(own, &addr))
			on = device_is_on(i->ifa_name, all_lost, set, buf, size);
	}
	freeifaddrs(all);
	return on;
}

const char *sysctls_check(const struct sysctls_place *p, bool set, char *buf, size_t size)
{
	*buf = '\0';
	(void)((!p->v4 || (is_on("ipv4/ip_forward", all_lost, set, buf, size) &&
			   (!*p->device || device_is_on(p->device, all_lost, true, buf, size)) &&
			   containers_are_on(p->own_v4, set, buf, size) &&
			   underlay_is_on(p, set, buf, size))) &&
	       (!p->v6 || is_on("ipv6/conf/all/forwarding", all_lost, set, buf, size)));
	return buf;
}
