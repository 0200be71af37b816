/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/iptables.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <netinet/in.h>

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "lib/hash.h"

#define TABLE_MAX_BYTES (64u * 1024 * 1024)
#define READ_ATTEMPTS   4

/* The two families differ in the sizes of their structs only. */
struct layout {
	int family;
	int level;
	const char *names; /* file that lists the tables in use */
	size_t target_offset;
	size_t next_offset;
	size_t counters;
	size_t entry_size;
};

static const struct layout layouts[] = {
	{ AF_INET, IPPROTO_IP, "/proc/net/ip_tables_names",
	  offsetof(struct ipt_entry, target_offset), offsetof(struct ipt_entry, next_offset),
	  offsetof(struct ipt_entry, counters), sizeof(struct ipt_entry) },
	{ AF_INET6, IPPROTO_IPV6, "/proc/net/ip6_tables_names",
	  offsetof(struct ip6t_entry, target_offset), offsetof(struct ip6t_entry, next_offset),
	  offsetof(struct ip6t_entry, counters), sizeof(struct ip6t_entry) },
};

_Static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES &&
		       sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo) &&
		       sizeof(struct ipt_get_entries) == sizeof(struct ip6t_get_entries),
	       "the families' requests are alike");

/* 1 if it is, 0 if not. A kernel without ip_tables does not have the file. */
static int is_in_use(const struct layout *l, const char *table, struct err *e)
{
	auto_fclose FILE *f = fopen(l->names, "re");
	char line[XT_TABLE_MAXNAMELEN + 2];

	if (!f)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "iptables: %s", l->names);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, table) == 0)
			return 1;
	}
	return 0;
}

static unsigned get_u16(const uint8_t *p)
{
	uint16_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* True if the entries are well formed. Their counters are wiped. */
static bool scan(const struct layout *l, struct iptables_table *t)
{
	for (size_t at = 0; at < t->size;) {
		size_t left = t->size - at;
		uint8_t *entry = t->entries + at;
		size_t next = left >= l->entry_size ? get_u16(entry + l->next_offset) : 0;
		size_t target = next ? get_u16(entry + l->target_offset) : 0;

		if (next < l->entry_size || next > left || target < l->entry_size ||
		    target + sizeof(struct xt_entry_target) > next)
			return false;
		memset(entry + l->counters, 0, sizeof(struct xt_counters));
		at += next;
	}
	t->digest = hash_bytes(t->entries, t->size);
	return true;
}

static int read_entries(const struct layout *l, int fd, const char *table,
			struct iptables_table *ret, struct err *e)
{
	struct ipt_getinfo info = { 0 };
	socklen_t len = sizeof(info);
	auto_free struct ipt_get_entries *get = NULL;
	unsigned chains = 0;

	snprintf(info.name, sizeof(info.name), "%s", table);
	if (getsockopt(fd, l->level, IPT_SO_GET_INFO, &info, &len) < 0)
		return err_sys(e, -errno, "iptables: table %s", table);
	if (info.size > TABLE_MAX_BYTES)
		return err_set(e, -EFBIG, "iptables: table %s has %u bytes", table, info.size);
	len = (socklen_t)(sizeof(*get) + info.size);
	get = xcalloc(1, len);
	snprintf(get->name, sizeof(get->name), "%s", table);
	get->size = info.size;
	if (getsockopt(fd, l->level, IPT_SO_GET_ENTRIES, get, &len) < 0)
		return err_sys(e, -errno, "iptables: table %s", table);
	for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; hook++) {
		chains += info.valid_hooks >> hook & 1;
		ret->entry[hook] = info.hook_entry[hook];
		ret->policy[hook] = info.underflow[hook];
	}
	/* Each chain has its policy, the table its end. */
	ret->has_rules = info.num_entries > chains + 1;
	ret->valid_hooks = info.valid_hooks;
	ret->size = info.size;
	ret->entries = xmalloc(info.size);
	memcpy(ret->entries, get->entrytable, info.size);
	if (!scan(l, ret))
		return err_set(e, -EPROTO, "iptables: table %s cannot be read", table);
	return 0;
}

void iptables_table_fini(struct iptables_table *t)
{
	free(t->entries);
	t->entries = NULL;
}

int iptables_read(int family, const char *table, struct iptables_table *ret, struct err *e)
{
	const struct layout *l = &layouts[family == AF_INET ? 0 : 1];
	auto_close int fd = -1;
	int rc;

	*ret = (struct iptables_table){ .family = family };
	rc = is_in_use(l, table, e);
	if (rc <= 0)
		return rc;
	fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0)
		return err_sys(e, -errno, "iptables: raw socket");
	rc = -EAGAIN;
	/* Between the two questions the table may have got another size. */
	for (unsigned i = 0; i < READ_ATTEMPTS && rc == -EAGAIN; i++)
		rc = read_entries(l, fd, table, ret, e);
	if (rc < 0)
		iptables_table_fini(ret);
	ret->present = rc == 0;
	return rc;
}

