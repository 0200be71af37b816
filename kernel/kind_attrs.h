/* SPDX-License-Identifier: Apache-2.0 */
/* What the kinds of NETLINK_ROUTE share to write and read messages. For kernel/kind_*.c alone. */
#ifndef KERNEL_KIND_ATTRS_H
#define KERNEL_KIND_ATTRS_H

#include "kernel/kinds.h"
#include "kernel/message.h"

static inline size_t kind_family_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

/* The header of a request of this verb; `create` is the RTM_NEW of the kind. */
static inline void kind_put_header(struct nlmsghdr *hdr, uint16_t create, enum kernel_verb verb)
{
	static const uint16_t flags[] = { [KERNEL_CREATE] = NLM_F_CREATE | NLM_F_EXCL,
					  [KERNEL_REPLACE] = NLM_F_CREATE | NLM_F_REPLACE,
					  [KERNEL_DROP] = 0,
					  [KERNEL_REMAKE] = NLM_F_CREATE | NLM_F_REPLACE };

	nlmsg_begin(hdr);
	hdr->nlmsg_type = (uint16_t)(verb == KERNEL_DROP ? create + 1 : create);
	hdr->nlmsg_flags = NLM_F_REQUEST | flags[verb];
}

/* A dump request of the kind whose RTM_GET this is; returns the family header, of `size` bytes. */
static inline void *kind_put_dump(struct nlmsghdr *hdr, uint16_t get, size_t size)
{
	nlmsg_begin(hdr);
	hdr->nlmsg_type = get;
	hdr->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	return nlmsg_put_header(hdr, size);
}

/* Whether this is a notification or an entry of a dump of that kind, at least `size` bytes long. */
static inline bool kind_is_message(const struct nlmsghdr *hdr, uint16_t create, size_t size)
{
	return (hdr->nlmsg_type == create || hdr->nlmsg_type == create + 1) &&
	       nlmsg_size(hdr) >= size;
}

/* Attributes by type; of repeated ones the last. The reader checks presence and size. */
struct kind_attrs {
	const struct nlattr *by_type[32];
};

static inline struct kind_attrs kind_attrs(const struct nlmsghdr *hdr, size_t offset)
{
	struct kind_attrs a = { 0 };
	const struct nlattr *attr;

	nlattr_for_each (attr, hdr, offset) {
		if (nlattr_type(attr) < ARRAY_LEN(a.by_type))
			a.by_type[nlattr_type(attr)] = attr;
	}
	return a;
}

static inline bool kind_copy_attr(const struct kind_attrs *a, unsigned type, size_t size, void *ret)
{
	const struct nlattr *attr = a->by_type[type];

	if (!attr || nlattr_size(attr) != size)
		return false;
	memcpy(ret, nlattr_data(attr), size);
	return true;
}

static inline bool kind_has_any(const struct kind_attrs *a, const uint8_t *types, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (a->by_type[types[i]])
			return true;
	}
	return false;
}

#endif
