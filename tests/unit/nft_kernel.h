/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel that answers questions about nf_tables out of a list of messages, in place of
 * kernel/netlink.c, whose functions these are. For one program's main file.
 */
#ifndef TESTS_UNIT_NFT_KERNEL_H
#define TESTS_UNIT_NFT_KERNEL_H

#include <errno.h>
#include <string.h>

#include "kernel/nft_internal.h"

#define NFT_KERNEL_MESSAGES 256

static struct {
	const struct nlmsghdr *messages[NFT_KERNEL_MESSAGES];
	size_t len;
} nft_kernel;

/* Each question is answered by the next message of its kind, so they stand in order. */
int netlink_ask(struct netlink *nl UNUSED, void *questions, size_t size,
		netlink_answer_fn *on_answer, void *arg, struct err *e UNUSED)
{
	size_t next[NFNL_SUBSYS_NFTABLES << 8] = { 0 };
	size_t index = 0;

	for (size_t offset = 0; offset < size; index++) {
		const struct nlmsghdr *question = (const void *)((char *)questions + offset);
		uint8_t answer = (uint8_t)(question->nlmsg_type - 1);
		size_t *i = &next[answer];

		while (*i < nft_kernel.len &&
		       nft_kernel.messages[*i]->nlmsg_type != nft_type(answer))
			(*i)++;
		if (*i < nft_kernel.len)
			on_answer(arg, index, nft_kernel.messages[(*i)++], 0, "");
		else
			on_answer(arg, index, NULL, -ENOENT, "No such file or directory");
		offset += NLMSG_ALIGN(question->nlmsg_len);
	}
	return 0;
}

int netlink_dump(struct netlink *nl UNUSED, struct nlmsghdr *request UNUSED,
		 void (*visit)(void *arg, const struct nlmsghdr *object), void (*forget)(void *arg),
		 void *arg, struct err *e UNUSED)
{
	/* Once disturbed in the middle. */
	for (size_t i = 0; i < nft_kernel.len / 2; i++)
		visit(arg, nft_kernel.messages[i]);
	if (forget)
		forget(arg);
	for (size_t i = 0; i < nft_kernel.len; i++)
		visit(arg, nft_kernel.messages[i]);
	return 0;
}

int netlink_call(struct netlink *nl UNUSED, struct nlmsghdr *request UNUSED,
		 void (*on_reply)(void *arg, const struct nlmsghdr *reply), void *arg,
		 struct err *e UNUSED)
{
	for (size_t i = 0; i < nft_kernel.len && on_reply; i++)
		on_reply(arg, nft_kernel.messages[i]);
	return 0;
}

int netlink_send_sequence(struct netlink *nl UNUSED, void *requests UNUSED, size_t size UNUSED,
			  size_t acked UNUSED,
			  void (*on_error)(void *arg, size_t index, int code, const char *text)
				  UNUSED,
			  void *arg UNUSED, struct err *e UNUSED)
{
	return 0;
}

#endif
