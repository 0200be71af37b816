/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/message.h"

/* ---- building ---- */

struct nlmsghdr *nlmsg_begin(void *room)
{
	struct nlmsghdr *hdr = room;

	memset(hdr, 0, NLMSG_HDRLEN);
	hdr->nlmsg_len = NLMSG_HDRLEN;
	return hdr;
}

static void *end_of(const struct nlmsghdr *hdr)
{
	return (char *)hdr + NLMSG_ALIGN(hdr->nlmsg_len);
}

void *nlmsg_put_header(struct nlmsghdr *hdr, size_t size)
{
	void *room = end_of(hdr);
	uint32_t padded = (uint32_t)NLMSG_ALIGN(size);

	memset(room, 0, padded);
	hdr->nlmsg_len += padded;
	return room;
}

void nlattr_put(struct nlmsghdr *hdr, uint16_t type, size_t size, const void *data)
{
	struct nlattr *attr = end_of(hdr);
	size_t padded = NLA_ALIGN(size);

	attr->nla_type = type;
	attr->nla_len = (uint16_t)(NLA_HDRLEN + size);
	if (size > 0)
		memcpy(nlattr_data(attr), data, size);
	memset((char *)nlattr_data(attr) + size, 0, padded - size);
	hdr->nlmsg_len += (uint32_t)(NLA_HDRLEN + padded);
}

void nlattr_put_u8(struct nlmsghdr *hdr, uint16_t type, uint8_t value)
{
	nlattr_put(hdr, type, sizeof(value), &value);
}

void nlattr_put_u16(struct nlmsghdr *hdr, uint16_t type, uint16_t value)
{
	nlattr_put(hdr, type, sizeof(value), &value);
}

void nlattr_put_u32(struct nlmsghdr *hdr, uint16_t type, uint32_t value)
{
	nlattr_put(hdr, type, sizeof(value), &value);
}

void nlattr_put_u64(struct nlmsghdr *hdr, uint16_t type, uint64_t value)
{
	nlattr_put(hdr, type, sizeof(value), &value);
}

void nlattr_put_text(struct nlmsghdr *hdr, uint16_t type, const char *text)
{
	nlattr_put(hdr, type, strlen(text) + 1, text);
}

struct nlattr *nlattr_nest_begin(struct nlmsghdr *hdr, uint16_t type)
{
	struct nlattr *nest = end_of(hdr);

	nest->nla_type = NLA_F_NESTED | type;
	hdr->nlmsg_len += NLA_HDRLEN;
	return nest;
}

void nlattr_nest_end(struct nlmsghdr *hdr, struct nlattr *nest)
{
	nest->nla_len = (uint16_t)((char *)end_of(hdr) - (char *)nest);
}

/* ---- reading ---- */

bool nlmsg_ok(const struct nlmsghdr *hdr, int left)
{
	return left >= (int)sizeof(*hdr) && hdr->nlmsg_len >= sizeof(*hdr) &&
	       (int64_t)hdr->nlmsg_len <= left;
}

struct nlmsghdr *nlmsg_next(const struct nlmsghdr *hdr, int *left)
{
	*left -= (int)NLMSG_ALIGN(hdr->nlmsg_len);
	return end_of(hdr);
}
