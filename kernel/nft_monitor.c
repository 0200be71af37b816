/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's notifications about nf_tables. */
#include "kernel/nft_internal.h"

#include "kernel/listener.h"

/* A flush of a ruleset with ten thousand elements fits; more is an overrun, which is no harm. */
#define RECEIVE_BUFFER_BYTES (2 * 1024 * 1024)

struct nft_monitor {
	struct listener *listener;
	/* During nft_monitor_read. */
	const struct nft_monitor_ops *ops;
	void *arg;
};

int nft_monitor_open(uint32_t ignore_port_id, struct nft_monitor **ret, struct err *e)
{
	static const int groups[] = { NFNLGRP_NFTABLES };
	struct listener *listener;
	int rc = listener_open(NETLINK_NETFILTER, groups, ARRAY_LEN(groups), ignore_port_id,
			       RECEIVE_BUFFER_BYTES, &listener, e);

	if (rc < 0)
		return err_wrap(e, "nftables");
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->listener = listener;
	return 0;
}

void nft_monitor_close(struct nft_monitor *m)
{
	if (!m)
		return;
	listener_close(m->listener);
	free(m);
}

int nft_monitor_fd(const struct nft_monitor *m)
{
	return listener_fd(m->listener);
}

_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
		       NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1 && NFTA_OBJ_TABLE == 1,
	       "the table's name comes first in all messages");

static void on_message(void *arg, const struct nlmsghdr *hdr)
{
	const struct nft_monitor *m = arg;
	const struct nfgenmsg *gen = nlmsg_data(hdr);
	struct nft_change change = { .chain = "", .set = "", .hdr = hdr };

	if (hdr->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    hdr->nlmsg_len < NLMSG_LENGTH(sizeof(*gen)))
		return;
	change.message = hdr->nlmsg_type & 0xff;
	change.family = gen->nfgen_family;
	change.table = nft_text(nft_find(hdr, NFTA_TABLE_NAME));
	switch (change.message) {
	case NFT_MSG_NEWGEN:
		if (m->ops->finished)
			m->ops->finished(m->arg, nft_be32(nft_find(hdr, NFTA_GEN_PROC_PID)),
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
	m->ops->changed(m->arg, &change);
}

static void on_overrun(void *arg)
{
	const struct nft_monitor *m = arg;

	m->ops->overrun(m->arg);
}

void nft_change_elements(const struct nft_change *change, size_t key_size, nft_element_fn *visit,
			 void *arg)
{
	nft_read_elements(change->hdr, key_size, visit, arg);
}

unsigned nft_monitor_read(struct nft_monitor *m, unsigned max, const struct nft_monitor_ops *ops,
			  void *arg)
{
	static const struct listener_ops listener_ops = { .message = on_message,
							  .overrun = on_overrun };

	m->ops = ops;
	m->arg = arg;
	return listener_read(m->listener, max, &listener_ops, m);
}
