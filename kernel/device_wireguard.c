/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/device_wireguard.h"

#include <errno.h>
#include <string.h>

#include "kernel/link.h"

/* Nothing of it is an attribute of the device. */
static void encode(struct nlmsghdr *hdr UNUSED, const void *spec UNUSED, bool change UNUSED)
{
}

/* A tun device is one if wireguard-go has it: then its socket answers. */
static enum device_match match(const void *spec UNUSED, const struct link_info *link)
{
	bool ours = strcmp(link->kind, "tun") != 0 || wireguard_go_answers(link->name);

	return ours ? DEVICE_SAME : DEVICE_OTHER;
}

static int create(struct kernel *k, const struct link_new *device, struct err *e)
{
	int rc = link_create(k->route, device, e);

	if (rc != -EOPNOTSUPP)
		return rc;
	rc = wireguard_go_start(device->name, e);
	if (rc == -ENOENT)
		return err_set(e, -EOPNOTSUPP,
			       "create device %s: the kernel has no WireGuard, and there is no "
			       "program wireguard-go, which would do",
			       device->name);
	return rc < 0 ? err_wrap(e, "create device %s", device->name) : 0;
}

static void on_interface(void *arg, const struct wireguard_interface *i)
{
	*(struct wireguard_interface *)arg = *i;
}

static bool is_as_wanted(const struct wireguard_interface *have,
			 const struct wireguard_interface *want)
{
	return memcmp(have->private_key, want->private_key, sizeof(have->private_key)) == 0 &&
	       have->port == want->port && have->mark == want->mark;
}

/*
 * The kernel opens the socket when the device is set up, and tells only then that a port is taken; of
 * a device that is up it would keep the new number without a socket.
 */
static int make_room(struct kernel *k, uint32_t ifindex, struct err *e)
{
	char name[IFNAMSIZ];

	return wireguard_by_process(k, ifindex, name) ? 0 : link_set_down(k->route, ifindex, e);
}

static int configure(struct kernel *k, uint32_t ifindex, const void *spec, struct err *e)
{
	static const struct wireguard_visitor visitor = { .interface = on_interface };
	const struct wireguard_interface *want =
		&((const struct device_wireguard *)spec)->interface;
	struct wireguard_change change = { .verb = WIREGUARD_SET_INTERFACE, .ifindex = ifindex };
	struct wireguard_interface have = { 0 };
	int rc = wireguard_read(k, ifindex, &visitor, &have, e);

	if (rc == 0 && !is_as_wanted(&have, want)) {
		if (have.port && have.port != want->port)
			rc = make_room(k, ifindex, e);
		change.interface = *want;
		if (rc == 0)
			rc = wireguard_change(k, &change, 1, e);
		rc = rc < 0 ? rc : 1;
	}
	explicit_bzero(&have, sizeof(have));
	explicit_bzero(&change, sizeof(change));
	return rc;
}

const struct device_kind device_wireguard = {
	.name = "wireguard",
	.other_name = "tun",
	.create = create,
	.encode = encode,
	.match = match,
	.configure = configure,
};

const struct device_wireguard *device_wireguard_spec(const struct kernel_marks *marks,
						     uint32_t ifindex)
{
	for (size_t i = 0; i < marks->ifindexes_len; i++) {
		if (marks->ifindexes[i] == ifindex && marks->devices[i].kind == &device_wireguard)
			return marks->devices[i].spec;
	}
	return NULL;
}
