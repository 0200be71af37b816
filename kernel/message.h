/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netlink messages as bytes: how they are built and read.
 *
 * Building: nlmsg_begin writes a header into room that the caller has, nlmsg_put_header the family's
 * behind it, nlattr_put* an attribute at the end; nlmsg_len grows with each. Nobody checks the room: a
 * request has NETLINK_MESSAGE_MAX bytes, and who puts what may be longer counts by itself.
 *
 * Reading: the loops stop at the end of the message and at an attribute that is longer than what holds
 * it, so bytes from outside lead nowhere else. The lengths of values are for the reader to check:
 * nlattr_size before nlattr_u32, nlattr_is_text before nlattr_data is taken for a string. Numbers are
 * of the host's order. Pointers lead into the message and live as long as it does.
 *
 * Source: linux/netlink.h, linux/Documentation/userspace-api/netlink/intro.rst.
 */
#ifndef KERNEL_MESSAGE_H
#define KERNEL_MESSAGE_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- building ---- */

/* A header with nothing behind it, all its fields zero. */
struct nlmsghdr *nlmsg_begin(void *room);
/* Room at the end for a header or other bytes that are no attribute, zeroed and padded. */
void *nlmsg_put_header(struct nlmsghdr *hdr, size_t size);

void nlattr_put(struct nlmsghdr *hdr, uint16_t type, size_t size, const void *data);
void nlattr_put_u8(struct nlmsghdr *hdr, uint16_t type, uint8_t value);
void nlattr_put_u16(struct nlmsghdr *hdr, uint16_t type, uint16_t value);
void nlattr_put_u32(struct nlmsghdr *hdr, uint16_t type, uint32_t value);
void nlattr_put_u64(struct nlmsghdr *hdr, uint16_t type, uint64_t value);
/* With its NUL. */
void nlattr_put_text(struct nlmsghdr *hdr, uint16_t type, const char *text);

/* An attribute of attributes: what is put until its end is within it. */
struct nlattr *nlattr_nest_begin(struct nlmsghdr *hdr, uint16_t type);
void nlattr_nest_end(struct nlmsghdr *hdr, struct nlattr *nest);

/* ---- reading ---- */

/* A whole message at `hdr`, of which `left` bytes are there; and the one behind it. */
bool nlmsg_ok(const struct nlmsghdr *hdr, int left);
struct nlmsghdr *nlmsg_next(const struct nlmsghdr *hdr, int *left);

static inline void *nlmsg_data(const struct nlmsghdr *hdr)
{
	return (char *)hdr + NLMSG_HDRLEN;
}

static inline size_t nlmsg_size(const struct nlmsghdr *hdr)
{
	return hdr->nlmsg_len - NLMSG_HDRLEN;
}

static inline uint16_t nlattr_type(const struct nlattr *attr)
{
	return attr->nla_type & NLA_TYPE_MASK;
}

static inline size_t nlattr_size(const struct nlattr *attr)
{
	return attr->nla_len - (size_t)NLA_HDRLEN;
}

static inline void *nlattr_data(const struct nlattr *attr)
{
	return (char *)attr + NLA_HDRLEN;
}

static inline uint8_t nlattr_u8(const struct nlattr *attr)
{
	return *(const uint8_t *)nlattr_data(attr);
}

static inline uint16_t nlattr_u16(const struct nlattr *attr)
{
	return *(const uint16_t *)nlattr_data(attr);
}

static inline uint32_t nlattr_u32(const struct nlattr *attr)
{
	return *(const uint32_t *)nlattr_data(attr);
}

/* Values of eight bytes are aligned to four. */
static inline uint64_t nlattr_u64(const struct nlattr *attr)
{
	uint64_t value;

	memcpy(&value, nlattr_data(attr), sizeof(value));
	return value;
}

/* Its value ends with a NUL, the first there or not: nlattr_data is a string. */
static inline bool nlattr_is_text(const struct nlattr *attr)
{
	size_t size = nlattr_size(attr);

	return size > 0 && ((const char *)nlattr_data(attr))[size - 1] == '\0';
}

/* A whole attribute at `attr`, of which `left` bytes are there: negative behind the last. */
static inline bool nlattr_ok(const struct nlattr *attr, ptrdiff_t left)
{
	return left >= NLA_HDRLEN && attr->nla_len >= NLA_HDRLEN && attr->nla_len <= left;
}

static inline struct nlattr *nlattr_next(const struct nlattr *attr)
{
	return (void *)((char *)attr + NLA_ALIGN(attr->nla_len));
}

/* The attributes in `size` bytes; of a message, behind a header of `offset` bytes; in an attribute. */
#define nlattr_for_each_in(attr, data, size)                                                       \
	for ((attr) = (void *)(data);                                                              \
	     nlattr_ok((attr), (const char *)(data) + (size) - (const char *)(attr));              \
	     (attr) = nlattr_next(attr))
#define nlattr_for_each(attr, hdr, offset)                                                         \
	for ((attr) = (void *)((char *)nlmsg_data(hdr) + NLMSG_ALIGN(offset));                     \
	     nlattr_ok((attr), (const char *)(hdr) + (hdr)->nlmsg_len - (const char *)(attr));     \
	     (attr) = nlattr_next(attr))
#define nlattr_for_each_nested(attr, nest)                                                         \
	nlattr_for_each_in (attr, nlattr_data(nest), nlattr_size(nest))

#endif
