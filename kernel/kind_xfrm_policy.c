/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPsec policies: what goes between two subnets goes through an ESP tunnel between two hosts, and nothing
 * else is taken from there. The keys (states) are those of an IKE daemon; what ties them to a policy is the
 * number of its template (reqid) with both addresses.
 *
 * There is no field for a mark. Ours are told by what we and flannel write and IKE daemons do not: priority 0,
 * one template, ESP in tunnel mode, with flannel's number. So what a flannel daemon left is ours as it stands.
 *
 * Source: linux/xfrm.h, net/xfrm/xfrm_user.c.
 */
#include <errno.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stdio.h>

#include "kernel/kind_attrs.h"

#define SOURCE          0 /* places in a key's dst */
#define DESTINATION     4
#define SOURCE_LEN      8
#define DESTINATION_LEN 9
#define DIRECTION       10

#define LISTENERS "/proc/net/netlink" /* the kernel's own too: which protocols there are */

struct kernel_object kernel_xfrm_policy(enum kernel_xfrm_direction direction,
					const struct ip_net *source,
					const struct ip_net *destination,
					const struct ip_addr *from, const struct ip_addr *to)
{
	struct kernel_object o = {
		.key = { .kind = KERNEL_XFRM_POLICY, .family = AF_INET },
		.value.xfrm = { .reqid = KERNEL_XFRM_REQID,
				.protocol = IPPROTO_ESP,
				.mode = XFRM_MODE_TUNNEL,
				.action = XFRM_POLICY_ALLOW },
	};

	memcpy(o.key.dst + SOURCE, source->addr.b, 4);
	memcpy(o.key.dst + DESTINATION, destination->addr.b, 4);
	o.key.dst[SOURCE_LEN] = source->len;
	o.key.dst[DESTINATION_LEN] = destination->len;
	o.key.dst[DIRECTION] = (uint8_t)direction;
	memcpy(o.value.xfrm.from, from->b, 4);
	memcpy(o.value.xfrm.to, to->b, 4);
	return o;
}

static bool owns(const struct kernel_marks *marks UNUSED, const struct kernel_object *o)
{
	const typeof(o->value.xfrm) *x = &o->value.xfrm;

	return x->protocol == IPPROTO_ESP && x->mode == XFRM_MODE_TUNNEL &&
	       x->reqid == KERNEL_XFRM_REQID && x->priority == 0 && !x->extra;
}

/* ---- reading ---- */

static bool is_plain(const struct xfrm_selector *s)
{
	return s->family == AF_INET && s->prefixlen_s <= 32 && s->prefixlen_d <= 32 && !s->sport &&
	       !s->sport_mask && !s->dport && !s->dport_mask && !s->proto && !s->ifindex;
}

static void set_key(struct kernel_object *o, const struct xfrm_selector *s, uint8_t direction)
{
	memcpy(o->key.dst + SOURCE, &s->saddr.a4, 4);
	memcpy(o->key.dst + DESTINATION, &s->daddr.a4, 4);
	o->key.dst[SOURCE_LEN] = s->prefixlen_s;
	o->key.dst[DESTINATION_LEN] = s->prefixlen_d;
	o->key.dst[DIRECTION] = direction;
}

static bool is_main(const struct kind_attrs *a)
{
	struct xfrm_userpolicy_type type = { 0 };

	kind_copy_attr(a, XFRMA_POLICY_TYPE, sizeof(type), &type);
	return type.type == XFRM_POLICY_TYPE_MAIN;
}

