/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/addr.h"

#include <arpa/inet.h>
#include <errno.h>

int ip_addr_parse(const char *text, int family, struct ip_addr *ret, struct err *e)
{
	struct ip_addr a = { 0 };
	bool v6 = strchr(text, ':') != NULL;

	if (family != AF_INET6 && !v6 && inet_pton(AF_INET, text, a.b) == 1)
		a.family = AF_INET;
	else if (family != AF_INET && v6 && inet_pton(AF_INET6, text, a.b) == 1)
		a.family = AF_INET6;
	else
		return err_set(e, -EINVAL, "\"%.80s\" is not an %s address", text,
			       family == AF_INET    ? "IPv4"
			       : family == AF_INET6 ? "IPv6"
						    : "IP");
	*ret = a;
	return 0;
}

int ip_net_parse(const char *text, int family, struct ip_net *ret, struct err *e)
{
	char addr[IP_ADDR_TEXT];
	const char *slash = strchr(text, '/');
	struct ip_net n = { 0 };
	unsigned len = 0;
	const char *p;

	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		goto bad;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	if (ip_addr_parse(addr, family, &n.addr, NULL) < 0)
		goto bad;
	p = slash + 1;
	if (!*p || (p[0] == '0' && p[1]))
		goto bad;
	for (; *p; p++) {
		if (*p < '0' || *p > '9')
			goto bad;
		len = len * 10 + (unsigned)(*p - '0');
		if (len > ip_family_bits(n.addr.family))
			goto bad;
	}
	n.len = (uint8_t)len;
	*ret = n;
	return 0;
bad:
	return err_set(e, -EINVAL, "\"%.80s\" is not an %s prefix (address/length)", text,
		       family == AF_INET    ? "IPv4"
		       : family == AF_INET6 ? "IPv6"
					    : "IP");
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int mac_addr_parse(const char *text, struct mac_addr *ret, struct err *e)
{
	struct mac_addr m;
	const char *p = text;

	for (unsigned i = 0; i < 6; i++) {
		int high = hex_digit(p[0]);
		int low = high < 0 ? -1 : hex_digit(p[1]);

		if (low < 0 || p[2] != (i < 5 ? ':' : '\0'))
			return err_set(e, -EINVAL, "\"%.80s\" is not a MAC address", text);
		m.b[i] = (uint8_t)(high << 4 | low);
		p += 3;
	}
	*ret = m;
	return 0;
}

/* inet_ntop asks printf for it, which takes ten times as long. */
static void format_v4(const uint8_t b[4], char *to)
{
	for (size_t i = 0; i < 4; i++) {
		if (i)
			*to++ = '.';
		if (b[i] >= 100)
			*to++ = (char)('0' + b[i] / 100);
		if (b[i] >= 10)
			*to++ = (char)('0' + b[i] / 10 % 10);
		*to++ = (char)('0' + b[i] % 10);
	}
	*to = '\0';
}

const char *ip_addr_format(const struct ip_addr *a, char buf[static IP_ADDR_TEXT])
{
	if (a->family == AF_INET)
		format_v4(a->b, buf);
	else if (!ip_addr_is_set(a) || !inet_ntop(a->family, a->b, buf, IP_ADDR_TEXT))
		snprintf(buf, IP_ADDR_TEXT, "-");
	return buf;
}

const char *ip_net_format(const struct ip_net *n, char buf[static IP_NET_TEXT])
{
	ip_addr_format(&n->addr, buf);
	if (ip_net_is_set(n)) {
		size_t used = strlen(buf);

		snprintf(buf + used, IP_NET_TEXT - used, "/%u", n->len);
	}
	return buf;
}

const char *mac_addr_format(const struct mac_addr *m, char buf[static MAC_TEXT])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(m->b); i++) {
		buf[3 * i] = digits[m->b[i] >> 4];
		buf[3 * i + 1] = digits[m->b[i] & 15];
		buf[3 * i + 2] = i + 1 < sizeof(m->b) ? ':' : '\0';
	}
	return buf;
}

struct ip_addr ip_addr_from_bytes(int family, const void *bytes)
{
	struct ip_addr a = { .family = (uint8_t)family };

	memcpy(a.b, bytes, ip_addr_size(&a));
	return a;
}

u128 ip_addr_to_u128(const struct ip_addr *a)
{
	u128 value = 0;

	for (unsigned i = 0; i < ip_addr_size(a); i++)
		value = value << 8 | a->b[i];
	return value;
}

struct ip_addr ip_addr_from_u128(int family, u128 value)
{
	struct ip_addr a = { .family = (uint8_t)family };

	for (unsigned i = ip_addr_size(&a); i-- > 0; value >>= 8)
		a.b[i] = (uint8_t)value;
	return a;
}

bool ip_addr_is_unspecified(const struct ip_addr *a)
{
	return ip_addr_to_u128(a) == 0;
}

bool ip_addr_is_loopback(const struct ip_addr *a)
{
	return a->family == AF_INET ? a->b[0] == 127 : ip_addr_to_u128(a) == 1;
}

bool ip_addr_is_multicast(const struct ip_addr *a)
{
	return a->family == AF_INET ? a->b[0] >= 224 : a->b[0] == 0xff;
}

bool ip_addr_is_link_local(const struct ip_addr *a)
{
	if (a->family == AF_INET)
		return a->b[0] == 169 && a->b[1] == 254;
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static u128 host_mask(int family, unsigned len)
{
	unsigned host_bits = ip_family_bits(family) - len;

	return host_bits == 128 ? ~(u128)0 : ((u128)1 << host_bits) - 1;
}

struct ip_net ip_net_masked(const struct ip_net *n)
{
	struct ip_net masked = *n;
	u128 value = ip_addr_to_u128(&n->addr) & ~host_mask(n->addr.family, n->len);

	masked.addr = ip_addr_from_u128(n->addr.family, value);
	return masked;
}

bool ip_net_has_host_bits(const struct ip_net *n)
{
	return (ip_addr_to_u128(&n->addr) & host_mask(n->addr.family, n->len)) != 0;
}

bool ip_net_contains(const struct ip_net *n, const struct ip_addr *a)
{
	unsigned bytes = n->len / 8;
	unsigned bits = n->len % 8;

	if (!ip_net_is_set(n) || n->addr.family != a->family || memcmp(n->addr.b, a->b, bytes) != 0)
		return false;
	return bits == 0 || (n->addr.b[bytes] ^ a->b[bytes]) >> (8 - bits) == 0;
}

bool ip_net_contains_net(const struct ip_net *outer, const struct ip_net *inner)
{
	return outer->len <= inner->len && ip_net_contains(outer, &inner->addr);
}

bool ip_net_overlaps(const struct ip_net *a, const struct ip_net *b)
{
	return a->len <= b->len ? ip_net_contains(a, &b->addr) : ip_net_contains(b, &a->addr);
}

u128 ip_net_size(int family, unsigned len)
{
	unsigned host_bits = ip_family_bits(family) - len;

	return host_bits == 128 ? 0 : (u128)1 << host_bits;
}
