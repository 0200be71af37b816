/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/iptables.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

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

static bool is_drop(const struct layout *l, const uint8_t *entry, size_t size)
{
	size_t offset = get_u16(entry + l->target_offset);
	struct xt_standard_target target;

	if (offset + sizeof(target) > size)
		return false;
	memcpy(&target, entry + offset, sizeof(target));
	return target.target.u.user.name[0] == '\0' && target.verdict == -NF_DROP - 1;
}

/* True if the entries are well formed. */
static bool scan(const struct layout *l, uint8_t *entries, size_t size, uint32_t policy_at,
		 struct iptables_table *ret)
{
	for (size_t at = 0; at < size;) {
		size_t next =
			size - at >= l->entry_size ? get_u16(entries + at + l->next_offset) : 0;

		if (next < l->entry_size || next > size - at)
			return false;
		memset(entries + at + l->counters, 0, sizeof(struct xt_counters));
		if (at == policy_at)
			ret->forward_drops = is_drop(l, entries + at, next);
		at += next;
	}
	ret->digest = hash_bytes(entries, size);
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
	for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; hook++)
		chains += info.valid_hooks >> hook & 1;
	/* Each chain has its policy, the table its end. */
	ret->has_rules = info.num_entries > chains + 1;
	if (!scan(l, (uint8_t *)get->entrytable, info.size,
		  info.valid_hooks & 1u << NF_INET_FORWARD ? info.underflow[NF_INET_FORWARD]
							   : UINT32_MAX,
		  ret))
		return err_set(e, -EPROTO, "iptables: table %s cannot be read", table);
	return 0;
}

int iptables_read(int family, const char *table, struct iptables_table *ret, struct err *e)
{
	const struct layout *l = &layouts[family == AF_INET ? 0 : 1];
	auto_close int fd = -1;
	int rc;

	*ret = (struct iptables_table){ 0 };
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
	ret->present = rc == 0;
	return rc;
}
