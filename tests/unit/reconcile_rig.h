/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of fabric/reconcile share: objects, one reconciler, what it asks to be written. */
#ifndef TESTS_UNIT_RECONCILE_RIG_H
#define TESTS_UNIT_RECONCILE_RIG_H

#include "tests/unit/test.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "fabric/reconcile.h"

#define DEVICE        7
#define OTHER_DEV     3
#define LAST_PROTOCOL (FABRIC_ROUTE_PROTOCOL + FABRIC_ROUTE_PROTOCOLS_LEN - 1)

static UNUSED struct kernel_object fdb(const char *mac, const char *remote)
{
	struct mac_addr m = test_mac(mac);
	struct ip_addr a = test_addr(remote);

	return kernel_fdb(DEVICE, &m, &a);
}

static UNUSED struct kernel_object neighbour(const char *addr, const char *mac)
{
	struct mac_addr m = test_mac(mac);
	struct ip_addr a = test_addr(addr);

	return kernel_neighbour(DEVICE, &a, &m);
}

static UNUSED struct kernel_object route_by(const char *dst, const char *gateway, uint32_t ifindex,
					    uint8_t protocol)
{
	struct ip_net n = test_net(dst);
	struct ip_addr a = test_addr(gateway);

	return kernel_route(&n, &a, ifindex, true, protocol);
}

static UNUSED struct kernel_object route(const char *dst, const char *gateway)
{
	return route_by(dst, gateway, DEVICE, FABRIC_ROUTE_PROTOCOL);
}

static UNUSED struct kernel_object address(const char *net)
{
	struct ip_net n = test_net(net);

	return kernel_address(DEVICE, &n);
}

/* The three objects of a peer. */
struct peer {
	struct kernel_object objects[3];
};

static UNUSED struct peer peer(unsigned number, const char *remote)
{
	auto_free char *mac = xasprintf("02:00:00:00:00:%02x", number);
	auto_free char *base = xasprintf("10.5.%u.0", number);
	auto_free char *net = xasprintf("10.5.%u.0/24", number);

	return (struct peer){ { fdb(mac, remote), neighbour(base, mac), route(net, base) } };
}

static struct reconcile *r;
static struct reconcile_owner owners[4];

static UNUSED int setup(void **state)
{
	struct kernel_marks scope = { .ifindexes = { DEVICE },
				      .ifindexes_len = 1,
				      .networks = { test_net("10.5.0.0/16") } };

	(void)state;
	memset(owners, 0, sizeof(owners));
	r = reconcile_new();
	reconcile_set_marks(r, &scope);
	return 0;
}

static UNUSED int teardown(void **state)
{
	(void)state;
	reconcile_free(r);
	return 0;
}

static UNUSED void want(struct reconcile_owner *owner, const struct kernel_object *objects,
			size_t len)
{
	struct reconcile_owner *other = NULL;

	assert_int_equal(reconcile_want(r, owner, objects, len, &other), 0);
}

static UNUSED void observe_nothing(void)
{
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		reconcile_observe_begin(r, k);
		reconcile_observe_end(r);
	}
}

static UNUSED void observe(const struct kernel_object *objects, size_t len)
{
	for (unsigned k = 0; k < KERNEL_KINDS; k++) {
		reconcile_observe_begin(r, k);
		for (size_t i = 0; i < len; i++)
			reconcile_observe(r, &objects[i]);
		reconcile_observe_end(r);
	}
}

static UNUSED bool notice(const struct kernel_object *o, bool gone)
{
	return reconcile_notice(r, o, gone);
}

/* Takes the next write and compares it with "create", "replace" or "drop" and the object's text. */
static UNUSED uint32_t expect(const char *action, const char *text)
{
	static const char *const names[] = { "create", "replace", "drop", "remake" };
	const struct kernel_object *object;
	uint32_t entry;
	enum kernel_verb a;
	char buf[KERNEL_OBJECT_TEXT];

	if (!reconcile_next(r, &a, &object, &entry))
		fail_msg("nothing to write, expected %s %s", action, text);
	kernel_object_format(object, buf);
	if (strcmp(names[a], action) != 0 || strcmp(buf, text) != 0)
		fail_msg("write is %s %s, expected %s %s", names[a], buf, action, text);
	return entry;
}

static UNUSED void expect_nothing(void)
{
	const struct kernel_object *object;
	uint32_t entry;
	enum kernel_verb a;
	char buf[KERNEL_OBJECT_TEXT];

	if (reconcile_next(r, &a, &object, &entry))
		fail_msg("unexpected write %d %s", a, kernel_object_format(object, buf));
}

static UNUSED void drain(void)
{
	const struct kernel_object *object;
	uint32_t entry;
	enum kernel_verb a;

	while (reconcile_next(r, &a, &object, &entry))
		;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
