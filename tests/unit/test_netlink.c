/* SPDX-License-Identifier: Apache-2.0 */
/* netlink: the kernel's own words for why a dump failed; needs no privileges. */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/rtnetlink.h>

#include "kernel/message.h"
#include "kernel/netlink.h"

static void ignore(void *arg UNUSED, const struct nlmsghdr *object UNUSED)
{
}

/* The kernel puts errno and text into the message that ends the dump. */
static void test_a_missing_table_is_named(void **state UNUSED)
{
	char room[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(room);
	struct rtmsg *route = nlmsg_put_header(hdr, sizeof(*route));
	struct netlink *nl;
	struct err e;

	if (netlink_open(NETLINK_ROUTE, &nl, &e) < 0)
		skip();
	hdr->nlmsg_type = RTM_GETROUTE;
	route->rtm_family = AF_INET;
	nlattr_put_u32(hdr, RTA_TABLE, 987654);
	assert_int_equal(netlink_dump(nl, hdr, ignore, NULL, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.text, "FIB table does not exist"));
	netlink_close(nl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_missing_table_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
