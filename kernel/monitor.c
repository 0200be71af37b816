/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/monitor.h"

#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include "kernel/listener.h"

#define DEFAULT_BUFFER_BYTES (8 * 1024 * 1024)

struct monitor {
	struct listener *listener;
	bool xfrm;
	/* During monitor_read. */
	const struct monitor_ops *ops;
	void *arg;
};

static int open_monitor(int protocol, const int *groups, size_t groups_len, uint32_t ignore_port_id,
			int size, struct monitor **ret, struct err *e)
{
	struct listener *listener;
	int rc = listener_open(protocol, groups, groups_len, ignore_port_id, size, &listener, e);

	if (rc < 0)
		return rc;
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->listener = listener;
	(*ret)->xfrm = protocol == NETLINK_XFRM;
	return 0;
}

int monitor_open(uint32_t ignore_port_id, int receive_buffer_bytes, struct monitor **ret,
		 struct err *e)
{
	static const int groups[] = { RTNLGRP_LINK,        RTNLGRP_NEIGH,      RTNLGRP_IPV4_IFADDR,
				      RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
				      RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE };

	return open_monitor(NETLINK_ROUTE, groups, ARRAY_LEN(groups), ignore_port_id,
			    receive_buffer_bytes ? receive_buffer_bytes : DEFAULT_BUFFER_BYTES, ret,
			    e);
}

int monitor_open_xfrm(uint32_t ignore_port_id, struct monitor **ret, struct err *e)
{
	static const int groups[] = { XFRMNLGRP_POLICY };

	return open_monitor(NETLINK_XFRM, groups, ARRAY_LEN(groups), ignore_port_id,
			    DEFAULT_BUFFER_BYTES, ret, e);
}

void monitor_close(struct monitor *m)
{
	if (!m)
		return;
	listener_close(m->listener);
	free(m);
}

int monitor_fd(const struct monitor *m)
{
	return listener_fd(m->listener);
}

static void on_policy(const struct monitor *m, const struct nlmsghdr *hdr)
{
	struct kernel_object object;
	bool gone;

	if (hdr->nlmsg_type == XFRM_MSG_FLUSHPOLICY)
		m->ops->flushed(m->arg, KERNEL_XFRM_POLICY);
	else if (kernel_xfrm_policy_decode(hdr, &object, &gone))
		m->ops->object(m->arg, &object, gone, hdr->nlmsg_pid);
}

static void on_message(void *arg, const struct nlmsghdr *hdr)
{
	const struct monitor *m = arg;
	struct kernel_object object;
	struct link_info link;
	bool gone;

	if (m->xfrm)
		on_policy(m, hdr);
	else if (kernel_object_decode(hdr, &object, &gone))
		m->ops->object(m->arg, &object, gone, hdr->nlmsg_pid);
	else if (link_decode(hdr, &link, &gone))
		m->ops->link(m->arg, &link, gone);
	else if (hdr->nlmsg_type == RTM_NEWRULE || hdr->nlmsg_type == RTM_DELRULE)
		m->ops->rule(m->arg);
}

static void on_overrun(void *arg)
{
	const struct monitor *m = arg;

	m->ops->overrun(m->arg);
}

unsigned monitor_read(struct monitor *m, unsigned max, const struct monitor_ops *ops, void *arg)
{
	static const struct listener_ops listener_ops = { .message = on_message,
							  .overrun = on_overrun };

	m->ops = ops;
	m->arg = arg;
	return listener_read(m->listener, max, &listener_ops, m);
}
