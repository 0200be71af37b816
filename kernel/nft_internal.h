/* SPDX-License-Identifier: Apache-2.0 */
/* Inside nf_tables: messages, as they are written and as they are read. */
#ifndef KERNEL_NFT_INTERNAL_H
#define KERNEL_NFT_INTERNAL_H

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "kernel/nft.h"
#include "kernel/message.h"

#define NFT_MESSAGE_ROOM 2048 /* that any message but one with elements may need */
#define NFT_COMMENT_TYPE 0    /* libnftnl/udata.h, of tables, rules and elements alike */

/* ---- writing ---- */

static inline uint16_t nft_type(uint8_t message)
{
	return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message);
}

/* A header at `room`, which is zero; attributes follow. */
struct nlmsghdr *nft_put_header(void *room, uint8_t message, uint16_t flags, uint8_t family);
void nft_put_be32(struct nlmsghdr *hdr, uint16_t type, uint32_t value);
/* Wrapped, since the kernel takes bytes or a verdict at the same place. */
void nft_put_value(struct nlmsghdr *hdr, uint16_t type, const void *value, size_t size);
void nft_put_verdict(struct nlmsghdr *hdr, uint16_t type, int32_t code, const char *chain);
/* User data as nft writes a comment: type, size, text with its terminator. */
void nft_put_comment(struct nlmsghdr *hdr, uint16_t type, const char *comment);

/* All attributes of the object, but ids that only a transaction knows. */
void nft_put_table(struct nlmsghdr *hdr, const struct nft_table *t);
void nft_put_chain(struct nlmsghdr *hdr, const struct nft_table *t, const struct nft_chain *c);
void nft_put_set(struct nlmsghdr *hdr, const struct nft_table *t, const struct nft_set *set);
void nft_put_counter(struct nlmsghdr *hdr, const struct nft_table *t, const struct nft_counter *c);
void nft_put_rule(struct nlmsghdr *hdr, const struct nft_ruleset *r, const struct nft_rule *rule);
void nft_put_expressions(struct nlmsghdr *hdr, const struct nft_rule *r);

/* ---- reading ---- */

/* The first attribute of that type; NULL if there is none, or no message or nest. */
const struct nlattr *nft_find(const struct nlmsghdr *hdr, uint16_t type);
const struct nlattr *nft_find_in(const struct nlattr *nest, uint16_t type);
const char *nft_text(const struct nlattr *attr); /* "" if it is none */
uint32_t nft_be32(const struct nlattr *attr);    /* likewise 0 */
/* The comment in an attribute of user data, "" if there is none. */
const char *nft_comment(const struct nlattr *userdata);

typedef void nft_message_fn(void *arg, const struct nlmsghdr *hdr);

/* A question: what to get, in which family, and which attributes narrow it. */
struct nft_query {
	uint8_t message; /* NFT_MSG_GET, whose answer is the NFT_MSG_NEW before it */
	uint8_t family;
	struct {
		uint16_t type;
		const char *text; /* NULL for any */
	} by[2];
	uint32_t object; /* NFT_OBJECT_ with NFT_MSG_GETOBJ */
};

/*
 * Asks for single objects, all in one system call, and shows the answer to each question; hdr is NULL
 * if there is no such object.
 */
typedef void nft_answer_fn(void *arg, size_t index, const struct nlmsghdr *hdr);
int nft_ask(struct netlink *nl, const struct nft_query *questions, size_t len,
	    nft_answer_fn *on_answer, void *arg, struct err *e) MUST_CHECK;
/* All of them. `reset` (or NULL) is called first, and again when a disturbed dump starts afresh. */
int nft_dump(struct netlink *nl, const struct nft_query *q, void (*reset)(void *arg),
	     nft_message_fn *visit, void *arg, struct err *e) MUST_CHECK;

/*
 * Whether a set or map, of whatever type, has the key at `key`, whose bits set in `known` are known:
 * 1 or 0; -ENODATA if that depends on what is not known. size: bytes there are. -ENOENT: no such set.
 */
int nft_set_has(struct netlink *nl, uint8_t family, const char *table, const char *set,
		const uint8_t *key, const uint8_t *known, size_t size) MUST_CHECK;

/* The elements in a message. key_size: those with other keys are left out. */
void nft_read_elements(const struct nlmsghdr *hdr, size_t key_size, nft_element_fn *visit,
		       void *arg);

/*
 * Whether two attributes say the same. The kernel leaves out what is zero, and gives out nests that
 * are empty and not marked as nests: `want` says how the bytes are to be read. Pure.
 */
bool nft_attrs_equal(const struct nlattr *want, const struct nlattr *have);

#endif
