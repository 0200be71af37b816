/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of kernel objects: everything that differs between an address and a route is said here,
 * by one struct for each kind, and whoever handles objects walks the table. A new kind is one file
 * and one line below.
 *
 * The table's order is the order in which objects are made, so that a route never points at
 * nothing; they are removed in reverse. Source: linux/rtnetlink.h, linux/neighbour.h,
 * linux/if_addr.h, linux/xfrm.h.
 */
#ifndef KERNEL_KINDS_H
#define KERNEL_KINDS_H

#include "kernel/batch.h"
#include "kernel/kernel.h"
#include "kernel/object.h"

/* NAME, name: KERNEL_NAME is the place in the table, kernel_kind_name the entry. */
#define KERNEL_KIND_LIST(X)                                                                        \
	X(ELEMENT, element)                                                                        \
	X(ADDRESS, address)                                                                        \
	X(FDB, fdb)                                                                                \
	X(NEIGHBOUR, neighbour)                                                                    \
	X(WIREGUARD_PEER, wireguard_peer)                                                          \
	X(ALLOWED_IP, allowed_ip)                                                                  \
	X(XFRM_POLICY, xfrm_policy)                                                                \
	X(ROUTE, route)

#define KERNEL_KIND_PLACE(upper, lower) KERNEL_##upper,
enum { KERNEL_KIND_LIST(KERNEL_KIND_PLACE) KERNEL_KINDS };

#define KERNEL_ALL_KINDS ((1u << KERNEL_KINDS) - 1)

/* Others' objects may stand in slots that we want: the first write into one must not replace what
 * is there. On our own devices and in our own table everything is ours. */
#define KERNEL_KIND_OPEN 0x01
/* The kernel keeps several objects in one slot, and told to drop one may take another that differs
 * in little: read the kind again after such a drop. */
#define KERNEL_KIND_SEVERAL 0x02
/* Objects vanish without a word, with an interface that goes down or loses its last address. */
#define KERNEL_KIND_SILENT 0x04
/* When one goes, the kernel takes others along that depend on it, some without a word. */
#define KERNEL_KIND_CARRIES 0x08
/* Several may want the same object: it stays until the last of them does not. */
#define KERNEL_KIND_SHARED 0x10
/* The kernel acknowledges a write over some objects of others without doing it: what has attributes
 * that we never write is dropped first, and what was replaced is read back. */
#define KERNEL_KIND_UNPROVEN 0x20
/* Stands in our table of nf_tables: made with it, and not before. */
#define KERNEL_KIND_IN_TABLE 0x40

/* What dumps have found. Zero-initialised; items are the caller's to free. */
struct kernel_objects {
	struct kernel_object *items;
	size_t len;
	size_t cap;
	size_t before; /* found by earlier dumps, when one is taken again */
};

struct kernel_kind {
	const char *name; /* "route"; in status, metrics and texts */
	uint8_t flags;    /* KERNEL_KIND_ */
	/* Whether an object is ours by the marks: may be dropped and replaced. */
	bool (*owns)(const struct kernel_marks *marks, const struct kernel_object *o);
	/* Appends everything that may be ours, some of it perhaps twice, others' objects among it.
	 * On error what was found is not all. */
	int (*dump)(struct kernel *k, struct kernel_objects *found, struct err *e);
	/* Of NETLINK_ROUTE; else NULL, and write does it. One request into `hdr`, room
	 * NETLINK_MESSAGE_MAX, header zeroed. Drop: exactly this object, not what merely has its key. */
	void (*encode)(enum kernel_verb verb, const struct kernel_object *o, struct nlmsghdr *hdr);
	/* A write that takes more than the one message of encode, or NULL. */
	void (*write)(struct kernel_batch *b, enum kernel_verb verb, const struct kernel_object *o,
		      void *cookie);
	/* Of NETLINK_ROUTE. A dump request; ifindex and protocol 0 mean any. */
	void (*encode_dump)(int family, uint32_t ifindex, uint8_t protocol, struct nlmsghdr *hdr);
	/* Of NETLINK_ROUTE. As kernel_object_decode. *ret is zeroed but for the kind. */
	bool (*decode)(const struct nlmsghdr *hdr, struct kernel_object *ret);
	void (*describe)(const struct kernel_object *o, char *buf, size_t size);
	/*
	 * Whether what was found in the slot will do for what is wanted there, though they are not
	 * equal: the kernel itself may have learned better. NULL: never.
	 */
	bool (*will_do)(const struct kernel_object *wanted, const struct kernel_object *found);
	/* The family in which packets use the object; NULL: that of the key. */
	uint8_t (*family)(const struct kernel_object *o);
};

extern const struct kernel_kind *const kernel_kinds[KERNEL_KINDS];

static inline const struct kernel_kind *kernel_kind_of(const struct kernel_object *o)
{
	return kernel_kinds[o->key.kind];
}

/* The kinds with this flag, as a mask of 1 << place. */
unsigned kernel_kinds_with(uint8_t flag);

bool kernel_object_is_ours(const struct kernel_marks *marks, const struct kernel_object *o);
int kernel_object_family(const struct kernel_object *o);

/*
 * Reads a dumped object or a notification. True if it is of one of the kinds and well formed;
 * *ret_gone says whether it is a deletion. Cloned routes and other tables than main give false.
 * Routes with several gateways have neither gateway nor device.
 */
bool kernel_object_decode(const struct nlmsghdr *hdr, struct kernel_object *ret, bool *ret_gone);

/* "route 10.5.3.0/24 via 10.5.3.0 dev 7 onlink proto 102", as ip(8) would say it; into `buf`,
 * returned. */
const char *kernel_object_format(const struct kernel_object *o,
				 char buf[static KERNEL_OBJECT_TEXT]);

/* An element as the kernel shows it. */
struct kernel_object kernel_element_read(const struct kernel_marks *marks, uint8_t set,
					 const struct nft_element *el);

/* A message of NETLINK_XFRM that says a policy of IPv4 between two subnets, whosever, or that it is gone: then
 * the object is its key alone. Else false. */
bool kernel_xfrm_policy_decode(const struct nlmsghdr *hdr, struct kernel_object *ret,
			       bool *ret_gone);
/* One request into `hdr`, room NETLINK_MESSAGE_MAX, zeroed. */
void kernel_xfrm_policy_encode(enum kernel_verb verb, const struct kernel_object *o,
			       struct nlmsghdr *hdr);

/* Puts the write into the batch. */
void kernel_object_write(struct kernel_batch *b, enum kernel_verb verb,
			 const struct kernel_object *o, void *cookie);

/* One dump of NETLINK_ROUTE, for the kinds: what the kernel does not know is not there. */
int kernel_dump_route(struct kernel *k, unsigned kind, int family, uint32_t ifindex,
		      uint8_t protocol, struct kernel_objects *found, struct err *e) MUST_CHECK;
/* The same for each of our devices. */
int kernel_dump_devices(struct kernel *k, unsigned kind, int family, struct kernel_objects *found,
			struct err *e) MUST_CHECK;

#endif
