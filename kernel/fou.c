/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fou.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fou.h>
#include <netinet/in.h>

#include "kernel/genetlink.h"
#include "kernel/message.h"

struct fou_port {
	uint16_t port;
	uint8_t family;
	uint8_t protocol;
	uint8_t type;
	struct ip_addr local; /* unset: all addresses */
};

struct search {
	struct fou_port wanted;
	bool found;
	int other_protocol; /* of who has the port for something else; -1: nobody */
};

static struct fou_port read_port(const struct nlmsghdr *message)
{
	struct fou_port p = { 0 };
	const struct nlattr *attr;

	nlattr_for_each (attr, message, sizeof(struct genlmsghdr)) {
		const void *payload = nlattr_data(attr);
		size_t size = nlattr_size(attr);

		switch (nlattr_type(attr)) {
		case FOU_ATTR_PORT:
			p.port = size == 2 ? ntohs(nlattr_u16(attr)) : 0;
			break;
		case FOU_ATTR_AF:
			p.family = size == 1 ? nlattr_u8(attr) : 0;
			break;
		case FOU_ATTR_IPPROTO:
			p.protocol = size == 1 ? nlattr_u8(attr) : 0;
			break;
		case FOU_ATTR_TYPE:
			p.type = size == 1 ? nlattr_u8(attr) : 0;
			break;
		case FOU_ATTR_LOCAL_V4:
			if (size == 4 && nlattr_u32(attr))
				p.local = ip_addr_from_bytes(AF_INET, payload);
			break;
		}
	}
	return p;
}

static void compare_port(void *arg, const struct nlmsghdr *message)
{
	const struct fou_port p = read_port(message);
	struct search *s = arg;

	if (p.port != s->wanted.port || p.family != AF_INET)
		return;
	if (ip_addr_is_set(&p.local) && !ip_addr_equal(&p.local, &s->wanted.local))
		return;
	if (p.protocol == s->wanted.protocol && p.type == s->wanted.type)
		s->found = true;
	else
		s->other_protocol = p.protocol;
}

static void put_port(struct nlmsghdr *hdr, const struct fou_port *p)
{
	nlattr_put_u16(hdr, FOU_ATTR_PORT, htons(p->port));
	nlattr_put_u8(hdr, FOU_ATTR_AF, p->family);
	nlattr_put_u8(hdr, FOU_ATTR_IPPROTO, p->protocol);
	nlattr_put_u8(hdr, FOU_ATTR_TYPE, p->type);
	nlattr_put(hdr, FOU_ATTR_LOCAL_V4, ip_addr_size(&p->local), p->local.b);
}

static int change(struct netlink *nl, uint16_t type, uint8_t command, const struct fou_port *p,
		  struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;

	genetlink_put_header(hdr, type, command, FOU_GENL_VERSION);
	put_port(hdr, p);
	return netlink_call(nl, hdr, NULL, NULL, e);
}

static struct fou_port port_of(const struct ip_addr *local, uint16_t port)
{
	return (struct fou_port){ port, AF_INET, IPPROTO_IPIP, FOU_ENCAP_DIRECT, *local };
}

int fou_available(struct err *e)
{
	struct netlink *nl = NULL;
	uint16_t type;
	int rc = genetlink_open(FOU_GENL_NAME, &nl, &type, e);

	netlink_close(nl);
	return rc < 0 ? err_wrap(e, "FOU (module fou)") : 0;
}

/* 1 if it had to be made. */
static int find_or_make(struct netlink *nl, uint16_t type, const struct fou_port *wanted,
			struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct search s = { *wanted, false, -1 };
	int rc;

	genetlink_put_header(hdr, type, FOU_CMD_GET, FOU_GENL_VERSION);
	rc = netlink_dump(nl, hdr, compare_port, NULL, &s, e);
	if (rc < 0 || s.found)
		return rc;
	if (s.other_protocol >= 0)
		return err_set(e, -EBUSY, "it is there for packets of protocol %d",
			       s.other_protocol);
	rc = change(nl, type, FOU_CMD_ADD, wanted, e);
	return rc < 0 ? rc : 1;
}

int fou_listen(const struct ip_addr *local, uint16_t port, struct err *e)
{
	const struct fou_port wanted = port_of(local, port);
	struct netlink *nl = NULL;
	uint16_t type;
	int rc = genetlink_open(FOU_GENL_NAME, &nl, &type, e);

	if (rc == 0)
		rc = find_or_make(nl, type, &wanted, e);
	netlink_close(nl);
	return rc < 0 ? err_wrap(e, "FOU port %u", port) : rc;
}

int fou_close(const struct ip_addr *local, uint16_t port, struct err *e)
{
	const struct fou_port ours = port_of(local, port);
	struct netlink *nl = NULL;
	uint16_t type;
	int rc = genetlink_open(FOU_GENL_NAME, &nl, &type, e);

	if (rc == 0)
		rc = change(nl, type, FOU_CMD_DEL, &ours, e);
	netlink_close(nl);
	return rc < 0 ? err_wrap(e, "FOU port %u", port) : 0;
}
