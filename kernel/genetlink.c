/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/genetlink.h"

#include <errno.h>

#include "kernel/message.h"

void genetlink_put_header(struct nlmsghdr *hdr, uint16_t type, uint8_t command, uint8_t version)
{
	struct genlmsghdr *g;

	nlmsg_begin(hdr);
	hdr->nlmsg_type = type;
	hdr->nlmsg_flags = NLM_F_REQUEST;
	g = nlmsg_put_header(hdr, sizeof(*g));
	g->cmd = command;
	g->version = version;
}

static void read_type(void *arg, const struct nlmsghdr *reply)
{
	const struct nlattr *attr;
	uint16_t *ret = arg;

	if (reply->nlmsg_type != GENL_ID_CTRL)
		return;
	nlattr_for_each (attr, reply, sizeof(struct genlmsghdr)) {
		if (nlattr_type(attr) == CTRL_ATTR_FAMILY_ID && nlattr_size(attr) == sizeof(*ret))
			*ret = nlattr_u16(attr);
	}
}

int genetlink_open(const char *family, struct netlink **ret, uint16_t *ret_type, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct netlink *nl = NULL;
	uint16_t type = 0;
	int rc = netlink_open(NETLINK_GENERIC, &nl, e);

	if (rc < 0)
		return rc;
	genetlink_put_header(hdr, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
	nlattr_put_text(hdr, CTRL_ATTR_FAMILY_NAME, family);
	rc = netlink_call(nl, hdr, read_type, &type, e);
	if (rc == 0 && !type)
		rc = err_set(e, -ENOENT, "no answer");
	if (rc == -ENOENT)
		err_set(e, rc, "the kernel has no \"%s\"", family);
	if (rc < 0) {
		netlink_close(nl);
		return rc;
	}
	*ret = nl;
	*ret_type = type;
	return 0;
}
