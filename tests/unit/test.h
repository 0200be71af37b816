/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every unit test includes: cmocka with the headers it needs, and the few helpers that many
 * tests share.
 */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/addr.h"

/* cmocka 2.0 wants to be told whether the numbers have a sign. */
#ifdef assert_uint_in_range
#undef assert_in_range
#define assert_in_range(value, minimum, maximum) assert_uint_in_range(value, minimum, maximum)
#endif

/* Fails with both texts unless `text` contains `part`. */
#define assert_contains(text, part)                                                                \
	do {                                                                                       \
		const char *text_ = (text);                                                        \
		const char *part_ = (part);                                                        \
		if (!strstr(text_, part_))                                                         \
			fail_msg("\"%s\" does not contain \"%s\"", text_, part_);                  \
	} while (0)

/* For tables: says which row it was before failing. */
#define assert_row(condition, row)                                                                 \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("row \"%s\": %s does not hold", (row), #condition);               \
	} while (0)

/* Literals that must parse. */
static inline UNUSED struct ip_addr test_addr(const char *text)
{
	struct ip_addr a = { 0 };

	if (ip_addr_parse(text, AF_UNSPEC, &a, NULL) < 0)
		fail_msg("\"%s\" is no address", text);
	return a;
}

static inline UNUSED struct ip_net test_net(const char *text)
{
	struct ip_net n = { 0 };

	if (ip_net_parse(text, AF_UNSPEC, &n, NULL) < 0)
		fail_msg("\"%s\" is no prefix", text);
	return n;
}

static inline UNUSED struct mac_addr test_mac(const char *text)
{
	struct mac_addr m = { 0 };

	if (mac_addr_parse(text, &m, NULL) < 0)
		fail_msg("\"%s\" is no MAC address", text);
	return m;
}

/* xorshift64*: random enough for tests, and the same on every run. */
static inline UNUSED uint64_t test_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1du;
}

#endif
