/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a WireGuard device says: 'k' and the attributes of a message of the kernel's, or
 * 'g' and an answer of wireguard-go's. What is shown is well formed.
 */
#include "tests/fuzz/fuzz.h"

#include <linux/genetlink.h>

#include "kernel/message.h"
#include "kernel/wireguard.h"

static size_t checked;

static void on_interface(void *arg, const struct wireguard_interface *i)
{
	bool *seen = arg;

	FUZZ_CHECK(!*seen);
	*seen = true;
	checked += i->port;
}

static void check_address(const struct ip_addr *a)
{
	FUZZ_CHECK(a->family == AF_UNSPEC || a->family == AF_INET || a->family == AF_INET6);
}

static void on_peer(void *arg UNUSED, const struct wireguard_peer *p)
{
	check_address(&p->address);
	checked += p->key[0];
}

static void on_allowed_ip(void *arg UNUSED, const uint8_t key[static WIREGUARD_KEY_SIZE],
			  const struct ip_net *net)
{
	check_address(&net->addr);
	FUZZ_CHECK(net->len <= ip_family_bits(net->addr.family));
	checked += key[WIREGUARD_KEY_SIZE - 1];
}

static const struct wireguard_visitor visitor = { .interface = on_interface,
						  .peer = on_peer,
						  .allowed_ip = on_allowed_ip };

static void read_message(const uint8_t *data, size_t size)
{
	struct nlmsghdr *hdr = xcalloc(1, NLMSG_HDRLEN + GENL_HDRLEN + size + NLMSG_ALIGNTO);
	bool seen = false;

	hdr->nlmsg_len = (uint32_t)(NLMSG_HDRLEN + GENL_HDRLEN + size);
	if (size)
		memcpy((char *)hdr + NLMSG_HDRLEN + GENL_HDRLEN, data, size);
	wireguard_decode(hdr, &visitor, &seen);
	free(hdr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *copy = NULL;
	bool seen = false;
	struct err e;
	int rc;

	if (size < 1)
		return 0;
	/* Without room behind it. */
	copy = xmalloc(size);
	memcpy(copy, data + 1, size - 1);
	if (data[0] == 'k') {
		read_message(data + 1, size - 1);
	} else if (data[0] == 'g') {
		rc = wireguard_parse(copy, size - 1, &visitor, &seen, &e);
		FUZZ_CHECK(rc == 0 || (e.code == rc && *e.text));
		FUZZ_CHECK(rc != 0 || seen);
	}
	return 0;
}
