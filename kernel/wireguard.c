/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/wireguard.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>

#include "kernel/link.h"
#include "kernel/message.h"
#include "kernel/rehearsal.h"

/* ---- the kernel's own ---- */

static void on_family(void *arg, const struct nlmsghdr *hdr)
{
	const struct nlattr *attr;
	uint16_t *ret = arg;

	nlattr_for_each (attr, hdr, sizeof(struct genlmsghdr)) {
		if (nlattr_type(attr) == CTRL_ATTR_FAMILY_ID && nlattr_size(attr) == sizeof(*ret))
			*ret = nlattr_u16(attr);
	}
}

/* The kernel loads the module for the question. */
static int ask_type(struct netlink *generic, uint16_t *ret, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct genlmsghdr *g;
	uint16_t type = 0;

	hdr->nlmsg_type = GENL_ID_CTRL;
	g = nlmsg_put_header(hdr, sizeof(*g));
	g->cmd = CTRL_CMD_GETFAMILY;
	g->version = 1;
	nlattr_put_text(hdr, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
	if (netlink_call(generic, hdr, on_family, &type, e) < 0)
		return err_wrap(e, "WireGuard");
	*ret = type;
	return type ? 0 : err_set(e, -ENOENT, "WireGuard: the kernel has none");
}

/* The socket to the kernel. */
static int open_generic(struct kernel *k, struct err *e)
{
	if (!k->generic && netlink_open(NETLINK_GENERIC, &k->generic, e) < 0)
		return e->code;
	return k->wireguard_type ? 0 : ask_type(k->generic, &k->wireguard_type, e);
}

struct reading {
	const struct wireguard_visitor *visitor;
	void *arg;
};

static void on_message(void *arg, const struct nlmsghdr *hdr)
{
	const struct reading *r = arg;

	wireguard_decode(hdr, r->visitor, r->arg);
}

static void on_disturbed(void *arg)
{
	const struct reading *r = arg;

	if (r->visitor->forget)
		r->visitor->forget(r->arg);
}

static int read_kernel(struct kernel *k, uint32_t ifindex, const struct wireguard_visitor *v,
		       void *arg, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct reading r = { v, arg };
	struct genlmsghdr *g;
	int rc = open_generic(k, e);

	if (rc < 0)
		return rc;
	hdr->nlmsg_type = k->wireguard_type;
	g = nlmsg_put_header(hdr, sizeof(*g));
	g->cmd = WG_CMD_GET_DEVICE;
	g->version = WG_GENL_VERSION;
	nlattr_put_u32(hdr, WGDEVICE_A_IFINDEX, ifindex);
	rc = netlink_dump(k->generic, hdr, on_message, on_disturbed, &r, e);
	/* Of another kind. */
	return rc == -EOPNOTSUPP ? -ENODEV : rc;
}

static int change_kernel(struct kernel *k, const struct wireguard_change *c, size_t len,
			 struct err *e)
{
	struct nlmsghdr *hdr;
	int rc = open_generic(k, e);

	if (rc < 0)
		return rc;
	hdr = xcalloc(1, WIREGUARD_MESSAGE_MAX);
	wireguard_encode(c, len, k->wireguard_type, hdr);
	rc = netlink_call(k->generic, hdr, NULL, NULL, e);
	explicit_bzero(hdr, WIREGUARD_MESSAGE_MAX);
	free(hdr);
	return rc;
}

/* ---- a process ---- */

static int read_process(const char *name, const struct wireguard_visitor *v, void *arg,
			struct err *e)
{
	char *answer = NULL;
	size_t size = 0;
	int rc = wireguard_go_request(name, "get=1\n\n", &answer, &size, e);

	if (rc == 0)
		rc = wireguard_parse(answer, size, v, arg, e);
	if (answer)
		explicit_bzero(answer, size);
	free(answer);
	return rc;
}

static int ask_process(const char *name, const char *request, struct err *e)
{
	static const struct wireguard_visitor nothing = { 0 };
	char *answer = NULL;
	size_t size = 0;
	int rc = wireguard_go_request(name, request, &answer, &size, e);

	if (rc == 0)
		rc = wireguard_parse(answer, size, &nothing, NULL, e);
	free(answer);
	return rc;
}

/* One request: what stands between "set=1" and the empty line of each. */
static char *join(const struct wireguard_change *c, size_t len, size_t *ret_size)
{
	static const char first[] = "set=1\n";
	size_t used = sizeof(first) - 1;
	char *all;

	*ret_size = sizeof(first) + len * WIREGUARD_TEXT_MAX + 1;
	all = xmalloc(*ret_size);
	memcpy(all, first, used);
	for (size_t i = 0; i < len; i++) {
		char one[WIREGUARD_TEXT_MAX];
		size_t size;

		wireguard_format(&c[i], one);
		size = strlen(one) - (sizeof(first) - 1) - 1;
		memcpy(all + used, one + sizeof(first) - 1, size);
		used += size;
		explicit_bzero(one, sizeof(one));
	}
	memcpy(all + used, "\n", 2);
	return all;
}

static int change_process(struct kernel *k, const char *name, const struct wireguard_change *c,
			  size_t len, struct err *e)
{
	size_t size = 0;
	char *request;
	int rc;

	if (rehearsal_is_on())
		return 0;
	request = join(c, len, &size);
	rc = ask_process(name, request, e);
	k->process_writes += len;
	explicit_bzero(request, size);
	free(request);
	return rc;
}

/* ---- either ---- */

bool wireguard_by_process(struct kernel *k, uint32_t ifindex, char ret_name[static IFNAMSIZ])
{
	struct link_info link;

	if (link_get_by_index(k->route, ifindex, &link, NULL) < 0 || strcmp(link.kind, "tun") != 0)
		return false;
	memcpy(ret_name, link.name, IFNAMSIZ);
	return true;
}

int wireguard_read(struct kernel *k, uint32_t ifindex, const struct wireguard_visitor *v, void *arg,
		   struct err *e)
{
	char name[IFNAMSIZ];

	return wireguard_by_process(k, ifindex, name) ? read_process(name, v, arg, e)
						      : read_kernel(k, ifindex, v, arg, e);
}

int wireguard_change(struct kernel *k, const struct wireguard_change *c, size_t len, struct err *e)
{
	char name[IFNAMSIZ];

	return wireguard_by_process(k, c->ifindex, name) ? change_process(k, name, c, len, e)
							 : change_kernel(k, c, len, e);
}
