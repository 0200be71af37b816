/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's notifications about nf_tables. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "kernel/nftables.h"

/* A flush of a ruleset with ten thousand elements fits; more is an overrun, which is no harm. */
#define RECEIVE_BUFFER_BYTES (2 * 1024 * 1024)
#define READ_SIZE            (32 * 1024)

struct nftables_monitor {
	struct mnl_socket *socket;
	char buffer[READ_SIZE];
};

/*
 * Drops, in the kernel, what `port_id` caused and what says nothing about a table: the generation
 * that ends each transaction.
 */
static int filter(int fd, uint32_t port_id)
{
	uint16_t generation = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN;
	/* Classic BPF loads words in network order, the header is in host order. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port_id), 2, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(generation), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = { ARRAY_LEN(code), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int nftables_monitor_open(uint32_t ignore_port_id, struct nftables_monitor **ret, struct err *e)
{
	struct nftables_monitor *m = xcalloc(1, sizeof(*m));
	int size = RECEIVE_BUFFER_BYTES;
	int group = NFNLGRP_NFTABLES;
	int fd;

	m->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!m->socket)
		goto fail;
	fd = mnl_socket_get_fd(m->socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (filter(fd, ignore_port_id) < 0 ||
	    mnl_socket_bind(m->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(m->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		goto fail;
	*ret = m;
	return 0;
fail : {
	int code = -errno;

	nftables_monitor_close(m);
	return err_sys(e, code, "nftables monitor");
}
}

void nftables_monitor_close(struct nftables_monitor *m)
{
	if (!m)
		return;
	if (m->socket)
		mnl_socket_close(m->socket);
	free(m);
}

int nftables_monitor_fd(const struct nftables_monitor *m)
{
	return mnl_socket_get_fd(m->socket);
}

static const char *text_at(const struct nlmsghdr *hdr, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each (attr, hdr, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == type &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
			return mnl_attr_get_str(attr);
	}
	return "";
}

static bool has(const struct nlmsghdr *hdr, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each (attr, hdr, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == type)
			return true;
	}
	return false;
}

_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
		       NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1 && NFTA_OBJ_TABLE == 1,
	       "the table's name comes first in all messages");

static void deliver(const struct nlmsghdr *hdr, const struct nftables_monitor_ops *ops, void *arg)
{
	struct nftables_change_info change = { .message = hdr->nlmsg_type & 0xff, .chain = "" };
	const struct nfgenmsg *gen = mnl_nlmsg_get_payload(hdr);

	if (hdr->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    hdr->nlmsg_len < NLMSG_LENGTH(sizeof(*gen)))
		return;
	change.family = gen->nfgen_family;
	change.table = text_at(hdr, NFTA_TABLE_NAME);
	if (change.message == NFT_MSG_NEWCHAIN || change.message == NFT_MSG_DELCHAIN) {
		change.chain = text_at(hdr, NFTA_CHAIN_NAME);
		change.base = has(hdr, NFTA_CHAIN_HOOK);
	} else if (change.message == NFT_MSG_NEWRULE || change.message == NFT_MSG_DELRULE)
		change.chain = text_at(hdr, NFTA_RULE_CHAIN);
	ops->changed(arg, &change);
}

unsigned nftables_monitor_read(struct nftables_monitor *m, unsigned max,
			       const struct nftables_monitor_ops *ops, void *arg)
{
	unsigned count = 0;

	while (count < max) {
		const struct nlmsghdr *hdr;
		ssize_t n = mnl_socket_recvfrom(m->socket, m->buffer, sizeof(m->buffer));
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
			ops->overrun(arg);
			count++;
			continue;
		}
		if (n <= 0)
			break;
		for (hdr = (void *)m->buffer; mnl_nlmsg_ok(hdr, left);
		     hdr = mnl_nlmsg_next(hdr, &left)) {
			deliver(hdr, ops, arg);
			count++;
		}
	}
	return count;
}
