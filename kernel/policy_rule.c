/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/policy_rule.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "kernel/message.h"

#define QUESTION_SIZE 128
#define PRIORITY_MAIN 32766
#define PRIORITY_LAST 32767

/* ---- what a rule says ---- */

static void read_net(const struct nlattr *attr, int family, uint8_t len, struct ip_net *ret)
{
	if (nlattr_size(attr) == ip_family_bits(family) / 8)
		*ret = (struct ip_net){ ip_addr_from_bytes(family, nlattr_data(attr)), len };
}

static void read_name(const struct nlattr *attr, char ret[static IFNAMSIZ])
{
	size_t size = nlattr_size(attr);

	snprintf(ret, IFNAMSIZ, "%.*s", (int)MIN(size, (size_t)IFNAMSIZ - 1),
		 (const char *)nlattr_data(attr));
}

static void read_u32(const struct nlattr *attr, uint32_t *ret)
{
	if (nlattr_size(attr) == sizeof(*ret))
		*ret = nlattr_u32(attr);
}

static void read_attr(const struct nlattr *attr, const struct fib_rule_hdr *m,
		      struct policy_rule *r)
{
	switch (nlattr_type(attr)) {
	case FRA_DST:
		read_net(attr, m->family, m->dst_len, &r->to);
		break;
	case FRA_SRC:
		read_net(attr, m->family, m->src_len, &r->from);
		break;
	case FRA_IIFNAME:
		read_name(attr, r->iif);
		break;
	case FRA_OIFNAME:
		read_name(attr, r->oif);
		break;
	case FRA_PRIORITY:
		read_u32(attr, &r->priority);
		break;
	case FRA_TABLE:
		read_u32(attr, &r->table);
		break;
	case FRA_FWMARK:
		read_u32(attr, &r->mark);
		break;
	case FRA_FWMASK:
		read_u32(attr, &r->mask);
		break;
	case FRA_TUN_ID:
	case FRA_UID_RANGE:
	case FRA_IP_PROTO:
	case FRA_SPORT_RANGE:
	case FRA_DPORT_RANGE:
		r->narrower = true;
		break;
	}
}

bool policy_rule_decode(const struct nlmsghdr *hdr, struct policy_rule *ret)
{
	const struct fib_rule_hdr *m = nlmsg_data(hdr);
	struct policy_rule r = { 0 };
	const struct nlattr *attr;

	if (hdr->nlmsg_type != RTM_NEWRULE || nlmsg_size(hdr) < sizeof(*m) ||
	    (m->family != AF_INET && m->family != AF_INET6) ||
	    m->dst_len > ip_family_bits(m->family) || m->src_len > ip_family_bits(m->family))
		return false;
	r.family = m->family;
	r.action = m->action;
	r.table = m->table;
	r.inverted = m->flags & FIB_RULE_INVERT;
	r.narrower = m->tos != 0;
	nlattr_for_each (attr, hdr, sizeof(*m))
		read_attr(attr, m, &r);
	*ret = r;
	return true;
}

bool policy_rule_is_default(const struct policy_rule *r)
{
	if (r->action != FR_ACT_TO_TBL || r->inverted || r->narrower || r->mask || *r->iif ||
	    *r->oif || ip_net_is_set(&r->from) || ip_net_is_set(&r->to))
		return false;
	return (r->priority == 0 && r->table == RT_TABLE_LOCAL) ||
	       (r->priority == PRIORITY_MAIN && r->table == RT_TABLE_MAIN) ||
	       (r->priority == PRIORITY_LAST && r->table == RT_TABLE_DEFAULT);
}

bool policy_rule_fits(const struct policy_rule *r, const struct policy_question *q, const char *iif)
{
	bool fits = true;

	if (r->family != q->dst.family || r->narrower || *r->oif)
		return false;
	if (ip_net_is_set(&r->to))
		fits &= ip_net_contains(&r->to, &q->dst);
	if (ip_net_is_set(&r->from))
		fits &= ip_addr_is_set(&q->src) && ip_net_contains(&r->from, &q->src);
	if (*r->iif)
		fits &= strcmp(r->iif, *iif ? iif : "lo") == 0;
	if (r->mask)
		fits &= r->mark == 0;
	return fits != r->inverted;
}