/* ---- judging ---- */

struct walk {
	const struct iptables_table *table;
	const struct layout *layout;
	const struct filter_packet *packet;
	const char *start_name; /* of the chain of the hook */
	unsigned hook;
};

static const struct xt_entry_target *target_of(const struct walk *w, size_t at)
{
	const uint8_t *entry = w->table->entries + at;

	return (const void *)(entry + get_u16(entry + w->layout->target_offset));
}

/* A chain of the user's begins with an entry that has this target and the chain's name. */
static const char *head_name(const struct walk *w, size_t at)
{
	const struct xt_error_target *head = (const void *)target_of(w, at);

	return strcmp(head->target.u.user.name, XT_ERROR_TARGET) == 0 &&
			       head->target.u.target_size >= sizeof(*head)
		       ? head->errorname
		       : NULL;
}

static size_t next_of(const struct walk *w, size_t at)
{
	return at + get_u16(w->table->entries + at + w->layout->next_offset);
}

/* Where the rules of a chain begin; the table's size if there is none. */
static size_t find_chain(const struct walk *w, const char *chain)
{
	if (chain == w->start_name)
		return w->table->entry[w->hook];
	for (size_t at = 0; at < w->table->size; at = next_of(w, at)) {
		const char *name = head_name(w, at);

		if (name && strncmp(name, chain, XT_FUNCTION_MAXNAMELEN) == 0)
			return next_of(w, at);
	}
	return w->table->size;
}

/* The name of the chain whose rules begin at `start`. */
static void name_chain(const struct walk *w, size_t start, char ret[static FILTER_NAME_SIZE])
{
	for (size_t at = 0; at < start && at < w->table->size; at = next_of(w, at)) {
		const char *name = head_name(w, at);

		if (name && next_of(w, at) == start)
			snprintf(ret, FILTER_NAME_SIZE, "%.*s", XT_FUNCTION_MAXNAMELEN, name);
	}
}

static enum filter_match invert(enum filter_match m, bool inverted)
{
	return inverted ? filter_not(m) : m;
}

static enum filter_match match_device(const char *name, const char *want, const unsigned char *mask,
				      bool inverted)
{
	uint8_t known[IFNAMSIZ];

	memset(known, name[0] ? 0xff : 0, sizeof(known));
	return invert(
		filter_equal((const uint8_t *)name, known, (const uint8_t *)want, mask, IFNAMSIZ),
		inverted);
}

static enum filter_match match_v4(const struct filter_packet *p, const struct ipt_ip *ip)
{
	struct filter_header h;
	enum filter_match m;
	uint8_t protocol = (uint8_t)ip->proto;

	filter_network_header(p, &h);
	m = invert(filter_equal(h.value + 12, h.known + 12, (const uint8_t *)&ip->src,
				(const uint8_t *)&ip->smsk, 4),
		   ip->invflags & IPT_INV_SRCIP);
	m = filter_and(m, invert(filter_equal(h.value + 16, h.known + 16, (const uint8_t *)&ip->dst,
					      (const uint8_t *)&ip->dmsk, 4),
				 ip->invflags & IPT_INV_DSTIP));
	m = filter_and(m, match_device(p->in_device, ip->iniface, ip->iniface_mask,
				       ip->invflags & IPT_INV_VIA_IN));
	m = filter_and(m, match_device(p->out_device, ip->outiface, ip->outiface_mask,
				       ip->invflags & IPT_INV_VIA_OUT));
	if (ip->proto)
		m = filter_and(m, invert(filter_equal(h.value + 9, h.known + 9, &protocol, NULL, 1),
					 ip->invflags & XT_INV_PROTO));
	if (ip->flags & IPT_F_FRAG) /* second and further fragments */
		m = filter_and(m, ip->invflags & IPT_INV_FRAG ? FILTER_ALWAYS : FILTER_NEVER);
	return m;
}

static enum filter_match match_v6(const struct filter_packet *p, const struct ip6t_ip6 *ip)
{
	struct filter_header h;
	enum filter_match m;
	uint8_t protocol = (uint8_t)ip->proto;

	filter_network_header(p, &h);
	m = invert(filter_equal(h.value + 8, h.known + 8, ip->src.s6_addr, ip->smsk.s6_addr, 16),
		   ip->invflags & IP6T_INV_SRCIP);
	m = filter_and(m, invert(filter_equal(h.value + 24, h.known + 24, ip->dst.s6_addr,
					      ip->dmsk.s6_addr, 16),
				 ip->invflags & IP6T_INV_DSTIP));
	m = filter_and(m, match_device(p->in_device, ip->iniface, ip->iniface_mask,
				       ip->invflags & IP6T_INV_VIA_IN));
	m = filter_and(m, match_device(p->out_device, ip->outiface, ip->outiface_mask,
				       ip->invflags & IP6T_INV_VIA_OUT));
	if (ip->flags & IP6T_F_PROTO && ip->proto)
		m = filter_and(m, invert(filter_equal(h.value + 6, h.known + 6, &protocol, NULL, 1),
					 ip->invflags & XT_INV_PROTO));
	return m;
}

