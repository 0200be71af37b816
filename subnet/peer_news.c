/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/peer_news.h"

#include <stdarg.h>
#include <string.h>

static void append(char *buf, const char *fmt, ...) PRINTF(2, 3);

static void append(char *buf, const char *fmt, ...)
{
	size_t used = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + used, PEER_NEWS_SIZE - used, fmt, ap);
	va_end(ap);
}

/* "unbound" is what somebody wrote without the lease of the store that would end it. */
static const char *kind(const struct lease *l)
{
	return lease_is_reservation(l) ? "reserved" : lease_is_unbound(l) ? "unbound" : "leased";
}

const char *peer_news_who(const struct lease *l, char buf[static PEER_NEWS_SIZE])
{
	char address[IP_ADDR_TEXT];

	subnet_format(&l->subnet, buf);
	append(buf, ": %s", l->node_name ? l->node_name : "a host without a name");
	if (ip_addr_is_set(&l->public_v4))
		append(buf, " at %s", ip_addr_format(&l->public_v4, address));
	if (ip_addr_is_set(&l->public_v6))
		append(buf, " at %s", ip_addr_format(&l->public_v6, address));
	if (l->flags & LEASE_RESERVED)
		append(buf, ", %s", kind(l));
	return buf;
}

static void change(char *buf, const char *what, const char *old, const char *now)
{
	old = old ? old : "none";
	now = now ? now : "none";
	if (strcmp(old, now) != 0)
		append(buf, "%s %s %.60s -> %.60s", strchr(buf, ' ') ? "," : "", what, old, now);
}

static void change_address(char *buf, const char *what, const struct ip_addr *old,
			   const struct ip_addr *now)
{
	char a[IP_ADDR_TEXT] = "none";
	char b[IP_ADDR_TEXT] = "none";

	if (ip_addr_is_set(old))
		ip_addr_format(old, a);
	if (ip_addr_is_set(now))
		ip_addr_format(now, b);
	change(buf, what, a, b);
}

static void change_number(char *buf, const char *what, unsigned old, unsigned now)
{
	char a[12] = "none";
	char b[12] = "none";

	if (old)
		snprintf(a, sizeof(a), "%u", old);
	if (now)
		snprintf(b, sizeof(b), "%u", now);
	change(buf, what, a, b);
}

const char *peer_news_changes(const struct lease *old, const struct lease *now,
			      char buf[static PEER_NEWS_SIZE])
{
	size_t head;

	subnet_format(&now->subnet, buf);
	append(buf, ":");
	head = strlen(buf);
	change(buf, "node", old->node_name, now->node_name);
	change(buf, "node id", old->node_id, now->node_id);
	change_address(buf, "public address", &old->public_v4, &now->public_v4);
	change_address(buf, "public IPv6 address", &old->public_v6, &now->public_v6);
	change_address(buf, "source", &old->source_v4, &now->source_v4);
	change_address(buf, "IPv6 source", &old->source_v6, &now->source_v6);
	change_number(buf, "MTU", old->mtu_v4_bytes, now->mtu_v4_bytes);
	change_number(buf, "IPv6 MTU", old->mtu_v6_bytes, now->mtu_v6_bytes);
	change(buf, "backend", old->backend_type, now->backend_type);
	change(buf, "backend data", old->backend_data, now->backend_data);
	change(buf, "IPv6 backend data", old->backend_v6_data, now->backend_v6_data);
	change(buf, "problem", old->problem, now->problem);
	change(buf, "kind", kind(old), kind(now));
	return buf[head] ? buf : NULL;
}
