/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's notifications about nf_tables. */
#include "kernel/nft_internal.h"

#include <errno.h>
#include <linux/filter.h>

/* A flush of a ruleset with ten thousand elements fits; more is an overrun, which is no harm. */
#define RECEIVE_BUFFER_BYTES (2 * 1024 * 1024)
#define READ_SIZE            (32 * 1024)

struct nft_monitor {
	struct mnl_socket *socket;
	char buffer[READ_SIZE];
};

/* Drops, in the kernel, what `port_id` caused. */
static int filter(int fd, uint32_t port_id)
{
	/* Classic BPF loads words in network order, the header is in host order. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port_id), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = { ARRAY_LEN(code), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int open_socket(struct nft_monitor *m, uint32_t ignore_port_id)
{
	int size = RECEIVE_BUFFER_BYTES;
	int group = NFNLGRP_NFTABLES;
	int fd;

	m->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!m->socket)
		return -errno;
	fd = mnl_socket_get_fd(m->socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (filter(fd, ignore_port_id) < 0 ||
	    mnl_socket_bind(m->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(m->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	return 0;
}

int nft_monitor_open(uint32_t ignore_port_id, struct nft_monitor **ret, struct err *e)
{
	struct nft_monitor *m = xcalloc(1, sizeof(*m));
	int rc = open_socket(m, ignore_port_id);

	if (rc < 0) {
		nft_monitor_close(m);
		return err_sys(e, rc, "nftables monitor");
	}
	*ret = m;
	return 0;
}

void nft_monitor_close(struct nft_monitor *m)
{
	if (!m)
		return;
	if (m->socket)
		mnl_socket_close(m->socket);
	free(m);
}

int nft_monitor_fd(const struct nft_monitor *m)
{
	return mnl_socket_get_fd(m->socket);
}

_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
		       NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1 && NFTA_OBJ_TABLE == 1,
	       "the table's name comes first in all messages");

static void deliver(const struct nlmsghdr *hdr, const struct nft_monitor_ops *ops, void *arg)
{
	const struct nfgenmsg *gen = mnl_nlmsg_get_payload(hdr);
	struct nft_change change = { .chain = "", .set = "", .hdr = hdr };

	if (hdr->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    hdr->nlmsg_len < NLMSG_LENGTH(sizeof(*gen)))
		return;
	change.message = hdr->nlmsg_type & 0xff;
	change.family = gen->nfgen_family;
	change.table = nft_text(nft_find(hdr, NFTA_TABLE_NAME));
	switch (change.message) {
	case NFT_MSG_NEWGEN:
		if (ops->finished)
			ops->finished(arg, nft_be32(nft_find(hdr, NFTA_GEN_PROC_PID)),
				      nft_text(nft_find(hdr, NFTA_GEN_PROC_NAME)));
		return;
	case NFT_MSG_NEWCHAIN:
	case NFT_MSG_DELCHAIN:
		change.chain = nft_text(nft_find(hdr, NFTA_CHAIN_NAME));
		change.base = nft_find(hdr, NFTA_CHAIN_HOOK) != NULL;
		break;
	case NFT_MSG_NEWRULE:
	case NFT_MSG_DELRULE:
		change.chain = nft_text(nft_find(hdr, NFTA_RULE_CHAIN));
		break;
	case NFT_MSG_NEWSET:
	case NFT_MSG_DELSET:
		change.set = nft_text(nft_find(hdr, NFTA_SET_NAME));
		break;
	case NFT_MSG_NEWSETELEM:
	case NFT_MSG_DELSETELEM:
		change.set = nft_text(nft_find(hdr, NFTA_SET_ELEM_LIST_SET));
		break;
	}
	ops->changed(arg, &change);
}

void nft_change_elements(const struct nft_change *change, size_t key_size, nft_element_fn *visit,
			 void *arg)
{
	nft_read_elements(change->hdr, key_size, visit, arg);
}

unsigned nft_monitor_read(struct nft_monitor *m, unsigned max, const struct nft_monitor_ops *ops,
			  void *arg)
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
