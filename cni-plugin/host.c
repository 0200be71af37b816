/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/host.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>

#include "cni-plugin/confine.h"
#include "cni-plugin/error.h"
#include "kernel/netns.h"
#include "kernel/sysctl.h"

/* Entering a namespace takes the kernel a little memory. */
#define BACK_RETRIES  100
#define BACK_RETRY_MS 10

int host_open(struct host *ret, struct err *e)
{
	auto_host struct host h = HOST_NONE;

	if (netns_open_own(&h.own_fd, e) < 0 || netlink_open(NETLINK_ROUTE, &h.nl, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	*ret = h;
	h = (struct host)HOST_NONE;
	return 0;
}

int host_open_container(struct host *h, const struct cni_env *env, struct err *e)
{
	int rc = netns_open(env->netns, &h->container_fd, e);

	if (rc == -ENOENT)
		return cni_classify(e, CNI_UNKNOWN_CONTAINER);
	if (rc < 0)
		return cni_classify(e, CNI_NAMESPACE);
	if (netns_equal(h->own_fd, h->container_fd) && !env->netns_override)
		return cni_error(
			e, CNI_NAMESPACE,
			"namespace %s is the plugin's own, the host's: nothing was touched",
			env->netns);
	if (host_enter_container(h, e) < 0)
		return e->code;
	rc = netlink_open(NETLINK_ROUTE, &h->container_nl, e);
	host_leave_container(h);
	confine_to_network();
	return rc < 0 ? cni_classify(e, CNI_KERNEL) : 0;
}

int host_open_nf(struct host *h, struct err *e)
{
	return h->nf ? 0 : netlink_open(NETLINK_NETFILTER, &h->nf, e);
}

int host_set_ipv6(struct host *h, unsigned value, struct err *e, const char *fmt, ...)
{
	char name[80];
	va_list ap;
	int rc = 0;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	if (h->ipv6_fd < 0)
		rc = sysctl_open("ipv6", &h->ipv6_fd, e);
	if (rc == 0)
		rc = sysctl_set_at(h->ipv6_fd, value, e, "%s", name);
	return rc == -ENOENT ? 0 : rc;
}

void host_close(struct host *h)
{
	util_close(&h->ipv6_fd);
	util_close(&h->ports_fd);
	netlink_close(h->nf);
	netlink_close(h->nl);
	netlink_close(h->container_nl);
	util_close(&h->own_fd);
	util_close(&h->container_fd);
}

int host_enter_container(const struct host *h, struct err *e)
{
	return netns_enter(h->container_fd, e) < 0 ? cni_classify(e, CNI_NAMESPACE) : 0;
}

void host_leave_container(const struct host *h)
{
	struct timespec pause = { .tv_nsec = BACK_RETRY_MS * 1000000 };

	for (int i = 0; netns_enter(h->own_fd, NULL) < 0; i++) {
		if (i == BACK_RETRIES)
			abort();
		nanosleep(&pause, NULL);
	}
}