static void set_value(struct kernel_object *o, const struct xfrm_userpolicy_info *p,
		      const struct kind_attrs *a)
{
	static const uint8_t others[] = { XFRMA_MARK, XFRMA_SEC_CTX, XFRMA_IF_ID,
					  XFRMA_OFFLOAD_DEV };
	struct xfrm_user_tmpl template;

	o->value.xfrm.action = p->action;
	o->value.xfrm.priority = p->priority;
	o->value.xfrm.extra = kind_has_any(a, others, sizeof(others));
	/* None, or several: nobody's that is like ours. */
	if (kind_copy_attr(a, XFRMA_TMPL, sizeof(template), &template) &&
	    template.family == AF_INET) {
		memcpy(o->value.xfrm.from, &template.saddr.a4, 4);
		memcpy(o->value.xfrm.to, &template.id.daddr.a4, 4);
		o->value.xfrm.reqid = template.reqid;
		o->value.xfrm.protocol = template.id.proto;
		o->value.xfrm.mode = template.mode;
		o->value.xfrm.extra |= template.optional || template.id.spi;
	} else {
		o->value.xfrm.extra = 1;
	}
}

bool kernel_xfrm_policy_decode(const struct nlmsghdr *hdr, struct kernel_object *ret,
			       bool *ret_gone)
{
	bool gone = hdr->nlmsg_type == XFRM_MSG_DELPOLICY;
	struct kernel_object o = { .key = { .kind = KERNEL_XFRM_POLICY, .family = AF_INET } };
	/* Copies: messages stand at multiples of four bytes, and what has 64 bits wants eight. */
	struct xfrm_userpolicy_info p = { 0 };
	struct xfrm_userpolicy_id id = { 0 };
	size_t size = gone ? sizeof(id) : sizeof(p);
	struct kind_attrs a;

	if ((!gone && hdr->nlmsg_type != XFRM_MSG_NEWPOLICY &&
	     hdr->nlmsg_type != XFRM_MSG_UPDPOLICY) ||
	    nlmsg_size(hdr) < size)
		return false;
	if (gone) {
		memcpy(&id, nlmsg_data(hdr), size);
	} else {
		memcpy(&p, nlmsg_data(hdr), size);
		id.sel = p.sel;
		id.dir = p.dir;
	}
	a = kind_attrs(hdr, size);
	if (!is_plain(&id.sel) || id.dir >= XFRM_POLICY_MAX || !is_main(&a))
		return false;
	set_key(&o, &id.sel, id.dir);
	if (!gone)
		set_value(&o, &p, &a);
	*ret = o;
	*ret_gone = gone;
	return true;
}

static void on_message(void *arg, const struct nlmsghdr *hdr)
{
	struct kernel_objects *found = arg;
	struct kernel_object o;
	bool gone;

	if (!kernel_xfrm_policy_decode(hdr, &o, &gone) || gone)
		return;
	GROW(found->items, found->len, found->cap);
	found->items[found->len++] = o;
}

static void forget(void *arg)
{
	struct kernel_objects *found = arg;

	found->len = found->before;
}

/* Asking would load the kernel's module, for nothing where nobody has used it. */
static bool is_loaded(void)
{
	FILE *file = fopen(LISTENERS, "re");
	char line[256];
	int protocol;
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%*s %d", &protocol) == 1 && protocol == NETLINK_XFRM;
	if (file)
		fclose(file);
	return found;
}

static int dump(struct kernel *k, struct kernel_objects *found, struct err *e)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;
	int rc;

	if (!k->xfrm && (!is_loaded() || netlink_open(NETLINK_XFRM, &k->xfrm, NULL) < 0))
		return 0;
	nlmsg_begin(hdr);
	hdr->nlmsg_type = XFRM_MSG_GETPOLICY;
	hdr->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlmsg_put_header(hdr, sizeof(struct xfrm_userpolicy_id));
	found->before = found->len;
	rc = netlink_dump(k->xfrm, hdr, on_message, forget, found, e);
	return rc == -ENOENT ? 0 : rc;
}

/* ---- writing ---- */

static void put_selector(struct xfrm_selector *s, const struct kernel_object *o)
{
	s->family = AF_INET;
	memcpy(&s->saddr.a4, o->key.dst + SOURCE, 4);
	memcpy(&s->daddr.a4, o->key.dst + DESTINATION, 4);
	s->prefixlen_s = o->key.dst[SOURCE_LEN];
	s->prefixlen_d = o->key.dst[DESTINATION_LEN];
}

