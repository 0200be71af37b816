/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kinds.h"

#include <errno.h>

#include "kernel/message.h"

#define DECLARE(upper, lower) extern const struct kernel_kind kernel_kind_##lower;
KERNEL_KIND_LIST(DECLARE)

#define ENTRY(upper, lower) [KERNEL_##upper] = &kernel_kind_##lower,
const struct kernel_kind *const kernel_kinds[KERNEL_KINDS] = { KERNEL_KIND_LIST(ENTRY) };

bool kernel_marks_device(const struct kernel_marks *marks, uint32_t ifindex)
{
	for (size_t i = 0; i < marks->ifindexes_len; i++) {
		if (marks->ifindexes[i] == ifindex)
			return ifindex != 0;
	}
	return false;
}

unsigned kernel_kinds_with(uint8_t flag)
{
	unsigned mask = 0;

	for (unsigned k = 0; k < KERNEL_KINDS; k++)
		mask |= kernel_kinds[k]->flags & flag ? 1u << k : 0;
	return mask;
}

bool kernel_object_is_ours(const struct kernel_marks *marks, const struct kernel_object *o)
{
	return kernel_kind_of(o)->owns(marks, o);
}

int kernel_object_family(const struct kernel_object *o)
{
	const struct kernel_kind *kind = kernel_kind_of(o);

	return kind->family ? kind->family(o) : o->key.family;
}

/* Of NETLINK_ROUTE the types come in fours: new, del, get, set. */
static bool is_deletion(uint16_t type)
{
	return type % 4 == 1;
}

bool kernel_object_decode(const struct nlmsghdr *hdr, struct kernel_object *ret, bool *ret_gone)
{
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		struct kernel_object o = { .key.kind = (uint8_t)k };

		if (!kernel_kinds[k]->decode || !kernel_kinds[k]->decode(hdr, &o))
			continue;
		*ret = o;
		*ret_gone = is_deletion(hdr->nlmsg_type);
		return true;
	}
	return false;
}

const char *kernel_object_format(const struct kernel_object *o, char buf[static KERNEL_OBJECT_TEXT])
{
	kernel_kind_of(o)->describe(o, buf, KERNEL_OBJECT_TEXT);
	return buf;
}

void kernel_object_write(struct kernel_batch *b, enum kernel_verb verb,
			 const struct kernel_object *o, void *cookie)
{
	const struct kernel_kind *kind = kernel_kind_of(o);

	if (kind->write) {
		kind->write(b, verb, o, cookie);
		return;
	}
	kind->encode(verb, o, kernel_batch_message(b));
	kernel_batch_commit(b, cookie);
}

/* ---- dumps ---- */

struct dump {
	unsigned kind;
	struct kernel_objects *found;
};

static void on_message(void *arg, const struct nlmsghdr *hdr)
{
	const struct dump *d = arg;
	struct kernel_object o = { .key.kind = (uint8_t)d->kind };

	if (!kernel_kinds[d->kind]->decode(hdr, &o) || is_deletion(hdr->nlmsg_type))
		return;
	GROW(d->found->items, d->found->len, d->found->cap);
	d->found->items[d->found->len++] = o;
}

static void on_disturbed(void *arg)
{
	const struct dump *d = arg;

	d->found->len = d->found->before;
}

int kernel_dump_route(struct kernel *k, unsigned kind, int family, uint32_t ifindex,
		      uint8_t protocol, struct kernel_objects *found, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	struct dump d = { kind, found };
	int rc;

	found->before = found->len;
	kernel_kinds[kind]->encode_dump(family, ifindex, protocol, hdr);
	rc = netlink_dump(k->route, hdr, on_message, on_disturbed, &d, e);
	/* The device vanished between two steps, or the host has no IPv6: nothing there. */
	return rc == -ENODEV || rc == -EOPNOTSUPP || rc == -ENOENT ? 0 : rc;
}

int kernel_dump_devices(struct kernel *k, unsigned kind, int family, struct kernel_objects *found,
			struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < k->marks.ifindexes_len && rc == 0; i++) {
		/* 0: a device that could not be made. */
		if (k->marks.ifindexes[i])
			rc = kernel_dump_route(k, kind, family, k->marks.ifindexes[i], 0, found, e);
	}
	return rc;
}