static enum filter_match match_entry(const struct walk *w, size_t at)
{
	const uint8_t *entry = w->table->entries + at;
	size_t end = get_u16(entry + w->layout->target_offset);
	enum filter_match m =
		w->layout->family == AF_INET
			? match_v4(w->packet, &((const struct ipt_entry *)entry)->ip)
			: match_v6(w->packet, &((const struct ip6t_entry *)entry)->ipv6);
	size_t next;

	for (size_t x = w->layout->entry_size; x + sizeof(struct xt_entry_match) <= end;
	     x += next) {
		const struct xt_entry_match *match = (const void *)(entry + x);

		next = match->u.match_size;
		if (next < sizeof(*match) || next > end - x)
			return filter_and(m, FILTER_PERHAPS);
		m = filter_and(m, filter_xt_match(w->packet, match->u.user.name,
						  match->u.user.revision, match->data,
						  next - sizeof(*match)));
	}
	return m;
}

static void read_verdict(const struct walk *w, size_t at, struct filter_rule *ret)
{
	const struct xt_standard_target *target = (const void *)target_of(w, at);
	const uint8_t *entry = w->table->entries + at;

	if (target->target.u.user.name[0]) {
		ret->verdict = filter_xt_target(target->target.u.user.name);
		ret->acts = filter_xt_acts(target->target.u.user.name);
		return;
	}
	if (target->target.u.target_size < sizeof(*target)) {
		ret->verdict = FILTER_UNKNOWN;
		return;
	}
	switch (target->verdict) {
	case -NF_ACCEPT - 1:
		ret->verdict = FILTER_ACCEPT;
		break;
	case -NF_DROP - 1:
		ret->verdict = FILTER_DROP;
		break;
	case XT_RETURN:
		ret->verdict = FILTER_RETURN;
		break;
	default:
		/* A jump to the entry behind: a rule without a target. */
		if (target->verdict < 0) {
			ret->verdict = FILTER_UNKNOWN;
		} else if ((size_t)target->verdict != next_of(w, at)) {
			bool go = w->layout->family == AF_INET
					  ? ((const struct ipt_entry *)entry)->ip.flags & IPT_F_GOTO
					  : ((const struct ip6t_entry *)entry)->ipv6.flags &
						    IP6T_F_GOTO;

			ret->verdict = go ? FILTER_GOTO : FILTER_JUMP;
			name_chain(w, (size_t)target->verdict, ret->target);
		}
	}
}

/* The cursor is where the entry is, counted from 1: 0 is the beginning. */
static bool next_entry(void *arg, const char *chain, size_t *cursor, struct filter_rule *ret)
{
	const struct walk *w = arg;
	size_t at = *cursor ? *cursor - 1 : find_chain(w, chain);

	/* A chain ends where the next begins, one of a hook at its policy. */
	if (at >= w->table->size || head_name(w, at) ||
	    (chain == w->start_name && at == w->table->policy[w->hook]))
		return false;
	*ret = (struct filter_rule){ .matches = match_entry(w, at), .verdict = FILTER_CONTINUE };
	read_verdict(w, at, ret);
	*cursor = next_of(w, at) + 1;
	return true;
}

static const struct layout *layout_of(const struct iptables_table *t)
{
	return &layouts[t->family == AF_INET ? 0 : 1];
}

bool iptables_policy_drops(const struct iptables_table *t, unsigned hook)
{
	const struct walk w = { .table = t, .layout = layout_of(t) };
	struct filter_rule rule = { 0 };

	if (!t->present || !(t->valid_hooks & 1u << hook) || t->policy[hook] >= t->size)
		return false;
	read_verdict(&w, t->policy[hook], &rule);
	return rule.verdict == FILTER_DROP;
}

void iptables_walk(const struct iptables_table *t, unsigned hook,
		   const struct filter_packet *packet, const char *const *without,
		   struct filter_outcome *ret)
{
	static const char *const names[NF_INET_NUMHOOKS] = { "PREROUTING", "INPUT", "FORWARD",
							     "OUTPUT", "POSTROUTING" };
	struct walk w = { t, layout_of(t), packet, names[hook], hook };

	*ret = (struct filter_outcome){ .passes = true };
	if (t->present && t->valid_hooks & 1u << hook)
		filter_walk(names[hook], iptables_policy_drops(t, hook), without, next_entry, &w,
			    ret);
}
