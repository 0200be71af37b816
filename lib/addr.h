/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv4 and IPv6 addresses, prefixes and MAC addresses as values, in network byte order, and their
 * text forms.
 *
 * One type serves both families so that code which does not care about the family has no branch for
 * it. Text in and out is inet_pton's and RFC 5952's; arithmetic on addresses goes through 128-bit
 * integers.
 */
#ifndef LIB_ADDR_H
#define LIB_ADDR_H

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/err.h"

#define IP_ADDR_TEXT 46 /* INET6_ADDRSTRLEN */
#define IP_NET_TEXT  50
#define IPV6_MTU_MIN 1280 /* what every link has to carry, RFC 8200 */
#define MAC_TEXT     18

typedef unsigned __int128 u128;

/* family AF_UNSPEC means "none"; IPv4 uses the first 4 bytes and the rest is zero, so memcmp
 * compares. */
struct ip_addr {
	uint8_t family;
	uint8_t b[16];
};

struct ip_net {
	struct ip_addr addr;
	uint8_t len; /* prefix length in bits */
};

struct mac_addr {
	uint8_t b[6];
};

/* Text with no white space, no leading zeros, no zone. family AF_UNSPEC takes either. -EINVAL with
 * a sentence. */
int ip_addr_parse(const char *text, int family, struct ip_addr *ret, struct err *e) MUST_CHECK;
/* "address/len". Host bits are kept as given. */
int ip_net_parse(const char *text, int family, struct ip_net *ret, struct err *e) MUST_CHECK;
int mac_addr_parse(const char *text, struct mac_addr *ret, struct err *e) MUST_CHECK;

/* Write text into `buf` and return it; "-" for none. */
const char *ip_addr_format(const struct ip_addr *a, char buf[static IP_ADDR_TEXT]);
const char *ip_net_format(const struct ip_net *n, char buf[static IP_NET_TEXT]);
const char *mac_addr_format(const struct mac_addr *m, char buf[static MAC_TEXT]);

struct ip_addr ip_addr_from_bytes(int family, const void *bytes);
struct ip_addr ip_addr_from_u128(int family, u128 value);
u128 ip_addr_to_u128(const struct ip_addr *a);

static inline unsigned ip_family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

static inline unsigned ip_addr_size(const struct ip_addr *a)
{
	return a->family == AF_INET ? 4 : 16;
}

static inline bool ip_addr_is_set(const struct ip_addr *a)
{
	return a->family != AF_UNSPEC;
}

static inline bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool ip_net_is_set(const struct ip_net *n)
{
	return n->addr.family != AF_UNSPEC;
}

static inline bool ip_net_equal(const struct ip_net *a, const struct ip_net *b)
{
	return a->len == b->len && ip_addr_equal(&a->addr, &b->addr);
}

static inline bool mac_addr_is_zero(const struct mac_addr *m)
{
	static const struct mac_addr zero;

	return memcmp(m, &zero, sizeof(zero)) == 0;
}

/* The predicates of RFC 1122 and RFC 4291 that decide whether an address may name one host. */
bool ip_addr_is_unspecified(const struct ip_addr *a);
bool ip_addr_is_loopback(const struct ip_addr *a);
bool ip_addr_is_multicast(const struct ip_addr *a); /* IPv4: class D, class E and broadcast too */
bool ip_addr_is_link_local(const struct ip_addr *a);

/* Clears the host bits. */
struct ip_net ip_net_masked(const struct ip_net *n);
bool ip_net_has_host_bits(const struct ip_net *n);
bool ip_net_contains(const struct ip_net *n, const struct ip_addr *a);
bool ip_net_contains_net(const struct ip_net *outer, const struct ip_net *inner);
bool ip_net_overlaps(const struct ip_net *a, const struct ip_net *b);
/* Addresses in one prefix of this family and length, as a power of two; 0 stands for 2^128. */
u128 ip_net_size(int family, unsigned len);

#endif
