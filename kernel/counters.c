/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/counters.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "kernel/message.h"
#include "lib/util.h"

static struct nlmsghdr *put_question(void *buffer, uint32_t ifindex)
{
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct if_stats_msg *m = nlmsg_put_header(hdr, sizeof(*m));

	hdr->nlmsg_type = RTM_GETSTATS;
	m->ifindex = ifindex;
	m->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
	return hdr;
}

bool counters_decode(const struct nlmsghdr *hdr, struct counters *ret)
{
	const struct if_stats_msg *m = nlmsg_data(hdr);
	struct rtnl_link_stats64 stats = { 0 };
	const struct nlattr *attr;
	bool found = false;

	if (hdr->nlmsg_type != RTM_NEWSTATS || nlmsg_size(hdr) < sizeof(*m))
		return false;
	nlattr_for_each (attr, hdr, sizeof(*m)) {
		if (nlattr_type(attr) != IFLA_STATS_LINK_64)
			continue;
		/* Newer kernels have more at its end, and the kernel aligns it to 4 bytes only. */
		memcpy(&stats, nlattr_data(attr), MIN(sizeof(stats), (size_t)nlattr_size(attr)));
		found = true;
	}
	if (!found)
		return false;
	*ret = (struct counters){ .ifindex = m->ifindex,
				  .rx_packets = stats.rx_packets,
				  .rx_bytes = stats.rx_bytes,
				  .rx_dropped = stats.rx_dropped + stats.rx_errors,
				  .tx_packets = stats.tx_packets,
				  .tx_bytes = stats.tx_bytes,
				  .tx_dropped = stats.tx_dropped + stats.tx_errors };
	return true;
}

struct visit {
	counters_fn *visit;
	void *arg;
};

static void on_stats(void *arg, const struct nlmsghdr *hdr)
{
	const struct visit *v = arg;
	struct counters c;

	if (counters_decode(hdr, &c))
		v->visit(v->arg, &c);
}

int counters_visit(struct netlink *nl, counters_fn *visit, void *arg, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct visit v = { visit, arg };

	if (netlink_dump(nl, put_question(buffer, 0), on_stats, NULL, &v, e) < 0)
		return err_wrap(e, "counters of devices");
	return 0;
}

static void take(void *arg, const struct counters *c)
{
	*(struct counters *)arg = *c;
}

int counters_get(struct netlink *nl, uint32_t ifindex, struct counters *ret, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct counters c = { 0 };
	struct visit v = { take, &c };

	if (netlink_call(nl, put_question(buffer, ifindex), on_stats, &v, e) < 0)
		return err_wrap(e, "counters of interface %u", ifindex);
	if (c.ifindex != ifindex)
		return err_set(e, -ENODEV, "counters of interface %u: none came", ifindex);
	*ret = c;
	return 0;
}
