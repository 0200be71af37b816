/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/peer_news.h"

#include <stdarg.h>
#include <string.h>

#include "lib/json.h"

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

/* The value of a key as text, a string without its quotes; NULL: there is none. Caller frees. */
static char *value_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_string(value))
		return xstrdup(json_string_value(value));
	return value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
}

/* Every key of `old` that is another now or gone; if `added`, every one that `now` alone has. */
static void change_keys(char *buf, const char *family, const json_t *old, const json_t *now,
			bool added)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(added ? now : old), key, value) {
		auto_free char *what = xasprintf("%s%.40s", family, key);
		auto_free char *a = value_of(old, key);
		auto_free char *b = value_of(now, key);

		if (!added || !a)
			change(buf, what, a, b);
	}
}

/* What a backend publishes: key by key if that is what it is. */
static void change_data(char *buf, const char *family, const char *old, const char *now)
{
	auto_free char *what = xasprintf("%sbackend data", family);
	auto_json json_t *a = NULL;
	auto_json json_t *b = NULL;

	if (!old || !now || json_parse_object(old, strlen(old), &a, NULL) < 0 ||
	    json_parse_object(now, strlen(now), &b, NULL) < 0) {
		change(buf, what, old, now);
		return;
	}
	change_keys(buf, family, a, b, false);
	change_keys(buf, family, a, b, true);
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
	change_data(buf, "", old->backend_data, now->backend_data);
	change_data(buf, "IPv6 ", old->backend_v6_data, now->backend_v6_data);
	change(buf, "problem", old->problem, now->problem);
	change(buf, "kind", kind(old), kind(now));
	if (old->born != now->born)
		append(buf, "%s claimed again", strchr(buf, ' ') ? "," : "");
	return buf[head] ? buf : NULL;
}