static void put_policy(struct nlmsghdr *hdr, const struct kernel_object *o)
{
	struct xfrm_userpolicy_info *p = nlmsg_put_header(hdr, sizeof(*p));
	struct xfrm_user_tmpl template = {
		.id.proto = o->value.xfrm.protocol,
		.family = AF_INET,
		.reqid = o->value.xfrm.reqid,
		.mode = o->value.xfrm.mode,
		.aalgos = UINT32_MAX,
		.ealgos = UINT32_MAX,
		.calgos = UINT32_MAX,
	};

	put_selector(&p->sel, o);
	p->lft.soft_byte_limit = p->lft.hard_byte_limit = XFRM_INF;
	p->lft.soft_packet_limit = p->lft.hard_packet_limit = XFRM_INF;
	p->priority = o->value.xfrm.priority;
	p->dir = o->key.dst[DIRECTION];
	p->action = o->value.xfrm.action;
	memcpy(&template.saddr.a4, o->value.xfrm.from, 4);
	memcpy(&template.id.daddr.a4, o->value.xfrm.to, 4);
	nlattr_put(hdr, XFRMA_TMPL, sizeof(template), &template);
}

void kernel_xfrm_policy_encode(enum kernel_verb verb, const struct kernel_object *o,
			       struct nlmsghdr *hdr)
{
	static const uint16_t types[] = { [KERNEL_CREATE] = XFRM_MSG_NEWPOLICY,
					  [KERNEL_REPLACE] = XFRM_MSG_UPDPOLICY,
					  [KERNEL_DROP] = XFRM_MSG_DELPOLICY,
					  [KERNEL_REMAKE] = XFRM_MSG_UPDPOLICY };
	struct xfrm_userpolicy_id *id;

	nlmsg_begin(hdr);
	hdr->nlmsg_type = types[verb];
	hdr->nlmsg_flags = NLM_F_REQUEST;
	if (verb != KERNEL_DROP) {
		put_policy(hdr, o);
		return;
	}
	id = nlmsg_put_header(hdr, sizeof(*id));
	put_selector(&id->sel, o);
	id->dir = o->key.dst[DIRECTION];
}

static void write_policy(struct kernel_batch *b, enum kernel_verb verb,
			 const struct kernel_object *o, void *cookie)
{
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;

	kernel_xfrm_policy_encode(verb, o, hdr);
	kernel_batch_xfrm(b, hdr, cookie);
}

static void describe(const struct kernel_object *o, char *buf, size_t size)
{
	static const char *const directions[] = { "in", "out", "fwd" };
	const struct ip_net source = { ip_addr_from_bytes(AF_INET, o->key.dst + SOURCE),
				       o->key.dst[SOURCE_LEN] };
	const struct ip_net destination = { ip_addr_from_bytes(AF_INET, o->key.dst + DESTINATION),
					    o->key.dst[DESTINATION_LEN] };
	struct ip_addr from = ip_addr_from_bytes(AF_INET, o->value.xfrm.from);
	struct ip_addr to = ip_addr_from_bytes(AF_INET, o->value.xfrm.to);
	uint8_t direction = o->key.dst[DIRECTION];
	char texts[2][IP_NET_TEXT];
	char addresses[2][IP_ADDR_TEXT];

	snprintf(buf, size, "xfrm policy %s %s to %s tunnel %s to %s reqid %u",
		 direction < ARRAY_LEN(directions) ? directions[direction] : "?",
		 ip_net_format(&source, texts[0]), ip_net_format(&destination, texts[1]),
		 ip_addr_format(&from, addresses[0]), ip_addr_format(&to, addresses[1]),
		 o->value.xfrm.reqid);
}

extern const struct kernel_kind kernel_kind_xfrm_policy;
const struct kernel_kind kernel_kind_xfrm_policy = {
	.name = "xfrm-policy",
	.flags = KERNEL_KIND_OPEN,
	.owns = owns,
	.dump = dump,
	.write = write_policy,
	.describe = describe,
};
