/* SPDX-License-Identifier: Apache-2.0 */
/* Matches and targets of iptables. Source: linux/netfilter/xt_*.h. */
#include "kernel/filter.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <string.h>

#define TCP_SYN 0x02 /* the first packet of a connection has this flag alone */

static enum filter_match sure(bool holds)
{
	return holds ? FILTER_ALWAYS : FILTER_NEVER;
}

/* The two matches on states number them alike but the last one. */
static unsigned state_bit(const struct filter_packet *p, unsigned untracked)
{
	static const unsigned bits[] = { [FILTER_NEW] = XT_STATE_BIT(IP_CT_NEW),
					 [FILTER_ESTABLISHED] = XT_STATE_BIT(IP_CT_ESTABLISHED),
					 [FILTER_RELATED] = XT_STATE_BIT(IP_CT_RELATED),
					 [FILTER_INVALID] = XT_STATE_INVALID };

	return p->connection == FILTER_UNTRACKED ? untracked : bits[p->connection];
}

/* Of one that is not tracked nothing but that holds, of an invalid one as well. */
static bool has_connection(const struct filter_packet *p)
{
	return p->connection < FILTER_INVALID;
}

static enum filter_match conntrack(const struct filter_packet *p, const void *info, size_t size)
{
	struct xt_conntrack_mtinfo3 m;

	/* The second revision lacks the last four fields. */
	if (size < offsetof(struct xt_conntrack_mtinfo3, origsrc_port_high))
		return FILTER_PERHAPS;
	memset(&m, 0, sizeof(m));
	memcpy(&m, info, MIN(size, sizeof(m)));
	if (!has_connection(p) && !(m.match_flags & XT_CONNTRACK_STATE))
		return FILTER_NEVER;
	if (has_connection(p) && m.match_flags != XT_CONNTRACK_STATE)
		return FILTER_PERHAPS;
	return sure(!(m.state_mask & state_bit(p, XT_CONNTRACK_STATE_UNTRACKED)) ==
		    !!(m.invert_flags & XT_CONNTRACK_STATE));
}

static enum filter_match state(const struct filter_packet *p, const void *info, size_t size)
{
	struct xt_state_info m;

	if (size < sizeof(m))
		return FILTER_PERHAPS;
	memcpy(&m, info, sizeof(m));
	return sure(m.statemask & state_bit(p, XT_STATE_UNTRACKED));
}

static enum filter_match mark(const void *info, size_t size)
{
	struct xt_mark_mtinfo1 m;

	if (size < sizeof(m))
		return FILTER_PERHAPS;
	memcpy(&m, info, sizeof(m));
	return sure((m.mark == 0) != m.invert);
}

static bool is_in(const uint16_t range[2], uint16_t port, bool inverted)
{
	return (port >= range[0] && port <= range[1]) != inverted;
}

static enum filter_match udp(const struct filter_packet *p, const void *info, size_t size)
{
	struct xt_udp m;

	if (size < sizeof(m) || !p->port)
		return FILTER_PERHAPS;
	memcpy(&m, info, sizeof(m));
	return sure(is_in(m.spts, FILTER_SAMPLE_PORT, m.invflags & XT_UDP_INV_SRCPT) &&
		    is_in(m.dpts, p->port, m.invflags & XT_UDP_INV_DSTPT));
}

static enum filter_match tcp(const struct filter_packet *p, const void *info, size_t size)
{
	struct xt_tcp m;

	if (size < sizeof(m) || !p->port)
		return FILTER_PERHAPS;
	memcpy(&m, info, sizeof(m));
	if (m.option)
		return FILTER_PERHAPS;
	return sure(is_in(m.spts, FILTER_SAMPLE_PORT, m.invflags & XT_TCP_INV_SRCPT) &&
		    is_in(m.dpts, p->port, m.invflags & XT_TCP_INV_DSTPT) &&
		    ((TCP_SYN & m.flg_mask) == m.flg_cmp) != !!(m.invflags & XT_TCP_INV_FLAGS));
}

static enum filter_match multiport(const struct filter_packet *p, const void *info, size_t size)
{
	struct xt_multiport_v1 m;
	bool found = false;

	if (size < sizeof(m) || !p->port)
		return FILTER_PERHAPS;
	memcpy(&m, info, sizeof(m));
	for (unsigned i = 0; i < MIN((unsigned)m.count, (unsigned)XT_MULTI_PORTS); i++) {
		bool range = m.pflags[i] && i + 1 < XT_MULTI_PORTS;
		uint16_t ports[2] = { m.ports[i], m.ports[range ? i + 1 : i] };

		if (m.flags != XT_MULTIPORT_SOURCE)
			found |= is_in(ports, p->port, false);
		if (m.flags != XT_MULTIPORT_DESTINATION)
			found |= is_in(ports, FILTER_SAMPLE_PORT, false);
		i += range;
	}
	return sure(found != m.invert);
}

enum filter_match filter_xt_match(const struct filter_packet *p, const char *name,
				  unsigned revision, const void *info, size_t size)
{
	if (strcmp(name, "comment") == 0)
		return FILTER_ALWAYS;
	if (strcmp(name, "conntrack") == 0 && revision >= 2)
		return conntrack(p, info, size);
	if (strcmp(name, "state") == 0)
		return state(p, info, size);
	if (strcmp(name, "mark") == 0 && revision == 1)
		return mark(info, size);
	if (strcmp(name, "udp") == 0)
		return p->protocol && p->protocol != IPPROTO_UDP ? FILTER_NEVER
								 : udp(p, info, size);
	if (strcmp(name, "tcp") == 0)
		return p->protocol && p->protocol != IPPROTO_TCP ? FILTER_NEVER
								 : tcp(p, info, size);
	if (strcmp(name, "multiport") == 0 && revision == 1)
		return multiport(p, info, size);
	return FILTER_PERHAPS;
}

enum filter_verdict filter_xt_target(const char *name)
{
	static const char *const translate[] = { "DNAT", "SNAT", "MASQUERADE", "REDIRECT",
						 "NETMAP" };
	static const char *const go_on[] = {
		"LOG",      "NFLOG", "MARK",    "CONNMARK", "TCPMSS",   "TRACE", "CT",
		"CLASSIFY", "TOS",   "DSCP",    "AUDIT",    "CHECKSUM", "SET",   "TTL",
		"HL",       "ULOG",  "SECMARK", "RATEEST",  "LED",      "ECN",   "CONNSECMARK"
	};

	if (strcmp(name, "REJECT") == 0 || strcmp(name, "DROP") == 0)
		return FILTER_DROP;
	if (strcmp(name, "ACCEPT") == 0)
		return FILTER_ACCEPT;
	for (size_t i = 0; i < ARRAY_LEN(go_on); i++) {
		if (strcmp(name, go_on[i]) == 0)
			return FILTER_CONTINUE;
	}
	for (size_t i = 0; i < ARRAY_LEN(translate); i++) {
		if (strcmp(name, translate[i]) == 0)
			return FILTER_TRANSLATE;
	}
	return FILTER_UNKNOWN;
}

bool filter_xt_acts(const char *name)
{
	static const char *const watch[] = { "LOG", "NFLOG", "ULOG", "TRACE", "AUDIT" };

	for (size_t i = 0; i < ARRAY_LEN(watch); i++) {
		if (strcmp(name, watch[i]) == 0)
			return false;
	}
	return strcmp(name, "ACCEPT") != 0;
}