static const char *describe_action(const struct policy_rule *r, char buf[static 32])
{
	switch (r->action) {
	case FR_ACT_TO_TBL:
		snprintf(buf, 32, "lookup %u", r->table);
		return buf;
	case FR_ACT_BLACKHOLE:
		return "blackhole";
	case FR_ACT_UNREACHABLE:
		return "unreachable";
	case FR_ACT_PROHIBIT:
		return "prohibit";
	case FR_ACT_GOTO:
		return "goto";
	default:
		return "nop";
	}
}

const char *policy_rule_format(const struct policy_rule *r, char buf[static POLICY_RULE_TEXT])
{
	bool from = ip_net_is_set(&r->from);
	char from_text[IP_NET_TEXT];
	char to_text[IP_NET_TEXT];
	char action[32];
	char mark[40] = "";

	if (r->mask)
		snprintf(mark, sizeof(mark), " fwmark %#x/%#x", r->mark, r->mask);
	snprintf(buf, POLICY_RULE_TEXT, "%u: %sfrom %s%s%s%s%s%s%s%s %s", r->priority,
		 r->inverted ? "not " : "", from ? ip_net_format(&r->from, from_text) : "all",
		 ip_net_is_set(&r->to) ? " to " : "",
		 ip_net_is_set(&r->to) ? ip_net_format(&r->to, to_text) : "", mark,
		 *r->iif ? " iif " : "", r->iif, *r->oif ? " oif " : "", r->oif,
		 describe_action(r, action));
	return buf;
}

/* ---- reading them ---- */

struct rule_visit {
	policy_rule_fn *visit;
	void *arg;
};

static void on_rule(void *arg, const struct nlmsghdr *hdr)
{
	const struct rule_visit *v = arg;
	struct policy_rule r;

	if (policy_rule_decode(hdr, &r))
		v->visit(v->arg, &r);
}

int policy_rules_visit(struct netlink *nl, int family, policy_rule_fn *visit, void *arg,
		       struct err *e)
{
	struct {
		struct nlmsghdr hdr;
		struct fib_rule_hdr m;
	} request = { .hdr = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETRULE },
		      .m = { .family = (uint8_t)family } };
	struct rule_visit v = { visit, arg };

	return netlink_dump(nl, &request.hdr, on_rule, NULL, &v, e) < 0
		       ? err_wrap(e, "policy rules")
		       : 0;
}

/* ---- where packets go ---- */

static struct nlmsghdr *encode(void *buffer, const struct policy_question *q)
{
	struct nlmsghdr *hdr = nlmsg_begin(buffer);
	struct rtmsg *m = nlmsg_put_header(hdr, sizeof(*m));
	uint8_t bits = (uint8_t)ip_family_bits(q->dst.family);

	hdr->nlmsg_type = RTM_GETROUTE;
	m->rtm_family = (uint8_t)q->dst.family;
	m->rtm_dst_len = bits;
	nlattr_put(hdr, RTA_DST, ip_addr_size(&q->dst), q->dst.b);
	if (ip_addr_is_set(&q->src)) {
		m->rtm_src_len = bits;
		nlattr_put(hdr, RTA_SRC, ip_addr_size(&q->src), q->src.b);
	}
	if (q->iif_ifindex)
		nlattr_put_u32(hdr, RTA_IIF, q->iif_ifindex);
	return hdr;
}

static void on_answer(void *arg, size_t index, const struct nlmsghdr *hdr, int code,
		      const char *text UNUSED)
{
	struct policy_answer *answer = (struct policy_answer *)arg + index;
	const struct nlattr *attr;

	answer->code = hdr ? 0 : code;
	if (!hdr || hdr->nlmsg_type != RTM_NEWROUTE)
		return;
	nlattr_for_each (attr, hdr, sizeof(struct rtmsg)) {
		if (nlattr_type(attr) == RTA_OIF)
			read_u32(attr, &answer->ifindex);
	}
}

int policy_ask(struct netlink *nl, const struct policy_question *questions, size_t len,
	       struct policy_answer *ret, struct err *e)
{
	char buffer[POLICY_QUESTIONS_MAX * QUESTION_SIZE] __attribute__((aligned(8))) = { 0 };
	size_t used = 0;

	for (size_t i = 0; i < len; i++)
		used += NLMSG_ALIGN(encode(buffer + used, &questions[i])->nlmsg_len);
	memset(ret, 0, len * sizeof(*ret));
	return netlink_ask(nl, buffer, used, on_answer, ret, e);
}
